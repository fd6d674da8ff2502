"""Looks up the word n-grams of texts in an index, in one pass over a UTF-8 buffer.

A text costs one read of a bit table for each of its words; the few n-grams whose bits are set are looked up;
documents of the index that share enough of them with a part of the text are compared with it. Most of the time is
spent on fetching from memory, so each pass over a text's n-grams does one thing: many fetches are then under way
at once.
"""

import numpy as np

from curate.arrays import B8, I64, U8, U16, U32, U64
from curate.compiled import compiled
from curate.contamination.grams import (
    AROUND,
    CHANGED,
    EDITED,
    LEAST,
    LENGTHS,
    MANY,
    NONE,
    SHORT,
    SHORT_BYTES,
    SIZE,
    Documents,
    Table,
)
from curate.text.cover_kernels import cover, covered_by, fine, flags_of, longest, may_be_among, runs_found
from curate.text.word_kernels import mix, most_words, words, words_into

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
def runs_of_all(data: U8, starts: I64) -> tuple[U64, I64]:
    """The runs of three words of the texts data[starts[i]:starts[i + 1]], and where those of each begin and
    end."""
    found, ends = np.empty(most_words(0, len(data)), np.uint64), np.zeros(len(starts), np.int64)
    for text in range(len(starts) - 1):
        runs = runs_of(data, starts[text], starts[text + 1])
        ends[text + 1] = ends[text] + len(runs)
        found[ends[text] : ends[text + 1]] = runs
    return found[: ends[-1]].copy(), ends


@compiled
def _runs_of(documents: Documents, document: int) -> U64:
    return documents.runs[documents.runs_from[document] : documents.runs_from[document + 1]]


@compiled
def share_of(data: U8, other: U8) -> float:
    """The share of the words of a text that are in another one."""
    own, text = words(data, 0, len(data))[0], words(other, 0, len(other))[0]
    return float(cover(own, text, fine(text)).sum()) / max(len(own), 1)


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
def _likely(table: Table, hashes: U64, likely: U64, places: U32, short: bool) -> int:
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
def _look_up(table: Table, hashes: U64, places: U32, near: U64) -> int:
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
def _count(lists: U32, cells: U64, counts: U32) -> None:
    """Count n-grams; this also fetches the lists into the cache."""
    for cell in cells:
        number = cell >> np.uint64(32)
        listed = lists[number * np.uint64(cell & MANY == MANY)]
        counts[listed if cell & MANY == MANY else np.uint32(number)] += np.uint32(1)


@compiled
def _candidates(table: Table, cells: U64, places: U32, states: U64, found: U32) -> int:
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
def _has_enough(documents: Documents, document: int, there: B8) -> bool:
    """Whether these runs of a document are enough of it for a hit."""
    covered = covered_by(there, documents.words[document])
    total = found = 0.0
    for i in range(documents.firsts[document], documents.firsts[document + 1]):
        some = 0
        for j in range(documents.places[i], documents.places[i] + SIZE):
            some += int(covered[j])
        total += documents.weights[i]
        found += documents.weights[i] * some
    return bool(found >= SIZE * total * documents.floors[document])


@compiled
def _is_hit(documents: Documents, document: int, text: U64, text_fine: U64, flags: B8) -> bool:
    """Whether a text, which holds a document's n-grams, holds enough of it; a short one was found whole.

    Most candidates have too little in common with all of the text, let alone with one piece of it: `flags` show
    that without a look at the text.
    """
    if documents.words[document] < SHORT:
        return True
    runs = _runs_of(documents, document)
    if not _has_enough(documents, document, may_be_among(runs, flags)):
        return False
    return _has_enough(documents, document, runs_found(runs, documents.words[document], len(text), text_fine))


@compiled
def scan(
    table: Table, documents: Documents, data: U8, offsets: I64, first: int, short: bool, counts: U32, out: U32
) -> tuple[int, int]:
    """Hits in the texts data[offsets[i]:offsets[i + 1]] from the first one on, as rows (text, document, 0).

    With `short`, a text of fewer than SHORT words is looked up whole.
    `counts` grows by how often each n-gram of the index occurs. Stops when `out` might overflow: (rows of `out`
    that were written, the text to go on with).
    """
    most = 2
    for i in range(first, len(offsets) - 1):
        most = max(most, most_words(offsets[i], offsets[i + 1]) + 1)
    hashes, likely, places = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.uint32)
    begins, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    states, found = np.zeros(len(table.needs), np.uint64), np.empty(len(table.needs), np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if written + len(table.needs) > len(out):
            return written, text
        own = hashes[: words_into(data, offsets[text], offsets[text + 1], hashes, begins, ends)]
        some = _likely(table, own, likely, places, short)
        cells = likely[: _look_up(table, likely[:some], places, begins.view(np.uint64))]
        _count(table.lists, cells, counts)
        candidates = found[: _candidates(table, cells, places, states, found)]
        text_fine = fine(own[: len(own) if len(candidates) else 0])
        flags = flags_of(text_fine)
        for document in candidates:
            if _is_hit(documents, document, own, text_fine, flags):
                out[written, 0], out[written, 1], out[written, 2] = text, document, 0
                written += 1
    return written, len(offsets) - 1


@compiled
def _is_near(documents: Documents, document: int, text: U64, text_fine: U64) -> int:
    """How many words of a short prompt are in a text that is little longer; 0 where too few are."""
    count = int(documents.words[document])
    if len(text) > count + AROUND:
        return 0
    there = runs_found(_runs_of(documents, document), count, len(text), text_fine)
    found = int(covered_by(there, count).sum())
    return found if found >= (count if count < SHORT else count - CHANGED) else 0


@compiled
def scan_short(
    table: Table, near: Table, documents: Documents, data: U8, offsets: I64, first: int, counts: U32, out: U32
) -> tuple[int, int]:
    """Hits in short texts data[offsets[i]:offsets[i + 1]], as rows (text, document, words of it that are found).

    0 words means that the text is the document; more, that it has most words of a short prompt, and few others.
    `counts`, and what is returned, as for `scan`.
    """
    most = SHORT_BYTES // 2 + 2
    hashes, places = np.empty(most, np.uint64), np.empty(most, np.uint32)
    begins, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    states, found = np.zeros(len(table.needs), np.uint64), np.empty(len(table.needs), np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if written + 2 * len(table.needs) > len(out):
            return written, text
        start, end = offsets[text], offsets[text + 1]
        own = hashes[: words_into(data, start, end, hashes, begins, ends) if end - start <= SHORT_BYTES else 0]
        if len(own) == 0 or len(own) >= EDITED + AROUND:
            continue
        likely = np.empty(len(own), np.uint64)
        if len(own) < SHORT:
            likely[0], places[0] = whole(own), 0
            cells = likely[: _look_up(table, likely[:1], places, begins.view(np.uint64))]
            _count(table.lists, cells, counts)
            for document in found[: _candidates(table, cells, places, states, found)]:
                out[written, 0], out[written, 1], out[written, 2] = text, document, 0
                written += 1
        if len(own) >= LEAST:
            runs = fine(own)
            likely[: len(runs)] = runs
            for i in range(len(runs)):
                places[i] = i
            cells = likely[: _look_up(near, likely[: len(runs)], places, begins.view(np.uint64))]
            for document in found[: _candidates(near, cells, places, states, found)]:
                there = _is_near(documents, document, own, runs)
                if there:
                    out[written, 0], out[written, 1], out[written, 2] = text, document, there
                    written += 1
    return written, len(offsets) - 1


@compiled
def _once(runs: U64) -> B8:
    """Which of these are there once."""
    ordered = np.sort(runs)
    once: B8 = np.searchsorted(ordered, runs) + 1 == np.searchsorted(ordered, runs, "right")
    return once


@compiled
def compare(documents: Documents, document: int, data: U8) -> tuple[U8, U8, U8, int, int]:
    """How much of a document is in a text: for each of its n-grams how many of its SIZE words; which of its words.

    Then these but for words that are found among neighbours which they have elsewhere in the document too; and the
    bytes where the longest part of the text that it shares with the document begins and ends.
    """
    text, begins, ends = words(data, 0, len(data))
    runs, count, text_fine = _runs_of(documents, document), documents.words[document], fine(text)
    there = runs_found(runs, count, len(text), text_fine)
    covered = covered_by(there, count)
    places = documents.places[documents.firsts[document] : documents.firsts[document + 1]]
    shares = np.empty(len(places), np.uint8)
    for i in range(len(places)):
        shares[i] = covered[places[i] : places[i] + SIZE].sum()
    first, end = longest(runs, count, len(text), text_fine)
    own = covered_by(there & _once(runs), count)
    return shares, covered, own, begins[first] if end else 0, ends[end - 1] if end else 0
