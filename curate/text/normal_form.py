"""The normal form in which texts are compared: one text has one form, whatever code points spell it.

It is that of Unicode's NFKC_Casefold, as tables for compiled passes: letters of every width, typeface and position
are plain ones (full-width, mathematical, circled, ligatures), composed and decomposed letters are the same, case
does not matter, and format signs (soft hyphens, zero-width signs, marks of direction, variation selectors) are
left out. Accents stay: words that differ by one are different words. Beyond that form

- small capitals, and letters in parentheses or on a dark circle or square, are letters; digits of all scripts are
  those of ASCII; curly quotation marks and dashes are straight ones and hyphens;
- lines through, over and under letters and shapes around them are left out, as is the line that makes an Arabic
  word longer;
- a letter of Greek, Cyrillic, Armenian, Cherokee, Coptic or Lisu that looks like a Latin one is that letter, but
  only in a word that has Latin letters and no letter of these scripts that looks like none, or in a text of which
  this is true: words of these scripts stay what they are, and so do Greek small letters without Latin ones beside
  them, as formulas have them (`curate.text.word_kernels` decides that);
- a sign that stands for more words than fit in its bytes ("½", "㍿") stays a sign of its own.
"""

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays import I32, U8, U16
from curate.text.invisible import RANGES

LETTER, SEPARATOR, IGNORED, IDEOGRAPH, MARK, SEVERAL = range(6)
"""Classes of units, the pieces that a code point's normal form consists of.

LETTER      part of a word: a letter or digit
SEPARATOR   a sign or space between words
IGNORED     nothing: a format sign
IDEOGRAPH   a word of its own, in scripts without spaces
MARK        an accent; several of one letter are in no order
SEVERAL     more than one of these units, listed in `expanded`
"""

CLASS_BITS = 3
PAGE_BITS = 8
SPACE = 0x20

COMPUTED = (
    (0x80, 0x33FF), (0xA000, 0xABFF), (0xD7B0, 0xD7FF), (0xF900, 0xFFFF), (0x10400, 0x104FF), (0x1D400, 0x1D7FF),
    (0x1EE00, 0x1EEFF), (0x1F100, 0x1F2FF), (0x1FB00, 0x1FBFF), (0x2F800, 0x2FAFF),
)  # fmt: skip
"""Code points that are looked up in Unicode's tables; others are letters, apart from these."""

IDEOGRAPHS = ((0x3400, 0x9FFF), (0xAC00, 0xD7AF), (0x20000, 0x2F7FF), (0x2FB00, 0x3FFFF))
EMOJI = ((0x1F000, 0x1F0FF), (0x1F300, 0x1FAFF))
TAGS = ((0xE0000, 0xE0FFF),)

_SHOWING = frozenset({0x85, 0x2800, *range(0x20)})  # a line break, the blank of Braille, controls: between words
_DRAWN = frozenset(
    {0x305, 0x332, 0x333, 0x33F, *range(0x334, 0x339), *range(0x20D0, 0x20F1), 0x640}
)  # lines and shapes, none of which makes another letter; and the Arabic tatweel
_HIDDEN = frozenset(point for first, last in RANGES for point in range(first, min(last, 0xFFFF) + 1)) - _SHOWING
_IGNORED = _HIDDEN | _DRAWN

_PLAIN = {
    0x1D00: "a", 0x299: "b", 0x1D04: "c", 0x1D05: "d", 0x1D07: "e", 0xA730: "f", 0x262: "g", 0x29C: "h",
    0x26A: "i", 0x1D0A: "j", 0x1D0B: "k", 0x29F: "l", 0x1D0D: "m", 0x274: "n", 0x1D0F: "o", 0x1D18: "p",
    0xA7AF: "q", 0x280: "r", 0xA731: "s", 0x1D1B: "t", 0x1D1C: "u", 0x1D20: "v", 0x1D21: "w", 0x28F: "y",
    0x1D22: "z",
    **{first + at: chr(0x61 + at) for first in (0x249C, 0x1F110, 0x1F150, 0x1F170) for at in range(26)},
}  # fmt: skip
"""Small capitals, which Unicode counts as other letters, and signs around letters, which it counts as symbols."""

_STRAIGHT = str.maketrans(
    "\u2018\u2019\u201a\u201b\u02bc\u201c\u201d\u201e\u201f\u2010\u2012\u2013\u2014\u2015\u2212",
    "'''''\"\"\"\"------",
)

_SYLLABLE = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")
_YPOGEGRAMMENI = "\u0345"  # the one accent whose small form is a letter

LOOKS_FROM, LOOKS_TO = 0x370, 0x590
_LOOKS = {
    "a": "аА\u0391\u03b1\u0251ᎪꓮⲀⲁ", "b": "В\u0392ᏴꓐⲂ", "c": "сС\u03f2ᏟꓚⲤⲥ", "d": "ԁᎠꓓ",
    "e": "еЕ\u0395ᎬꓰⲈ", "f": "ꓝ", "g": "ց\u0261ᏀꓖԌ", "h": "НһҺհ\u0397ᎻᏂꓧⲎ", "i": "іІӀ\u0399\u03b9ᎥꓲⲒⲓ",
    "j": "јЈ\u03f3\u037fᎫꓙ", "k": "К\u039a\u03baᏦꓗⲔⲕ", "l": "ӏᏞꓡⳐԼ", "m": "М\u039cᎷꓟⲘ", "n": "ո\u039dꓠⲚ",
    "o": "оО\u03bf\u039fօՕꓳⲞⲟ", "p": "рР\u03a1\u03c1ᏢꓑⲢⲣ", "q": "ԛԚզ", "r": "ᎡᏒꓣ", "s": "ѕЅՏᏚꓢ",
    "t": "Т\u03a4ᎢꓔⲦ", "u": "ս\u03c5Սꓴ", "v": "ѵѴ\u03bdᏙꓦ", "w": "ԝԜᎳꓪ", "x": "хХ\u03a7\u03c7ꓫⲬⲭ",
    "y": "уУүҮ\u03a5\u03b3ꓬⲨ", "z": "\u0396ᏃꓜⲌ",
}  # fmt: skip
LOOKS = {other: ord(letter) for letter, others in _LOOKS.items() for other in others}
"""Letters that look like a Latin letter in most typefaces; a capital like the capital.

Of those from LOOKS_FROM on, before LOOKS_TO, `looks` of the tables has the Latin letter.
"""


class NormalForm(NamedTuple):
    """The normal form of code points beyond ASCII, as tables.

    rows       the row of `pages` for the code points that have these upper bits (all but PAGE_BITS)
    pages      for each code point what is added to it, or where in `expanded` it is, << CLASS_BITS | its class
    expanded   the number of units, then of each code point << CLASS_BITS | class, and what it looks like
    looks      the Latin letter that a code point, less LOOKS_FROM, looks like, or 0
    """

    rows: U8
    pages: I32
    expanded: I32
    looks: U16


class _Unit(NamedTuple):
    value: int
    kind: int
    looks: int  # a Latin letter, or 0


def normal_form() -> NormalForm:
    """Return the tables."""
    kinds: npt.NDArray[Any] = np.zeros(0x110000, np.int32)
    for ranges, kind in ((IDEOGRAPHS, IDEOGRAPH), (EMOJI, SEPARATOR), (TAGS, IGNORED)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    expanded: list[int] = []
    for first, last in COMPUTED:
        for point in range(first, last + 1):
            kinds[point] = _entry(point, expanded)
    numbers: dict[bytes, int] = {}
    rows = [numbers.setdefault(row.tobytes(), len(numbers)) for row in kinds.reshape(-1, 1 << PAGE_BITS)]
    pages = np.frombuffer(b"".join(numbers), np.int32).reshape(len(numbers), -1)
    looks: U16 = np.zeros(LOOKS_TO - LOOKS_FROM, np.uint16)
    for other, letter in LOOKS.items():
        if LOOKS_FROM <= ord(other) < LOOKS_TO:
            looks[ord(other) - LOOKS_FROM] = letter
    return NormalForm(np.array(rows, np.uint8), pages, np.array(expanded, np.int32), looks)


def _entry(point: int, expanded: list[int]) -> int:
    """The entry of `pages`; units that are several, or look like something else, are appended to `expanded`."""
    character = chr(point)
    if point in _IGNORED:
        return IGNORED
    form = unicodedata.normalize("NFKD", _PLAIN.get(point, character)).translate(_STRAIGHT)
    units = _units(character, _SYLLABLE.sub(lambda found: unicodedata.normalize("NFC", found[0]), form))
    listed = LOOKS.get(character, 0) if LOOKS_FROM <= point < LOOKS_TO else 0
    if len(units) == 1 and units[0].looks == listed:
        return (units[0].value - point) << CLASS_BITS | units[0].kind
    at = len(expanded)
    expanded += [
        len(units),
        *(number for one in units for number in (one.value << CLASS_BITS | one.kind, one.looks)),
    ]
    return at << CLASS_BITS | SEVERAL


def _units(character: str, form: str) -> list[_Unit]:
    units = [unit for one in form if ord(one) not in _IGNORED for unit in _folded(one)]
    size = len(character.encode())
    if len(units) > 1 and _words(units) > size // 2:  # a bound on the words of a text rests on it
        return [_Unit(ord(character), IDEOGRAPH if size > 2 else LETTER, 0)]
    return units


def _folded(character: str) -> list[_Unit]:
    """The units of the small form of one decomposed character."""
    small = _PLAIN.get(ord(character)) or _digit(character) or character.casefold()
    small = character if character == _YPOGEGRAMMENI else small
    if small == character:
        kind = _class(ord(character))
        return [_Unit(_canonical(ord(character), kind), kind, LOOKS.get(character, 0))]
    points = [ord(one) for one in unicodedata.normalize("NFKD", small)]
    looks = LOOKS.get(character, 0) if len(points) == 1 else 0
    return [_Unit(_canonical(point, kind), kind, looks) for point in points for kind in (_class(point),)]


def _digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return "" if value is None else str(int(value))


def _class(point: int) -> int:
    kind = unicodedata.category(chr(point))[0]
    if kind == "M":
        return MARK
    if point == ord("_"):
        return LETTER
    if kind not in "LN" and not 0xE000 <= point <= 0xF8FF:
        return SEPARATOR
    alone = 0x2E80 <= point <= 0xA4CF or 0xAC00 <= point <= 0xD7AF or 0xF900 <= point <= 0xFAFF or point >= 0x20000
    return IDEOGRAPH if alone else LETTER


def _canonical(value: int, kind: int) -> int:
    """The value of a unit; spaces are one, and an ASCII letter is hashed with the bit of small letters set."""
    if kind == SEPARATOR:
        return SPACE if chr(value).isspace() else value
    return value | SPACE if value < 0x80 else value


def _words(units: list[_Unit]) -> int:
    """In how many words the units are, at least in part."""
    count, inside = 0, False
    for _, kind, __ in units:
        count += kind == IDEOGRAPH or (kind == LETTER and not inside)
        inside = kind in (LETTER, MARK) and (inside or kind == LETTER)
    return count
