"""The first pass of the shuffle: pairs files -> scatter files, from which the second pass takes bucket by bucket.

Each task reads a run of parts with about a bucket of selected text and holds it, so that what it writes for a
bucket is one piece, however many buckets there are: the cost of a pair does not depend on the size of the mix. A
piece has its pairs by rank.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from curate.arrays import frame
from curate.checksums import published, record, usable, write_record
from curate.engines.base import tick
from curate.mixing.flips import exchanged
from curate.mixing.shard_schema import REFERENCE, WEIGHT
from curate.parquet import opened
from curate.schema import PAIR

TAKEN = [field for field in PAIR if field.name != "row"]
SCATTER = pa.schema([*TAKEN, REFERENCE.field("repeat"), pa.field("rank", pa.uint32(), False)])

PLAIN = pa.ipc.IpcWriteOptions(compression=None)
"""Scatter files are not compressed: LZ4 saves two fifths of their bytes and costs a third more CPU in the whole
shuffle (33 us a pair of 3.3 kB, 43 with LZ4, 47 with zstd), and plain pieces are mapped where they are."""

BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterTask:
    """The batch `number` of the plan file says which pairs to take from these parts.

    `limits` are the first ranks of the buckets and the number of all rows.
    """

    number: int
    directory: Path
    parts: tuple[str, ...]
    limits: tuple[int, ...]
    plan: Path
    digest: str

    def __str__(self) -> str:
        return f"taking pairs from {self.directory}"

    @property
    def target(self) -> Path:
        """The scatter file: a record batch for each bucket, in their order."""
        return self.plan.with_name(f"scatter-{self.number:05d}.arrow")


def receipt(path: Path, digest: str) -> dict[str, Any] | None:
    """Return the facts of a file that is finished, if it belongs to this selection."""
    facts = record(path)
    return facts if facts is not None and facts.pop("digest") == digest else None


def scatter(task: ScatterTask) -> None:
    """Write the scatter file of a task, unless a killed run has finished it."""
    path = task.target.with_suffix(".json")
    if receipt(path, task.digest) is not None and usable(task.target):
        return
    with pa.memory_map(str(task.plan)) as source:
        taken = frame(pa.ipc.open_file(source).get_batch(task.number))
    schema = SCATTER.append(WEIGHT) if WEIGHT.name in taken.columns else SCATTER
    held = _merged(_taken_batches(task, taken, schema), schema)
    ranks = held.column("rank").to_numpy()
    order = np.argsort(ranks)
    edges = np.searchsorted(ranks, np.array(task.limits, np.uint32), sorter=order).tolist()
    # not synced: a receipt counts only while the file has its checksum
    with (
        published(task.target, synced=False) as temporary,
        pa.ipc.new_file(str(temporary), schema, options=PLAIN) as writer,
    ):
        for first, last in pairwise(edges):
            writer.write_batch(held.take(pa.array(order[first:last])))
    write_record(path, {"digest": task.digest})


def _merged(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Return the batches as one, column by column: of no more than one there are two copies at a time."""
    parts = [batch.columns for batch in batches] or [[pa.array([], field.type) for field in schema]]
    columns = [list(column) for column in zip(*parts, strict=True)]
    del parts
    merged = []
    for column in columns:
        merged.append(pa.concat_arrays(column))
        column.clear()
    return pa.RecordBatch.from_arrays(merged, schema=schema)


def by_rank(pieces: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the rows of all pieces, of which there is one at least, by their column `rank`."""
    joined = pa.concat_batches(pieces)
    return joined.take(pa.array(np.argsort(joined.column("rank").to_numpy())))


def between(piece: pa.RecordBatch, first: int, last: int) -> pa.RecordBatch:
    """Return the rows of a piece with ranks from `first` up to and without `last`."""
    start, end = np.searchsorted(piece.column("rank").to_numpy(), np.array([first, last], np.uint32))
    return piece.slice(start, end - start)


def bucket(scattered: Sequence[Path], number: int) -> list[pa.RecordBatch]:
    """Return the pieces of a bucket that have any rows, from all scatter files."""
    pieces = [pa.ipc.open_file(pa.memory_map(str(path))).get_batch(number) for path in scattered]
    return [piece for piece in pieces if piece.num_rows]


def _taken_batches(task: ScatterTask, taken: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The pairs taken as this schema, a batch of one part at a time."""
    for (part,), rows in taken.partition_by("part", as_dict=True, maintain_order=True).items():
        position, rank, repeat = (rows[name].to_numpy() for name in ("position", "rank", "repeat"))
        for start, batch in _batches(task.directory / task.parts[int(part)], position):
            first, last = np.searchsorted(position, [start, start + batch.num_rows])
            if first == last:
                continue
            places = position[first:last] - start
            whole = len(places) == batch.num_rows and bool((np.diff(places) == 1).all())
            chosen = batch if whole else batch.take(pa.array(places))
            if "flipped" in rows.columns:
                chosen = exchanged(chosen, rows["flipped"].to_numpy()[first:last])
            columns = [chosen.column(field.name) for field in TAKEN]
            columns += [pa.array(repeat[first:last]), pa.array(rank[first:last])]
            if WEIGHT.name in schema.names:
                columns.append(pa.array(rows[WEIGHT.name].to_numpy()[first:last]))
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            tick(rows=last - first)


def _batches(path: Path, position: npt.NDArray[np.uint32]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(position of its first row, batch) of the row groups that hold any of the positions."""
    columns = [field.name for field in TAKEN]
    with opened(path, mapped=True) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(position, [start, end])
            if first < last:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                    yield start, batch
                    start += batch.num_rows
            start = end
