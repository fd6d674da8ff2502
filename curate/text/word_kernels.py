"""The words of a UTF-8 buffer (see `curate.text.words`) as 64-bit hashes, without Python strings.

What made it fast: 64 bytes are classified at once (the compiler vectorises it), words are the runs in that bit
mask, and a word of ASCII is hashed eight bytes at a time, small letters being its bytes with the bit 0x20 set.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from curate.arrays import I64, U8, U64
from curate.compiled import compiled, inlined
from curate.text.words import FOLDED_TO, folded

FOLDED = folded()

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
def _kind(point: int) -> int:
    """The folded code point of a word character, 0 for a separator, -1 for a sign that is a word."""
    if point < FOLDED_TO:
        return int(FOLDED[point])
    if (
        0x2000 <= point <= 0x206F  # dashes, quotes, ellipses
        or 0x20A0 <= point <= 0x2BFF  # currency, arrows, mathematics, boxes, dingbats
        or 0x3000 <= point <= 0x303F
        or 0xFE00 <= point <= 0xFE6F
        or 0xFF00 <= point <= 0xFF0F
        or 0xFF1A <= point <= 0xFF20
        or 0xFF3B <= point <= 0xFF40
        or 0xFF5B <= point <= 0xFF65
        or point == 0xFEFF
        or 0x1F000 <= point <= 0x1FAFF  # emoji
    ):
        return 0
    if 0x2E80 <= point <= 0xA4CF or 0xAC00 <= point <= 0xD7AF or 0xF900 <= point <= 0xFAFF or point >= 0x20000:
        return -1
    return point


def _count_trailing_zeros(_: Any, value: Any) -> Any:
    """The position of the lowest bit that is set."""

    def code(__: Any, builder: Any, ___: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(value), code


_lowest: Any = intrinsic(_count_trailing_zeros)


@inlined
def _is_word(byte: np.uint8) -> bool:
    """Letters, digits, underscores, and all beyond ASCII, which is looked at more closely."""
    return bool(
        np.uint8((byte | np.uint8(32)) - np.uint8(97)) < np.uint8(26)
        or np.uint8(byte - np.uint8(48)) < np.uint8(10)
        or byte == np.uint8(95)
        or byte >= np.uint8(128)
    )


@compiled
def _mask(data: U8, start: int, end: int) -> np.uint64:
    """A bit for each byte of data[start:end], 64 at most: whether it may belong to a word."""
    bits = np.uint64(0)
    for i in range(end - start):
        bits |= np.uint64(_is_word(data[np.uint64(start + i)])) << np.uint64(i)
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


@compiled
def _next(data: U8, at: int, end: int) -> tuple[np.uint64, int, int]:
    """(hash, begin, end) of the first word of data[at:end], sign by sign; begin is `end` where there is none."""
    begin, wide, value = at, False, SEED
    while at < end:
        if data[at] < 128:
            if _is_word(data[at]):
                value = mix(value ^ np.uint64(data[at] | 0x20))
                at += 1
                continue
            kind, point, size = 0, 0, 1
        else:
            point, size = code_point(data, at, end)
            kind = _kind(point)
        if kind > 0:
            value, wide = mix(value ^ np.uint64(kind)), True
            at += size
        elif at > begin:
            break
        elif kind < 0:
            return mix(SEED ^ np.uint64(point)), at, at + size
        else:
            at += size
            begin = at
    if begin >= end:
        return np.uint64(0), end, end
    return (value if wide else _hash(data, begin, at)[0]), begin, at


@compiled
def words_into(data: U8, start: int, end: int, hashes: U64, begins: I64, ends: I64) -> int:
    """Write the words of data[start:end]: their hashes, and where each begins and ends in the buffer.

    Gives back how many there are. The arrays must have room for `most_words(start, end)`.
    """
    count, begin, before = 0, -1, np.uint64(0)
    for block in range(start, end + 1, 64):  # one past the end, so that a word there is closed
        bits = _mask(data, block, min(block + 64, end))
        turns = bits ^ (bits << np.uint64(1) | before)
        before = bits >> np.uint64(63)
        while turns:
            at = block + int(_lowest(turns))
            turns &= turns - np.uint64(1)
            if begin < 0:
                begin = at
                if not turns:
                    break
                at = block + int(_lowest(turns))
                turns &= turns - np.uint64(1)
            short = at - begin <= 8 and begin + 8 <= len(data)
            value, high = _short_hash(data, begin, at - begin) if short else _hash(data, begin, at)
            if high == 0:
                hashes[count], begins[count], ends[count] = value, begin, at
                count += 1
            else:
                count = _add_wide(data, begin, at, hashes, begins, ends, count)
            begin = -1
    return count


@compiled
def _add_wide(data: U8, at: int, end: int, hashes: U64, begins: I64, ends: I64, count: int) -> int:
    while True:
        value, begin, at = _next(data, at, end)
        if begin >= end:
            return count
        hashes[count], begins[count], ends[count] = value, begin, at
        count += 1


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
