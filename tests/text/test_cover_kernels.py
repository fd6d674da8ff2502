"""How much of a document is in a piece of a text, from the hashes of their words: as a plain definition has it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.text.cover_kernels import (
    cover,
    covered_by,
    fine,
    flags_of,
    longest,
    may_be_among,
    piece_of,
    room,
    text_of,
)
from tests.support.pieces import plain_piece

WORDS = st.integers(1, 12).flatmap(lambda most: st.lists(st.integers(0, most), max_size=200))


def hashes(words):
    return np.array(words, np.uint64)


def likely(document, text):
    runs = fine(hashes(document))
    there = np.full(len(runs), 9, np.uint8)
    may_be_among(runs, flags_of(fine(hashes(text))), there)
    return there


@given(WORDS, WORDS)
def test_flags_never_lose_a_run_that_a_text_has(document, text):
    among = np.isin(fine(hashes(document)), fine(hashes(text)))
    assert likely(document, text)[among].all()


def test_flags_tell_nearly_all_other_runs_apart():
    assert likely(range(1000), range(5000, 6000)).sum() == 15
    assert not likely(range(1000), []).any()


@given(WORDS, WORDS, WORDS)
def test_the_piece_is_that_of_the_plain_definition(document, other, words):
    text = text_of(fine(hashes(words)), len(words))
    for one in (other, document):  # what was looked for before leaves nothing behind
        piece = piece_of(fine(hashes(one)), len(one), text)
        there, first, end, covered = plain_piece(one, words)
        assert (piece.there.tolist(), piece.first, piece.end, piece.covered.tolist()) == (
            there,
            first,
            end,
            covered,
        )


@given(st.lists(st.integers(0, 60), max_size=50), st.lists(st.integers(0, 60), max_size=120), st.data())
def test_the_longest_part_is_within_the_piece(document, around, data):
    at = data.draw(st.integers(0, len(around)))
    words = [*around[:at], *document, *around[at:]]
    piece = piece_of(fine(hashes(document)), len(document), text_of(fine(hashes(words)), len(words)))
    first, end = longest(piece)
    covered = [i in piece.covered and piece.first <= i < piece.end for i in range(len(words))]
    lengths = {(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1) if all(covered[i:j])}
    best = max((j - i for i, j in lengths), default=0)
    assert (first, end) == min(((i, j) for i, j in lengths if j - i == best), default=(0, 0))


@given(WORDS, WORDS)
def test_words_are_covered_by_the_runs_of_the_piece(document, text):
    there = plain_piece(document, text)[0]
    expected = [any(there[max(i - 2, 0) : i + 1]) for i in range(len(document))]
    assert covered_by(hashes(document), hashes(text)).astype(bool).tolist() == expected
    covered = np.full(len(document), 9, np.uint8)
    cover(np.array(there, np.uint8), covered)
    assert covered.astype(bool).tolist() == expected


def test_a_repetitive_text_takes_no_longer():
    words = [1] * 200_000
    piece = piece_of(fine(hashes([1] * 5000)), 5000, text_of(fine(hashes(words)), len(words)))
    assert piece.there.all()
    assert (piece.first, piece.end, len(piece.covered)) == (0, room(5000), 200_000)
