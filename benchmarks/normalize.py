"""Raw files -> pairs: curate against `datasets` on the same files with the same adapters, side by side.

    python benchmarks/normalize.py                  1,000,000 pairs; results/normalize.json
    python benchmarks/normalize.py --pairs 20000    a quick look; writes no results file

curate reads the raw files with `curate normalize`, with a worker for each CPU. The peer does what its user would
write: `load_dataset` of each source's files, then a batched `map` with two processes that calls the same adapter
and gives the same columns. It computes no ids, keys or row addresses, hashes no inputs and explains no skipped
row.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import measure
import raw_files

WORKERS = 2
SOURCES = tuple(raw_files.SHARES)
HERE = Path(__file__).resolve()


# -------------------------------------------------------------------------------------------------- what is run


def by_curate(raw: Path, workspace: Path, names: Sequence[str] = SOURCES) -> measure.Cost:
    """`curate normalize` of the sources; its output is their manifests."""
    where: list[str | Path] = ["--raw", raw, "--workspace", workspace, "--json"]
    return measure.run([sys.executable, "-m", "curate", "normalize", *names, *where])


def by_peer(raw: Path, cache: Path, names: Sequence[str] = SOURCES) -> measure.Cost:
    """`load_dataset` and `map` of the sources into an empty cache; its output is the cache files by source."""
    environment = {
        "HF_DATASETS_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    return measure.run([sys.executable, HERE, "peer", raw, *names], environment)


def make(raw: Path, pairs: int, images: int = 0) -> int:
    """Make the raw files, in a process of its own; how many pairs they hold."""
    maker = HERE.with_name("raw_files.py")
    cost = measure.run([sys.executable, maker, raw, "--pairs", str(pairs), "--images", str(images)])
    size = sum(facts["bytes"] for facts in cost.output.values())
    files = sum(facts["files"] for facts in cost.output.values())
    print(f"made {files} raw files, {size / 1e9:.2f} GB, in {cost.wall:.0f} s", flush=True)
    return sum(facts["rows"] for facts in cost.output.values())


def pairs_files(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """The files of pairs that `curate normalize --json` names."""
    return [f"{one['directory']}/{part['file']}" for one in manifests for part in one["parts"]]


def content(files: Sequence[str]) -> dict[str, int]:
    """How many pairs the files hold, the bytes of their text, and a digest of all texts, whatever their order."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listing:
        json.dump(list(files), listing)
        listing.flush()
        found: dict[str, int] = measure.run([sys.executable, HERE, "content", listing.name]).output
    return found


def same(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, int]:
    """The content of both, which must be the same."""
    left, right = content(ours), content(theirs)
    if left != right:
        raise RuntimeError(f"not the same work: curate {left}, datasets {right}")
    return left


# ------------------------------------------------------------------------------- inside processes: the peer's work


def peer(raw: Path, names: Sequence[str]) -> None:
    """Load and map every source; print its cache files."""
    import datasets

    datasets.disable_progress_bars()
    print(json.dumps({name: [path for part in loaded(raw, name) for path in part] for name in names}))


def loaded(raw: Path, name: str) -> Iterator[list[str]]:
    """The cache files of a source, mapped; one list for each of its subsets."""
    import datasets

    from curate import sources

    source = sources.get(name)
    options = source.options() if source.options else None
    for files, context in row_files(raw / name, source, options):
        kind = "parquet" if files[0].endswith(".parquet") else "json"
        rows = datasets.load_dataset(kind, data_files=files, split="train", num_proc=min(WORKERS, len(files)))
        pairs = rows.map(
            columns,
            batched=True,
            remove_columns=rows.column_names,
            features=features(media="image" in rows.column_names),
            num_proc=WORKERS,
            fn_kwargs={"name": name, "options": options, "context": context},
        )
        yield [entry["filename"] for entry in pairs.cache_files]


def row_files(raw: Path, source: Any, options: Any) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """(files, what is known about their rows): one call of `load_dataset` each."""
    if source.row_files is None:
        yield sorted(str(path) for pattern in source.files for path in raw.glob(pattern)), {}
    else:
        for file in source.row_files(raw, options):
            yield [str(file.path)], dict(file.context)


def features(media: bool) -> Any:
    """The peer's columns: those of a pair that upstream decides."""
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("float64")
    dialogue = List({"role": text, "content": List({"type": text, "text": text})})
    found = {"source": text, "prompt": dialogue, "chosen": dialogue, "rejected": dialogue}
    found |= dict.fromkeys(("margin", "chosen_score", "rejected_score"), number)
    names = ("chosen_critique", "rejected_critique", "category", "annotator", "license", "extra")
    found |= dict.fromkeys(names, text)
    if media:
        found["images"] = List(Image(decode=False))
    return Features(found)


def columns(batch: dict[str, list[Any]], name: str, options: Any, context: dict[str, Any]) -> dict[str, list[Any]]:
    """A batch of upstream rows as columns of pairs, by curate's adapter; rows that give no pair are left out."""
    import orjson

    from curate import sources
    from curate.errors import SkipRow
    from curate.sources.base import Row

    source = sources.get(name)
    out: dict[str, list[Any]] = {column: [] for column in features(media="image" in batch)}
    for values in zip(*batch.values(), strict=True):
        row = Row(zip(batch, values, strict=True))
        row.context = context
        try:
            drafts = list(source.to_pairs(row, options) if options else source.to_pairs(row))
        except SkipRow:
            continue
        for draft in drafts:
            out["source"].append(name)
            for side in ("prompt", "chosen", "rejected"):
                out[side].append(plain(getattr(draft, side)))
            for column in ("margin", "chosen_score", "rejected_score", "chosen_critique", "rejected_critique"):
                out[column].append(getattr(draft, column))
            out["category"].append(draft.category)
            out["annotator"].append(draft.annotator or source.annotator)
            out["license"].append(draft.license or source.license)
            out["extra"].append(orjson.dumps(draft.extra, option=orjson.OPT_SORT_KEYS) if draft.extra else None)
            if "images" in out:
                out["images"].append([{"bytes": item.data, "path": item.path} for item in draft.media])
    return out


def plain(messages: Any) -> list[dict[str, Any]]:
    """Messages as the dicts that `datasets` takes."""
    return [
        {"role": role, "content": [{"type": kind, "text": text} for kind, text in blocks]}
        for role, blocks in messages
    ]


# ---------------------------------------------------------------------------- inside processes: the same content?


def digest(files: Sequence[str]) -> dict[str, int]:
    """Pairs, bytes of text and of images, and a 64-bit sum over the pairs, whose three dialogues hang together."""
    import numpy as np

    pairs, size, images, total = 0, 0, 0, np.uint64(0)
    for file in files:
        for batch in batches(file):
            pairs += batch.num_rows
            row = np.zeros(batch.num_rows, np.uint64)
            for number, side in enumerate(("prompt", "chosen", "rejected")):
                hashes, length = dialogues(batch.column(side))
                row = (row ^ (row >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + hashes * np.uint64(
                    2 * number + 1
                )
                size += length
            images += image_bytes(batch)
            total += np.sum(row ^ (row >> np.uint64(31)), dtype=np.uint64)
    return {"pairs": pairs, "text_bytes": size, "image_bytes": images, "digest": int(total)}


def image_bytes(batch: Any) -> int:
    """The bytes of all images in a batch, 0 where it has no such column."""
    import pyarrow.compute as pc

    if "images" not in batch.schema.names:
        return 0
    images = pc.list_flatten(batch.column("images"))
    return int(pc.sum(pc.binary_length(pc.struct_field(images, "bytes"))).as_py() or 0)


def batches(file: str) -> Iterator[Any]:
    """Record batches of a Parquet file, or of a cache file of `datasets`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.endswith(".parquet"):
        with pq.ParquetFile(file) as parquet:
            names = [
                name for name in ("prompt", "chosen", "rejected", "images") if name in parquet.schema_arrow.names
            ]
            yield from parquet.iter_batches(1024, columns=names)
    else:
        with pa.memory_map(file) as source, pa.ipc.open_stream(source) as stream:
            yield from stream


def dialogues(column: Any) -> tuple[Any, int]:
    """One 64-bit number for each dialogue, from its texts, and the bytes of all texts."""
    import numpy as np
    import polars as pl
    import pyarrow.compute as pc

    turns = column.flatten()
    content = pc.struct_field(turns, "content")
    texts = pc.struct_field(content.flatten(), "text").cast("large_string")
    before_turn, before_row = (
        np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy())]) for lists in (content, column)
    )
    hashes = pl.Series(values=pl.from_arrow(texts)).hash().to_numpy()
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
    edges = before_turn[before_row]
    return sums[edges[1:]] - sums[edges[:-1]], int(pc.sum(pc.binary_length(texts)).as_py() or 0)


# ------------------------------------------------------------------------------------------------------ the report


def compare(curate: measure.Cost, other: measure.Cost | None, pairs: int) -> dict[str, Any]:
    """Both costs with their rates and the ratio of wall times."""
    found = {"curate": rated(curate, pairs)}
    if other is not None:
        found["datasets"] = rated(other, pairs)
        found["ratio"] = {"wall": round(other.wall / curate.wall, 2), "cpu": round(other.cpu / curate.cpu, 2)}
    return found


def rated(cost: measure.Cost, pairs: int) -> dict[str, float]:
    """A cost as plain figures, with pairs a second."""
    return {"pairs_per_second": round(pairs / cost.wall), **cost.figures()}


HEAD = ("stage", "pairs/s", "wall s", "CPU s", "peak MB, one process", "all", "all, private", "written MB")


def rows(stage: str, found: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Lines of the table for one compared stage."""
    lines = []
    for who in ("curate", "datasets"):
        if who in found:
            cost = found[who]
            memory = (f"{cost[name]:,.0f}" for name in ("process_mb", "tree_mb", "private_mb", "written_mb"))
            rate = f"{cost['pairs_per_second']:,}"
            lines.append((f"{stage}, {who}", rate, cost["wall"], cost["cpu"], *memory))
    return lines


def scratch(given: Path | None, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Do the work in a new directory under `given`, which is removed afterwards."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="curate-bench-", dir=given))
    try:
        return work(directory)
    finally:
        shutil.rmtree(directory)


def benchmark(root: Path, pairs: int, skip_peer: bool) -> dict[str, Any]:
    """The whole benchmark: full size against the peer, and a quarter of it for the bound on memory."""
    pairs = make(root / "raw", pairs)
    ours = by_curate(root / "raw", root / "workspace")
    theirs = None if skip_peer else by_peer(root / "raw", root / "cache")
    found: dict[str, Any] = {**measure.facts(), "pairs": pairs, "normalize": compare(ours, theirs, pairs)}
    files = pairs_files(ours.output)
    cached = [] if theirs is None else [file for some in theirs.output.values() for file in some]
    found["content"] = content(files) if theirs is None else same(files, cached)
    shutil.rmtree(root)
    root.mkdir()
    pairs = make(root / "raw", pairs // 4)
    quarter = by_curate(root / "raw", root / "workspace")
    found["quarter"] = {"pairs": pairs, **compare(quarter, None, pairs)}
    return found


def arguments(about: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of this kind have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, default=None, help="scratch space (about 12 kB a pair), emptied again")
    parser.add_argument("--skip-peer", action="store_true", help="measure curate alone")
    parser.add_argument("--save", action="store_true", help="write the results file also at another size")
    return parser


def keep(name: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the results file of a full run."""
    if options.save or (options.pairs == 1_000_000 and not options.skip_peer):
        print(f"wrote {measure.save(name, found)}")


def main() -> None:
    """Measure, print a table, write results/normalize.json."""
    options = arguments(__doc__ or "").parse_args()
    found = scratch(options.dir, lambda root: benchmark(root, options.pairs, options.skip_peer))
    lines = rows("normalize", found["normalize"]) + rows("normalize, a quarter of it", found["quarter"])
    print(measure.table(lines, HEAD))
    if "ratio" in found["normalize"]:
        print(f"datasets / curate: {found['normalize']['ratio']}")
    keep("normalize", found, options)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["peer", raw, *names]:
            peer(Path(raw), names)
        case ["content", listing]:
            print(json.dumps(digest(json.loads(Path(listing).read_text()))))
        case _:
            main()
