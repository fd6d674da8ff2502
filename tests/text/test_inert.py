"""Strings from outside act on no terminal, and begin no element in Markdown or HTML."""

import io
import json
import math
import subprocess
import sys

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from curate.cli import output
from curate.errors import ConfigError
from curate.tables import Table
from curate.text.inert import code, fenced, json_text, link, markdown_text, terminal_line, terminal_text
from curate.workspace import read_json, write_json
from tests.support.hostile import HOSTILE, PLAIN


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


def test_a_terminal_sees_signs_instead_of_what_it_would_act_on():
    assert terminal_line("\x1b]52;c;QQ==\x07\x9b31m\u202eabc\r\n\tb\udc80\u2028") == (
        "␛]52;c;QQ==␇\\u009b31m\\u202eabc␍␊␉b\\udc80\\u2028"
    )
    assert terminal_text("a\n\tb\x1b") == "a\n\tb␛"
    assert terminal_text(PLAIN) == PLAIN


@pytest.mark.parametrize("text", [*HOSTILE, PLAIN])
def test_json_is_escaped_and_gives_the_value_back(text, tmp_path):
    value = {text: [text, {"n": 1.5}]}
    written = json_text(value)
    assert json.loads(written) == value
    assert written == terminal_text(written)
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_json_has_no_numbers_that_are_none():
    assert json.loads(json_text({"a": [math.nan, math.inf, 1.5]})) == {"a": [None, None, 1.5]}


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_text_and_begins_no_element(text):
    shown = rendered(f"before {markdown_text(text)} after")
    assert shown.count("<") == 2, shown  # <p> and </p>
    assert rendered(str(markdown_text(text))).count("<") == 2
    assert rendered(f"- {markdown_text(text)}\n").count("<") == 4
    cells = rendered(f"| a | b |\n|---|---|\n| {markdown_text(text)} | c |\n")
    assert cells.count("<td>") == 2
    assert rendered(f"- {code(text)}\n").count("<") == 6  # code too
    assert rendered(f"{link(text, 'https://here.example/', text)}\n").count('<a href="https://here.example/') == 1
    block = rendered(fenced(f"a\n{text}\n```\n<b>", "yaml"))
    assert (block.count("<"), block.count("</code></pre>")) == (4, 1)


def test_markdown_leaves_ordinary_words_as_they_are():
    for text in ("cc-by-nc-4.0", "nvidia/HelpSteer3", "mm_rlhf (11.8 %), a and b", "71.2 [68.0, 74.1] +1.2***"):
        assert markdown_text(text) == text
    assert link("a/b", "https://here.example/", "a/b") == "[a/b](https://here.example/a/b)"
    assert (code("a_b"), fenced("a: 1\n", "yaml")) == ("`a_b`", "```yaml\na: 1\n```")


@pytest.mark.parametrize("text", ["[/INST]", "[math] algebra", "[link=https://evil.example]x[/link]", ":warning:"])
def test_tables_lines_and_errors_interpret_nothing(text, capsys):
    table = Table(text, (text, "n"), [(text, 1)], (text, 1))
    output.show_table(table)
    output.say_table(table)
    output.say(text)
    output.fail(ConfigError(text, text, text, text))
    seen = capsys.readouterr()
    assert (seen.out.count(text), seen.err.count(text)) == (4, 9)


def test_a_bar_shows_names_as_they_are(monkeypatch):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(output, "messages", lambda: console)
    with output.progress("[/INST]\x9b", 0):
        output.say("[math] algebra")
    assert "[/INST]\\u009b" in stream.getvalue()
    assert "[math] algebra\n" in stream.getvalue()


def test_messages_have_one_console():
    assert output.messages() is output.messages()


def test_inert_texts_need_no_polars():
    program = (
        "import sys, curate.text.inert as inert; inert.terminal_line('\\x1b'); print('polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
