"""The memory that `near_dedup` takes in the process that runs a build, as a slope in bytes a pair.

    python benchmarks/near_dedup_memory.py

Min-hashes are random, so that no pair has a near-duplicate: what is measured grows with all pairs. Pairs that have
one take their slots, 256 bytes, and their shingles besides. Band keys take up to 256 MB, which 3.4 million pairs
fill: the slope is that above.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from measure import facts, run, save, table

from curate.engines.local import Local
from curate.near_duplicates.sketch_format import ROW, SLOTS
from curate.pairs.pool import PairsPool
from curate.steps.base import KEYS
from curate.steps.corpus import Corpus
from curate.steps.near_dedup import NearDedup

PART = 100_000


def sketches(folder: Path, parts: int) -> None:
    """Write sketch files of random min-hashes."""
    for part in range(len(list(folder.glob("*.npy"))), parts):
        draw = np.random.default_rng(part)
        rows = np.zeros(PART, ROW)
        rows["same"] = draw.integers(0, 2**64, PART, np.uint64)
        rows["slots"] = draw.integers(0, 2**16, (PART, SLOTS), np.uint16)
        np.save(folder / f"part-{part:05d}.npy", rows)


def keys(parts: int) -> pl.DataFrame:
    """The key columns that the step reads, of pairs in a random order."""
    count, draw = parts * PART, np.random.default_rng(1)
    made = {
        "index": np.arange(count), "priority": np.zeros(count), "pool": np.zeros(count),
        "order": draw.integers(0, 2**64, count, np.uint64), "part": np.repeat(np.arange(parts), PART),
        "position": np.tile(np.arange(PART), parts),
    }  # fmt: skip
    wanted = ("index", *NearDedup.reads)
    return pl.DataFrame({name: pl.Series(name, made[name]).cast(KEYS[name]) for name in wanted})


def decide(folder: Path, parts: int) -> None:
    """Run the step; nothing else is in this process."""
    step = NearDedup()
    names = tuple(f"part-{part:05d}.parquet" for part in range(parts))
    pool = PairsPool(label="made", source="made", directory=folder, priority=0, parts=names)
    with Local(1) as engine:
        corpus = Corpus(pools=(pool,), images=folder, seed=0, engine=engine, places={step.minhash: ""})
        assert step.decide(keys(parts), corpus).height == 0


def main() -> None:
    """Measure each number of pairs in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[4_000_000, 8_000_000])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        decide(given.folder, given.pairs[0] // PART)
        return
    results = facts() | {"steps": []}
    with tempfile.TemporaryDirectory() as name:
        for pairs in sorted(given.pairs):
            sketches(Path(name), pairs // PART)
            cost = run([sys.executable, __file__, "--pairs", str(pairs), "--folder", name])
            results["steps"].append({"pairs": pairs, **cost.figures()})
    rows = [[f"{one['pairs']:,}", one["private_mb"], one["cpu"]] for one in results["steps"]]
    print(table(rows, ("pairs", "anonymous MB", "CPU s")))
    least, most = results["steps"][0], results["steps"][-1]
    results["bytes_a_pair"] = 1e6 * (most["private_mb"] - least["private_mb"]) / (most["pairs"] - least["pairs"])
    print(f"{results['bytes_a_pair']:.0f} bytes a pair")
    save("near_dedup_memory", results)


if __name__ == "__main__":
    main()
