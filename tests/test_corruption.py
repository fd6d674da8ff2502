"""One flipped byte in many kinds of files of a workspace: the same mix, and verify names the file.

benchmarks/corruption.py does so for every file of the quickstart's workspace, in three places each.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.corruption import Sweep, contents, curate, kind
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
    "pairs/skips-*.parquet",
    "images/packs/*.pack",
    "images/grids/*-4.npy",
    "images/grids/copies-*.parquet",
    "cache/hashes.json",
    "cache/contamination/*.npy",
    "cache/contamination/*.pack",
    "mixes/decisions/*.parquet",
    "mixes/lock.json",
    "mixes/README.md",
    "mixes/croissant.json",
    "mixes/plots/*.svg",
    "mixes/review.parquet",
)
CACHES = ("pairs/*/*/sketches/*/*", "pairs/*/*/steps/*/*", "pairs/*/*/scores/*/*", "images/grids/*", "cache/**/*")


def damaged(data: bytes, how: str) -> bytes:
    """Cut in half, or with 8 KiB of zeros in the middle, as a disk may leave a file after a crash."""
    middle, zeros = len(data) // 2, bytes(min(8192, len(data) // 4))
    return data[:middle] if how == "cut" else data[:middle] + zeros + data[middle + len(zeros) :]


@pytest.fixture
def sweep(project):
    shutil.rmtree("data")
    Path("protected.txt").write_text("How many moons does the planet Mars have in our solar system?\n")
    mix(RECIPE + STEPS)
    return Sweep(project, Path("recipe.yaml"), Path("raw"))


@pytest.mark.parametrize("how", ["cut", "zeroed"])
def test_caches_that_are_cut_or_zeroed_are_made_again(sweep, how):
    files = [path for pattern in CACHES for path in sweep.data.glob(pattern) if path.is_file()]
    caches = [path for path in files if path.suffix in (".npy", ".arrow", ".parquet", ".json")]
    assert {path.suffix for path in caches} == {".npy", ".arrow", ".parquet", ".json"}
    for path in caches:
        path.write_bytes(damaged(path.read_bytes(), how))
    shutil.rmtree("data/mixes")
    assert sweep.run("caches", 0)[0] == "same"
    assert curate("verify", sweep.data, sweep.raw)[1] == ""


def test_a_flipped_byte_gives_the_same_mix(sweep):
    names = {kind(name): name for name in sorted(contents(sweep.kept)) if name != ".lock"}
    for one in KINDS:
        sweep.trial(names[one], 0.5)
    assert sweep.faults == []
    total = sum(sweep.counts.values(), Counter())
    assert total["verify: named"] == total["mix: same"] == len(KINDS)
    assert (total["rebuild: same"], total["rebuild: line, mended"]) == (len(KINDS) - 1, 1)
