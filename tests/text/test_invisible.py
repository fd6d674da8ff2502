"""Characters that do not show: which they are, texts without them, and texts that show them."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.invisible import INVISIBLE, bare, plain, visible

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
COUPLE = "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f468"
WALES = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


def made(text: str, how: str = "plain") -> str:
    """The text as one of the expressions makes it."""
    expression = {"plain": plain, "bare": bare}[how](pl.lit(text))
    return str(pl.select(expression).item())


def test_they_are_what_unicode_ignores_by_default_and_controls_and_three_more():
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    text = pl.col("text").str
    ignored = text.contains(r"\p{Default_Ignorable_Code_Point}") | text.contains(r"[\p{Cc}--\s]")
    odd = pl.DataFrame({"text": points}).filter(text.contains(f"[{INVISIBLE}]") != ignored)
    assert odd["text"].to_list() == ["\u2800", "\ufff9", "\ufffa", "\ufffb"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("zero\u200bwidth\u2060 \ufeffco\u00adop\u200e", "zerowidth coop"),
        ("cafe\u0301", "caf\u00e9"),
        ("me\u200b\u0301", "m\u00e9"),
        ("a\u200db", "ab"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e"),
        (FAMILY, FAMILY),
        (COUPLE, COUPLE.replace("\ufe0f", "")),
        ("\U0001f469\u200d", "\U0001f469"),
        (f"{WALES}\U000e0041", WALES),
        ("x\U000e0041", "x"),
        ("a\r\n\tb\u00a0c", "a\r\n\tb\u00a0c"),
    ],
)
def test_a_text_as_it_is_read(text: str, read: str):
    assert made(text) == read
    assert made(read) == read


@given(
    st.text(
        st.sampled_from([*"ae\u0301\u0327\u200b\u200d\u00ad\ufe0f\u00e9\U0001f469\U000e0041\u1112\u1161\u11ab"])
    )
)
def test_bare_is_a_function_of_plain_and_keeps_beginnings(text: str):
    assert made(made(text), "bare") == made(text, "bare")
    assert all(made(text, "bare").startswith(made(text[:size], "bare")) for size in range(len(text)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("same\u200b text", "same\\u200b text"),
        ("co\u00adop \u202eabc\u202c", "co\\u00adop \\u202eabc\\u202c"),
        ("\x1b[31m\x00\x7f\x85\r\n\t", "\u241b[31m\u2400\u2421\\u0085\u240d\n\t"),
        ("x\U000e0041\ufe0f", "x\\U000e0041\\ufe0f"),
        ("\ufeffa\u200db\u200c", "\\ufeffa\\u200db\\u200c"),
        (
            f"{FAMILY} {COUPLE} {WALES} \u2764\ufe0f 1\ufe0f\u20e3",
            f"{FAMILY} {COUPLE} {WALES} \u2764\ufe0f 1\ufe0f\u20e3",
        ),
        ("\u2764\ufe0f\ufe0f\u200d ", "\u2764\ufe0f\\ufe0f\\u200d "),
        ("\u0645\u06cc\u200c\u062e \u0645\u200c ", "\u0645\u06cc\u200c\u062e \u0645\\u200c "),
        ("\u092a\u094d\u200d\u0930", "\u092a\u094d\u200d\u0930"),
        ("plain text, naïve 日本", "plain text, naïve 日本"),
    ],
)
def test_show_makes_them_visible(text: str, shown: str):
    assert visible(text) == shown
