"""The bundled samples and recipes: small, reproducible, and telling what their README says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curate import recipe, steps
from curate.build import build
from curate.engines.local import Local
from curate.inputs import Inputs
from curate.workspace import Workspace
from tests.support.paths import ROOT
from tests.support.samples import RECIPES, SAMPLES, Silent

CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def files(root: Path, names: set[str]) -> dict[str, bytes]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.relative_to(root).parts[0] in names}


def counts(cell: str) -> dict[str, int]:
    return {name: int(number) for name, number in (item.rsplit(" ", 1) for item in cell.split(", ") if item)}


def funnel_of_the_readme() -> dict[str, Any]:
    table = (SAMPLES / "README.md").read_text(encoding="utf-8").partition("| label |")[2]
    out = {}
    for line in re.findall(r"^\| (\w+ \| \d.*) \|$", table, re.MULTILINE):
        label, rows, skipped, pairs, dropped, kept = (cell.strip() for cell in line.split("|"))
        out[label] = (int(rows), counts(skipped), int(pairs), counts(dropped), int(kept))
    return out


def test_the_samples_are_small() -> None:
    bundled = [path for path in SAMPLES.rglob("*") if path.is_file() and not CACHES & set(path.parts)]
    assert sum(path.stat().st_size for path in bundled) < 2_000_000


def test_write_py_makes_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-B", SAMPLES / "write.py", tmp_path], check=True, timeout=600)
    here, there = ((root / "written_with.txt").read_text() for root in (SAMPLES, tmp_path))
    made = files(tmp_path, {path.name for path in tmp_path.iterdir()})
    bundled = files(SAMPLES, {path.name for path in tmp_path.iterdir()})
    assert list(made) == list(bundled)
    if here != there:
        pytest.skip(f"the samples were written with {here.strip()}; here is {there.strip()}")
    assert [name for name in made if made[name] != bundled[name]] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_bundled_recipe_loads(path: Path) -> None:
    read = recipe.load(path)
    assert read.name == path.stem
    assert len(steps.build_all(read.steps, read.where)) == len(read.steps)
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_basereward_takes_what_there_is_up_to_the_published_counts() -> None:
    entries = recipe.load(ROOT / "recipes/basereward.yaml").entries
    assert {entry.quota.kind for entry in entries} == {"all"}
    assert {entry.label: entry.cap for entry in entries} == {
        "rlaif_v": 83_000,
        "mmpr": 2_000_000,
        "mm_rlhf": None,
        "r1_sample": 100_000,
        "others": 63_000,
        "tulu3_if": 65_000,
        "olmo2_mix": 378_000,
        "ultra_hard": 63_000,
    }


def test_eleven_sets_are_twelve_entries() -> None:
    read = recipe.load("eleven_sets")
    assert len(read.entries) == 12  # R1-Reward is two of them


def test_the_quickstart_reports_what_was_planted(tmp_path: Path) -> None:
    read = recipe.load(ROOT / "recipes/quickstart.yaml")
    with Local(1) as engine:
        built = build(read, Inputs(workspace=Workspace(tmp_path), raw=SAMPLES), engine, Silent())
    reported = {
        label: (facts["rows"], facts["skipped"], facts["pairs"], facts["dropped"], facts["kept"])
        for label, facts in built.lock["funnel"].items()
    }
    assert reported == funnel_of_the_readme()
    shards = sorted(built.directory.glob("shard-*.parquet"))
    assert len(shards) > 2
    assert sum(pq.read_metadata(path).num_rows for path in shards) == 279
