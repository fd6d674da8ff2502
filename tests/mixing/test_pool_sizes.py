"""How pools are known, and the warnings of a plan about quotas on pools that nobody counted."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from curate import sources
from curate.config import build
from curate.inputs import pool_sizes
from curate.mixing.pool_sizes import PoolSize, doubts, pools_table
from curate.mixing.quotas import plan, plan_table
from curate.pairs.normalize import Job
from curate.recipe import Recipe

PUBLISHED = PoolSize(pairs=1000, basis="published")
DERIVED = PoolSize(pairs=1000, basis="derived")
COUNTED = PoolSize(pairs=1000, basis="counted")
UNKNOWN = PoolSize(pairs=None, basis="unknown")


def recipe(entries: dict[str, Any], **fields: Any) -> Recipe:
    read: Recipe = build({"name": "r", "sources": entries, **fields}, Recipe, "$")
    return read


def warnings(quota: Any, *sizes: PoolSize, **fields: Any) -> list[str]:
    labels = ["a", "b"][: len(sizes)]
    entry = quota if len(sizes) == 1 else {"of": labels, **quota}
    read = recipe({"a" if len(sizes) == 1 else "both": entry}, **fields)
    known = dict(zip(labels, sizes, strict=True))
    pairs = None if UNKNOWN in sizes else sum(size.pairs or 0 for size in sizes)
    return doubts(read, plan(read, {read.entries[0].label: pairs}), known)


@pytest.mark.parametrize("quota", ["all", {"all": True, "cap": 5000}, {"epochs": 1.0}])
@pytest.mark.parametrize("size", [PUBLISHED, DERIVED, COUNTED, UNKNOWN])
def test_what_takes_what_there_is_gives_no_warning(quota: Any, size: PoolSize) -> None:
    assert warnings(quota, size) == []


def test_rows_of_an_unknown_pool_are_a_warning_that_says_what_to_write() -> None:
    assert warnings({"rows": 10}, UNKNOWN) == [
        "$.sources.a: 10 rows rest on pools of unknown size: a; {all: true, cap: 10} takes what there is, "
        "up to that"
    ]
    assert warnings({"rows": 10}, PUBLISHED, UNKNOWN) == [
        "$.sources.both: 10 rows rest on pools of unknown size: b; {all: true, cap: 10} takes what there is, "
        "up to that"
    ]
    assert warnings({"share": 1.0}, UNKNOWN, rows=10) == [
        "$.sources.a: 10 rows rest on pools of unknown size: a; {all: true, cap: 10} takes what there is, "
        "up to that"
    ]


def test_more_than_95_percent_of_a_pool_that_nobody_counted_is_a_warning() -> None:
    assert warnings({"rows": 950}, PUBLISHED) == []
    assert warnings({"rows": 951}, COUNTED) == []
    assert warnings({"rows": 1900, "max_repeats": 2}, PUBLISHED) == []
    assert warnings({"rows": 951}, PUBLISHED) == [
        "$.sources.a: 951 rows are 95% of 1,000 pairs as published, before any is dropped; "
        "{all: true, cap: 951} takes what there is, up to that"
    ]
    assert warnings({"rows": 1980}, PUBLISHED, DERIVED) == [
        "$.sources.both: 1,980 rows are 99% of 2,000 pairs as derived, before any is dropped; "
        "{all: true, cap: 1980} takes what there is, up to that"
    ]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("rlaif_v", {}, PoolSize(pairs=83_132, basis="published")),
        ("helpsteer2", {}, PoolSize(pairs=6_766, basis="derived")),
        ("helpsteer2", {"split": "all"}, UNKNOWN),
        ("shp", {"min_ratio": 2.0}, UNKNOWN),
        ("mmpr", {}, UNKNOWN),
        ("ultrafeedback", {"pairing": "ultra_hard"}, PoolSize(pairs=63_967, basis="derived")),
        ("ultrafeedback", {"pairing": "ultra_all"}, UNKNOWN),
        ("vlfeedback", {}, UNKNOWN),
        ("vlfeedback", {"pairing": "best_vs_worst"}, PoolSize(pairs=80_258, basis="derived")),
    ],
)
def test_what_is_known_of_a_source_depends_on_its_options(name: str, options: Any, expected: PoolSize) -> None:
    source = sources.get(name)
    read = build(options, source.options, "$") if source.options else None
    job = Job(name=name, source=source, raw=Path("nowhere"), options=read)
    assert pool_sizes({"x": job}) == {"x": expected}
    if name == "rlaif_v":
        counted = dataclasses.replace(source, pairs=None)
        assert pool_sizes({"x": dataclasses.replace(job, source=counted)}) == {"x": UNKNOWN}


def test_the_tables_show_caps_and_how_each_pool_is_known() -> None:
    read = recipe({"a": {"all": True, "cap": 2000}, "b": "all", "c": {"all": True, "cap": 10}})
    planned = plan(read, {"a": None, "b": None, "c": 30})
    assert [row[2] for row in plan_table(planned, "x").rows] == ["at most 2,000", None, 10]
    known = {"a": UNKNOWN, "b": DERIVED, "c": COUNTED}
    assert pools_table(read, known).rows == [
        ("a", "a", None, "unknown"), ("b", "b", 1000, "derived"), ("c", "c", 1000, "counted"),
    ]  # fmt: skip


def test_no_bundled_recipe_of_the_blend_rests_on_an_unknown_pool() -> None:
    from curate.recipe import load
    from tests.support.paths import ROOT

    for name in ("basereward", "basereward_clean", "text_only"):
        read = load(ROOT / "recipes" / f"{name}.yaml")
        assert {entry.quota.kind for entry in read.entries} == {"all"}, name


def test_raw_files_that_a_recipe_names_have_no_published_size(tmp_path: Path) -> None:
    job = Job(name="rlaif_v", source=sources.get("rlaif_v"), raw=tmp_path)
    assert pool_sizes({"a": job})["a"].basis == "published"
    assert pool_sizes({"a": dataclasses.replace(job, of_recipe=True)}) == {"a": UNKNOWN}
