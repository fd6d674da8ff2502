"""What other thresholds would drop, against mixes with those thresholds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.engines.local import Local
from curate.pairs.pool import PairsPool
from curate.screening.ledgers import TRIAL
from curate.screening.screen import screen, trials
from curate.steps.near_dedup import NearDedup
from tests.support.finished_work import fault, ids, mix_directory, pairs_directory, run, write_rows
from tests.support.pairs import write_pairs

SOURCE = 'adapter: preference\nfiles: ["*.jsonl"]\nlicense: mit\n'
RECIPE = """
name: near
sources: {first: all, second: all, third: all}
steps:
  - length: {min_reply: 4}
  - exact_duplicates
  - near_dedup: {jaccard: 0.8, recall: 0.9999}
"""


def text(name: str, *places: int, more: str = "") -> str:
    """30 words of that name, 26 shingles, with other words at these places, and more words after them."""
    words = [f"new{place}" if place in places else f"{name}{place}" for place in range(30)]
    return " ".join(words) + more


def row(chosen: str) -> dict[str, str]:
    return {"prompt": "Tell me.", "chosen": chosen, "rejected": "Nothing to tell."}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Raw files of three sources, their manifests and a recipe, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CURATE_HOME", raising=False)
    for name in ("first", "second", "third"):
        write_rows(tmp_path / "raw" / name / "a.jsonl", [row(f"{name} alone"), row("So.")])
        (tmp_path / "manifests").mkdir(exist_ok=True)
        (tmp_path / "manifests" / f"{name}.yaml").write_text(SOURCE)
    (tmp_path / "near.yaml").write_text(RECIPE)
    return tmp_path


def add(source: str, *texts: str) -> None:
    with open(f"raw/{source}/a.jsonl", "a") as file:
        file.writelines(json.dumps(row(chosen)) + "\n" for chosen in texts)


@pytest.fixture
def changed(place: Path) -> Path:
    """In the second source, 6 texts of the first with 0 to 5 of their words changed: Jaccard 1 to .677."""
    add("first", *(text(f"t{count}n") for count in range(6)))
    add("second", *(text(f"t{count}n", *range(count)) for count in range(6)))
    return place


def command(*arguments: str) -> tuple[str, ...]:
    return (*arguments, "--raw", str(Path("raw").absolute()), "--workspace", "data", "--workers", "1")


def mixed(jaccard: float) -> dict[str, int]:
    """What near_dedup dropped of each source in a mix with this threshold."""
    name = f"at{jaccard * 100:.0f}"
    recipe = RECIPE.replace("jaccard: 0.8", f"jaccard: {jaccard}").replace("name: near", f"name: {name}")
    Path(f"{name}.yaml").write_text(recipe)
    run(*command("mix", f"{name}.yaml"))
    funnel = json.loads((mix_directory(name) / "lock.json").read_text())["funnel"]
    return {label: account["dropped"].get("near_dedup/near_duplicate", 0) for label, account in funnel.items()}


def rethresholds(*more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*command("rethreshold", "near.yaml", "--json", *more)).text)
    return found


def stamps() -> dict[str, tuple[int, int]]:
    """Every file of the workspace, but for the lock that a run holds and what it remembers of raw files."""
    paths = (
        path for path in Path("data").rglob("*") if path.is_file() and path.name not in (".lock", "hashes.json")
    )
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@pytest.mark.usefixtures("changed")
def test_each_threshold_drops_what_a_mix_with_it_drops():
    jaccards = [0.9, 0.85, 0.8, 0.75, 0.7]
    expected = {jaccard: mixed(jaccard) for jaccard in jaccards}
    before = stamps()
    found = rethresholds()
    assert stamps() == before
    assert {one["jaccard"]: one["dropped"] for one in found["thresholds"]} == expected
    assert [one["dropped"]["second"] for one in found["thresholds"]] == [1, 2, 2, 3, 4]
    # the equal text went before, by exact_duplicates, and the short replies by length
    assert found["pairs"] == {"first": 7, "second": 6, "third": 1}
    assert (found["recipe"], found["jaccard"]) == ("near", 0.8)


@pytest.mark.usefixtures("changed")
def test_samples_are_decisions_of_the_mix():
    mixed(0.75)
    (decision,) = (
        pl.read_parquet(mix_directory("at75") / "decisions" / "second.parquet")
        .filter((pl.col("step") == "near_dedup") & (pl.col("score") < 0.8))
        .rows(named=True)
    )
    strict, *_, loose = rethresholds("--jaccard", "0.75", "--jaccard", "0.85,0.9")["thresholds"]
    assert (strict["jaccard"], loose["jaccard"], loose["new"], loose["spared"]) == (0.9, 0.75, 1, 0)
    (sample,) = loose["samples"]
    assert sample == {
        "pool": "second", "pair_id": ids("second")["a.jsonl:6"], "winner_pool": "first",
        "winner": ids("first")["a.jsonl:6"], "score": 23 / 29,
        "evidence": "jaccard prompt 1.000, chosen 0.793, rejected 1.000",
    }  # fmt: skip
    assert {name: decision[name] for name in ("pair_id", "winner", "score", "evidence")}.items() <= sample.items()


@pytest.mark.usefixtures("place")
def test_a_lower_threshold_may_drop_less():
    """At .85 both of the third source lose to the second's, at .8 that one loses to the first's, far from them."""
    add("first", text("w", more=" and six more words after it"))  # 26 of 32 shingles are the next one's
    add("second", text("w"))
    add("third", text("w", 0, 1), text("w", 28, 29))  # 24 of 28 the second's, 22 of 30 each other's
    run(*command("mix", "near.yaml"))
    done = run(*command("rethreshold", "near.yaml", "--jaccard", "0.75,0.85"))
    one, two, *three = (ids(source)["a.jsonl:3"][:10] for source in ("first", "second", "third"))
    three = sorted([*three, ids("third")["a.jsonl:4"][:10]])
    assert done.lines == [
        "near_dedup of near: what each threshold drops of the 7 pairs that come to it",
        "jaccard  bands  rows  recall  dropped  share  new  spared",
        "  0.850     20     6   1.000        2  0.286    2       0",
        "  0.800     24     5   1.000        1  0.143    1       2  recipe",
        "  0.750     25     4   1.000        1  0.143    0       0",
        "dropped by source",
        "source  pairs  0.85  0.8  0.75",
        "first       2     0    0     0",
        "second      2     0    1     1",
        "third       3     2    0     0",
        "all         7     2    1     1",
        "some of the new pairs",
        "jaccard  score  source  pair        lost to  its pair",
        f"0.85     0.857  third   {three[0]}  second   {two}",
        f"0.85     0.857  third   {three[1]}  second   {two}",
        f"0.8      0.812  second  {two}  first    {one}",
    ]
    assert done.messages[-4:] == [
        "near_dedup at 0.85: among 7 pairs",
        "near_dedup at 0.8: among 7 pairs",
        "near_dedup at 0.75: among 7 pairs",
        "curate why PAIR explains a pair, curate show SOURCE --pair PAIR shows its texts",
    ]


@pytest.mark.usefixtures("changed")
def test_sketches_that_are_not_there_are_made_as_a_mix_makes_them():
    run(*command("normalize", "first", "second", "third"))
    assert rethresholds()["thresholds"][2]["dropped"] == {"first": 0, "second": 2, "third": 0}
    made = {name: stamp for name, stamp in stamps().items() if "sketches" in name}
    assert sorted(made) == sorted(
        str(path) for source in ("first", "second", "third") for path in pairs_directory(source).rglob("*.npy*")
    )
    assert len(made) == 6, "three sketches with their checksums"
    assert mixed(0.8) == {"first": 0, "second": 2, "third": 0}
    assert made.items() <= stamps().items()


@pytest.mark.usefixtures("place")
def test_recipes_and_thresholds_that_do_not_fit_are_errors():
    assert fault(*command("rethreshold", "near.yaml")) == (
        "near.yaml: $.sources: first is not normalized; expected the pairs of every source\n"
        "curate mix near.yaml makes them"
    )
    Path("none.yaml").write_text(RECIPE.split("  - near_dedup")[0])
    assert fault(*command("rethreshold", "none.yaml")) == (
        "none.yaml: $.steps: no near_dedup; expected a recipe that looks for near-duplicates\n"
        "add `- near_dedup: {jaccard: 0.8}`"
    )
    assert "--jaccard: jaccard is 1.5; it must be above 0" in fault(
        *command("rethreshold", "near.yaml", "--jaccard", "0.7,1.5")
    )
    assert "--jaccard: found 'high'; expected numbers" in fault(
        *command("rethreshold", "near.yaml", "--jaccard", "high")
    )


VARIANTS = st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 11), max_size=4)), max_size=12)


def pool_of(directory: Path, variants: Sequence[Any]) -> PairsPool:
    rows: list[Mapping[str, Any]] = [{"chosen": text(name, *places)} for name, places in variants]
    parts = write_pairs(directory, rows, part_rows=5)
    return PairsPool(label="one", source="one", directory=directory, priority=0, parts=parts)


@given(variants=VARIANTS)
@settings(max_examples=15)
def test_a_trial_is_what_screening_drops(tmp_path_factory: pytest.TempPathFactory, variants: list[Any]):
    """And what is law of it: equal texts go at every threshold; if some go, some go at every lower one."""
    pool = pool_of(tmp_path_factory.mktemp("trial") / "one", variants)
    steps = [("near_dedup", NearDedup(on=("chosen",), recall=0.9999, jaccard=at)) for at in (1, 0.9, 0.7, 0.4)]
    with Local(1) as engine:
        left, found = trials([pool], [], steps, 0, engine)
        lost = list(found)
        expected = [screen([pool], [step], 0, engine).pools[0].decisions for step in steps]
    assert left == {"one": len(variants)}
    for trial, decisions in zip(lost, expected, strict=True):
        assert trial.columns == TRIAL
        columns = ["pair_id", "winner", "score", "evidence"]
        assert trial.sort("index").select(columns).equals(decisions.sort("part", "position").select(columns))
        assert set(lost[0]["index"]) <= set(trial["index"])
    assert [trial.height > 0 for trial in lost] == sorted(trial.height > 0 for trial in lost)
