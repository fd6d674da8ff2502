"""Shingles: the hashed runs of `shingle` words of a pair's texts, and how alike two sets of them are.

Each named side (prompt, chosen, rejected) has its own: no shingle crosses from one to another, and the side is in
the two highest bits of a shingle, so that a pair with its replies swapped has other ones. Words run on through the
turns and blocks of a side.

A side with fewer words than a shingle has exactly one: all of its words and all signs between them that are not
white space, in order. Short texts are therefore alike only where they are equal but for case and white space.
"""

import numpy as np

from curate.arrays import F64, I32, I64, U8, U64
from curate.compiled import compiled
from curate.text.buffers import Texts
from curate.text.words import mix, words_into

SIDE_SHIFT = np.uint64(62)
CONTENT = np.uint64((1 << 62) - 1)
BASE = np.uint64(0xD1342543DE82EF95)
SPACE = 0x20


def room(texts: Texts, columns: int) -> int:
    """A bound on the words, and on the shingles, of any one of the pairs."""
    pairs = len(texts.starts[0]) - 1
    most = np.zeros(max(pairs, 1), np.int64)
    for side in range(columns):
        starts = texts.starts[side]
        at = texts.offsets[side][starts].astype(np.int64)
        most[:pairs] += np.diff(at) // 2 + np.diff(starts) + 1
    return int(most.max())


@compiled
def _words(data: U8, offsets: I32, first: int, last: int, hashes: U64, begins: I64, ends: I64) -> int:
    """The words of the blocks `first` to `last`; how many there are."""
    count = 0
    for block in range(first, last):
        start, end = int(offsets[block]), int(offsets[block + 1])
        if end > start:
            count += words_into(data, start, end, hashes[count:], begins[count:], ends[count:])
    return count


@compiled
def _whole(
    data: U8, offsets: I32, first: int, last: int, count: int, hashes: U64, begins: I64, ends: I64
) -> np.uint64:
    """A hash of all words of these blocks and of the bytes between them that are not white space."""
    value, word = np.uint64(0), 0
    for block in range(first, last):
        at, end = int(offsets[block]), int(offsets[block + 1])
        while at < end:
            if word < count and at == begins[word]:
                value = mix(value ^ hashes[word])
                at, word = int(ends[word]), word + 1
            else:
                if data[at] > SPACE:
                    value = mix(value ^ np.uint64(data[at]))
                at += 1
    return value


@compiled
def _runs(hashes: U64, count: int, shingle: int, seed: np.uint64, out: U64, at: int) -> int:
    """Write the hashes of all runs of `shingle` words; a polynomial that rolls on by one word."""
    value, oldest = np.uint64(0), np.uint64(1)
    for i in range(shingle):
        value = value * BASE + hashes[i]
        oldest *= BASE
    out[at] = mix(value + seed)
    for i in range(shingle, count):
        value = value * BASE + hashes[i] - oldest * hashes[i - shingle]
        out[at + i - shingle + 1] = mix(value + seed)
    return at + count - shingle + 1


@compiled
def of_pair(
    data: tuple[U8, U8, U8],
    offsets: tuple[I32, I32, I32],
    starts: tuple[I64, I64, I64],
    columns: int,
    pair: int,
    shingle: int,
    hashes: U64,
    begins: I64,
    ends: I64,
    out: U64,
) -> int:
    """Write the shingles of a pair, repeated ones too, side by side; how many there are.

    hashes, begins, ends and out have `room`. A side without any word or sign has one shingle as well.
    """
    count = 0
    for side in range(columns):
        first, last = starts[side][pair], starts[side][pair + 1]
        found = _words(data[side], offsets[side], first, last, hashes, begins, ends)
        before, seed = count, mix(np.uint64(side + 1))
        if found >= shingle:
            count = _runs(hashes, found, shingle, seed, out, count)
        else:
            whole = _whole(data[side], offsets[side], first, last, found, hashes, begins, ends)
            out[count] = mix(whole + seed + np.uint64(1))
            count += 1
        for i in range(before, count):
            out[i] = (out[i] & CONTENT) | (np.uint64(side) << SIDE_SHIFT)
    return count


def sets(texts: Texts, columns: int, shingle: int, pairs: I64) -> tuple[U64, I64]:
    """(shingles, sizes) of some pairs: their sets one after another, each ascending, and how large each is."""
    most, sizes = room(texts, columns), np.zeros(len(pairs), np.int64)
    found = _of_some(*texts, columns, shingle, most, pairs, sizes)
    ends = np.cumsum(sizes)
    for first, last in zip((ends - sizes).tolist(), ends.tolist(), strict=True):
        found[first:last].sort()  # numpy's sort has vector instructions, which a compiled one has not
    return found[: _drop_repeats(found, sizes)], sizes


@compiled
def _of_some(
    data: tuple[U8, U8, U8],
    offsets: tuple[I32, I32, I32],
    starts: tuple[I64, I64, I64],
    columns: int,
    shingle: int,
    most: int,
    pairs: I64,
    sizes: I64,
) -> U64:
    """The shingles of some pairs, repeated ones too; `sizes` gets how many each has."""
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    out, filled = np.empty(most, np.uint64), 0
    for number in range(len(pairs)):
        if len(out) - filled < most:
            larger = np.empty(2 * len(out) + most, np.uint64)
            larger[:filled] = out[:filled]
            out = larger
        sizes[number] = of_pair(
            data, offsets, starts, columns, pairs[number], shingle, hashes, begins, ends, out[filled:]
        )
        filled += sizes[number]
    return out[:filled]


@compiled
def _drop_repeats(shingles: U64, sizes: I64) -> int:
    """Close up sorted sets over what stands in them twice; how many shingles are left."""
    start = filled = 0
    for number in range(len(sizes)):
        end, first = start + sizes[number], filled
        for i in range(start, end):
            if i == start or shingles[i] != shingles[filled - 1]:
                shingles[filled] = shingles[i]
                filled += 1
        start, sizes[number] = end, filled - first
    return filled


@compiled
def jaccard(left: U64, right: U64, shares: F64) -> float:
    """The least Jaccard similarity over the sides of two ascending sets of shingles; `shares` gets each side's.

    Sides that neither has are 1.
    """
    for side in range(len(shares)):
        shares[side] = 0.0
    i = j = 0
    equal = np.zeros(4, np.int64)
    either = np.zeros(4, np.int64)
    while i < len(left) and j < len(right):
        side = int(min(left[i], right[j]) >> SIDE_SHIFT)
        either[side] += 1
        if left[i] == right[j]:
            equal[side] += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    for rest in range(i, len(left)):
        either[int(left[rest] >> SIDE_SHIFT)] += 1
    for rest in range(j, len(right)):
        either[int(right[rest] >> SIDE_SHIFT)] += 1
    least = 1.0
    for side in range(len(shares)):
        shares[side] = equal[side] / either[side] if either[side] else 1.0
        least = min(least, shares[side])
    return least
