"""Scans texts for the documents of an index, in one pass over a UTF-8 buffer.

A text costs one read of a bit table for each of its words; the few n-grams whose bits are set are looked up;
documents of the index that share enough of them with a part of the text are compared with it.
"""

import numpy as np

from curate.arrays import I64, U8, U32
from curate.compiled import compiled
from curate.contamination.grams import AROUND, EDITED, LEAST, SHORT, SHORT_BYTES, Documents, Hits, Table
from curate.contamination.grams_kernels import candidates_of, count_grams, likely_grams, look_up, whole
from curate.contamination.hits_kernels import has_room, write_hits, write_near
from curate.text.cover_kernels import fine
from curate.text.word_kernels import most_words, words_into


@compiled
def scan(
    table: Table, documents: Documents, data: U8, offsets: I64, first: int, short: bool, counts: U32, hits: Hits
) -> tuple[int, int]:
    """Write the hits in the texts data[offsets[i]:offsets[i + 1]] from the first one on.

    With `short`, a text of fewer than SHORT words is looked up whole.
    `counts` grows by how often each n-gram of the index occurs. Stops when `hits` might overflow: (how many were
    written, the text to go on with).
    """
    most = 2
    for i in range(first, len(offsets) - 1):
        most = max(most, most_words(offsets[i], offsets[i + 1]) + 1)
    hashes, likely, places = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.uint32)
    begins, ends, near = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64)
    states, found = np.zeros(len(table.needs), np.uint64), np.empty(len(table.needs), np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if not has_room(hits, written, documents):
            return written, text
        words = words_into(data, offsets[text], offsets[text + 1], hashes, begins, ends)
        own = hashes[:words]
        some = likely_grams(table, own, likely, places, short)
        cells = likely[: look_up(table, likely[:some], places, near)]
        count_grams(table.lists, cells, counts)
        candidates = found[: candidates_of(table, cells, places, states, found)]
        if len(candidates):
            written = write_hits(
                documents, candidates, text, fine(own), begins[:words], ends[:words], hits, written
            )
    return written, len(offsets) - 1


@compiled
def scan_short(
    table: Table, near: Table, documents: Documents, data: U8, offsets: I64, first: int, counts: U32, hits: Hits
) -> tuple[int, int]:
    """Write the hits in short texts data[offsets[i]:offsets[i + 1]]: what they are, and what they may be made of.

    `counts`, and what is returned, as for `scan`.
    """
    most = SHORT_BYTES // 2 + 2
    hashes, places, scratch = np.empty(most, np.uint64), np.empty(most, np.uint32), np.empty(most, np.uint64)
    begins, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    states, found = np.zeros(len(table.needs), np.uint64), np.empty(len(table.needs), np.uint32)
    written = 0
    for text in range(first, len(offsets) - 1):
        if not has_room(hits, written, documents):
            return written, text
        start, end = offsets[text], offsets[text + 1]
        words = words_into(data, start, end, hashes, begins, ends) if end - start <= SHORT_BYTES else 0
        if words == 0 or words >= EDITED + AROUND:
            continue
        own, of = hashes[:words], (begins[:words], ends[:words])
        likely = np.empty(words, np.uint64)
        if words < SHORT:
            likely[0], places[0] = whole(own), 0
            cells = likely[: look_up(table, likely[:1], places, scratch)]
            count_grams(table.lists, cells, counts)
            whole_ones = found[: candidates_of(table, cells, places, states, found)]
            written = write_hits(documents, whole_ones, text, own[:0], of[0], of[1], hits, written)
        if words >= LEAST:
            runs = fine(own)
            likely[: len(runs)] = runs
            for i in range(len(runs)):
                places[i] = i
            cells = likely[: look_up(near, likely[: len(runs)], places, scratch)]
            candidates = found[: candidates_of(near, cells, places, states, found)]
            written = write_near(documents, candidates, text, runs, of[0], of[1], hits, written)
    return written, len(offsets) - 1
