"""Exact duplicates among pairs: curate against a bare scan of their texts, and against what people use.

    python benchmarks/exact_duplicates.py                     1,000,000 pairs of 3.2 kB of text
    python benchmarks/exact_duplicates.py --pairs 200000      fits any machine; no results file below a million

The pairs are made up (`raw_files.Prose`); 5 % repeat another pair word for word. They are written twice: as
upstream publishes such sets (three columns of text, Parquet with zstd) and as curate's pairs files. Every system
is a process of its own, start and imports included; rounds are interleaved, and the best of each counts. `inside`
leaves start and imports out. All that remove must remove exactly the planted copies, but for which one of each.

texts, decoded      reads the three columns batch by batch: the floor for whoever has the published files
texts, touched      and hashes every byte of them, a batch at a time
pairs, decoded      the three columns of the pairs files; nested, not compressed
pairs, touched      and hashes every byte of them
curate              `exact_duplicates` on the pairs files: loads the keys that normalize left there, and decides
curate, from texts  reads the published texts, makes the keys as normalize does, and decides
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measure

HERE = Path(__file__).resolve()
FULL = 1_000_000
FILE_PAIRS, BATCH = 50_000, 8192
PAIR_BYTES, COPIES, NEAR = 3200, 0.05, 20_000  # what may be copied: so many pairs before, or up to twice as many
TEXTS = ("prompt", "chosen", "rejected")


# ----------------------------------------------------------------------------------------------------------- pairs


def make(root: Path, count: int) -> None:
    """`root/texts` and `root/pairs`, and how many pairs repeat another one in `root/copies.json`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from curate.pairs.part import PARQUET

    for name in ("texts", "pairs"):
        (root / name).mkdir(parents=True)
    copies, pairs = 0, _pairs(count)
    for number, first in enumerate(range(0, count, FILE_PAIRS)):
        some = [next(pairs) for _ in range(min(FILE_PAIRS, count - first))]
        copies += sum(copied for copied, _ in some)
        rows = [texts for _, texts in some]
        columns = dict(zip(TEXTS, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), root / "texts" / f"{number:05}.parquet", compression="zstd")
        pq.write_table(_pairs_file(rows), root / "pairs" / f"part-{number:05}.parquet", **PARQUET)
    (root / "copies.json").write_text(str(copies))


def _pairs(count: int) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Whether it is a copy, and the texts of each pair."""
    from raw_files import SEED, Prose

    prose = Prose([SEED, 55])
    copied = (prose.rng.random(count) < COPIES).tolist()
    lengths = [prose.lengths(PAIR_BYTES * share // 10, count) for share in (2, 4, 4)]
    fresh: list[tuple[str, ...]] = []
    for is_copy, *sizes in zip(copied, *lengths, strict=True):
        if is_copy and fresh:
            yield True, fresh.pop(prose.draw() % len(fresh))  # nothing is copied twice
            continue
        texts = tuple(prose.text(size) for size in sizes)
        fresh.append(texts)
        fresh = fresh[-NEAR:] if len(fresh) > 2 * NEAR else fresh
        yield False, texts


def _pairs_file(rows: list[tuple[str, ...]]) -> Any:
    from curate.pairs.columns import PairColumns, finish, group_id
    from curate.sources.base import Draft

    columns = PairColumns("bench", None, None, None)
    for number, texts in enumerate(rows):
        prompt, chosen, rejected = _messages(texts)
        pair = finish("bench", Draft(prompt=prompt, chosen=chosen, rejected=rejected), (), 0)
        columns.add(f"{number}", group_id("bench", None, [pair]), pair)
    return columns.take()


def _messages(texts: tuple[str, ...]) -> list[Any]:
    """Prompt, chosen and rejected as dialogues of one turn."""
    from curate.schema import Block, Message

    roles = ("user", "assistant", "assistant")
    return [(Message(role, (Block("text", text),)),) for role, text in zip(roles, texts, strict=True)]


# -------------------------------------------------------------------------------------------- inside a process


def _batches(folder: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH, columns=list(TEXTS))


def _scan(folder: Path, *, touch: bool) -> None:
    import xxhash

    total = xxhash.xxh3_64()
    for batch in _batches(folder):
        for column in batch.columns if touch else ():
            for buffer in column.buffers():
                if buffer is not None:
                    total.update(buffer)


def curate_keys(root: Path) -> int:
    """The step on pairs files, as `curate mix` runs it."""
    from curate.engines.local import Local
    from curate.pairs.pool import PairsPool
    from curate.screening.screen import screen
    from curate.steps import build

    parts = tuple(sorted(path.name for path in (root / "pairs").glob("part-*.parquet")))
    pool = PairsPool(label="bench", source="bench", directory=root / "pairs", priority=0, parts=parts)
    with Local(1) as engine:
        screened = screen([pool], [("exact_duplicates", build("exact_duplicates", {}, "$"))], 0, engine)
    return screened.pools[0].decisions.height


def curate_texts(root: Path) -> int:
    """The step on texts: keys as `curate.pairs.columns` makes them, and the decision."""
    import gc

    import numpy as np
    import polars as pl

    from curate.engines.local import Local
    from curate.schema import messages_digest
    from curate.steps.corpus import Corpus
    from curate.steps.exact_duplicates import ExactDuplicates

    gc.disable()  # as normalize does
    found: list[pl.DataFrame] = []
    for batch in _batches(root / "texts"):
        rows = zip(*(batch.column(name).to_pylist() for name in TEXTS), strict=True)
        digests = b"".join([messages_digest(one) for texts in rows for one in _messages(texts)])
        keys = np.frombuffer(digests, "<u8")[::2].reshape(-1, 3)
        found.append(pl.DataFrame(keys, schema=[f"{name}_key" for name in TEXTS]))
    frame = pl.concat(found).with_row_index("index").with_columns(priority=pl.lit(0), order=pl.col("index"))
    corpus = Corpus(pools=(), images=root, seed=0, engine=Local(1), places={})
    return ExactDuplicates().decide(frame, corpus).height


def polars_unique(root: Path) -> int:
    """The texts themselves, in memory."""
    import polars as pl

    frame = pl.read_parquet(root / "texts" / "*.parquet")
    return frame.height - frame.unique().height


def polars_hash(root: Path) -> int:
    """A 64-bit hash of each text made in the scan; not the same in another version of polars."""
    import polars as pl

    hashes = pl.scan_parquet(root / "texts" / "*.parquet").select(pl.col(name).hash() for name in TEXTS)
    frame = hashes.collect(engine="streaming")
    return frame.height - frame.unique().height


def pandas(root: Path) -> int:
    """`drop_duplicates` of all columns, in memory."""
    import pandas as pd

    frame = pd.read_parquet(root / "texts")
    return len(frame) - len(frame.drop_duplicates())


def datasets(root: Path) -> int:
    """A `map` that hashes and a `filter` that knows what it has seen; what is kept is not written."""
    import tempfile

    import xxhash
    from datasets import load_dataset

    def hashed(batch: dict[str, list[str]]) -> dict[str, list[str]]:
        rows = zip(*(batch[name] for name in TEXTS), strict=True)
        return {"hash": [xxhash.xxh3_128_hexdigest("\0".join(texts).encode()) for texts in rows]}

    def unseen(batch: dict[str, list[str]]) -> list[bool]:
        return [not (one in seen or seen.add(one)) for one in batch["hash"]]  # type: ignore[func-returns-value]

    seen: set[str] = set()
    with tempfile.TemporaryDirectory(dir=root) as cache:
        rows = load_dataset("parquet", data_dir=str(root / "texts"), split="train", cache_dir=cache)
        kept = rows.map(hashed, batched=True, remove_columns=list(TEXTS)).filter(unseen, batched=True)
        return len(rows) - len(kept)


SYSTEMS: dict[str, Callable[[Path], int | None]] = {
    "texts, decoded": lambda root: _scan(root / "texts", touch=False),
    "texts, touched": lambda root: _scan(root / "texts", touch=True),
    "pairs, decoded": lambda root: _scan(root / "pairs", touch=False),
    "pairs, touched": lambda root: _scan(root / "pairs", touch=True),
    "curate": curate_keys,
    "curate, from texts": curate_texts,
    "polars hash in the scan": polars_hash,
    "polars unique": polars_unique,
    "pandas drop_duplicates": pandas,
    "datasets map and filter": datasets,
}
IMPORTS = {
    "curate": "curate.screening.screen, curate.steps",
    "polars": "polars",
    "pandas": "pandas",
    "datasets": "datasets",
}


def inside(name: str, root: Path) -> None:
    """One system, in this process: prints how many pairs it removes, and the seconds after its imports."""
    for module in ["pyarrow.parquet", "xxhash", *IMPORTS.get(name.split()[0].rstrip(","), "").split(", ")]:
        if module:
            __import__(module)
    started = time.perf_counter()
    removed = SYSTEMS[name](root)
    print(json.dumps({"removed": removed, "inside": round(time.perf_counter() - started, 2)}))


# ------------------------------------------------------------------------------------------------- measurements


def benchmark(root: Path, rounds: int) -> dict[str, Any]:
    """Every system, interleaved: the best wall, CPU and inside of each, the worst memory."""
    copies, found = json.loads((root / "copies.json").read_text()), dict[str, Any]()
    for number in range(rounds):
        for name in SYSTEMS:
            try:
                cost = measure.run([sys.executable, HERE, "inside", name, root])
            except RuntimeError as error:
                print(f"{name} fails: {error}", file=sys.stderr)
                continue
            assert cost.output["removed"] in (None, copies), f"{name} removes {cost.output}, not {copies}"
            figures = {**cost.figures(), "inside": cost.output["inside"]}
            best = found.setdefault(name, figures)
            best |= {key: min(best[key], figures[key]) for key in ("wall", "cpu", "inside")}
            best |= {key: max(best[key], figures[key]) for key in ("process_mb", "tree_mb", "private_mb")}
            print(f"round {number + 1}: {name} {cost.wall:.1f} s", file=sys.stderr, flush=True)
    return found


def show(found: dict[str, Any]) -> None:
    """Print the table; x is how many times the floor of the same files, decoded."""
    rows = []
    for name, one in found.items():
        floor = found["pairs, decoded" if name == "curate" or name.startswith("pairs") else "texts, decoded"]
        times = [f"{one[key] / floor[key]:.2f}" for key in ("wall", "cpu", "inside")]
        cells = [one["wall"], times[0], one["cpu"], times[1], one["inside"], times[2], round(one["process_mb"])]
        rows.append((name, *cells))
    print(measure.table(rows, ("system", "wall s", "x", "CPU s", "x", "inside s", "x", "peak MB")))


def main() -> None:
    """Make pairs, run everything, print the table, write results/exact_duplicates_<pairs>.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=FULL)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--dir", type=Path, default=Path("/tmp/curate-exact"), help="scratch; the pairs stay there"
    )
    parser.add_argument("--save", action="store_true", help="write the results file below full size too")
    given = parser.parse_args()
    root = given.dir / str(given.pairs)
    if not (root / "copies.json").exists():
        measure.run([sys.executable, HERE, "make", root, str(given.pairs)])
    found = {**measure.facts(), "pairs": given.pairs, "rounds": given.rounds}
    found["bytes"] = {
        name: sum(path.stat().st_size for path in (root / name).iterdir()) for name in ("texts", "pairs")
    }
    found["systems"] = benchmark(root, given.rounds)
    show(found["systems"])
    if given.save or given.pairs >= FULL:
        print(measure.save(f"exact_duplicates_{given.pairs}", found))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", directory, count]:
            make(Path(directory), int(count))
        case ["inside", system, directory]:
            inside(system, Path(directory))
        case _:
            main()
