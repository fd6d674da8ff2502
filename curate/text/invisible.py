"""Characters that do not show, and texts without them: one rule for steps and for what people are shown.

They are the code points that Unicode calls default ignorable (zero-width spaces and joiners, soft hyphens, marks
of direction, variation selectors, fillers, tags), control characters that are no white space, marks of interlinear
annotation and the blank of Braille. Some do show between others: they join emoji, and tags spell flags of regions.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # texts of messages are made visible where polars need not be loaded
    import polars as pl

RANGES = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""First and last of each run of code points that do not show."""


def _class(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


INVISIBLE = _class(RANGES)
"""The inside of a regular expression's class, for polars and for `re`."""

_EMOJI = _class([(0xA9, 0xA9), (0xAE, 0xAE), (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2BFF),
                 (0x3030, 0x303D), (0x3297, 0x3299), (0x1F000, 0x1F3FA), (0x1F400, 0x1FAFF)])  # fmt: skip
_SKIN = _class([(0x1F3FB, 0x1F3FF)])
_TAGS = _class([(0xE0020, 0xE007F)])
_JOINER = r"\u200d"
_FLAG = r"\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f"  # a region, spelt in tags

JOINED = f"(?:[{_EMOJI}][{_SKIN}]?{_JOINER})+[{_EMOJI}][{_SKIN}]?|{_FLAG}"
"""Emoji that are one picture by joiners or tags, in a text without variation selectors."""


def plain(text: "pl.Expr") -> "pl.Expr":
    """The text as it is read: composed (NFC) and without invisible characters, but for those that join emoji."""
    shows = f"[{INVISIBLE}--{_JOINER}{_TAGS}]+"
    joined = f"({JOINED})|[{_JOINER}{_TAGS}]+"
    return text.str.replace_all(shows, "").str.replace_all(joined, "$1").str.normalize("NFC")


def bare(text: "pl.Expr", more: str = "") -> "pl.Expr":
    r"""The text decomposed and without accents, invisible characters and those of the class `more`.

    Texts that are the same when `plain` are the same when bare, and so are their beginnings: cheap to compare.
    """
    return text.str.normalize("NFD").str.replace_all(rf"[\p{{M}}{INVISIBLE}{more}]+", "")


_STYLE = "[\ufe0e\ufe0f]"
_SHAPED = _class([(0x600, 0x109F), (0x1780, 0x17FF)])  # scripts in which joiners change the letters beside them
_PICTURE = f"[{_EMOJI}#*0-9][{_SKIN}]?"
SHOWS = re.compile(
    f"({_PICTURE}(?=[\ufe0e\ufe0f\u200d]){_STYLE}?(?:\u200d{_PICTURE}{_STYLE}?)*|{_FLAG}"
    f"|(?<=[{_SHAPED}])[\u200c\u200d](?=[{_SHAPED}]))|[{INVISIBLE}\x0b-\x0d\x85]"
)
"""An invisible character; or, in the first group, such ones that have their use."""


def visible(text: str) -> str:
    r"""The text with a sign for each invisible character: ␀ for controls (but tab and line feed), else `\u200b`.

    Characters that join emoji, choose how one is drawn, or shape the letters beside them stay.
    """
    return SHOWS.sub(lambda found: found[1] or _sign(ord(found[0])), text)


def _sign(point: int) -> str:
    if point < 0x20:
        return chr(0x2400 + point)
    if point == 0x7F:
        return "\u2421"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
