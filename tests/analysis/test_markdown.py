"""Markdown as it is rendered: cases, markdown-it-py as the peer, and the replies of real sets."""

import json
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from curate.analysis import markdown_kernels
from curate.text.buffers import strings
from tests.support.paths import REAL

PARSER = MarkdownIt("commonmark").enable("table")
TOKENS = {
    "heading_open": "headers",
    "strong_open": "bold",
    "fence": "code",
    "list_item_open": "items",
    "table_open": "tables",
}
REPLIES = REAL / "llamafactory_dpo_en" / "dpo_en_demo.json"


def counted(*texts: str) -> list[dict[str, int]]:
    found = markdown_kernels.markdown(*strings(pa.array(texts, pa.string())))
    return [dict(zip(markdown_kernels.MARKDOWN, row, strict=True)) for row in found.tolist()]


def rendered(text: str) -> dict[str, int]:
    def kinds(tokens: list[Any]) -> list[str]:
        return [kind for token in tokens for kind in (token.type, *kinds(token.children or []))]

    found = Counter(kinds(PARSER.parse(text)))
    return {name: found[kind] for kind, name in TOKENS.items()}


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({}, "2 ** 3 ** 4 is no Markdown, nor is 2 * 3 * 4"),
        ({}, "10\n- 5 is 5\n+ 3 is 8"),
        ({"items": 2}, "- 5 apples\n- 3 pears"),
        ({}, "above\n\n* * *\n\n- - -\n\n___\nbelow"),
        ({"code": 1}, "```py\n# a comment\n- no item\n**no bold**\n```"),
        ({"code": 1}, "~~~\n# a comment\n```\n# inside still\n~~~~"),
        ({"code": 1, "items": 1}, "- ```py\n  # a comment\n  ```"),
        ({"code": 1}, "```\nwithout an end\n# a comment"),
        ({"code": 2, "headers": 1}, "```\na\n```\n# b\n```\nc\n```"),
        ({"headers": 2}, "Title\n=====\n\nPart\n---\ntext"),
        ({"headers": 3}, "# a\n## b ##\n#\n#no\n####### no"),
        ({"bold": 3}, "**a** and __b__ and ***c***"),
        ({"bold": 1}, "**over two\nlines**"),
        ({}, "**no\n\nend** `**code**` \\**kept** snake__case__name"),
        ({"bold": 1}, "他说**“好”**了"),
        ({"tables": 1, "bold": 1}, "a | **b**\n--|:-:\n1 | 2"),
        ({}, "a | b\n\n--|--"),
        ({}, "x\n\n    # indented code\n    - so is this"),
        ({"items": 3}, "1. a\n    - b\n\n    - c"),
        ({"headers": 1, "bold": 1, "items": 2, "code": 1, "tables": 1},
         "<h2>A</h2><ul><li>a</li><li><STRONG>b</STRONG></li></ul><pre class='x'>c</pre><table></table><br><hr/>"),
        ({"headers": 1}, "> # quoted\n> text"),
    ],
)  # fmt: skip
def test_what_is_rendered_counts_and_nothing_else(expected: dict[str, int], text: str):
    assert counted(text) == [{**dict.fromkeys(markdown_kernels.MARKDOWN, 0), **expected}]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (4, "1、苹果\n２．梨\n３）桃\n4.李子"),
        (4, "（1）苹果\n(2) 梨\n（三）桃\n(4)李"),
        (3, "一、引言\n十二、结论\n㈠甲"),
        (5, "・りんご\n•梨\n●桃\n　■李\n– four"),
        (4, "①甲\n⒉乙\n1️⃣ 丙\n✅ 丁"),
        (2, "१. एक\n٢. اثنان"),
        (0, "一个苹果\n1.5 kg\n·····\n•\n(see 3)\n2024、五月\n–1\n（注）\n一二三四、\n(1)"),
    ],
)
def test_list_marks_of_other_scripts(count: int, text: str):
    [found] = counted(text)
    assert found["items"] == count


LINES = st.lists(
    st.sampled_from(["# ", "## x", "- ", "* y", "1. z", "```", "~~~", "a", "b ", " ", "**", "`", "| ", "==", "7"]),
    max_size=4,
).map("".join)


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_no_text_is_read_beyond_its_end(text: str):
    alone = counted(text)
    assert counted("```\n", text, "**", text) == [*counted("```\n"), *alone, *counted("**"), *alone]


@pytest.mark.skipif(not REPLIES.exists(), reason="the real rows are not here")
def test_real_replies_count_as_a_parser_renders_them():
    rows = json.loads(REPLIES.read_text())
    texts = [side["value"] for row in rows for side in (row["chosen"], row["rejected"])]
    found, expected = counted(*texts), [rendered(text) for text in texts]
    differ = {
        name: sum(one[name] != two[name] for one, two in zip(found, expected, strict=True))
        for name in TOKENS.values()
    }
    assert len(texts) == 600
    assert sum(one["code"] for one in expected) == 71
    # one reply is HTML with <pre>, which a parser leaves as it is
    assert differ == {"headers": 0, "bold": 0, "code": 1, "items": 0, "tables": 0}
