"""Contradicting pairs, and how far sources agree, on graphs small enough to think through."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engines.local import Local
from curate.errors import ConfigError
from curate.pairs.pool import PairsPool
from curate.steps import build
from curate.steps.corpus import Corpus
from curate.steps.label_conflicts import LabelConflicts, Policy, _fewest

SCHEMA = {
    "index": pl.UInt32, "priority": pl.UInt16, "order": pl.UInt64, "prompt_key": pl.UInt64,
    "chosen_key": pl.UInt64, "rejected_key": pl.UInt64, "pool": pl.UInt16, "part": pl.UInt32,
    "position": pl.UInt32,
}  # fmt: skip
LABELS = ("shp", "hh", "ultra")
Pairs = Sequence[tuple[str, int]]


def frame(pairs: Pairs, prompt: int = 7) -> pl.DataFrame:
    """Pairs like ("AB", pool): A is better than B. Pools are priorities; the first pair has the largest order."""
    rows = [
        (i, pool, 1000 - i, prompt, ord(better), ord(worse), pool, 0, i)
        for i, ((better, worse), pool) in enumerate(pairs)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def corpus() -> Corpus:
    pools = [
        PairsPool(label=label, source=label, directory=Path(), priority=i, parts=())
        for i, label in enumerate(LABELS)
    ]
    return Corpus(pools=tuple(pools), images=Path(), seed=0, engine=Local(1), places={})


def decided(keys: pl.DataFrame, policy: Policy, *, cycles: bool = True) -> pl.DataFrame:
    return LabelConflicts(policy=policy, cycles=cycles).decide(keys, corpus()).sort("index")


def lost(pairs: Pairs, policy: Policy, *, cycles: bool = True) -> dict[str, Any]:
    """Which pairs go: {"AB0": ("reversed", winner)}, numbered by position."""
    found = decided(frame(pairs), policy, cycles=cycles)
    name = [f"{pair}{i}" for i, (pair, _) in enumerate(pairs)]
    return {
        name[index]: (reason, winner if winner is None else name[winner])
        for index, reason, winner in found.select("index", "reason", "winner").iter_rows()
    }


REVERSED = [("AB", 1), ("BA", 0), ("AB", 2), ("AC", 0)]


def test_opposite_pairs_by_each_policy():
    assert lost(REVERSED, "drop_both") == {f"{x}": ("reversed", None) for x in ("AB0", "BA1", "AB2")}
    assert lost(REVERSED, "keep_priority") == {"AB0": ("reversed", "BA1"), "AB2": ("reversed", "BA1")}
    assert lost(REVERSED, "keep_majority") == {"BA1": ("reversed", "AB0")}


def test_a_tie_of_votes_goes_by_priority_and_then_by_order():
    assert lost([("AB", 1), ("BA", 0)], "keep_majority") == {"AB0": ("reversed", "BA1")}
    assert lost([("AB", 1), ("BA", 1)], "keep_majority") == {"BA1": ("reversed", "AB0")}


def test_a_majority_is_of_net_votes():
    """Five say A > B and four the opposite: two who all agree on B > C > A weigh more."""
    disputed = [("AB", 0)] * 5 + [("BA", 1)] * 4
    agreed = [("BC", 2), ("BC", 2), ("CA", 2), ("CA", 2)]
    dropped = lost(disputed + agreed, "keep_majority")
    assert set(dropped) == {f"AB{i}" for i in range(5)}
    assert lost(disputed, "keep_majority") == {f"BA{i}": ("reversed", "AB0") for i in range(5, 9)}


CYCLE = [("AB", 1), ("BC", 0), ("CA", 2), ("AD", 0), ("DE", 0)]


def test_a_cycle_of_three_by_each_policy():
    assert lost(CYCLE, "drop_both") == dict.fromkeys(("AB0", "BC1", "CA2"), ("cycle", None))
    assert lost(CYCLE, "keep_priority") == {"CA2": ("cycle", "BC1")}
    assert lost([*CYCLE, ("CA", 2), ("AB", 1)], "keep_majority") == {"BC1": ("cycle", "AB0")}


def test_without_cycles_only_opposite_pairs_count():
    assert lost(CYCLE, "drop_both", cycles=False) == {}
    assert set(lost([*CYCLE, ("DA", 2)], "keep_priority", cycles=False)) == {"DA5"}


def test_a_pair_against_a_lost_one_stays():
    """CA and BC stand, so AB goes; BA says the same as they do and stays, though AB is the stronger of the two."""
    pairs = [("AB", 1), ("BA", 2), ("BC", 0), ("CA", 0)]
    assert lost(pairs, "keep_priority") == {"AB0": ("cycle", "BC2")}
    assert lost(pairs, "drop_both") == {
        "AB0": ("reversed", None), "BA1": ("reversed", None), "BC2": ("cycle", None), "CA3": ("cycle", None)
    }  # fmt: skip


def test_evidence_is_the_cycle_with_its_sources():
    found = decided(frame([*CYCLE, ("BC", 0), ("BC", 1)]), "keep_priority")
    assert found["evidence"].to_list() == ["prompt 0000000000000007: A > B (ultra), B > C (hh), C > A (shp 2, hh)"]
    found = decided(frame([("AB", 0), ("BA", 2)]), "drop_both")
    assert found["evidence"].to_list() == [
        "prompt 0000000000000007: A > B (shp), B > A (ultra)",
        "prompt 0000000000000007: A > B (ultra), B > A (shp)",
    ]


def test_where_more_pairs_go_than_need_be_both_numbers_are_printed():
    greedy, fair = decided(frame(REVERSED), "keep_priority"), decided(frame(REVERSED), "keep_majority")
    assert [text.partition("; ")[2] for text in greedy["evidence"]] == ["2 pairs go, 1 would do"] * 2
    assert "; " not in fair["evidence"][0]
    two = [("AB", 0), ("BC", 0), ("CA", 1), ("BC", 1), ("CA", 1), ("CA", 1), ("AC", 2)]
    assert decided(frame(two), "keep_priority")["evidence"][0].endswith("; 3 pairs go, 2 would do")


@given(
    st.integers(2, 5).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_the_fewest_votes_are_those_of_the_best_order(votes: list[list[int]]):
    votes = [[count if i != j else 0 for j, count in enumerate(row)] for i, row in enumerate(votes)]
    orders = permutations(range(len(votes)))
    assert _fewest(votes) == min(
        sum(votes[b][a] for i, b in enumerate(order) for a in order[:i]) for order in orders
    )


def test_other_prompts_and_equal_replies_are_no_conflict():
    apart = pl.concat([frame([("AB", 0)]), frame([("BA", 0)], prompt=8).with_columns(index=pl.lit(1, pl.UInt32))])
    assert decided(apart, "drop_both").height == 0
    assert lost([("AA", 0), ("AA", 1)], "drop_both") == {}
    assert decided(frame([]), "keep_majority").height == 0


def test_a_long_cycle_is_found_whole():
    ring = [(chr(65 + i) + chr(65 + (i + 1) % 40), 0) for i in range(40)]
    assert lost(ring, "keep_priority") == {f"{ring[-1][0]}39": ("cycle", "AB0")}
    (evidence,) = decided(frame(ring), "keep_priority")["evidence"]
    assert evidence.endswith("L > M (shp), M > N (shp) and more")
    torn = decided(frame(ring), "drop_both")
    assert torn["reason"].to_list() == ["cycle"] * 40
    assert torn["evidence"][0].endswith(": A > B (shp) and more")
    chain = [(chr(65 + i) + chr(66 + i), 0) for i in range(200)]  # longer than the rounds of trimming
    assert lost(chain, "drop_both") == {}


def test_a_recipe_names_the_policy():
    assert build("label_conflicts", {"policy": "keep_majority", "cycles": False}, "$") == LabelConflicts(
        policy="keep_majority", cycles=False
    )
    with pytest.raises(ConfigError, match="policy"):
        build("label_conflicts", {"policy": "keep_best"}, "$")


# ---------------------------------------------------------------------------------------------- laws

EDGES = st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE")).map("".join)
GRAPHS = st.lists(st.tuples(EDGES, st.integers(0, 2)), max_size=16)
POLICIES = st.sampled_from(["drop_both", "keep_priority", "keep_majority"])


def reaches(edges: set[str]) -> set[str]:
    """All "XY" with a way from X to Y, by squaring."""
    known = set(edges)
    while True:
        more = known | {a[0] + b[1] for a in known for b in known if a[1] == b[0]}
        if more == known:
            return known
        known = more


@given(pairs=GRAPHS)
def test_what_lies_on_a_cycle_is_what_brute_force_finds(pairs: Pairs):
    ways = reaches({pair for pair, _ in pairs if pair[0] != pair[1]})
    opposite = {pair[::-1] for pair, _ in pairs}
    expected = {
        f"{pair}{i}": ("reversed" if pair in opposite else "cycle", None)
        for i, (pair, _) in enumerate(pairs)
        if pair[0] != pair[1] and pair[::-1] in ways
    }
    assert lost(pairs, "drop_both") == expected
    opposed = {name: why for name, why in expected.items() if why[0] == "reversed"}
    assert lost(pairs, "drop_both", cycles=False) == opposed


@given(pairs=GRAPHS, policy=st.sampled_from(["keep_priority", "keep_majority"]))
def test_what_stays_has_no_cycle_and_misses_nothing(pairs: Pairs, policy: Policy):
    dropped = lost(pairs, policy)
    names = [f"{pair}{i}" for i, (pair, _) in enumerate(pairs)]
    kept = {name[:2] for name in names if name not in dropped and name[0] != name[1]}
    ways = reaches(kept)
    assert not any(way[0] == way[1] for way in ways)
    assert all(name[1::-1] in ways for name in dropped)  # what went contradicts what stayed
    assert all(winner not in dropped for _, winner in dropped.values())


@given(pairs=GRAPHS, policy=POLICIES, shuffled=st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(pairs: Pairs, policy: Policy, shuffled: Any):
    keys = frame(pairs)
    rows = list(range(keys.height))
    shuffled.shuffle(rows)
    assert decided(keys[rows], policy).equals(decided(keys, policy))
