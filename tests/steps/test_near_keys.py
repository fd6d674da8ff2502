"""Pairs that compare nearly the same replies in either order: conflicts, overlap and agreement see them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.analysis.agreement import agreement
from curate.analysis.near_labels import near_labels
from curate.analysis.overlap import compare_targets
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.inspect.targets import Target
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.screening.screen import screen, sketched
from curate.screening.screened import Screened
from curate.steps import build, identity
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import either_order_sketches, near_keys
from curate.workspace import Workspace
from tests.support.pairs import write_pairs

Rows = Sequence[Mapping[str, Any]]
GOOD, BAD = (" ".join(f"{name}{i}" for i in range(30)) for name in "gb")  # 26 shingles of five words each


def pool_of(directory: Path, rows: Rows, priority: int = 0) -> PairsPool:
    numbered = [{"source": directory.name, "row": str(i), **row} for i, row in enumerate(rows)]
    parts = write_pairs(directory, numbered)
    return PairsPool(
        label=directory.name, source=directory.name, directory=directory, priority=priority, parts=parts
    )


def worded(text: str, place: int) -> str:
    words = text.split()
    words[place] = "other"
    return " ".join(words)


def reversed_pools(home: Path, count: int = 5) -> list[PairsPool]:
    """Two sources with the same prompts, opposite preferences, and one word changed in each text."""
    prompts = [" ".join(f"p{i}-{word}" for word in range(30)) for i in range(count)]
    one = [{"prompt": prompt, "chosen": GOOD, "rejected": BAD} for prompt in prompts]
    two = [
        {"prompt": worded(prompt, 29), "chosen": worded(BAD, 0), "rejected": worded(GOOD, 0)} for prompt in prompts
    ]
    return [pool_of(home / "one", one), pool_of(home / "two", two, 1)]


def run(pools: Sequence[PairsPool], **settings_: Any) -> Screened:
    with Local(1) as engine:
        return screen(pools, [("label_conflicts", build("label_conflicts", settings_, "$"))], 0, engine)


def dropped(screened: Screened) -> list[dict[str, int]]:
    return [one.funnel.dropped for one in screened.pools]


def test_reversed_near_copies_are_conflicts_where_near_ones_count(tmp_path: Path):
    pools = reversed_pools(tmp_path)
    assert dropped(run(pools)) == [{}, {}]
    assert dropped(run(pools, near=0.8)) == [{}, {"label_conflicts/reversed": 5}]
    assert dropped(run(pools, near=0.8, policy="drop_both")) == [{"label_conflicts/reversed": 5}] * 2
    assert dropped(run(pools, near=0.95)) == [{}, {}]


def test_votes_of_near_copies_count(tmp_path: Path):
    one, two = reversed_pools(tmp_path, 1)
    again = {"prompt": " ".join(f"p0-{word}" for word in range(30)), "chosen": worded(BAD, 29), "rejected": GOOD}
    three = pool_of(tmp_path / "three", [again], 2)
    found = run([one, two, three], near=0.8, policy="keep_majority")
    assert dropped(found) == [{"label_conflicts/reversed": 1}, {}, {}]


def test_a_pair_whose_replies_are_nearly_equal_is_no_conflict_with_itself(tmp_path: Path):
    rows = [{"chosen": GOOD, "rejected": worded(GOOD, 29)}, {"chosen": GOOD + " x", "rejected": worded(GOOD, 29)}]
    pools = [pool_of(tmp_path / f"s{i}", [row], i) for i, row in enumerate(rows)]
    assert dropped(run(pools, near=0.7)) == [{}, {}]


def test_the_nearer_of_two_orders_counts(tmp_path: Path):
    """Replies so alike that both orders are near: the second pair prefers what the first rejects."""
    rows = [
        {"chosen": GOOD, "rejected": worded(GOOD, 29)},
        {"chosen": worded(GOOD, 29) + " x", "rejected": GOOD},
    ]
    pools = [pool_of(tmp_path / f"s{i}", [row], i) for i, row in enumerate(rows)]
    assert dropped(run(pools, near=0.7)) == [{}, {"label_conflicts/reversed": 1}]


def test_a_copy_of_a_reversed_pair_is_led_by_the_same_pair(tmp_path: Path):
    rows = [(GOOD, BAD), (BAD + ".", GOOD + "."), (BAD + "!", GOOD)]
    assert led_by(tmp_path, [{"chosen": one, "rejected": other} for one, other in rows]) == [
        (GOOD, BAD), (BAD, GOOD), (BAD, GOOD)
    ]  # fmt: skip


def test_a_step_without_near_is_the_step_that_it_was():
    assert identity(build("label_conflicts", None, "$")) == {
        "version": 3,
        "policy": "keep_priority",
        "cycles": True,
    }
    assert identity(build("label_conflicts", {"near": 0.8}, "$"))["near"] == 0.8


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"jaccard is 0.0; it must be above 0 and at most 1"):
        build("label_conflicts", {"near": 0}, "$")


def test_overlap_and_agreement_see_either_order(tmp_path: Path):
    one, two = reversed_pools(tmp_path)
    near = NearDedup()
    inputs = Inputs(workspace=Workspace(tmp_path))
    targets = [Target(pool=pool) for pool in (one, two)]
    with Local(1) as engine:
        found = compare_targets(targets, [], near, inputs, engine)
        corpus = sketched([one, two], either_order_sketches(near), 0, engine)
        labels = near_labels(targets, near, corpus)
    assert (found.counts["exact"], found.counts["near"]) == ([[0, 0], [0, 0]], [[0, 5], [5, 0]])
    [row] = agreement(labels).select("left", "right", "shared", "agreeing", "opposed").rows()
    assert row == ("one", "two", 5, 0, 5)


def led_by(home: Path, rows: Rows, near: NearDedup | None = None) -> list[tuple[str, str]]:
    """For each pair, each of a source of its own, the replies that its keys mean then: (chosen, rejected)."""
    near = near or NearDedup()
    pools = [pool_of(home / f"s{i}", [row], i) for i, row in enumerate(rows)]
    keys = pl.concat(
        [
            load_keys(pool.directory, pool.parts).with_columns(
                pool=pl.lit(i, pl.UInt16), priority=pl.lit(i, pl.UInt16), order=pl.lit(0, pl.UInt64)
            )
            for i, pool in enumerate(pools)
        ]
    ).with_row_index("index")
    with Local(1) as engine:
        found = near_keys(keys, near, sketched(pools, either_order_sketches(near), 0, engine)).sort("index")
    known = dict(zip(keys["chosen_key"], (row["chosen"] for row in rows), strict=True))
    known |= dict(zip(keys["rejected_key"], (row["rejected"] for row in rows), strict=True))
    return [(known[one], known[other]) for one, other in found.select("chosen_key", "rejected_key").rows()]


TEXTS = [" ".join(f"{name}{i}" for i in range(12)) for name in "ab"]
DRAFTS = st.lists(
    st.tuples(st.integers(0, 1), st.sets(st.integers(0, 11), max_size=2), st.sets(st.integers(0, 11), max_size=2)),
    min_size=1,
    max_size=12,
)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 2]) for i in range(len(words) - 1)}


def alike(left: str, right: str) -> float:
    return len(shingles(left) & shingles(right)) / len(shingles(left) | shingles(right))


def by_definition(rows: Sequence[tuple[str, str]], jaccard: float) -> list[tuple[str, str]]:
    """Each pair with the replies of its leader, from comparing all with all."""
    leaders: list[tuple[str, str]] = []
    found = []
    for chosen, rejected in rows:
        turns = []
        for leader in leaders:
            straight = (alike(chosen, leader[0]), alike(rejected, leader[1]))
            turned = (alike(rejected, leader[0]), alike(chosen, leader[1]))
            fits = [one for one in (straight, turned) if min(one) >= jaccard]
            if fits:
                turns.append(leader if max(fits, key=sum) == straight else leader[::-1])
        if not turns:
            leaders.append((chosen, rejected))
        found.append(turns[0] if turns else (chosen, rejected))
    return found


@given(drafts=DRAFTS)
@settings(max_examples=40, derandomize=True)
def test_leaders_are_those_of_comparing_all_with_all(tmp_path_factory: pytest.TempPathFactory, drafts: list[Any]):
    rows = []
    for first, mine, theirs in drafts:
        one, other = TEXTS[first].split(), TEXTS[1 - first].split()
        for words, places in ((one, mine), (other, theirs)):
            for place in places:
                words[place] = f"new{place}"
        rows.append((" ".join(one), " ".join(other)))
    texts = [{"chosen": one, "rejected": other} for one, other in rows]
    near = NearDedup(jaccard=0.55, recall=0.9999, shingle=2)
    pairs = led_by(tmp_path_factory.mktemp("near"), texts, near)
    assert pairs == by_definition(rows, 0.55)
