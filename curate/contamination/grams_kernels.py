"""Makes word n-grams and looks them up in an index.

Most of the time is spent on fetching from memory, so each pass over a text's n-grams does one thing: many fetches
are then under way at once.
"""

import numpy as np

from curate.arrays import F32, F64, I64, U8, U16, U32, U64
from curate.compiled import compiled, inlined
from curate.contamination.grams import LENGTHS, MANY, NONE, SHORT, SIZE, Documents, Table
from curate.contamination.passage_kernels import sentences
from curate.text.cover_kernels import covered_by, fine
from curate.text.word_kernels import mix, most_words, words

FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)
"""In place of a state: the document is a candidate."""

BASE = np.uint64(0x9E3779B97F4A7C15)
LEAVING = np.uint64(pow(int(BASE), SIZE, 1 << 64))
WHOLE = np.uint64(0x5851F42D4C957F2D)


@compiled
def whole(hashes: U64) -> np.uint64:
    """One hash of all words in their order, different from that of any n-gram."""
    value = WHOLE
    for one in hashes:
        value = value * BASE + one
    return mix(value)


@compiled
def grams_of(data: U8, start: int, end: int) -> tuple[int, U64, U16]:
    """The part of a document that is indexed: (words, hashes of its n-grams, at which word each begins).

    A document shorter than SHORT gives one hash of all its words.
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
def runs_of(data: U8, start: int, end: int) -> U64:
    """The runs of three words of a text."""
    return fine(words(data, start, end)[0])


@compiled
def parts_of_all(data: U8, starts: I64) -> tuple[U64, I64, I64, I64]:
    """The runs of three words of the texts data[starts[i]:starts[i + 1]], and where those of each begin and end.

    Then the same of their sentences: the numbers of the words that begin one.
    """
    found, ends = np.empty(most_words(0, len(data)), np.uint64), np.zeros(len(starts), np.int64)
    firsts, firsts_ends = np.empty(most_words(0, len(data)), np.int64), np.zeros(len(starts), np.int64)
    for text in range(len(starts) - 1):
        hashes, begins, stops = words(data, starts[text], starts[text + 1])
        runs, beginning = fine(hashes), sentences(data, begins, stops)
        ends[text + 1] = ends[text] + len(runs)
        found[ends[text] : ends[text + 1]] = runs
        firsts_ends[text + 1] = firsts_ends[text] + len(beginning)
        firsts[firsts_ends[text] : firsts_ends[text + 1]] = beginning
    return found[: ends[-1]].copy(), ends, firsts[: firsts_ends[-1]].copy(), firsts_ends


@inlined
def own_runs(documents: Documents, document: int) -> U64:
    """The runs of three words of a document."""
    return documents.runs[documents.runs_from[document] : documents.runs_from[document + 1]]


@compiled
def share_of(data: U8, other: U8) -> float:
    """The share of the words of a text that are in another one."""
    own = words(data, 0, len(data))[0]
    return float(covered_by(own, words(other, 0, len(other))[0]).sum()) / max(len(own), 1)


@compiled
def fill(hashes: U64, starts: I64, documents: U32, bits: U8, shift: int, cells: U64, lists: U32) -> None:
    """Put n-grams, numbered as they come, into an empty table whose size is a power of two.

    N-gram i leads to documents[starts[i]:starts[i + 1]].
    """
    mask, end = np.uint64(len(cells) - 1), 0
    for i in range(len(hashes)):
        value = hashes[i]
        high = value >> np.uint64(shift)
        bits[high >> np.uint64(3)] |= np.uint8(1) << np.uint8(high & np.uint64(7))
        slot = value & mask
        while cells[slot, 0] != 0:
            slot = (slot + np.uint64(1)) & mask
        number, only, some = i, NONE, starts[i + 1] - starts[i]
        if some == 1:
            only = np.uint64(documents[starts[i]])
        elif some > 1:
            number, only = end, MANY
            lists[end], lists[end + 1] = i, some
            lists[end + 2 : end + 2 + some] = documents[starts[i] : starts[i + 1]]
            end += 2 + some
        cells[slot, 0], cells[slot, 1] = value, np.uint64(number) << np.uint64(32) | only


@compiled
def likely_grams(table: Table, hashes: U64, likely: U64, places: U32, short: bool) -> int:
    """Write the n-grams of a text whose bits are set, or all its words as one, and where each begins.

    Returns how many there are. It has no branch on the outcome, which a processor could not predict.
    With `short`, all words of a short text are one more.
    """
    count, rolling = 0, np.uint64(0)
    for i in range(len(hashes)):
        rolling = rolling * BASE + hashes[i]
        if i >= SIZE:
            rolling -= hashes[i - SIZE] * LEAVING
        value = mix(rolling)
        high = value >> np.uint64(table.shift)
        bits = table.bits[high >> np.uint64(3)] >> np.uint8(high & np.uint64(7))
        likely[count], places[count] = value, i
        count += int(bits & np.uint8(1)) & int(i >= SIZE - 1)
    if short and 0 < len(hashes) < SHORT:
        likely[count], places[count] = whole(hashes), 0
        count += 1
    return count


@compiled
def look_up(table: Table, hashes: U64, places: U32, near: U64) -> int:
    """Replace the hashes that are in the index by the second words of their cells; return how many are.

    `near` is scratch space. A pass without branches fetches the cells, so that many are under way at once.
    """
    count, mask = 0, np.uint64(len(table.cells) - 1)
    for i in range(len(hashes)):
        near[i] = table.cells[hashes[i] & mask, 0]
    for i in range(len(hashes)):
        value, key = hashes[i], near[i]
        slot = value & mask
        while key != value and key != 0:  # another n-gram is in its place
            slot = (slot + np.uint64(1)) & mask
            key = table.cells[slot, 0]
        hashes[count], places[count] = table.cells[slot, 1], places[i]
        count += int(key == value)
    return count


@compiled
def _count_shared(document: int, place: int, needs: U16, states: U64, found: U32, some: int) -> int:
    """Count one more n-gram of a document, at this place of the text; write the document once it has enough.

    states   for each document the place of its last n-gram in this text, plus one, and how many are in a row
             without a long gap; or FOUND
    """
    state = states[document]
    if state == FOUND:
        return some
    before, count = int(state >> np.uint64(16)), int(state & np.uint64(0xFFFF))
    count = count + 1 if before > 0 and place + 1 - before <= needs[document, 1] else 1
    if count < needs[document, 0]:
        states[document] = np.uint64(place + 1) << np.uint64(16) | np.uint64(count)
        return some
    states[document] = FOUND
    found[some] = document
    return some + 1


@compiled
def count_grams(lists: U32, cells: U64, counts: U32) -> None:
    """Count n-grams; this also fetches the lists into the cache."""
    for cell in cells:
        number = cell >> np.uint64(32)
        listed = lists[number * np.uint64(cell & MANY == MANY)]
        counts[listed if cell & MANY == MANY else np.uint32(number)] += np.uint32(1)


@compiled
def candidates_of(table: Table, cells: U64, places: U32, states: U64, found: U32) -> int:
    """Write the documents that enough n-grams of a text lead to; return how many there are."""
    some = 0
    for i in range(len(cells)):
        only, at = cells[i] & MANY, np.int64(cells[i] >> np.uint64(32))
        if only < NONE:
            some = _count_shared(only, places[i], table.needs, states, found, some)
        elif only == MANY:
            for document in table.lists[at + 2 : at + 2 + table.lists[at + 1]]:
                some = _count_shared(document, places[i], table.needs, states, found, some)
    for cell in cells:
        only, at = cell & MANY, np.int64(cell >> np.uint64(32))
        if only < NONE:
            states[only] = 0
        elif only == MANY:
            for document in table.lists[at + 2 : at + 2 + table.lists[at + 1]]:
                states[document] = 0
    return some


@compiled
def least_of(weights: F32, firsts: I64, floors: F32) -> F64:
    """The least sum over the n-grams of each document, of their weights times their words found, for a hit."""
    least = np.empty(len(floors), np.float64)
    for document in range(len(floors)):
        total = 0.0
        for i in range(firsts[document], firsts[document + 1]):
            total += weights[i]
        least[document] = SIZE * total * floors[document]
    return least
