"""Kernels that find how much of many documents is in a piece of one text, from the hashes of their words."""

from typing import NamedTuple

import numpy as np

from curate.arrays import B8, I32, U8, U64
from curate.compiled import compiled, inlined
from curate.text.word_kernels import lowest, mix

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
def flags_of(found: U64) -> U8:
    """Two flags for some bits of each n-gram, of many more flags than n-grams; `may_be_among` looks at them."""
    size = 16
    while size < 16 * len(found):
        size *= 2
    flags, mask = np.zeros(size, np.uint8), np.uint64(size - 1)
    for value in found:
        flags[value >> np.uint64(16) & mask] = 1
        flags[value >> np.uint64(40) & mask] = 1
    return flags


@compiled
def may_be_among(document: U64, flags: U8, there: U8) -> None:
    """Write which n-grams of a document may be among those of `flags_of`: all that are, and few others.

    It has no branch on the outcome, which a processor could not predict.
    """
    mask = np.uint64(len(flags) - 1)
    for i in range(len(document)):
        there[i] = flags[document[i] >> np.uint64(16) & mask] & flags[document[i] >> np.uint64(40) & mask]


@compiled
def cover(there: U8, covered: U8) -> None:
    """Write for each word whether it is in one of the n-grams that are there, of which one begins at each word."""
    covered[:] = 0
    for j in range(FINE):
        for i in range(len(there)):
            covered[i + j] |= there[i]


class Text(NamedTuple):
    """The n-grams of FINE words of a text, by which those of any document are found in it.

    words    how many words it has
    keys     for each slot an n-gram, 0 where there is none
    places   for each slot the first place of the text that has its n-gram
    after    for each place the next one that has the same n-gram, NOWHERE after the last
    slots    for each place the slot of its n-gram
    seen     for each slot False; changed only while a piece is looked for, as are the next two
    marks    a bit for each place, 0
    covered  room for a number for each word
    """

    words: int
    keys: U64
    places: I32
    after: I32
    slots: I32
    seen: B8
    marks: U64
    covered: I32


class Piece(NamedTuple):
    """The one piece of a text that has most of a document.

    there    which n-grams of the document are in it
    first    the word of the text with which it begins
    end      the word after its last
    covered  the words of the text, ascending, that are in n-grams which the document has
    """

    there: U8
    first: int
    end: int
    covered: I32


@compiled
def text_of(found: U64, words: int) -> Text:
    """Return the text of these n-grams and so many words."""
    size = 16
    while size < 4 * len(found):
        size *= 2
    keys, places, mask = np.zeros(size, np.uint64), np.empty(size, np.int32), np.uint64(size - 1)
    after, slots = np.empty(len(found), np.int32), np.empty(len(found), np.int32)
    for i in range(len(found) - 1, -1, -1):
        slot = _slot(found[i], keys, mask)
        after[i] = places[slot] if keys[slot] != 0 else NOWHERE
        keys[slot], places[slot], slots[i] = found[i], i, np.int32(slot)
    marks = np.zeros(words // 64 + 1, np.uint64)
    return Text(words, keys, places, after, slots, np.zeros(size, np.bool_), marks, np.empty(words, np.int32))


@inlined
def _slot(value: np.uint64, keys: U64, mask: np.uint64) -> np.uint64:
    """The slot of an n-gram, or the free one where it would be."""
    slot = value & mask
    while (keys[slot] != 0) & (keys[slot] != value):  # rare: one surprise and not two
        slot = (slot + np.uint64(1)) & mask
    return slot


@compiled
def piece_of(document: U64, words: int, text: Text) -> Piece:
    """Return the first piece of a text that covers the most of a document of so many words.

    Takes time for the document and for what is found of it, hardly for the text, unless they are repetitive.
    """
    slots, mask = np.empty(len(document), np.int32), np.uint64(len(text.keys) - 1)
    for i in range(len(document)):
        slot = _slot(document[i], text.keys, mask)
        slots[i] = np.int32(slot) if text.keys[slot] != 0 else NOWHERE
    _mark(slots, text)
    covered, width = text.covered[: _list_covered(text)], room(words)
    first = _densest(covered, width)
    end = min(first + width, text.words)
    return Piece(_within(slots, text, first, end - FINE + 1), first, end, covered)


@compiled
def _mark(slots: I32, text: Text) -> None:
    """Mark all places of the n-grams in these slots."""
    for slot in slots:
        place = text.places[slot] if slot != NOWHERE else NOWHERE
        if place != NOWHERE and text.marks[place >> 6] >> np.uint64(place & 63) & np.uint64(1):
            continue  # the document has it twice
        while place != NOWHERE:
            text.marks[place >> 6] |= np.uint64(1) << np.uint64(place & 63)
            place = text.after[place]


@compiled
def _list_covered(text: Text) -> int:
    """Write which words the n-grams at marked places cover; return how many."""
    count, before = 0, np.uint64(0)
    for block in range(len(text.marks)):
        own = text.marks[block]
        bits = own
        for shift in range(1, FINE):
            bits |= own << np.uint64(shift) | before >> np.uint64(64 - shift)
        before = own
        while bits:
            text.covered[count] = 64 * block + int(lowest(bits))
            bits &= bits - np.uint64(1)
            count += 1
    return count


@compiled
def _densest(covered: I32, width: int) -> int:
    """Where the first `width` neighbours begin that have the most of these words."""
    first = at = best = 0
    for last in range(len(covered)):
        while covered[last] - covered[first] >= width:
            first += 1
        if last - first + 1 > best:
            best = last - first + 1
            at = max(covered[last] - width + 1, 0)
    return at


@compiled
def _within(slots: I32, text: Text, first: int, end: int) -> U8:
    """Which of the n-grams in these slots are at a marked place from `first` to `end`; removes all marks."""
    for block in range(len(text.marks)):
        bits, text.marks[block] = text.marks[block], np.uint64(0)
        while bits:
            place = 64 * block + int(lowest(bits))
            bits &= bits - np.uint64(1)
            if first <= place < end:
                text.seen[text.slots[place]] = True
    there = np.empty(len(slots), np.uint8)
    for i in range(len(slots)):
        there[i] = slots[i] != NOWHERE and text.seen[slots[i]]
    for slot in slots:
        if slot != NOWHERE:
            text.seen[slot] = False
    return there


@compiled
def covered_by(document: U64, text: U64) -> U8:
    """Return for each word of a document whether it is, among the same neighbours, in the one piece of a text.

    Both are hashes of words.
    """
    covered = np.empty(len(document), np.uint8)
    cover(piece_of(fine(document), len(document), text_of(fine(text), len(text))).there, covered)
    return covered


@compiled
def longest(piece: Piece) -> tuple[int, int]:
    """From which to which word of a text its longest part goes that is in the piece and covered; (0, 0)
    without."""
    best = best_end = run = 0
    for i in range(len(piece.covered)):
        word = piece.covered[i]
        if piece.first <= word < piece.end:
            run = run + 1 if run and piece.covered[i - 1] == word - 1 else 1
            if run > best:
                best, best_end = run, word + 1
    return best_end - best, best_end
