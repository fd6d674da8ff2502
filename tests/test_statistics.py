import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.statistics import bootstrap, bootstrap_chance, holm, mcnemar, percentile, sign_flip, wilson

SHARES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (37, 46, 66.8, 89.3),
        (156, 170, 86.7, 95.0),
        (120, 183, 58.4, 72.1),
        (1027, 1250, 79.9, 84.2),
        (2640, 2985, 87.2, 89.5),
    ],
)
def test_wilson_of_published_counts(right, total, low, high):
    assert [round(100 * end, 1) for end in wilson(right, total)] == [low, high]


def test_wilson_by_hand():
    # all of one right: the lower end is 1 / (1 + z²), with z² = 3.841459
    low, high = wilson(1, 1)
    assert low == pytest.approx(1 / 4.841459, abs=1e-7)
    assert high == 1.0
    assert wilson(0, 5).low == 0.0
    assert wilson(1, 2, level=0.5).low < wilson(1, 2, level=0.4).low


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 2), (math.nan, 2)])
def test_wilson_of_no_share(right, total):
    with pytest.raises(ValueError, match="no share"):
        wilson(right, total)


@given(SHARES)
def test_wilson_laws(share):
    right, total = share
    low, high = wilson(right, total)
    assert 0 <= low <= right / total <= high <= 1
    assert wilson(total - right, total) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (2, 8, 2 * (1 + 10 + 45) / 1024), (3, 3, 1.0), (1, 9, 2 * 11 / 1024)],
)
def test_mcnemar_by_hand(gained, lost, p):
    assert mcnemar(gained, lost) == p
    assert mcnemar(lost, gained) == p


def test_mcnemar_of_many_trials():
    assert mcnemar(3000, 3000) == 1.0
    assert mcnemar(0, 2000) == 0.0  # 2 to the power of -1999 is below the smallest float
    assert 0 < mcnemar(1400, 1600) < 0.001


def test_holm_by_hand():
    # .005 x 4, .01 x 3, .03 x 2, then .04 x 1, which may not be less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_laws(chances):
    out = holm(chances)
    assert all(p <= q <= 1 for p, q in zip(chances, out, strict=True))
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    assert [out[i] for i in order] == sorted(out)


def test_flipped_signs_are_mcnemars_where_all_are_of_one_size():
    # 8 to 2: of 1,024 signs 2 (1 + 10 + 45) are as uneven
    differences = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 50)
    assert sign_flip(differences, 1, 200_000) == pytest.approx(mcnemar(8, 2), abs=0.002)
    assert sign_flip(np.array([0.1] * 3), 1, 50_000) == pytest.approx(0.25, abs=0.01)
    assert sign_flip(np.ones(500), 1, 999) == 1 / 1000
    assert sign_flip(np.zeros(5), 1, 9) == sign_flip(np.array([]), 1, 9) == 1.0
    assert sign_flip(differences, 3, 99) == sign_flip(-differences, 3, 99)


def shares(credit, count):
    """The share of right trials in each draw of clusters."""
    return lambda weights: ((weights @ credit) / (weights @ count))[:, None]


def test_bootstrap_is_the_same_every_time():
    credit, count = np.arange(20) % 2.0, np.ones(20)
    first = bootstrap(20, shares(credit, count), seed=7, resamples=50)
    assert first.shape == (50, 1)
    assert (first == bootstrap(20, shares(credit, count), seed=7, resamples=50)).all()
    assert (first != bootstrap(20, shares(credit, count), seed=8, resamples=50)).any()


def test_bootstrap_draws_in_chunks_of_any_size(monkeypatch):
    values = shares(np.arange(20) % 2.0, np.ones(20))
    whole = bootstrap(20, values, seed=7, resamples=50)
    monkeypatch.setattr("curate.statistics._CHUNK", 60)
    assert (whole == bootstrap(20, values, seed=7, resamples=50)).all()


def test_bootstrap_draws_whole_clusters():
    # 200 trials of which four always agree are no more than 50 trials
    alone = bootstrap(50, shares(np.arange(50) % 2.0, np.ones(50)), seed=1)
    fours = bootstrap(50, shares(4 * (np.arange(50) % 2.0), np.full(50, 4.0)), seed=1)
    assert (alone == fours).all()
    assert float(alone.std()) == pytest.approx(math.sqrt(0.25 / 50), rel=0.05)


def test_percentile_interval():
    low, high = percentile(np.arange(101.0), level=0.9)
    assert (low, high) == pytest.approx((5.0, 95.0))
    assert percentile(np.array([np.nan, 2.0])) == (2.0, 2.0)
    assert percentile(np.array([np.nan])) is None


def test_bootstrap_chance_by_hand():
    # 1 of 9 draws lies below 0: twice (1 + 1) of 9 + 1
    assert bootstrap_chance(np.array([-1.0, *[1.0] * 8])) == pytest.approx(0.4)
    assert bootstrap_chance(np.ones(1999)) == pytest.approx(2 / 2000)
    assert bootstrap_chance(np.zeros(9)) == 1.0
