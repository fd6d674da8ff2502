"""How much of one text is in a piece of another, from the hashes of their words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.text.cover_kernels import fine, flags_of, may_be_among, runs_found

WORDS = st.lists(st.integers(0, 5), max_size=40).map(lambda words: np.array(words, np.uint64))


@given(WORDS, WORDS)
def test_flags_never_lose_a_run_that_a_text_has(document, text):
    runs, others = fine(document), fine(text)
    likely = may_be_among(runs, flags_of(others))
    assert likely[np.isin(runs, others)].all()
    assert likely[runs_found(runs, len(document), len(text), others)].all()


def test_flags_tell_most_other_runs_apart():
    here, there = fine(np.arange(1000, dtype=np.uint64)), fine(np.arange(5000, 6000, dtype=np.uint64))
    assert may_be_among(here, flags_of(there)).mean() < 0.1
    assert not may_be_among(here, flags_of(there[:0])).any()
