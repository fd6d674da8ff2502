"""One flipped byte in many kinds of files of a workspace: the same mix, and verify names the file.

benchmarks/corruption.py does so for every file of the quickstart's workspace, in three places each.
"""

import shutil
from pathlib import Path

import pytest

from benchmarks.corruption import Sweep, contents, kind
from tests.support.finished_work import RECIPE, mix
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

STEPS = """  - near_dedup
  - image_duplicates
  - decontaminate: {text: [protected.txt], images: [raw/web/pictures], media_only: keep}
"""
KINDS = (
    "pairs/sketches/part-*.npy",
    "pairs/sketches/part-*.arrow",
    "pairs/steps/*.parquet.xxh3",
    "images/grids/*-3.npy",
    "images/grids/copies-*.parquet",
    "cache/hashes.json",
    "cache/contamination/*.npy",
    "cache/contamination/*.pack",
    "mixes/decisions/*.parquet",
    "mixes/lock.json",
)


@pytest.mark.usefixtures("project")
def test_a_flipped_byte_gives_the_same_mix():
    shutil.rmtree("data")
    Path("protected.txt").write_text("How many moons does the planet Mars have in our solar system?\n")
    mix(RECIPE + STEPS)
    sweep = Sweep(Path.cwd(), Path("recipe.yaml"), Path("raw"))
    names = {kind(name): name for name in sorted(contents(sweep.kept)) if name != ".lock"}
    for one in KINDS:
        sweep.trial(names[one], 0.5)
    assert sweep.faults == []
    assert sum(counts["rebuild: same"] for counts in sweep.counts.values()) == len(KINDS)
