"""Kernels that make shingles (see `curate.text.shingles`) and compare sets of them."""

import numpy as np

from curate.arrays import F64, I32, I64, U8, U64
from curate.compiled import compiled
from curate.text.normal_form import SEPARATOR, SPACE
from curate.text.unit_kernels import unit_at
from curate.text.word_kernels import mix, words_into

SIDE_SHIFT = np.uint64(62)
CONTENT = np.uint64((1 << 62) - 1)
BASE = np.uint64(0xD1342543DE82EF95)


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
    """A hash of all words of these blocks and of the signs between them, each in its normal form."""
    value, word = np.uint64(0), 0
    for block in range(first, last):
        at, end, sub = int(offsets[block]), int(offsets[block + 1]), 0
        while at < end:
            if word < count and sub == 0 and at == begins[word]:
                while word < count and begins[word] == at:  # of one sign there may be several
                    value, last_end, word = mix(value ^ hashes[word]), int(ends[word]), word + 1
                at = last_end
                continue
            kind, sign, _, size, units = unit_at(data, at, sub, end)
            if kind == SEPARATOR and sign > SPACE:
                value = mix(value ^ np.uint64(sign))
            at, sub = (at, sub + 1) if sub + 1 < units else (at + size, 0)
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


@compiled
def of_some(
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
def drop_repeats(shingles: U64, sizes: I64) -> int:
    """Remove repeats from sorted sets in place; return how many shingles are left."""
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
