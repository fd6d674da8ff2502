"""Copies among distinct images: what is found, what is wrongly taken for a copy, and what it costs.

    python benchmarks/image_duplicates.py                    100,000 distinct images, 5,000 copies: half an hour
    python benchmarks/image_duplicates.py --images 20000     a quick look; writes no results file without --save

`drawings.py` says what is drawn: photographs, and charts, plots, slides, screenshots, bills and nearly empty pages
of which hundreds share a template and differ in their values or words. One image in 20 has a copy: JPEG or WebP of
quality 30 to 95, PNG, 1/4 to 2 times the size, or both. curate is `find_copies` with 2 workers, from a
store without grids; the peer is `imagehash.phash` of every image in 2 processes and all pairs within a distance of
4 (pip install imagehash; its search is ours, by numpy, and none of its time). A pair is right if it is a planted
copy with its own original.
"""

import argparse
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import drawings
import measure
import numpy as np
import polars as pl
from PIL import Image

from curate.engines.local import Local
from curate.images.copies import LOOK_ALIKE, find_copies
from curate.images.packs import Packs
from curate.images.store import ImageStore

HERE = Path(__file__).resolve()
WORKERS = 2
SHARD = 2500  # images drawn by one task
EVERY = 20
DISTANCE = 4


# ------------------------------------------------------------------------------------------------ what is planted


def draw(directory: Path, images: int) -> None:
    """Draw the images and their copies into a store, and write down which is which; what is there stays."""
    shards = [(directory, first) for first in range(0, images, SHARD) if not _truth(directory, first).exists()]
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(_draw, *zip(*shards, strict=True)) if shards else ())


def _truth(directory: Path, first: int) -> Path:
    return directory / "truth" / f"{first:07d}.json"


def _draw(directory: Path, first: int) -> None:
    truth = []
    with ImageStore(directory / "images").writer() as writer:
        for number in range(first, first + SHARD):
            data = drawings.original(number)
            row = {"original": writer.put(data).key, "kind": drawings.kind(number)}
            if number % EVERY == number // EVERY % EVERY:
                row["change"], data = drawings.copied(data, number)
                row["copy"] = writer.put(data).key
            truth.append(row)
    _truth(directory, first).parent.mkdir(parents=True, exist_ok=True)
    _truth(directory, first).write_text(json.dumps(truth))


def planted(directory: Path, images: int) -> list[dict[str, str]]:
    """For each image its key and kind; if it was copied, `copy` is the key of that and `change` what was done."""
    return [row for first in range(0, images, SHARD) for row in json.loads(_truth(directory, first).read_text())]


def keys(truth: Iterable[dict[str, str]]) -> list[str]:
    """All keys, of copies and of others."""
    return sorted({row[name] for row in truth for name in ("original", "copy") if name in row})


# ------------------------------------------------------------------------------------------- inside processes


def by_curate(directory: Path, images: int) -> dict[str, Any]:
    """The pairs that curate takes for copies."""
    wanted = keys(planted(directory, images))
    with Local(WORKERS) as engine:
        start = time.perf_counter()
        found = find_copies(wanted, Packs(directory / "images"), engine)
        seconds, sure = time.perf_counter() - start, pl.col("how") != LOOK_ALIKE
        pairs = {"pairs": found.filter(sure).select("key", "of").rows()}
        return {"seconds": seconds, **pairs, "flagged": found.filter(~sure).height}


def by_peer(directory: Path, images: int) -> dict[str, Any]:
    """The pairs whose perceptual hashes by `imagehash` are near each other; `seconds` is the hashing alone."""
    wanted = keys(planted(directory, images))
    chunks = [wanted[at : at + 500] for at in range(0, len(wanted), 500)]
    start = time.perf_counter()
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        hashed = [one for some in pool.map(_hash, [directory] * len(chunks), chunks) for one in some]
    seconds = time.perf_counter() - start
    hashes, count, sample = np.array(hashed, np.uint64), 0, []
    for at in range(len(hashes)):
        near = np.flatnonzero(np.bitwise_count(hashes[at + 1 :] ^ hashes[at]) <= DISTANCE) + at + 1
        count += len(near)
        sample.append(near.astype(np.uint32))
    pairs = set(_planted_pairs(planted(directory, images)))
    place = {key: at for at, key in enumerate(wanted)}
    right = [
        pair for pair in pairs
        if (ends := sorted((place[pair[0]], place[pair[1]])))[1] in sample[ends[0]]
    ]  # fmt: skip
    return {"seconds": seconds, "count": count, "pairs": right}


def _hash(directory: Path, some: list[str]) -> list[int]:
    import imagehash  # type: ignore[import-not-found, unused-ignore]

    store = Packs(directory / "images")
    return [int(str(imagehash.phash(Image.open(io.BytesIO(store.read(key))))), 16) for key in some]


def _planted_pairs(truth: Iterable[dict[str, str]]) -> list[tuple[str, str]]:
    return [(row["copy"], row["original"]) for row in truth if row.get("copy", row["original"]) != row["original"]]


# ------------------------------------------------------------------------------------------------ the measurement


def judged(truth: list[dict[str, str]], output: dict[str, Any]) -> dict[str, Any]:
    """Recall and precision, and of what is missed and wrong what it was."""
    want = {frozenset(pair) for pair in _planted_pairs(truth)}
    found = {frozenset(pair) for pair in output["pairs"]}
    count = output.get("count", len(found))
    right = len(want & found)
    kinds = {row[name]: row["kind"] for row in truth for name in ("original", "copy") if name in row}
    done = {row["copy"]: row["change"] for row in truth if "copy" in row}
    total = Counter(done[copy] for copy, _ in _planted_pairs(truth))
    missed = [
        (kinds[copy], done[copy]) for copy, of in _planted_pairs(truth) if frozenset((copy, of)) not in found
    ]
    by_change = Counter(change for _, change in missed)
    wrong = Counter(" and ".join(sorted(kinds[key] for key in pair)) for pair in found - want)
    return {
        "copies": len(want),
        "pairs_found": count,
        "look_alikes_flagged": output.get("flagged", 0),
        "recall": round(right / len(want), 4),
        "precision": round(right / max(count, 1), 6),
        "recall_by_change": {name: round(1 - by_change[name] / total[name], 4) for name in sorted(total)},
        "missed_by_kind": dict(Counter(kind for kind, _ in missed).most_common()),
        "wrong_by_kinds": dict(wrong.most_common()),
    }


def main() -> None:
    """Draw, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, default=Path("/tmp/curate-image-duplicates"))
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--skip-peer", action="store_true")
    options = parser.parse_args()
    directory: Path = options.dir
    draw(directory, options.images)
    truth = planted(directory, options.images)
    for path in (directory / "images" / "grids").glob("*"):
        path.unlink()
    results: dict[str, Any] = {**measure.facts(), "images": options.images, "workers": WORKERS, "ways": {}}
    for name in ["curate"] if options.skip_peer else ["curate", "phash"]:
        cost = measure.run([sys.executable, HERE, name, directory, str(options.images)])
        seconds = cost.output["seconds"]
        rate = {"seconds": round(seconds, 1), "images_per_second": round(len(keys(truth)) / seconds, 1)}
        results["ways"][name] = {**judged(truth, cost.output), **rate, **cost.figures()}
    head = ("way", "recall", "precision", "pairs found", "images/s", "CPU s", "peak MB")
    rows = [
        (name, str(way["recall"]), str(way["precision"]), str(way["pairs_found"]), way["images_per_second"],
         way["cpu"], way["process_mb"])
        for name, way in results["ways"].items()
    ]  # fmt: skip
    print(measure.table(rows, head))
    print(json.dumps(results["ways"], indent=2))
    if options.save or options.images == parser.get_default("images"):
        print(measure.save("image_duplicates", results))


if __name__ == "__main__":
    ways = {"curate": by_curate, "phash": by_peer}
    if len(sys.argv) == 4 and sys.argv[1] in ways:
        print(json.dumps(ways[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
