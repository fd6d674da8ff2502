"""Kernels that find how much of one text is in a piece of another, from the hashes of their words."""

import numpy as np

from curate.arrays import B8, I32, U8, U64
from curate.compiled import compiled
from curate.text.word_kernels import mix

FINE = 3
"""Words of the n-grams that texts are compared by: a changed word takes its two neighbours on each side with it,
unless other words surround them."""

NOWHERE = np.int32(-1)

BASE = np.uint64(0x9E3779B97F4A7C15)


@compiled
def room(words: int) -> int:
    """Return in how many words of a text a document of so many words must be: few more than it has itself."""
    return words + words // 2 + 8


@compiled
def fine(hashes: U64) -> U64:
    """The n-grams of FINE words in the order of the text."""
    found = np.empty(max(len(hashes) - FINE + 1, 0), np.uint64)
    for i in range(len(found)):
        value = np.uint64(0)
        for j in range(FINE):
            value = value * BASE + hashes[i + j]
        found[i] = mix(value) | np.uint64(1)
    return found


@compiled
def _table_of(found: U64) -> U64:
    """A table of n-grams, 0 where there is none: mostly empty, so that a look at it is rarely a surprise."""
    size = 16
    while size < 8 * len(found):
        size *= 2
    table = np.zeros(size, np.uint64)
    for value in found:
        slot = value & np.uint64(size - 1)
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        table[slot] = value
    return table


@compiled
def _slots(found: U64, table: U64) -> I32:
    """Where in a table each of these n-grams is, NOWHERE where it is not."""
    slots = np.empty(len(found), np.int32)
    mask = np.uint64(len(table) - 1)
    for i in range(len(found)):
        slot = found[i] & mask
        while (table[slot] != 0) & (table[slot] != found[i]):  # rare: one surprise and not two
            slot = (slot + np.uint64(1)) & mask
        slots[i] = np.int32(slot) if table[slot] != 0 else NOWHERE
    return slots


@compiled
def covered_by(there: B8, words: int) -> U8:
    """For each word whether it is in one of the n-grams that are there, of which one begins at each word."""
    covered = np.zeros(words, np.uint8)
    for j in range(FINE):
        for i in range(len(there)):
            covered[i + j] |= there[i]
    return covered


@compiled
def flags_of(found: U64) -> B8:
    """A flag for some bits of each n-gram, of many more flags than n-grams; `may_be_among` looks at them."""
    size = 16
    while size < 16 * len(found):
        size *= 2
    flags = np.zeros(size, np.bool_)
    for value in found:
        flags[(value >> np.uint64(16)) & np.uint64(size - 1)] = True
    return flags


@compiled
def may_be_among(found: U64, flags: B8) -> B8:
    """Which of these n-grams may be among those of `flags_of`; all that are, and a few others."""
    there = np.empty(len(found), np.bool_)
    for i in range(len(found)):
        there[i] = flags[(found[i] >> np.uint64(16)) & np.uint64(len(flags) - 1)]
    return there


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
def _window(covered: U8, document_words: int) -> tuple[int, int]:
    """The piece of a text, from and to which word, that has most of a document: words that are covered by it."""
    width = room(document_words)
    first = _densest(covered, width)
    return first, min(first + width, len(covered))


@compiled
def cover(document: U64, text: U64, text_fine: U64) -> U8:
    """Return for each word of a document whether it is, among the same neighbours, in the one piece of a text."""
    return covered_by(runs_found(fine(document), len(document), len(text), text_fine), len(document))


@compiled
def runs_found(document_fine: U64, words: int, text_words: int, text_fine: U64) -> B8:
    """Return which of the n-grams of a document of so many words are in the one piece of a text that has most."""
    table = _table_of(document_fine)
    slots = _slots(text_fine, table)
    first, end = _window(covered_by(slots != NOWHERE, text_words), words)
    shared = np.zeros(len(table), np.bool_)
    for slot in slots[first : max(end - FINE + 1, first)]:
        shared[slot] |= slot != NOWHERE
    return shared[_slots(document_fine, table)]


@compiled
def longest(document_fine: U64, words: int, text_words: int, text_fine: U64) -> tuple[int, int]:
    """From which to which word of a text its longest piece goes that the document has too; (0, 0) without one.

    What is given is as for `runs_found`.
    """
    here = covered_by(_slots(text_fine, _table_of(document_fine)) != NOWHERE, text_words)
    first, end = _window(here, words)
    best = best_end = run = 0
    for i in range(first, end):
        run = run + 1 if here[i] else 0
        if run > best:
            best, best_end = run, i + 1
    return best_end - best, best_end
