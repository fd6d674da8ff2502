"""Word n-grams: which of a text are indexed, and the arrays of an index that grams_kernels looks them up in."""

from typing import NamedTuple

import numpy as np

from curate.arrays import F32, F64, I64, U8, U16, U32, U64

SIZE = 5
"""Words of an n-gram: short enough to survive between the changed words of an edited text."""

SHORT = 8
"""A shorter document has no n-grams: it is looked up whole, as is every whole turn of that length."""

LONG = 40
"""Of a document with more words, only some n-grams are in the index, by their hash: half of them, a quarter from
twice as many words on, and so on, which leaves about 20 to 40."""

LENGTHS = LONG << np.arange(24)

EDITED = 13
"""A shorter document must be found word for word; in a longer one words may differ."""

LEAST = 4
"""A prompt of fewer words ("hi", "go on please") identifies no item."""

AROUND = 16
"""A short prompt is likely to be an item's that has few more words than it; it has at most so many more."""

CHANGED = 3
"""How many words of a prompt of SHORT words or more one changed word can hide among runs of three."""

SHORT_BYTES = 1200
"""More bytes are not looked at as a short prompt."""

MANY, NONE = np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFE)
"""In place of a document's number: there is more than one, or none."""


class Table(NamedTuple):
    """An index of n-grams by hash; all arrays may be read-only.

    bits     one bit for each value of the hash's upper bits: clear where no n-gram of the index has them
    shift    how far the hash is shifted to get these
    cells    at a hash's lower bits, or in the next free cell: the hash (0 if free); and a number whose upper half
             is the n-gram's number and lower half its document or NONE, or where its list begins, and MANY
    lists    of each n-gram with more documents: its number, how many, and which
    needs    for each document, how many of its n-grams make it a candidate, and how far apart two of them may be
    """

    bits: U8
    shift: int
    cells: U64
    lists: U32
    needs: U16


class Documents(NamedTuple):
    """The documents of an index.

    words       how many words document i has
    firsts      its n-grams are those from firsts[i] to firsts[i + 1]: they begin at the words `places`
    weights     the weight of each of these n-grams
    least       the least weighted sum of their words that makes a hit (`grams_kernels.least_of`)
    runs        its runs of three words are those from runs_from[i] to runs_from[i + 1]
    sentences   its sentences begin at the words from sentences_from[i] to sentences_from[i + 1] in it
    """

    words: I64
    firsts: I64
    places: U16
    runs: U64
    runs_from: I64
    sentences: I64
    sentences_from: I64
    weights: F32
    least: F64


class Hits(NamedTuple):
    """Room for the hits of some texts, and for finding them.

    rows     of each hit: its text, its document, how many words of a short prompt the text has if it is not all of
             it, whether it is a passage, from and to which byte the longest part goes that both have (-1 for a
             document shorter than SHORT), and where its shares end
    shares   for each n-gram of the document of each hit how many of its words are in the text
    there, covered   scratch, of as many numbers as the longest document has words
    """

    rows: I64
    shares: U8
    there: U8
    covered: U8


COLUMNS = 7
"""Columns of `Hits.rows`."""

SHARES_END = COLUMNS - 1
"""The last of them."""


def room_for_hits(documents: Documents, texts: int) -> Hits:
    """Return room for all documents in one text, twice, and for one document of LONG n-grams in so many texts."""
    count, longest = len(documents.words), int(documents.words.max(initial=0))
    rows, shares = 2 * count + texts, len(documents.places) + count + LONG * texts
    there, covered = (np.empty(longest, np.uint8) for _ in range(2))
    return Hits(np.empty((rows, COLUMNS), np.int64), np.empty(shares, np.uint8), there, covered)
