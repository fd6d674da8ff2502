"""Screening small artefacts: conservation, priority, caches, independence of order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.checksums import published
from curate.engines.base import Tick
from curate.engines.local import Local
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.schema import PAIRS_FILE
from curate.screening.screen import screen
from curate.screening.screened import DECISIONS, Screened, ScreenedPool, write_decisions
from curate.steps import build
from curate.steps.ties import Ties
from tests.support.pairs import table, write_pairs

Rows = Sequence[Mapping[str, Any]]
STEPS: list[tuple[str, Any]] = [
    ("ties", None),
    ("identical", None),
    ("empty_reply", None),
    ("exact_duplicates", None),
]


def run(pools: Sequence[PairsPool], steps: Sequence[tuple[str, Any]] = STEPS, workers: int = 1) -> Screened:
    built = [(name, build(name, value, "$")) for name, value in steps]
    with Local(workers) as engine:
        return screen(pools, built, 0, engine)


def pool_of(directory: Path, rows: Rows, *, priority: int = 0, part_rows: int = 1000) -> PairsPool:
    label = directory.name
    parts = write_pairs(directory, [{"source": label, **row} for row in rows], part_rows=part_rows)
    return PairsPool(label=label, source=label, directory=directory, priority=priority, parts=parts)


def reasons(one: ScreenedPool) -> dict[str, str]:
    """row -> step/reason."""
    return {row["row"]: f"{row['step']}/{row['reason']}" for row in one.decisions.rows(named=True)}


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    """When each file below was written, in nanoseconds, and which file it is."""
    return {
        str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*.parquet"))
    }


FOUR = [
    {"margin": 0.0},
    {"chosen": "same", "rejected": "same"},
    {"chosen": "fine", "rejected": "bad"},
    {"chosen": "N/A", "rejected": "N/A"},
]


def test_each_lost_pair_has_one_decision_and_the_funnel_adds_up(tmp_path: Path):
    (one,) = run([pool_of(tmp_path / "one", FOUR, part_rows=3)]).pools
    assert one.kept.tolist() == [False, False, True, False]
    assert one.kept_keys().select("part", "position").rows() == [(0, 2)]
    assert (one.funnel.pairs, one.funnel.kept) == (4, 1)
    assert list(one.funnel.dropped.items()) == [("ties/tie", 1), ("identical/identical", 2)]
    pair = table([{"source": "one", **FOUR[0], "row": "test.jsonl:0"}]).to_pylist()[0]
    assert one.decisions.columns == list(DECISIONS)
    assert one.decisions.row(0, named=True) == {
        "pair_id": pair["pair_id"], "source": "one", "row": "test.jsonl:0", "step": "ties", "reason": "tie",
        "winner": None, "score": None, "evidence": None, "part": 0, "position": 0,
    }  # fmt: skip
    assert one.decisions.select("row", "part", "position").rows()[1:] == [
        ("test.jsonl:1", 0, 1),
        ("test.jsonl:3", 1, 0),
    ]


def test_the_first_step_of_the_recipe_that_objects_gives_the_reason(tmp_path: Path):
    pool = pool_of(tmp_path / "one", FOUR)
    (one,) = run([pool], [("empty_reply", None), ("identical", None)]).pools
    assert reasons(one) == {"test.jsonl:1": "identical/identical", "test.jsonl:3": "empty_reply/placeholder"}
    assert list(one.funnel.dropped) == ["empty_reply/placeholder", "identical/identical"]


def test_no_steps_keep_everything(tmp_path: Path):
    (one,) = run([pool_of(tmp_path / "one", FOUR)], []).pools
    assert one.funnel.kept == 4
    assert one.decisions.height == 0
    assert dict(one.decisions.schema) == DECISIONS


def test_an_artefact_without_pairs(tmp_path: Path):
    empty = PairsPool(label="none", source="none", directory=tmp_path, priority=0, parts=())
    bare = pool_of(tmp_path / "bare", [])
    for one in run([empty, bare]).pools:
        assert (one.funnel.pairs, dict(one.funnel.dropped), one.funnel.kept) == (0, {}, 0)


# ---------------------------------------------------------------------------------------------- across pools


def test_the_pool_with_the_smaller_priority_number_wins_and_is_named(tmp_path: Path):
    human = pool_of(tmp_path / "human", [{"prompt": "q", "chosen": "a", "rejected": "b"}], priority=1)
    model = pool_of(
        tmp_path / "model", [{"prompt": "x"}, {"prompt": "q", "chosen": "a", "rejected": "b"}], priority=2
    )
    right, left = run([model, human]).pools
    assert left.kept.all()
    assert right.kept.tolist() == [True, False]
    lost = right.decisions.row(0, named=True)
    assert (lost["step"], lost["reason"], lost["row"]) == ("exact_duplicates", "duplicate_pair", "test.jsonl:1")
    assert lost["winner"] == pq.read_table(human.directory / human.parts[0])["pair_id"][0].as_py()


def test_a_swapped_pair_of_another_pool_is_a_label_conflict(tmp_path: Path):
    first = pool_of(tmp_path / "first", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    second = pool_of(tmp_path / "second", [{"prompt": "q", "chosen": "b", "rejected": "a"}], priority=1)
    assert reasons(run([first, second]).pools[1]) == {"test.jsonl:0": "exact_duplicates/label_conflict"}


def test_another_image_makes_another_pair(tmp_path: Path):
    rows = [{"prompt": "q", "media": ["cat"]}, {"prompt": "q", "media": ["dog"]}, {"prompt": "q"}]
    assert run([pool_of(tmp_path / "one", rows)]).pools[0].kept.all()


def test_a_pair_dropped_by_an_earlier_step_wins_nothing(tmp_path: Path):
    first = pool_of(tmp_path / "first", [{"prompt": "q", "margin": 0.0}])
    second = pool_of(tmp_path / "second", [{"prompt": "q"}], priority=1)
    left, right = run([first, second], [("ties", None), ("exact_duplicates", None)]).pools
    assert (reasons(left), reasons(right)) == ({"test.jsonl:0": "ties/tie"}, {})
    left, right = run([first, second], [("exact_duplicates", None), ("ties", None)]).pools
    assert reasons(left) == {"test.jsonl:0": "ties/tie"}
    assert reasons(right) == {"test.jsonl:0": "exact_duplicates/duplicate_pair"}


# ---------------------------------------------------------------------------------------------- laws

REPLIES = st.sampled_from(["", "a", "b", " a", "None"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"prompt": st.sampled_from(["p", "q"]), "chosen": REPLIES, "rejected": REPLIES,
         "margin": st.sampled_from([None, 0.0, 1.0])}
    ),
    max_size=12,
)  # fmt: skip
ORDERS = st.permutations(["ties", "identical", "formatting_only", "empty_reply", "exact_duplicates"])


@given(rows=st.tuples(ROWS, ROWS), order=ORDERS, part_rows=st.integers(1, 5))
@settings(max_examples=20)
def test_pairs_are_dropped_or_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: tuple[Rows, Rows], order: list[str], part_rows: int
):
    home = tmp_path_factory.mktemp("screen")
    pools = [pool_of(home / f"s{i}", some, priority=i, part_rows=part_rows) for i, some in enumerate(rows)]
    for one, some in zip(run(pools, [(name, None) for name in order]).pools, rows, strict=True):
        decided = one.decisions.rows(named=True)
        assert one.funnel.pairs == len(some) == sum(one.funnel.dropped.values()) + one.funnel.kept
        assert one.funnel.kept == one.kept.sum()
        assert Counter(f"{row['step']}/{row['reason']}" for row in decided) == one.funnel.dropped
        lost = load_keys(one.pool.directory, one.pool.parts, ~one.kept)
        assert one.decisions.select("part", "position").equals(lost.select("part", "position"))
        steps = [name.split("/")[0] for name in one.funnel.dropped]
        assert steps == sorted(steps, key=order.index)


@given(rows=ROWS, shuffled=st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_same_pairs_survive_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], shuffled: Any
):
    home = tmp_path_factory.mktemp("screen")
    rows = [{**row, "row": f"r{i}", "category": str(i)} for i, row in enumerate(rows)]  # no two are the same bytes
    other = list(rows)
    shuffled.shuffle(other)
    (one,) = run([pool_of(home / "a" / "s", rows)]).pools
    (two,) = run([pool_of(home / "b" / "s", other, part_rows=3)]).pools
    judged = ["pair_id", "row", "step", "reason", "winner"]
    assert one.decisions.select(judged).sort("row").equals(two.decisions.select(judged).sort("row"))
    assert one.funnel == two.funnel


def test_workers_change_nothing(tmp_path: Path):
    rows = [
        {"prompt": str(i % 7), "chosen": str(i % 3), "rejected": str(i % 2), "category": str(i)} for i in range(60)
    ]
    here = run([pool_of(tmp_path / "a" / "s", rows, part_rows=9)])
    there = run([pool_of(tmp_path / "b" / "s", rows, part_rows=9)], workers=2)
    assert 0 < here.pools[0].funnel.kept < 60
    assert here.pools[0].decisions.equals(there.pools[0].decisions)


# ---------------------------------------------------------------------------------------------- caches


def test_a_second_run_judges_nothing_and_a_changed_threshold_one_step(tmp_path: Path):
    pool = pool_of(tmp_path / "one", FOUR, part_rows=3)
    steps: list[tuple[str, Any]] = [("ties", None), ("length", {"max_reply": 3})]
    first = run([pool], steps)
    before = stamps(pool.directory / "steps")
    assert len(before) == 4
    assert {name.split("-")[0] for name in before} == {"ties", "length"}

    second = run([pool], steps)
    assert stamps(pool.directory / "steps") == before
    assert second.pools[0].decisions.equals(first.pools[0].decisions)

    third = run([pool], [("ties", None), ("length", {"max_reply": 4})])
    after = stamps(pool.directory / "steps")
    assert {name: after[name] for name in before} == before
    assert [name.split("-")[0] for name in after.keys() - before.keys()] == ["length", "length"]
    assert first.pools[0].funnel.dropped == {"ties/tie": 1, "length/reply_too_long": 2}
    assert third.pools[0].funnel.dropped == {"ties/tie": 1}


def test_a_missing_verdict_of_one_part_is_made_again(tmp_path: Path):
    pool = pool_of(tmp_path / "one", FOUR, part_rows=3)
    first = run([pool])
    before = stamps(pool.directory / "steps")
    lost = next((pool.directory / "steps").glob("identical-*/part-00001.parquet"))
    lost.unlink()
    assert run([pool]).pools[0].funnel == first.pools[0].funnel
    after = stamps(pool.directory / "steps")
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {str(lost.relative_to(pool.directory / "steps"))}


def test_scores_outlive_a_changed_threshold(tmp_path: Path):
    german = "Was ist die Hauptstadt von Frankreich, und seit wann ist sie es?"
    pool = pool_of(tmp_path / "one", [{"prompt": german}, {"prompt": "hi"}])
    (first,) = run([pool], [("language", {"keep": ["en"]})]).pools
    before = stamps(pool.directory / "scores")
    assert first.funnel.dropped == {"language/de": 1}
    assert len(before) == 1
    scores = pl.read_parquet(pool.directory / "scores" / next(iter(before)))
    assert (scores.columns, scores["language"][0]) == (["language", "language_score"], "de")

    (second,) = run([pool], [("language", {"keep": ["en"], "min_chars": 65})]).pools
    assert second.funnel.dropped == {}
    assert stamps(pool.directory / "scores") == before
    run([pool], [("language", {"keep": ["en"], "text": "chosen"})])
    assert len(stamps(pool.directory / "scores")) == 2


def test_cached_scores_are_read_at_the_place_of_their_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("curate.screening.row_steps.BATCH_ROWS", 2)
    pool = pool_of(tmp_path / "one", [{"prompt": str(i)} for i in range(5)])
    run([pool], [("language", {"keep": ["en"]})])
    (path,) = (pool.directory / "scores").rglob("*.parquet")
    planted = pl.DataFrame({"language": ["en", "en", "en", "fr", "de"], "language_score": [0.9] * 5})
    with published(path) as temporary:
        planted.with_columns(pl.col("language_score").cast(pl.Float32)).write_parquet(temporary)
    (one,) = run([pool], [("language", {"keep": ["en"], "min_chars": 1})]).pools
    assert reasons(one) == {"test.jsonl:3": "language/fr", "test.jsonl:4": "language/de"}


def test_two_steps_share_a_scorer_and_two_scorers_keep_apart(tmp_path: Path):
    german = "Was ist die Hauptstadt von Frankreich, und seit wann ist sie es?"
    pool = pool_of(tmp_path / "one", [{"prompt": german}, {"chosen": german}])
    built = [
        ("first", build("language", {"keep": ["en"]}, "$")),
        ("second", build("language", {"keep": ["en"], "min_chars": 70}, "$")),
        ("third", build("language", {"keep": ["en"], "text": "chosen"}, "$")),
    ]
    (one,) = screen([pool], built, 0, Local()).pools
    assert one.funnel.dropped == {"first/de": 1, "third/de": 1}
    assert len(stamps(pool.directory / "scores")) == 2


def test_a_new_version_of_a_step_judges_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool = pool_of(tmp_path / "one", FOUR)
    run([pool])
    before = stamps(pool.directory / "steps")
    monkeypatch.setattr(Ties, "version", Ties.version + 1)
    run([pool])
    added = stamps(pool.directory / "steps").keys() - before.keys()
    assert [name.split("-")[0] for name in added] == ["ties"]


def test_a_damaged_cache_is_made_again_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    pool = pool_of(tmp_path / "one", FOUR)
    before = run([pool])
    damaged = next((pool.directory / "steps").glob("ties-*/part-00000.parquet"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    (again,), (first,) = run([pool]).pools, before.pools
    assert (again.funnel, damaged.read_bytes()) == (first.funnel, whole)
    assert caplog.messages == [f"{damaged}: damaged, so it is made again"]


# ---------------------------------------------------------------------------------------------- files


def test_batches_are_bounded_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [{"prompt": f"{i}", "chosen": "x" * i, "rejected": "y" * (i % 5)} for i in range(40)]
    ticks: list[Tick] = []
    whole = run([pool_of(tmp_path / "a" / "s", rows)])
    monkeypatch.setattr("curate.screening.row_steps.BATCH_BYTES", 2000)
    pool = pool_of(tmp_path / "b" / "s", rows)
    steps = [(name, build(name, None, "$")) for name, _ in STEPS]
    batched = screen([pool], steps, 0, Local(), ticks.append)
    assert sum(tick.rows for tick in ticks) == 40
    assert len(ticks) > 3
    assert batched.pools[0].decisions.equals(whole.pools[0].decisions)


def test_decisions_are_written_one_file_a_pool(tmp_path: Path):
    pools = [pool_of(tmp_path / "one", FOUR), pool_of(tmp_path / "two", FOUR[2:], priority=1)]
    screened = run(pools)
    write_decisions(screened, tmp_path / "decisions")
    assert sorted(path.name for path in (tmp_path / "decisions").iterdir()) == ["one.parquet", "two.parquet"]
    for one in screened.pools:
        assert pl.read_parquet(tmp_path / "decisions" / f"{one.pool.label}.parquet").equals(one.decisions)


def test_no_step_rewrites_pairs(tmp_path: Path):
    pool = pool_of(tmp_path / "one", FOUR)
    before = (pool.directory / pool.parts[0]).read_bytes()
    run([pool])
    assert (pool.directory / pool.parts[0]).read_bytes() == before
    assert pq.read_schema(pool.directory / pool.parts[0]).equals(PAIRS_FILE)
