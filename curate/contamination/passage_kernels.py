"""Tells a passage that an item quotes from the item: a text without the item's question holds no item."""

import numpy as np

from curate.arrays import B8, I64, U8, U64
from curate.compiled import compiled
from curate.text.cover_kernels import cover

QUOTED = 25
"""A passage has so many words, at least."""

SENTENCE = 5
"""What is missing beside it has a sentence of so many words, at least: lists end with shorter ones."""

WHOLE = 0.95
"""The least share of the words of a passage that is found."""

ABSENT, ABSENT_ALONE = 0.8, 0.4
"""The most that is found of a sentence that is missing; and as it is nowhere else in the document."""

ENDS = np.array([byte in b".?!:;\n" for byte in range(256)])
CJK_ENDS = (0xE38082, 0xEFBC9F, 0xEFBC81)  # in UTF-8
"""Signs that end a sentence."""


@compiled
def sentences(text: U8, begins: I64, ends: I64) -> I64:
    """Return the numbers of the words of a UTF-8 text, which begin and end there, that begin a sentence or a
    line."""
    starts, count = np.zeros(len(begins), np.int64), min(len(begins), 1)
    for i in range(1, len(begins)):
        if _has_end(text, ends[i - 1], begins[i]):
            starts[count] = i
            count += 1
    return starts[:count]


@compiled
def _has_end(text: U8, first: int, end: int) -> bool:
    """Whether a sign that ends a sentence is in text[first:end]."""
    for i in range(first, end):
        if ENDS[text[i]]:
            return True
        if i + 3 <= end and text[i] >= 0xE3:
            sign = int(text[i]) << 16 | int(text[i + 1]) << 8 | int(text[i + 2])
            if sign in CJK_ENDS:
                return True
    return False


@compiled
def _once(runs: U64) -> U8:
    """Which of these are there once."""
    size = 16
    while size < 4 * len(runs):
        size *= 2
    firsts, mask, once = np.full(size, -1, np.int32), np.uint64(size - 1), np.ones(len(runs), np.uint8)
    for i in range(len(runs)):
        slot = runs[i] & mask
        while firsts[slot] >= 0 and runs[firsts[slot]] != runs[i]:
            slot = (slot + np.uint64(1)) & mask
        if firsts[slot] >= 0:
            once[i] = once[firsts[slot]] = 0
        else:
            firsts[slot] = i
    return once


@compiled
def is_passage(starts: I64, runs: U64, there: U8, found: U8) -> bool:
    """Whether a document is found but for its first or its last sentences.

    It has these `sentences` and runs of three words; `there` says of each run whether it is found, `found` of each
    word. Words that it has elsewhere too count as missing: those of a question are in the passage.
    """
    if len(found) < QUOTED or len(starts) < 2 or found.all():
        return False
    absent, words_found, sizes = _absent(starts, runs, there, found)
    if absent.all():
        return False
    first, last = 0, len(starts)
    while absent[first]:
        first += 1
    while absent[last - 1]:
        last -= 1
    longest = 0
    for i in range(len(starts)):
        if not first <= i < last:
            longest = max(longest, sizes[i])
    inside, size = words_found[first:last].sum(), sizes[first:last].sum()
    return bool(longest >= SENTENCE and size >= QUOTED and inside >= WHOLE * size)


@compiled
def _absent(starts: I64, runs: U64, there: U8, found: U8) -> tuple[B8, I64, I64]:
    """For each sentence whether it is missing, how many of its words are found, and how many it has."""
    alone, once = np.empty(len(found), np.uint8), _once(runs)
    cover(there & once, alone)
    absent, words_found = np.empty(len(starts), np.bool_), np.empty(len(starts), np.int64)
    sizes = np.empty(len(starts), np.int64)
    for i in range(len(starts)):
        first, end = starts[i], starts[i + 1] if i + 1 < len(starts) else len(found)
        words_found[i], sizes[i] = found[first:end].sum(), end - first
        few = alone[first:end].sum() <= ABSENT_ALONE * sizes[i]
        absent[i] = few and words_found[i] <= ABSENT * sizes[i]
    return absent, words_found, sizes
