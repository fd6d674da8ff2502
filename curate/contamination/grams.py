"""Word n-grams of texts, looked up in an index: compiled, one pass over a UTF-8 buffer.

A text costs a look at a bit table for each of its words; the few n-grams that the bits let through are looked up,
and documents of the index that share enough of them with the text are candidates.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.sketches.compiled import compiled
from curate.sketches.words import I64, U8, U16, U64, mix, most_words, words, words_into

U32 = npt.NDArray[np.uint32]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

SIZE = 5
"""Words of an n-gram: short enough to survive between the changed words of an edited text."""

FINE = 3
"""Words of the n-grams that a candidate is compared by."""

SHORT = 8
"""A shorter document has no n-grams: it is looked up whole, and so is all of a turn."""

LONG = 40
"""Of a document with more words, some n-grams are in the index: half of them, a quarter from twice as many on, and so
on, which leaves about 20 to 40. Which ones is said by their hash."""

LENGTHS = LONG << np.arange(24)

EDITED = 13
"""A shorter document must be found word for word; in a longer one words may differ."""

MANY, NONE = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFE)
"""In place of a document: there is more than one, or none."""

BASE = np.uint64(0x9E3779B97F4A7C15)
LEAVING = np.uint64(pow(int(BASE), SIZE, 1 << 64))
WHOLE = np.uint64(0x5851F42D4C957F2D)


class Table(NamedTuple):
    """An index of n-grams by hash; all arrays may be read-only.

    bits     one bit for each value of the hash's upper bits: clear where no n-gram of the index has them
    shift    how far the hash is shifted to get these
    cells    at a hash's lower bits, or as near behind as there was room: the hash (0 where none), the n-gram's
             number, and its document, MANY or NONE; all in one line of the processor's cache
    starts   for each n-gram, where the documents that it leads to begin in `documents`
    least    for each document, how many of its n-grams make it a candidate
    """

    bits: U8
    shift: int
    cells: U64
    starts: I64
    documents: U32
    least: U16


@compiled
def whole(hashes: U64) -> np.uint64:
    """One hash of all words in their order, which is no n-gram's."""
    value = WHOLE
    for one in hashes:
        value = value * BASE + one
    return mix(value)


@compiled
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
    thinned = (np.uint64(1) << np.uint64(np.searchsorted(LENGTHS, count))) - np.uint64(1)
    for i in range(min(count, 65535)):
        rolling = rolling * BASE + hashes[i]
        if i >= SIZE:
            rolling -= hashes[i - SIZE] * LEAVING
        if i >= SIZE - 1:
            value = mix(rolling)
            if value & thinned == 0:
                found[kept], places[kept] = value, i - SIZE + 1
                kept += 1
    return count, found[:kept], places[:kept]


@compiled
def whole_of(data: U8, start: int, end: int) -> np.uint64:
    """One hash of all words of a text."""
    return whole(words(data, start, end)[0])


@compiled
def fill(hashes: U64, starts: I64, documents: U32, bits: U8, shift: int, cells: U64) -> None:
    """Put the n-grams, numbered as they come, into an empty table whose size is a power of two."""
    mask = np.uint64(len(cells) - 1)
    for i in range(len(hashes)):
        value = hashes[i]
        high = value >> np.uint64(shift)
        bits[high >> np.uint64(3)] |= np.uint8(1) << np.uint8(high & np.uint64(7))
        slot = value & mask
        while cells[slot, 0] != 0:
            slot = (slot + np.uint64(1)) & mask
        some = starts[i + 1] - starts[i]
        only = np.uint64(documents[starts[i]]) if some == 1 else MANY if some else NONE
        cells[slot, 0], cells[slot, 1] = value, np.uint64(i) << np.uint64(32) | only


@compiled
def _add(document: int, shared: U16, touched: U32, some: int) -> int:
    if shared[document] == 0:
        touched[some] = document
        some += 1
    if shared[document] < 65535:
        shared[document] += np.uint16(1)
    return some


@compiled
def _look_up(table: Table, hashes: U64) -> int:
    """Put in place of the hashes the cells' second words of those that are n-grams of the index; how many are.

    Nearly without branches: so many cells are fetched from memory at the same time.
    """
    count, mask = 0, np.uint64(len(table.cells) - 1)
    for i in range(len(hashes)):
        value = hashes[i]
        slot = value & mask
        key = table.cells[slot, 0]
        while key != value and key != 0:  # rare: another n-gram is in its place
            slot = (slot + np.uint64(1)) & mask
            key = table.cells[slot, 0]
        hashes[count] = table.cells[slot, 1]
        count += int(key == value)
    return count


@compiled
def _share(table: Table, found: U64, counts: U32, shared: U16, touched: U32) -> int:
    """Count n-grams, and share them with the documents that they lead to; how many of these were `touched`."""
    for i in range(len(found)):
        counts[found[i] >> np.uint64(32)] += np.uint32(1)
    some = 0
    for i in range(len(found)):
        only = found[i] & MANY
        if only < NONE:
            some = _add(only, shared, touched, some)
        elif only == MANY:
            gram = found[i] >> np.uint64(32)
            for k in range(table.starts[gram], table.starts[gram + np.uint64(1)]):
                some = _add(table.documents[k], shared, touched, some)
    return some


@compiled
def _likely(table: Table, hashes: U64, likely: U64) -> int:
    """Write the n-grams of a text that the bits let through, or all its words as one; how many there are.

    Without a branch on the outcome, which nobody can predict.
    """
    count, rolling = 0, np.uint64(0)
    for i in range(len(hashes)):
        rolling = rolling * BASE + hashes[i]
        if i >= SIZE:
            rolling -= hashes[i - SIZE] * LEAVING
        value = mix(rolling)
        high = value >> np.uint64(table.shift)
        bits = table.bits[high >> np.uint64(3)] >> np.uint8(high & np.uint64(7))
        likely[count] = value
        count += int(bits & np.uint8(1)) & int(i >= SIZE - 1)
    if 0 < len(hashes) < SHORT:
        likely[count] = whole(hashes)
        count += 1
    return count


@compiled
def scan(table: Table, data: U8, offsets: I64, first: int, counts: U32, out: U32) -> tuple[int, int]:
    """Candidates among the texts data[offsets[i]:offsets[i + 1]] from the first one on, as rows (text, document).

    `counts` grows by how often each n-gram of the index occurs. Stops when `out` might overflow: (rows of `out`
    that were written, the text to go on with).
    """
    longest = 2
    for i in range(first, len(offsets) - 1):
        longest = max(longest, most_words(offsets[i], offsets[i + 1]) + 1)
    hashes, likely = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    begins, ends = np.empty(longest, np.int64), np.empty(longest, np.int64)
    shared, touched = np.zeros(len(table.least), np.uint16), np.empty(len(table.least) + 1, np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if written + len(table.least) > len(out):
            return written, text
        count = words_into(data, offsets[text], offsets[text + 1], hashes, begins, ends)
        found = _look_up(table, likely[: _likely(table, hashes[:count], likely)])
        for i in range(_share(table, likely[:found], counts, shared, touched)):
            document = touched[i]
            if shared[document] >= table.least[document]:
                out[written, 0], out[written, 1] = text, document
                written += 1
            shared[document] = 0
    return written, len(offsets) - 1


@compiled
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


@compiled
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


@compiled
def _densest(flags: U8, width: int) -> int:
    """Where the `width` neighbours begin that have the most flags."""
    count = best = int(flags[:width].sum())
    at = 0
    for i in range(width, len(flags)):
        count += int(flags[i]) - int(flags[i - width])
        if count > best:
            best, at = count, i - width + 1
    return at


@compiled
def _window(text_fine: U64, text_words: int, other_table: U64, other_words: int) -> tuple[int, int]:
    """Where in a text, from and to which word, a document must stand: in little more room than it has itself."""
    room = other_words + other_words // 2 + 8
    first = _densest(_covered(text_fine, other_table, text_words), room)
    return first, min(first + room, text_words)


@compiled
def shares(
    data: U8, offsets: I64, candidates: U32, texts: U8, starts: I64, firsts: I64, weights: F32, places: U16
) -> F64:
    """How much of its document each candidate (text, document) has: the weighted mean over the n-grams.

    Documents are texts[starts[i]:starts[i + 1]], with n-grams at `places`, and their weights, from firsts[i] on.
    """
    out = np.zeros(len(candidates), np.float64)
    last = -1
    text, text_fine = np.empty(0, np.uint64), np.empty(0, np.uint64)
    for k in range(len(candidates)):
        at, document = candidates[k]
        if at != last:
            last = at
            text = words(data, offsets[at], offsets[at + 1])[0]
            text_fine = _fine(text)[0]
        other = words(texts, starts[document], starts[document + 1])[0]
        other_fine, other_table = _fine(other)
        first, end = _window(text_fine, len(text), other_table, len(other))
        covered = _covered(other_fine, _fine(text[first:end])[1], len(other))
        total = found = 0.0
        for i in range(firsts[document], firsts[document + 1]):
            total += weights[i]
            found += weights[i] * covered[places[i] : places[i] + SIZE].sum()
        out[k] = found / (SIZE * total) if total > 0 else 1.0
    return out


@compiled
def compare(data: U8, start: int, end: int, document: U8, places: U16) -> tuple[U8, int, int]:
    """How much of a document stands in a text: for each of its n-grams, at its place, how many of its SIZE words.

    And where in the buffer the longest piece begins and ends that the text has from the document.
    """
    text, begins, ends = words(data, start, end)
    other, _, __ = words(document, 0, len(document))
    other_fine, other_table = _fine(other)
    text_fine, _ = _fine(text)
    first, stop = _window(text_fine, len(text), other_table, len(other))
    covered = _covered(other_fine, _fine(text[first:stop])[1], len(other))
    cover = np.empty(len(places), np.uint8)
    for i in range(len(places)):
        cover[i] = covered[places[i] : places[i] + SIZE].sum()
    here = _covered(text_fine, other_table, len(text))
    best = best_end = run = 0
    for i in range(first, stop):
        run = run + 1 if here[i] else 0
        if run > best:
            best, best_end = run, i
    if best == 0:
        return cover, start, start
    return cover, begins[best_end - best + 1], ends[best_end]
