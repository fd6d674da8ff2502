"""Pairs -> globally shuffled shards: curate against `datasets`, and the whole way from raw files to shards.

    python benchmarks/mix.py                                 1,000,000 text pairs, 20,000 pairs with images
    python benchmarks/mix.py --pairs 20000 --images 1000     a quick look; writes no results file

curate runs `curate mix`, with a worker for each CPU, on pairs that `curate normalize` made: key columns,
selection, global order, shards (zstd). The peer does what its user would write: `concatenate_datasets` of what
its `map` made, `select` by a seeded permutation, and `to_parquet` of as many shards, in two processes (text in
snappy and images as they are: it takes no other choice). It has no quotas, no lock, no hashes of its files, and
its order depends on that of its input.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
import normalize as first

HERE = Path(__file__).resolve()
SHARD_MB = 256


# -------------------------------------------------------------------------------------------------- what is run


def by_curate(raw: Path, workspace: Path, names: Sequence[str]) -> measure.Cost:
    """`curate mix` of all pairs of the sources, without steps; its output is the lock and its directory."""
    recipe = workspace / "bench.yaml"
    sources = "".join(f"  {name}: all\n" for name in names)
    recipe.write_text(
        f"name: bench\nseed: 1\nsources:\n{sources}steps:\n  - ties: false\n"
        f"shards: {{max_mb: {SHARD_MB}, content: blocks}}\n"
    )
    where: list[str | Path] = ["--raw", raw, "--workspace", workspace, "--json"]
    return measure.run([sys.executable, "-m", "curate", "mix", recipe, *where])


def by_peer(cached: Sequence[str], directory: Path, shards: int) -> measure.Cost:
    """The same pairs in another seeded order, as so many shards; its output is their paths."""
    directory.mkdir()
    listing = directory / "listing.json"
    listing.write_text(json.dumps(list(cached)))
    environment = {"HF_DATASETS_CACHE": str(directory / "cache"), "HF_HUB_OFFLINE": "1"}
    return measure.run([sys.executable, HERE, "peer", listing, directory, str(shards)], environment)


# ------------------------------------------------------------------------------- inside processes: the peer's work


def peer(listing: Path, directory: Path, shards: int) -> None:
    """Concatenate, permute, write; print the paths of the shards."""
    import multiprocessing

    import datasets
    import numpy as np

    datasets.disable_progress_bars()
    parts = [datasets.Dataset.from_file(path) for path in json.loads(listing.read_text())]
    whole = datasets.concatenate_datasets(parts)
    mixed = whole.select(np.random.default_rng(1).permutation(len(whole)))
    with multiprocessing.get_context("fork").Pool(first.WORKERS) as pool:
        paths = pool.map(partial(write, mixed, directory, shards), range(shards), chunksize=1)
    print(json.dumps(paths))


def write(mixed: Any, directory: Path, shards: int, number: int) -> str:
    """One shard of the permuted pairs."""
    path = str(directory / f"shard-{number:05}.parquet")
    shard = mixed.shard(shards, number, contiguous=True)
    shard.to_parquet(path)
    return path


# ------------------------------------------------------------------------------------------------------ the report


def least(rounds: int, place: Path, run: Callable[[], measure.Cost]) -> measure.Cost:
    """The cost of the fastest round; each begins without what the one before left at the place.

    Memory that the machine's host has taken back is paid for by whoever gets it first: up to a quarter of a stage.
    """
    costs = []
    for _ in range(rounds):
        shutil.rmtree(place, ignore_errors=True)
        costs.append(run())
    return min(costs, key=lambda cost: cost.wall)


def both(root: Path, names: Sequence[str], pairs: int, skip_peer: bool, rounds: int) -> dict[str, Any]:
    """Normalize and mix on either side, from the raw files in `root/raw`; the content of the shards must agree."""
    raw, workspace = root / "raw", root / "workspace"
    ours = least(rounds, workspace, lambda: first.by_curate(raw, workspace, names))
    our_mix = least(rounds, workspace / "mixes", lambda: by_curate(raw, workspace, names))
    shards = [str(Path(our_mix.output["directory"]) / file["name"]) for file in our_mix.output["files"]]
    theirs = their_mix = None
    if not skip_peer:
        theirs = least(rounds, root / "cache", lambda: first.by_peer(raw, root / "cache", names))
        cached = [file for some in theirs.output.values() for file in some]
        their_mix = least(rounds, root / "peer", lambda: by_peer(cached, root / "peer", len(shards)))
    found: dict[str, Any] = {
        "pairs": pairs,
        "shards": len(shards),
        "normalize": first.compare(ours, theirs, pairs),
        "mix": first.compare(our_mix, their_mix, pairs),
        "content": first.content(shards) if their_mix is None else first.same(shards, their_mix.output),
    }
    if found["content"]["pairs"] != pairs:
        raise RuntimeError(f"the shards hold {found['content']['pairs']:,} pairs, not {pairs:,}")
    if theirs is not None and their_mix is not None:
        walls = theirs.wall + their_mix.wall, ours.wall + our_mix.wall
        found["total"] = {"datasets_s": round(walls[0], 1), "curate_s": round(walls[1], 1)}
        found["total"]["ratio"] = round(walls[0] / walls[1], 2)
    return found


def benchmark(root: Path, pairs: int, images: int, skip_peer: bool, rounds: int) -> dict[str, Any]:
    """Text at full size, text at a quarter of it (curate alone, for the bound on memory), images."""
    found: dict[str, Any] = {**measure.facts(), "shard_mb": SHARD_MB, "rounds": rounds}
    for name, size, pictures, alone in (
        ("text", pairs, 0, skip_peer),
        ("quarter", pairs // 4, 0, True),
        ("images", 0, images, skip_peer),
    ):
        if size or pictures:
            made = first.make(root / "raw", size, pictures)
            names = ("rlaif_v",) if pictures else first.SOURCES
            found[name] = both(root, names, made, alone, rounds)
            show(name, found[name])
            shutil.rmtree(root)
            root.mkdir()
    return found


def show(name: str, found: dict[str, Any]) -> None:
    """Print one part of the results."""
    lines = first.rows("normalize", found["normalize"]) + first.rows("mix", found["mix"])
    print(f"\n{name}: {found['pairs']:,} pairs into {found['shards']} shards\n")
    print(measure.table(lines, first.HEAD))
    if "total" in found:
        stages = {stage: found[stage]["ratio"]["wall"] for stage in ("normalize", "mix")}
        print(f"wall, datasets / curate: {stages}, raw files to shards: {found['total']}", flush=True)


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = first.arguments(__doc__ or "")
    parser.add_argument("--images", type=int, default=20_000, help="pairs with one image of 60 kB each; 0: none")
    parser.add_argument("--rounds", type=int, default=2, help="each stage so often; the fastest counts")
    return parser.parse_args()


def main() -> None:
    """Measure, print tables, write results/mix.json."""
    given = options()
    found = first.scratch(
        given.dir, lambda root: benchmark(root, given.pairs, given.images, given.skip_peer, given.rounds)
    )
    first.keep("mix", found, given)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["peer", listing, directory, shards]:
            peer(Path(listing), Path(directory), int(shards))
        case _:
            main()
