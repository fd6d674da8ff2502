"""Word n-grams of texts, looked up in an index: compiled, one pass over a UTF-8 buffer.

A text costs a look at a bit table for each of its words; the few n-grams that the bits let through are looked up,
and documents of the index that share enough of them with the text are candidates.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.sketches.words import I64, U8, U64, mix, most_words, words, words_into

U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]

SIZE = 5
"""Words of an n-gram: short enough to survive between the changed words of an edited text."""

FINE = 3
"""Words of the n-grams that a candidate is compared by."""

SHORT = 8
"""A shorter document has no n-grams: it is looked up whole, and so is all of a turn."""

LONG = 64
"""Of a document with more words, every fourth n-gram is in the index."""

EDITED = 13
"""A shorter document must be found word for word; in a longer one words may differ."""

BASE = np.uint64(0x9E3779B97F4A7C15)
LEAVING = np.uint64(pow(int(BASE), SIZE, 1 << 64))
WHOLE = np.uint64(0x5851F42D4C957F2D)


class Table(NamedTuple):
    """An index of n-grams by hash; all arrays may be read-only.

    bits     one bit for each value of the hash's upper bits: clear where no n-gram of the index has them
    shift    how far the hash is shifted to get these
    keys     hashes at their lower bits, or as near behind as there was room; 0 where none
    grams    beside them the n-gram's number
    starts   for each n-gram, where its documents begin in `documents`
    least    for each document, how many of its n-grams make it a candidate
    """

    bits: U8
    shift: int
    keys: U64
    grams: U32
    starts: I64
    documents: U32
    least: U16


@njit(cache=True, inline="always")
def _is_kept(value: np.uint64) -> bool:
    """Whether the n-gram of a long document is in the index."""
    return bool(value & np.uint64(3) == 0)


@njit(cache=True)
def whole(hashes: U64) -> np.uint64:
    """One hash of all words in their order, which is no n-gram's."""
    value = WHOLE
    for one in hashes:
        value = value * BASE + one
    return mix(value)


@njit(cache=True)
def grams_of(data: U8, start: int, end: int) -> tuple[int, U64, U16]:
    """What of a document goes into the index: (words, hashes of its n-grams, at which word each begins).

    A document shorter than SHORT gives one hash of all.
    """
    hashes, _, __ = words(data, start, end)
    count = len(hashes)
    found, places = np.empty(max(count, 1), np.uint64), np.empty(max(count, 1), np.uint16)
    if count < SHORT:
        some = min(count, 1)
        found[0], places[0] = whole(hashes), 0
        return count, found[:some], places[:some]
    kept, rolling = 0, np.uint64(0)
    for i in range(min(count, 65535)):
        rolling = rolling * BASE + hashes[i]
        if i >= SIZE:
            rolling -= hashes[i - SIZE] * LEAVING
        if i >= SIZE - 1:
            value = mix(rolling)
            if count <= LONG or _is_kept(value):
                found[kept], places[kept] = value, i - SIZE + 1
                kept += 1
    return count, found[:kept], places[:kept]


@njit(cache=True)
def whole_of(data: U8, start: int, end: int) -> np.uint64:
    """One hash of all words of a text."""
    return whole(words(data, start, end)[0])


@njit(cache=True)
def fill(hashes: U64, bits: U8, shift: int, keys: U64, numbers: U32) -> None:
    """Put the n-grams, numbered as they come, into an empty table whose size is a power of two."""
    mask = np.uint64(len(keys) - 1)
    for i in range(len(hashes)):
        value = hashes[i]
        high = value >> np.uint64(shift)
        bits[high >> np.uint64(3)] |= np.uint8(1) << np.uint8(high & np.uint64(7))
        slot = value & mask
        while keys[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        keys[slot], numbers[slot] = value, i


@njit(cache=True, inline="always")
def _find(table: Table, value: np.uint64) -> int:
    """The number of the n-gram, -1 where the index has none such."""
    high = value >> np.uint64(table.shift)
    if not (table.bits[high >> np.uint64(3)] >> np.uint8(high & np.uint64(7))) & np.uint8(1):
        return -1
    mask = np.uint64(len(table.keys) - 1)
    slot = value & mask
    while table.keys[slot] != 0:
        if table.keys[slot] == value:
            return int(table.grams[slot])
        slot = (slot + np.uint64(1)) & mask
    return -1


@njit(cache=True, inline="always")
def _count(table: Table, gram: int, counts: U32, shared: U16, touched: U32, some: int) -> int:
    """One more of this n-gram; it is shared with each of its documents, of which `some` were touched before."""
    counts[gram] += np.uint32(1)
    for i in range(table.starts[gram], table.starts[gram + 1]):
        document = table.documents[i]
        if shared[document] == 0:
            touched[some] = document
            some += 1
        if shared[document] < 65535:
            shared[document] += np.uint16(1)
    return some


@njit(cache=True)
def scan(  # noqa: C901 - one loop, compiled
    table: Table, data: U8, offsets: I64, first: int, counts: U32, out: U32
) -> tuple[int, int]:
    """Candidates among the texts data[offsets[i]:offsets[i + 1]] from the first one on, as rows (text, document).

    `counts` grows by how often each n-gram of the index occurs. Stops when `out` might overflow: (rows of `out`
    that were written, the text to go on with).
    """
    longest = 0
    for i in range(first, len(offsets) - 1):
        longest = max(longest, most_words(offsets[i], offsets[i + 1]))
    hashes, begins, ends = np.empty(longest, np.uint64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    shared, touched = np.zeros(len(table.least), np.uint16), np.empty(len(table.least) + 1, np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if written + len(table.least) > len(out):
            return written, text
        count = words_into(data, offsets[text], offsets[text + 1], hashes, begins, ends)
        some, rolling = 0, np.uint64(0)
        if 0 < count < SHORT:
            gram = _find(table, whole(hashes[:count]))
            if gram >= 0:
                some = _count(table, gram, counts, shared, touched, some)
        for i in range(count):
            rolling = rolling * BASE + hashes[i]
            if i >= SIZE:
                rolling -= hashes[i - SIZE] * LEAVING
            if i >= SIZE - 1:
                gram = _find(table, mix(rolling))
                if gram >= 0:
                    some = _count(table, gram, counts, shared, touched, some)
        for i in range(some):
            document = touched[i]
            if shared[document] >= table.least[document]:
                out[written, 0], out[written, 1] = text, document
                written += 1
            shared[document] = 0
    return written, len(offsets) - 1


@njit(cache=True)
def _fine(hashes: U64) -> tuple[U64, U64]:
    """(the n-grams of FINE words in the order of the text, a table of them)."""
    count = max(len(hashes) - FINE + 1, 0)
    found = np.empty(count, np.uint64)
    size = 16
    while size < 2 * count:
        size *= 2
    table = np.zeros(size, np.uint64)
    for i in range(count):
        value = np.uint64(0)
        for j in range(FINE):
            value = value * BASE + hashes[i + j]
        found[i] = mix(value) | np.uint64(1)
        slot = found[i] & np.uint64(size - 1)
        while table[slot] != 0 and table[slot] != found[i]:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        table[slot] = found[i]
    return found, table


@njit(cache=True)
def _covered(found: U64, table: U64, count: int) -> U8:
    """For each of `count` words whether it stands in one of these n-grams that is in the table."""
    covered = np.zeros(count, np.uint8)
    mask = np.uint64(len(table) - 1)
    for i in range(len(found)):
        slot = found[i] & mask
        while table[slot] != 0:
            if table[slot] == found[i]:
                covered[i : i + FINE] = 1
                break
            slot = (slot + np.uint64(1)) & mask
    return covered


@njit(cache=True)
def compare(data: U8, start: int, end: int, document: U8, places: U16) -> tuple[U8, int, int]:
    """How much of a document stands in a text: for each of its n-grams, at its place, how many of its SIZE words.

    And where in the buffer the longest piece begins and ends that the text has from the document.
    """
    text, begins, ends = words(data, start, end)
    other, _, __ = words(document, 0, len(document))
    text_fine, text_table = _fine(text)
    other_fine, other_table = _fine(other)
    covered = _covered(other_fine, text_table, len(other))
    cover = np.empty(len(places), np.uint8)
    for i in range(len(places)):
        cover[i] = covered[places[i] : places[i] + SIZE].sum()
    here = _covered(text_fine, other_table, len(text))
    best = best_end = run = 0
    for i in range(len(text)):
        run = run + 1 if here[i] else 0
        if run > best:
            best, best_end = run, i
    if best == 0:
        return cover, start, start
    return cover, begins[best_end - best + 1], ends[best_end]
