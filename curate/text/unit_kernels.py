"""The units of a UTF-8 buffer: the pieces of its normal form (see `curate.text.normal_form`), one by one."""

import numpy as np

from curate.arrays import U8
from curate.compiled import compiled, inlined
from curate.text.normal_form import (
    CLASS_BITS,
    LETTER,
    LOOKS_FROM,
    LOOKS_TO,
    PAGE_BITS,
    SEPARATOR,
    SEVERAL,
    normal_form,
)

ROWS, PAGES, EXPANDED, LOOKS = normal_form()

LEADING, VOWEL, TRAILING, SYLLABLE = 0x1100, 0x1161, 0x11A7, 0xAC00
LEADINGS, VOWELS, TRAILINGS = 19, 21, 28
"""Korean letters that are composed to a syllable, and how many there are of each (Unicode, chapter 3.12)."""


@inlined
def is_word(byte: np.uint8) -> bool:
    """Letters, digits, underscores, and all beyond ASCII, which is looked at more closely."""
    return bool(
        np.uint8((byte | np.uint8(32)) - np.uint8(97)) < np.uint8(26)
        or np.uint8(byte - np.uint8(48)) < np.uint8(10)
        or byte == np.uint8(95)
        or byte >= np.uint8(128)
    )


@compiled
def code_point(data: U8, at: int, end: int) -> tuple[int, int]:
    """(code point, bytes) of the sign that begins at `at`; bytes that are no UTF-8 are signs of their own."""
    lead = int(data[at])
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or at + size > end:
        return lead, 1
    point = lead & (0x7F >> size)
    for i in range(at + 1, at + size):
        point = point << 6 | int(data[i]) & 0x3F
    return point, size


@compiled
def unit_at(data: U8, at: int, sub: int, end: int) -> tuple[int, int, int, int, int]:
    """(class, code point, what it looks like, bytes, units) of unit `sub` of the sign that begins at `at`.

    What it looks like is the code point itself, or a Latin letter. Bytes and units are those of the sign.
    """
    if data[at] < 128:
        point = int(data[at])
        if is_word(data[at]):
            return LETTER, point | 0x20, point | 0x20, 1, 1
        return SEPARATOR, point, point, 1, 1
    raw, size = code_point(data, at, end)
    entry = int(PAGES[ROWS[raw >> PAGE_BITS], raw & ((1 << PAGE_BITS) - 1)])
    kind, value, units = entry & ((1 << CLASS_BITS) - 1), entry >> CLASS_BITS, 1
    if kind == SEVERAL:
        units, found = int(EXPANDED[value]), value + 1 + 2 * sub
        kind, value = int(EXPANDED[found]) & ((1 << CLASS_BITS) - 1), int(EXPANDED[found]) >> CLASS_BITS
        looks = int(EXPANDED[found + 1])
    else:
        value += raw
        looks = int(LOOKS[raw - LOOKS_FROM]) if LOOKS_FROM <= raw < LOOKS_TO else 0
    return kind, value, looks if looks else value, size, units


@compiled
def composed(data: U8, at: int, value: int, end: int) -> tuple[int, int]:
    """(syllable, bytes) of the Korean letters from `at` on that compose one with `value`, which precedes them.

    The value itself and 0 where they compose none.
    """
    size = 0
    if value < SYLLABLE:
        _, vowel, __, size, units = unit_at(data, at, 0, end)
        if units > 1 or not VOWEL <= vowel < VOWEL + VOWELS:
            return value, 0
        value = SYLLABLE + ((value - LEADING) * VOWELS + vowel - VOWEL) * TRAILINGS
    if at + size < end and data[at + size] >= 128:
        _, trailing, __, more, units = unit_at(data, at + size, 0, end)
        if units == 1 and TRAILING < trailing < TRAILING + TRAILINGS:
            return value + trailing - TRAILING, size + more
    return value, size


@inlined
def may_compose(value: int) -> bool:
    """Whether it is a Korean letter that begins a syllable, or a syllable without a last consonant."""
    return bool(
        LEADING <= value < LEADING + LEADINGS
        or (SYLLABLE <= value < SYLLABLE + LEADINGS * VOWELS * TRAILINGS and (value - SYLLABLE) % TRAILINGS == 0)
    )


@inlined
def begins_syllable(data: U8, after: int, letter: int, end: int) -> bool:
    """Whether a Korean letter is composed with what follows it."""
    begins = LEADING <= letter < LEADING + LEADINGS and after < end
    return bool(begins and composed(data, after, letter, end)[1] > 0)
