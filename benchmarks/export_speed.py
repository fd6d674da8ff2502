"""Text pairs of a finished mix as trainers load them: pairs a second and memory of `curate export`.

    python benchmarks/export_speed.py                    1,000,000 pairs of 2.5 kB
    python benchmarks/export_speed.py --pairs 50000      a quick look; a results file from 200,000 pairs on

The mix is made up (Zipfian words, one to three turns), with the row groups and shards of `curate mix`; nothing but
the export is measured, the start of the interpreter included. "pairs/CPU s" counts the CPU of all processes, so it
means the same on a machine that others use too; the memory is that of the largest process.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import measure
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.checksums import hash_file
from curate.lock_file import FIELDS
from curate.mixing import shard_schema

SHARD_ROWS = 100_000
GROUP_ROWS = 10_000
FORMATS = ("trl-text", "openrlhf", "llama-factory", "ms-swift", "verl-rm", "axolotl", "webdataset", "mosaicml")
SCHEMA = shard_schema.columns(embed=False, messages=shard_schema.TEXT)


def texts(count: int, words: int, random: np.random.Generator) -> list[str]:
    """Texts of so many words on average, of a Zipfian vocabulary."""
    vocabulary = np.array([f"w{i:x}" if i < 500 else f"word{i}" for i in range(30_000)])
    sizes = random.poisson(words, count) + 1
    chosen = vocabulary[np.minimum(random.zipf(1.3, int(sizes.sum())), 29_999)]
    return [" ".join(some) for some in np.split(chosen, np.cumsum(sizes)[:-1])]


def rows(first: int, count: int, pool: list[str]) -> pa.Table:
    """So many pairs of a shard; texts come from the pool, ids from their number."""

    def text(i: int) -> str:
        return pool[i % len(pool)]

    prompts, chosen, rejected = [], [], []
    for i in range(first, first + count):
        turns = [
            {"role": "user" if turn % 2 == 0 else "assistant", "content": text(3 * i + turn)}
            for turn in range(1 + 2 * (i % 2))
        ]
        prompts.append(turns)
        chosen.append([{"role": "assistant", "content": text(7 * i + 5)}])
        rejected.append([{"role": "assistant", "content": text(11 * i + 6)}])
    given: dict[str, Any] = {
        "pair_id": [f"{i:032x}" for i in range(first, first + count)],
        "group_id": [f"{i:032x}" for i in range(first, first + count)],
        "source": ["made_up"] * count,
        "prompt": prompts,
        "chosen": chosen,
        "rejected": rejected,
        "media": [[]] * count,
        "margin": [float(i % 3) for i in range(count)],
        "repeat": [0] * count,
    }
    return pa.table([pa.array(given.get(one.name, [None] * count), one.type) for one in SCHEMA], schema=SCHEMA)


def make(directory: Path, pairs: int) -> int:
    """A finished mix of so many pairs; the bytes of its text."""
    directory.mkdir(parents=True)
    pool = texts(20_000, 110, np.random.default_rng(1))
    files, size = [], 0
    for number, first in enumerate(range(0, pairs, SHARD_ROWS)):
        path = directory / f"shard-{number:05d}.parquet"
        last = min(first + SHARD_ROWS, pairs)
        with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
            for start in range(first, last, GROUP_ROWS):
                table = rows(start, min(GROUP_ROWS, last - start), pool)
                size += sum(table[name].nbytes for name in shard_schema.SIDES)
                writer.write_table(table)
        facts = {"rows": last - first, "bytes": path.stat().st_size, "xxh3": hash_file(path)}
        files.append({"name": path.name, **facts})
    lock = {name: kind() for name, kind in FIELDS.items()} | {"name": "made_up", "fingerprint": "0" * 16}
    lock |= {"rows": pairs, "files": files, "recipe": {"shards": {"media": "embed"}}, "content": "text"}
    (directory / "lock.json").write_text(json.dumps(lock))
    return size


def main() -> None:
    """Export the mix in every format, print the table, save it at full size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dir", type=Path, default=Path("/tmp/curate-export-speed"), help="a scratch directory")
    given = parser.parse_args()
    shutil.rmtree(given.dir, ignore_errors=True)
    facts = measure.facts()
    size = make(given.dir / "mix", given.pairs)
    found, lines = {}, []
    for name in given.formats:
        command = [sys.executable, "-m", "curate", "export", given.dir / "mix", "--to", name, "--json"]
        where = ["--out", given.dir / name, "--workspace", given.dir / "data", "--workers", str(given.workers)]
        cost = measure.run([*command, *where])
        assert cost.output["splits"]["train"]["written"] == given.pairs, "pairs are missing"
        found[name] = {
            **cost.figures(),
            "pairs_per_s": round(given.pairs / cost.wall),
            "pairs_per_cpu_s": round(given.pairs / cost.cpu),
            "written_bytes": sum(file["bytes"] for file in cost.output["files"]),
        }
        lines.append((name, cost.wall, cost.cpu, *list(found[name].values())[-3:-1], cost.process_mb))
        print(measure.table(lines[-1:], HEAD), file=sys.stderr, flush=True)
        shutil.rmtree(given.dir / name)
    print(measure.table(lines, HEAD))
    if given.pairs >= 200_000 and given.formats == list(FORMATS):
        result = {**facts, "pairs": given.pairs, "text_bytes": size, "workers": given.workers, "formats": found}
        print(f"wrote {measure.save('export_speed', result)}")


HEAD = ("format", "wall s", "CPU s", "pairs/s", "pairs/CPU s", "largest process MB")

if __name__ == "__main__":
    main()
