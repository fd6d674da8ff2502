"""Where normalize's time goes, source by source: CPU us a pair by stage, beside what the stage costs at the least.

    python benchmarks/normalize_stages.py                    100,000 pairs; results/normalize_stages.json
    python benchmarks/normalize_stages.py --raw DIR          files that are there; writes no results file

One process, no pool. The stages are those of `curate.pairs.part`, called in its order:

read      file -> Arrow columns, or rows where the source has no column function (decompression and JSON included)
adapter   the column function, or the row adapter
images    media found, checked and written to the store
ids       digests, ids, keys and columns of pairs
write     Parquet
hash      of the raw file and of the part

*Floors* are measured too: `read` of Parquet by pyarrow alone, of the columns that the source reads, and of JSON
lines by orjson, line by line; `write` of the same table once more; `hash` needs no other.
"""

import argparse
import gzip
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import measure
import normalize
import numpy as np
import orjson
import pyarrow.parquet as pq

from curate import sources
from curate.checksums import hash_file
from curate.images.store import ImageStore
from curate.pairs.batches import GivenRow, Places, places_of, tables_of, tabulated
from curate.pairs.part import FLUSH_PAIRS, PARQUET, SliceTask, _Part
from curate.pairs.resolver import Resolver
from curate.pairs.row_groups import RowGroups
from curate.rawfiles.bad_rows import BadRow
from curate.rawfiles.media_finder import MediaSpec
from curate.rawfiles.row_files import row_files
from curate.rawfiles.rows import Slice, pieces, row_pieces, slices
from curate.schema import PAIRS_FILE

STAGES = ("read", "adapter", "images", "ids", "write", "hash")


class Clock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what the block takes."""
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds[stage] += time.process_time() - started


def task_of(name: str, raw: Path, home: Path, found: list[Slice]) -> SliceTask:
    """The task of a source, all slices in one."""
    source = sources.get(name)
    spec = MediaSpec(
        raw=raw, patterns=source.media + source.local_media, match=source.media_match, cache=home / "archives"
    )
    return SliceTask(
        name=name, source=source, options=source.options() if source.options else None, slices=tuple(found),
        inputs=(), media=spec, images=home / "images", directory=home, number=0, license=source.license,
        revision=None, max_pixels=10**8, strict_images=False, max_skip=1.0,
    )  # fmt: skip


def measured(name: str, raw: Path, home: Path) -> dict[str, Any]:
    """CPU us a pair of each stage, and the floors of read and write."""
    source, clock = sources.get(name), Clock()
    found = slices(raw, row_files(source, raw, source.options() if source.options else None))
    part, path = _Part(task_of(name, raw, home, found)), home / "part.parquet"
    with clock("hash"):
        for file in dict.fromkeys(one.file.path for one in found):
            hash_file(file)
    with ImageStore(home / "images").writer() as writer, pq.ParquetWriter(path, PAIRS_FILE, **PARQUET) as file:
        resolver = Resolver(part.task.media.open(), writer, 10**8, strict=False)
        groups = RowGroups(file, FLUSH_PAIRS)
        for one in found:
            for table, numbers in tables(part, one, resolver, clock):
                part.pairs += len(numbers)
                with clock("write"):
                    groups.add(table, numbers)
        with clock("write"):
            groups.end()
    with clock("hash"):
        hash_file(path)
    per_pair = 1e6 / part.pairs
    return {
        "source": name,
        "pairs": part.pairs,
        **{stage: round(seconds * per_pair, 1) for stage, seconds in clock.seconds.items()},
        "all": round(sum(clock.seconds.values()) * per_pair, 1),
        "read_floor": round(read_floor(source, found) * per_pair, 1),
        "write_floor": round(write_floor(path, home / "again.parquet") * per_pair, 1),
    }


def tables(part: Any, one: Slice, resolver: Resolver, clock: Clock) -> Iterator[tuple[Any, Any]]:
    """The pairs of a slice, as `_Part` makes them, the clock running by stage."""
    waiting = (
        pieces(one, part.use, part.task.source.types) if part.task.source.columns else row_pieces(one, part.use)
    )
    while True:
        with clock("read"):
            piece = next(waiting, None)
        if piece is None:
            return
        with clock("adapter"):
            drafts = part._columns(one, piece)
        rest = None
        if drafts is not None:
            numbers, rest = piece.numbers[drafts.fits], ~drafts.fits
            with clock("images"):
                media = [resolver(items) for items in drafts.media]
            with clock("ids"):
                places = Places(rows=places_of(one.name, numbers), row_of=numbers)
                yield (
                    tabulated(
                        part.stamp, drafts, places, [found for found, _ in media], [size for _, size in media]
                    ),
                    numbers,
                )
        if rest is None or rest.any():
            yield from of_rows(part, one, piece, rest, resolver, clock)


def of_rows(
    part: Any, one: Slice, piece: Any, wanted: Any, resolver: Resolver, clock: Clock
) -> Iterator[tuple[Any, Any]]:
    """The pairs of rows that go to the adapter."""
    with clock("read"):
        rows = [(number, row) for number, row in piece.rows(wanted) if not isinstance(row, BadRow)]
    with clock("adapter"):
        drafts = [(number, part._drafts(row, "")) for number, row in rows]
    with clock("images"):
        given = [GivenRow(number, some, [resolver(draft.media) for draft in some]) for number, some in drafts]
    with clock("ids"):
        made = list(tables_of(part.stamp, one.name, given, {}))
    yield from made


def read_floor(source: Any, found: list[Slice]) -> float:
    """CPU seconds of reading the files with nothing made of them."""
    started = time.process_time()
    for one in found:
        path = one.file.path
        if path.suffix == ".parquet":
            groups = range(one.start, one.stop) if one.stop is not None else None
            with pq.ParquetFile(path) as file:
                names = [name for name in file.schema_arrow.names if source.reads is None or name in source.reads]
                for _ in file.iter_batches(4096, row_groups=groups, columns=names, use_threads=False):
                    pass
        elif not one.file.member:
            with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
                stream.seek(one.start)
                data = stream.read() if one.stop is None else stream.read(one.stop - one.start)
            for line in data.splitlines():
                orjson.loads(line)
    return time.process_time() - started


def write_floor(path: Path, target: Path) -> float:
    """CPU seconds of writing the pairs once more."""
    table = pq.read_table(path)
    started = time.process_time()
    pq.write_table(table, target, row_group_size=FLUSH_PAIRS, **PARQUET)
    return time.process_time() - started


def benchmark(root: Path, raw: Path, names: list[str]) -> dict[str, Any]:
    """A row for each source; each is measured twice, and the second time counts."""
    rows = []
    for name in names:
        for _ in range(2):
            with tempfile.TemporaryDirectory(dir=root) as home:
                row = measured(name, raw / name, Path(home))
        rows.append(row)
        print(row, flush=True)
    return {**measure.facts(), "sources": rows}


def main() -> None:
    """Measure, print a table, write results/normalize_stages.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--raw", type=Path, help="raw files, one folder a source")
    parser.add_argument("--sources", nargs="*")
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    np.seterr(all="raise")

    def work(root: Path) -> dict[str, Any]:
        raw = given.raw or root / "raw"
        if given.raw is None:
            normalize.make(raw, given.pairs, given.pairs // 50)
        names = given.sources or sorted(path.name for path in raw.iterdir() if path.is_dir())
        return benchmark(root, raw, names)

    found = normalize.scratch(given.dir, work)
    head = ("source", "pairs", *STAGES, "all", "read_floor", "write_floor")
    print(measure.table([[row[name] for name in head] for row in found["sources"]], head))
    if given.save or given.raw is None:
        print(measure.save("normalize_stages", found))


if __name__ == "__main__":
    main()
