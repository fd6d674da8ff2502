"""The words of a UTF-8 buffer (see `curate.text.words`) as 64-bit hashes, without Python strings.

What made it fast: 64 bytes are classified at once (the compiler vectorises it), words are the runs in that bit
mask, and a word of ASCII is hashed eight bytes at a time, small letters being its bytes with the bit 0x20 set.
Other words are read unit by unit (see `curate.text.unit_kernels`), and twice where their normal form is ASCII.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from curate.arrays import I64, U8, U64
from curate.compiled import compiled, inlined
from curate.text.normal_form import IDEOGRAPH, IGNORED, LETTER, LOOKS_FROM, LOOKS_TO, MARK
from curate.text.unit_kernels import begins_syllable, code_point, composed, is_word, may_compose, unit_at

WIDE_BYTES, WIDE_FORM, ALIKE, ROMAN, FOREIGN = 1, 2, 4, 8, 16
"""What was seen in a word: bytes beyond ASCII; such letters or accents; letters that look like Latin ones; Latin
letters; others."""

UNKNOWN, LATIN, OTHER = -1, 1, 0
"""What is known of a text: whether its letters that look like Latin ones are meant to be Latin."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
FINAL = np.uint64(0xD6E8FEB86659FD93)
SEED = np.uint64(0x2545F4914F6CDD1D)
SMALL = np.uint64(0x2020202020202020)
HIGH = np.uint64(0x8080808080808080)
FIRST = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)  # the lowest bytes, by their number


@inlined
def mix(value: np.uint64) -> np.uint64:
    """A 64-bit hash of a 64-bit value, every bit of which depends on every bit."""
    value ^= value >> np.uint64(32)
    value *= FINAL
    value ^= value >> np.uint64(29)
    value *= MULTIPLIER
    return value ^ (value >> np.uint64(32))


def _count_trailing_zeros(_: Any, value: Any) -> Any:
    """The position of the lowest bit that is set."""

    def code(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(value), code


lowest: Any = intrinsic(_count_trailing_zeros)


@compiled
def _mask(data: U8, start: int, end: int) -> np.uint64:
    """A bit for each byte of data[start:end], 64 at most: whether it may belong to a word."""
    bits = np.uint64(0)
    for i in range(end - start):
        bits |= np.uint64(is_word(data[np.uint64(start + i)])) << np.uint64(i)
    return bits


@inlined
def _eight(data: U8, at: np.uint64) -> np.uint64:
    """Eight bytes, the first the lowest: one load, as the compiler sees it."""
    value = np.uint64(data[at])
    value |= np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
    value |= np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
    value |= np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    value |= np.uint64(data[at + np.uint64(4)]) << np.uint64(32)
    value |= np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
    value |= np.uint64(data[at + np.uint64(6)]) << np.uint64(48)
    value |= np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    return value


@compiled
def _hash(data: U8, begin: int, end: int) -> tuple[np.uint64, np.uint64]:
    """(hash, bits that show bytes beyond ASCII) of a word."""
    value, high, at = SEED + np.uint64(end - begin), np.uint64(0), begin
    while at < end:
        left = end - at
        if at + 8 <= len(data):
            run = _eight(data, np.uint64(at))
            if left < 8:
                run &= (np.uint64(1) << np.uint64(8 * left)) - np.uint64(1)
        else:
            run = np.uint64(0)
            for i in range(min(left, 8)):
                run |= np.uint64(data[at + i]) << np.uint64(8 * i)
        high |= run & HIGH
        value = (value ^ (run | SMALL)) * MULTIPLIER
        value ^= value >> np.uint64(29)
        at += 8
    return mix(value), high


@inlined
def _short_hash(data: U8, begin: int, size: int) -> tuple[np.uint64, np.uint64]:
    """What `_hash` gives for a word of eight bytes at most, with eight bytes of the buffer from its begin on."""
    run = _eight(data, np.uint64(begin)) & FIRST[np.uint64(size)]
    value = ((SEED + np.uint64(size)) ^ (run | SMALL)) * MULTIPLIER
    return mix(value ^ (value >> np.uint64(29))), run & HIGH


@inlined
def _is_roman(letter: int) -> bool:
    """Whether it is a Latin letter in its normal form; digits and underscores are none."""
    return bool(97 <= letter < LOOKS_FROM and letter != 0x7F)


@inlined
def _has_lookalikes(letter: int) -> bool:
    """Whether it is of a script that has letters which look like Latin ones: see LOOKS of the normal form."""
    return bool(
        LOOKS_FROM <= letter < LOOKS_TO
        or 0x13A0 <= letter < 0x1400  # Cherokee
        or 0x2C80 <= letter < 0x2D00  # Coptic
        or 0xA4D0 <= letter < 0xA500  # Lisu
    )


@compiled
def _has_small_greek(data: U8, at: int, end: int) -> bool:
    """Whether a small Greek letter is in data[at:end], as in formulas: all but omicron, which is in none."""
    while at < end:
        point, size = code_point(data, at, end)
        if 0x3B1 <= point <= 0x3C9 and point != 0x3BF:
            return True
        at += size
    return False


@compiled
def _is_latin(data: U8, start: int, end: int) -> bool:
    """Whether letters of a text that look like Latin ones are: at least half as many others are Latin.

    False where a letter of the same scripts looks like none.
    """
    at, sub, latin, alike = start, 0, 0, 0
    while at < end:
        kind, value, looks, size, units = unit_at(data, at, sub, end)
        if kind == LETTER and looks != value:
            alike += 1
        elif kind == LETTER and _has_lookalikes(value):
            return False
        elif kind == LETTER and _is_roman(value):
            latin += 1
        at, sub = (at, sub + 1) if sub + 1 < units else (at + size, 0)
    return 2 * latin >= alike and latin > 0


@compiled
def _letters_hash(data: U8, at: int, sub: int, stop: int, letters: int, latin: bool) -> np.uint64:
    """The hash of a word of so many letters before `stop`, each as what it looks like if `latin`.

    What `_hash` gives for them where they are ASCII without accents.
    """
    wide, run, packed, count = SEED, np.uint64(0), SEED + np.uint64(letters), 0
    ascii_only = True
    while count < letters or at < stop:
        kind, value, looks, size, units = unit_at(data, at, sub, stop)
        value = looks if latin else value
        if kind == LETTER:
            if count == letters:
                break
            wide = mix(wide ^ np.uint64(value))
            ascii_only &= value < 128
            run |= np.uint64(value & 0xFF) << np.uint64(8 * (count & 7))
            count += 1
            if count & 7 == 0 or count == letters:
                packed = (packed ^ (run | SMALL)) * MULTIPLIER
                packed ^= packed >> np.uint64(29)
                run = np.uint64(0)
        elif kind == MARK:
            wide += mix(np.uint64(value))
            ascii_only = False
        elif kind != IGNORED:
            break
        sub += 1
        if sub >= units:
            at, sub = at + size, 0
    return mix(packed) if ascii_only else wide


@compiled
def _ideograph(data: U8, at: int, sub: int, end: int, value: int) -> tuple[np.uint64, int, int]:
    """(hash, end) of a word that is one sign with its accents; `at` and `sub` follow it. And the next `sub`."""
    hashed = mix(SEED ^ np.uint64(value))
    while at < end and data[at] >= 128:
        kind, value, _, size, units = unit_at(data, at, sub, end)
        if kind == MARK:
            hashed += mix(np.uint64(value))
        elif kind != IGNORED:
            break
        sub += 1
        if sub >= units:
            at, sub = at + size, 0
    return hashed, at, sub


@compiled
def _add_wide(
    data: U8,
    at: int,
    end: int,
    text: tuple[int, int],
    script: int,
    hashes: U64,
    begins: I64,
    ends: I64,
    count: int,
) -> tuple[int, int]:
    """Write the words of data[at:end], sign by sign: (words by then, what is known of the text now).

    `text` is where the whole text begins and ends.
    """
    sub = 0
    while at < end:
        kind, value, _, size, units = unit_at(data, at, sub, end)
        after, next_sub = (at, sub + 1) if sub + 1 < units else (at + size, 0)
        if kind != LETTER and kind != IDEOGRAPH:
            at, sub = after, next_sub
            continue
        if after < end and may_compose(value):
            syllable, more = composed(data, after, value, end)
            if more or kind == IDEOGRAPH:
                kind, value, after = IDEOGRAPH, syllable, after + more
        begins[count] = at
        if kind == IDEOGRAPH:
            hashes[count], at, sub = _ideograph(data, after, next_sub, end, value)
            ends[count] = max(at, after) if sub == 0 else at + size
        else:
            hashes[count], at, sub, ends[count], script = _word(data, at, sub, end, text, script)
        count += 1
    return count, script


@compiled
def _word(
    data: U8, at: int, sub: int, end: int, text: tuple[int, int], script: int
) -> tuple[np.uint64, int, int, int, int]:
    """(hash, where the next sign begins, its unit, where this one ends, what is known of the text) of a word."""
    value, next_at, next_sub, stop, letters, seen = _extent(data, at, sub, end)
    folds = seen & ALIKE != 0 and seen & FOREIGN == 0
    if folds and seen & ROMAN == 0 and _has_small_greek(data, at, stop):
        folds = False
    elif folds and seen & ROMAN == 0:
        if script == UNKNOWN:
            script = LATIN if _is_latin(data, text[0], text[1]) else OTHER
        folds = script == LATIN
    if seen & WIDE_BYTES == 0:
        value = _hash(data, at, stop)[0]
    elif seen & WIDE_FORM == 0 or folds:
        value = _letters_hash(data, at, sub, stop, letters, folds)
    return value, next_at, next_sub, stop, script


@compiled
def _extent(data: U8, at: int, sub: int, end: int) -> tuple[np.uint64, int, int, int, int, int]:
    """(hash, where the next sign begins, its unit, where this word ends, its letters, what was seen) of a word."""
    stop, letters, value, seen = at, 0, SEED, 0
    while at < end:
        kind, letter, looks, size, units = unit_at(data, at, sub, end)
        if kind == LETTER:
            if letters and begins_syllable(data, at + size, letter, end):
                break
            letters += 1
            value = mix(value ^ np.uint64(letter))
            seen |= WIDE_FORM * int(letter >= 128) | ALIKE * int(looks != letter)
            seen |= ROMAN * int(_is_roman(letter)) | FOREIGN * int(looks == letter and letter >= LOOKS_FROM)
        elif kind == MARK:
            value += mix(np.uint64(letter))
            seen |= WIDE_FORM
        elif kind != IGNORED:
            break
        seen |= WIDE_BYTES * int(data[at] >= 128)
        stop = at + size
        at, sub = (at, sub + 1) if sub + 1 < units else (stop, 0)
    return value, at, sub, stop, letters, seen


@compiled
def words_into(data: U8, start: int, end: int, hashes: U64, begins: I64, ends: I64) -> int:
    """Write the words of data[start:end]: their hashes, and where each begins and ends in the buffer.

    Gives back how many there are. The arrays must have room for `most_words(start, end)`.
    """
    count, begin, before, script = 0, -1, np.uint64(0), UNKNOWN
    for block in range(start, end + 1, 64):  # one past the end, so that a word there is closed
        bits = _mask(data, block, min(block + 64, end))
        turns = bits ^ (bits << np.uint64(1) | before)
        before = bits >> np.uint64(63)
        while turns:
            at = block + int(lowest(turns))
            turns &= turns - np.uint64(1)
            if begin < 0:
                begin = at
                if not turns:
                    break
                at = block + int(lowest(turns))
                turns &= turns - np.uint64(1)
            short = at - begin <= 8 and begin + 8 <= len(data)
            value, high = _short_hash(data, begin, at - begin) if short else _hash(data, begin, at)
            if high == 0:
                hashes[count], begins[count], ends[count] = value, begin, at
                count += 1
            else:
                count, script = _add_wide(data, begin, at, (start, end), script, hashes, begins, ends, count)
            begin = -1
    return count


@compiled
def most_words(start: int, end: int) -> int:
    """A bound on the words of so many bytes: one letter each, and a space between."""
    return max(end - start, 0) // 2 + 1


@compiled
def words(data: U8, start: int, end: int) -> tuple[U64, I64, I64]:
    """The hashes of all words of data[start:end], and where each begins and ends in the buffer."""
    most = most_words(start, end)
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = words_into(data, start, end, hashes, begins, ends)
    return hashes[:count], begins[:count], ends[:count]
