"""How much of one text stands in a piece of another: compiled, over the hashes of their words."""

import numpy as np

from curate.sketches.compiled import compiled
from curate.sketches.words import U8, U64, mix

FINE = 3
"""Words of the n-grams that texts are compared by: a changed word takes its two neighbours on each side with it,
unless they stand among others."""

BASE = np.uint64(0x9E3779B97F4A7C15)


@compiled
def room(words: int) -> int:
    """In how many words of a text a document of so many words must stand: little more than it has itself."""
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
def _window(text_fine: U64, words: int, document_table: U64, document_words: int) -> tuple[int, int]:
    """Where in a text, from and to which word, most of a document stands."""
    width = room(document_words)
    first = _densest(_covered(text_fine, document_table, words), width)
    return first, min(first + width, words)


@compiled
def cover(document: U64, text: U64, text_fine: U64) -> U8:
    """For each word of a document whether it stands, among the same neighbours, in the one piece of a text."""
    document_fine = fine(document)
    first, end = _window(text_fine, len(text), _table_of(document_fine), len(document))
    return _covered(document_fine, _table_of(fine(text[first:end])), len(document))


@compiled
def longest(document: U64, text: U64) -> tuple[int, int]:
    """From which to which word of a text its longest piece goes that the document has too; (0, 0) without one."""
    text_fine, table = fine(text), _table_of(fine(document))
    first, end = _window(text_fine, len(text), table, len(document))
    here = _covered(text_fine, table, len(text))
    best = best_end = run = 0
    for i in range(first, end):
        run = run + 1 if here[i] else 0
        if run > best:
            best, best_end = run, i + 1
    return best_end - best, best_end
