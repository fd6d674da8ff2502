"""Sentences, and passages that an item quotes: as the plain definitions have them."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contamination.passage_kernels import (
    ABSENT,
    ABSENT_ALONE,
    QUOTED,
    SENTENCE,
    WHOLE,
    is_passage,
    sentences,
)
from curate.text.cover_kernels import fine
from curate.text.word_kernels import words
from tests.support.pieces import covered_words, runs

END = re.compile(r"[.?!:;\n\u3002\uff1f\uff01]")


def starts_of(text):
    data = np.frombuffer(text.encode(), np.uint8)
    _, begins, ends = words(data, 0, len(data))
    return sentences(data, begins, ends).tolist()


@given(st.lists(st.sampled_from(["word", "é", " ", ". ", "\n", "?", "\uff01", "\u3002", "\u3001", "字", "½"])))
def test_a_sentence_begins_after_its_sign(pieces):
    text = "".join(pieces)
    data = np.frombuffer(text.encode(), np.uint8)
    _, begins, ends = words(data, 0, len(data))
    gaps = [data[last:first].tobytes().decode() for last, first in zip(ends[:-1], begins[1:], strict=True)]
    assert starts_of(text) == [0][: len(begins)] + [i for i, gap in enumerate(gaps, 1) if END.search(gap)]


def test_sentences_of_a_text():
    assert starts_of("What is it? A cat, a dog; or 猫。是。") == [0, 3, 7, 9]
    assert starts_of("") == starts_of("...") == []


def plain(document, starts, there):
    """By its words, the numbers of those that begin a sentence, and which of its runs are found."""
    found = covered_words(there, len(document))
    of = runs(document)
    alone = covered_words([one and of.count(run) == 1 for one, run in zip(there, of, strict=True)], len(document))
    pieces = [slice(*edges) for edges in zip(starts, [*starts[1:], len(document)], strict=True)]
    absent = [
        sum(alone[at]) <= ABSENT_ALONE * len(found[at]) and sum(found[at]) <= ABSENT * len(found[at])
        for at in pieces
    ]
    if len(document) < QUOTED or len(pieces) < 2 or all(found) or all(absent):
        return False
    present = [i for i, one in enumerate(absent) if not one]
    inside = range(present[0], present[-1] + 1)
    size = sum(len(found[pieces[i]]) for i in inside)
    longest = max((len(found[at]) for i, at in enumerate(pieces) if i not in inside), default=0)
    return longest >= SENTENCE and size >= QUOTED and sum(sum(found[pieces[i]]) for i in inside) >= WHOLE * size


@settings(max_examples=300)
@given(st.lists(st.integers(0, 40), min_size=20, max_size=80), st.data())
def test_a_passage_is_found_but_for_sentences_at_its_ends(document, data):
    inner = data.draw(st.sets(st.integers(1, len(document) - 1), max_size=6))
    starts = [0, *sorted(inner)]
    edges = data.draw(st.tuples(st.integers(0, len(document)), st.integers(0, len(document))))
    holes = data.draw(st.sets(st.integers(0, len(document)), max_size=3))
    there = [min(edges) <= i < max(edges) and i not in holes for i in range(len(document) - 2)]
    found = covered_words(there, len(document))
    got = is_passage(
        np.array(starts), fine(np.array(document, np.uint64)), np.array(there, np.uint8), np.array(found, np.uint8)
    )
    assert got == plain(document, starts, there)


def test_the_question_before_a_passage_may_be_missing_and_not_its_middle():
    document = list(range(60))
    there = [i >= 8 for i in range(58)]

    def judged(there, starts=(0, 8, 30)):
        found = covered_words(there, 60)
        arrays = fine(np.array(document, np.uint64)), np.array(there, np.uint8), np.array(found, np.uint8)
        return is_passage(np.array(starts), *arrays)

    assert judged(there)
    assert not judged(there, (0, 3, 8, 30)[:1])  # one sentence
    assert not judged([i < 20 or i > 45 for i in range(58)], (0, 20, 48))
    assert not judged([True] * 58)
    assert not judged([False] * 58)
