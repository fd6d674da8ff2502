"""Intervals of shares: as wide as the clusters that decide allow."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analysis.intervals import NOTHING, Clusters, Share, linked, mean_of, share
from curate.analysis.rulers import rulers
from curate.statistics import wilson
from tests.support.rulers import lengths


def numbers(count: int) -> Any:
    return np.arange(count, dtype=np.uint64)


def interval(found: Share) -> tuple[float | None, float | None]:
    return found.low, found.high


def test_independent_pairs_have_the_interval_of_wilson():
    draw = np.random.Generator(np.random.PCG64(1))
    for count, chance in ((60, 0.5), (858, 0.7), (20_000, 0.3)):
        hits = draw.random(count) < chance
        found = Clusters(numbers(count)).shares({"x": (hits, None)})["x"]
        assert (found.hits, found.of, found.clusters, found.value) == (hits.sum(), count, count, hits.mean())
        assert interval(found) == pytest.approx(wilson(int(hits.sum()), count), abs=1e-12)


def test_sixty_pairs_of_one_prompt_are_one_cluster_among_any_number_of_neutral_ones():
    alone = Clusters(np.zeros(60, np.uint64)).shares({"x": (np.ones(60), None)})["x"]
    assert (round(alone.low or 0, 3), alone.high, alone.clusters) == (0.207, 1.0, 1)
    groups = np.concatenate([np.zeros(60, np.uint64), 1 + numbers(200)])
    decides = np.arange(260) < 60
    assert Clusters(groups).shares({"x": (decides, decides)})["x"] == alone


def test_neutral_pairs_change_no_interval_of_a_ruler():
    draw = np.random.Generator(np.random.PCG64(2))
    chosen, rejected = draw.integers(0, 9, 300), draw.integers(0, 9, 300)
    groups = draw.integers(0, 80, 300).astype(np.uint64)
    alone = rulers(lengths(chosen, rejected), Clusters(groups))["longer"]["wins"]
    same = np.full(5000, 5)
    both = lengths([*chosen, *same], [*rejected, *same])
    among = rulers(both, Clusters(np.concatenate([groups, 1000 + numbers(5000)])))["longer"]
    assert among["wins"] == alone
    assert among["differs"].clusters == 5000 + len(np.unique(groups))


def test_pairs_of_one_group_count_as_one():
    hits = np.arange(200) % 2 == 0
    four = Clusters(np.repeat(numbers(200), 4)).shares({"x": (np.repeat(hits, 4), None)})["x"]
    assert (four.value, four.of, four.clusters) == (0.5, 800, 200)
    assert interval(four) == pytest.approx(wilson(100, 200), abs=0.001)
    low, high = wilson(100, 200)
    assert (four.low or 0) <= low < high <= (four.high or 0)


def test_a_share_of_none_is_not_certain():
    shares = Clusters(numbers(50)).shares({"x": (np.zeros(50), None), "of": (np.zeros(50),) * 2})
    assert interval(shares["x"]) == wilson(0, 50)
    assert shares["of"] == NOTHING == Share(hits=0, of=0, clusters=0, value=None, low=None, high=None)


@pytest.mark.parametrize("each", [1, 3, 20])
def test_a_first_hit_never_makes_the_bound_smaller(each: int):
    size = np.full(1000, float(each))
    ends = []
    for hits in range(4):
        found = np.zeros(1000)
        found[:hits] = 1.0
        none, every = share(found, size), share(size - found, size)
        ends.append(none.high)
        assert (every.low, every.high) == pytest.approx((1 - none.high, 1 - none.low))  # type: ignore[operator]
    assert ends == sorted(ends)


def test_a_share_that_does_not_vary_is_as_sure_as_its_clusters_are_many():
    one = Clusters(np.zeros(4, np.uint64)).shares({"x": (np.array([1, 1, 0, 0]), None)})["x"]
    assert (one.value, *interval(one)) == (0.5, *wilson(0.5, 1))
    many = Clusters(np.repeat(numbers(30), 2)).shares({"x": (np.arange(60) % 2, None)})["x"]
    assert (many.value, *interval(many)) == (0.5, *wilson(15, 30))


@pytest.mark.parametrize("neutral", [0, 2000])
@pytest.mark.parametrize(
    ("clusters", "each", "chance"), [(60, 1, 0.3), (60, 6, 0.5), (300, 2, 0.7), (2000, 3, 0.1)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(clusters: int, each: int, chance: float, neutral: int):
    """Pairs of one prompt are alike, as far as can be: all of them win, or none does."""
    draw = np.random.Generator(np.random.PCG64(3))
    of = np.concatenate([np.full(clusters, float(each)), np.zeros(neutral)])
    held = 0
    for _ in range(1000):
        found = share(np.where(draw.random(len(of)) < chance, of, 0.0), of)
        held += (found.low or 0) <= chance <= (found.high or 0)
    assert 0.93 <= held / 1000 <= 0.97


@pytest.mark.parametrize("clusters", [60, 400])
def test_intervals_hold_where_pairs_of_a_prompt_are_alike_in_part(clusters: int):
    draw = np.random.Generator(np.random.PCG64(4))
    held = 0
    for _ in range(1000):
        of = draw.integers(1, 9, clusters)
        found = share(draw.binomial(of, draw.beta(1.5, 1.5, clusters)).astype(float), of.astype(float))
        held += (found.low or 0) <= 0.5 <= (found.high or 0)
    assert 0.93 <= held / 1000 <= 0.97


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_pairs_are_together_that_groups_and_prompts_connect(placed: list[tuple[int, int]]):
    frame = pl.DataFrame(placed, schema={"group": pl.UInt64, "prompt_key": pl.UInt64}, orient="row")
    joined = np.array([[g == h or p == q for h, q in placed] for g, p in placed], bool)
    for _ in placed:
        joined = joined @ joined
    found = linked(frame)
    assert ((found[:, None] == found) == joined).all()


def test_the_mean_of_sources_is_no_pool():
    shares = [share(np.full(10, hits), np.full(10, of)) for hits, of in ((1.0, 10.0), (1.0, 2.0))]
    found = mean_of([*shares, NOTHING])
    assert (found.hits, found.of, found.clusters, found.value) == (20, 120, 20, pytest.approx(0.3))
    low, high = interval(found)
    assert low == pytest.approx(0.3 - np.hypot(0.1 - wilson(1, 10).low, 0.5 - wilson(5, 10).low) / 2)
    assert high == pytest.approx(0.3 + np.hypot(wilson(1, 10).high - 0.1, wilson(5, 10).high - 0.5) / 2)
    assert mean_of([NOTHING]) == mean_of([]) == NOTHING
    assert mean_of(shares[:1]).value == shares[0].value
