"""Selected pairs -> shard files, in two passes whose memory does not grow with the mix.

The cut into shards and row groups follows from the selection alone. Pass 1 reads every part once and scatters the
pairs taken from it over buckets (a bucket is a run of shards); pass 2 gathers one bucket at a time, puts it into
order and writes its shards. Image bytes are read only there. Both passes leave a receipt for every finished file,
so a killed run continues where it was.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.arrays import frame
from curate.checksums import digests, hash_once, published, record, usable, write_record
from curate.engines.base import Engine, tick
from curate.errors import ConfigError, WorkspaceError
from curate.images.store import ImageStore
from curate.mixing.select import Selection
from curate.mixing.shard_columns import shard_column
from curate.mixing.shard_schema import CODECS, FEW_VALUES, REFERENCE, columns, message_type
from curate.parquet import opened
from curate.recipe import ShardSettings
from curate.schema import PAIR
from curate.workspace import atomic

VERSION = 2
"""Part of every fingerprint: goes up when equal selections give other bytes."""

TAKEN = [field for field in PAIR if field.name != "row"]
SCATTER = pa.schema([*TAKEN, REFERENCE.field("repeat"), pa.field("rank", pa.uint32(), False)])

SCATTERED = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
"""Text shrinks to a third of what a run would write besides its artefacts."""

BUCKET_TEXT = 256_000_000  # bytes of text that pass 2 holds at once, about twice
BUCKET_CONTENT = 1_000_000_000  # with media: below the text bound, so that there are buckets for all workers
GROUP_BYTES = 32_000_000
GROUP_ROWS = 10_000
BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """One finished shard with the hashes of its file: xxh3-128 for our own checks, sha256 as the Hub names it."""

    name: str
    rows: int
    bytes: int
    xxh3: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """A shard to write: where its row groups begin, and where the last one ends, as ranks."""

    name: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scatter:
    """Pass 1: the batch `number` of the plan file says which pairs to take from these parts.

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
        return self.plan.with_name(f"scatter-{self.number:05d}.arrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gather:
    """Pass 2: the bucket `number` of `buckets`, from every scatter file."""

    number: int
    buckets: int
    scattered: tuple[Path, ...]
    shards: tuple[_Shard, ...]
    directory: Path
    images: Path | None
    messages: pa.DataType
    digest: str

    def __str__(self) -> str:
        return f"writing {self.directory / self.shards[0].name}"


def write(
    selection: Selection,
    pools: Sequence[tuple[Path, Sequence[str]]],
    images: ImageStore | None,
    settings: ShardSettings,
    directory: Path,
    engine: Engine,
) -> list[ShardFacts]:
    """Write the mix as `shard-00000.parquet`, ... and the holdout as `holdout-00000.parquet`, ...; their facts.

    `pools` gives the directory and the parts of the pairs files of every pool, in the order of `recipe.pools`.
    The shards have `shard_schema.columns`: with embedded media under `media: embed` where any pair has media, with
    message fields where any pair has tools, calls or reasoning, and with texts as content as the settings say. The
    bytes depend on neither the engine nor the order of parts. Raises WorkspaceError where the pairs files lack
    what was selected.
    """
    media = sum(int(rows["media_bytes"].sum()) for rows in (selection.mix, selection.holdout))
    embed = settings.media == "embed" and media > 0
    if embed and images is None:
        raise WorkspaceError(
            str(directory), "the mix has media to embed", "an image store", "set media: reference"
        )
    root = images.root if embed and images is not None else None
    kind = message_type(fields=has_fields(selection), text=has_text(selection, settings))
    facts = []
    for name, rows in (("shard", selection.mix), ("holdout", selection.holdout)):
        job = _Job(name=name, rows=rows, pools=pools, images=root, messages=kind, limit=int(settings.max_mb * 1e6))
        facts += job.run(directory, engine)
    for path in [*directory.glob(".shard-*.tmp"), *directory.glob(".holdout-*.tmp")]:
        path.unlink()  # left by a killed run
    if (directory / ".scatter").exists():
        shutil.rmtree(directory / ".scatter")
    return facts


def has_fields(selection: Selection) -> bool:
    """Whether any pair has tools, calls or reasoning."""
    return any(bool(rows["has_fields"].any()) for rows in (selection.mix, selection.holdout))


def has_text(selection: Selection, settings: ShardSettings) -> bool:
    """Whether the content of a message is one text. Raises ConfigError where the recipe wants that of a mix with
    media."""
    media = sum(int(rows["media_bytes"].sum()) for rows in (selection.mix, selection.holdout))
    if settings.content == "text" and media:
        raise ConfigError("$.shards.content", "text, but the mix has images", "auto or blocks")
    return settings.content == "text" or (settings.content == "auto" and not media)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One run of the two passes over one selection."""

    name: str
    rows: pl.DataFrame
    pools: Sequence[tuple[Path, Sequence[str]]]
    images: Path | None
    messages: pa.DataType
    limit: int

    def run(self, directory: Path, engine: Engine) -> list[ShardFacts]:
        shards, buckets = self.cut()
        _remove_others(directory, self.name, {shard.name for shard in shards})
        if not shards:
            return []
        digest = self.digest()
        plan = directory / ".scatter" / self.name / "plan.arrow"
        limits = (*(shards[first].groups[0] for first in buckets[:-1]), len(self.rows))
        scatters = self.scatters(plan, limits, digest)
        list(engine.map(_scatter, scatters))
        gathers = [
            _Gather(
                number=number,
                buckets=len(buckets) - 1,
                scattered=tuple(task.target for task in scatters),
                shards=tuple(shards[first:last]),
                directory=directory,
                images=self.images,
                messages=self.messages,
                digest=digest,
            )
            for number, (first, last) in enumerate(pairwise(buckets))
        ]
        return [facts for bucket in engine.map(_gather, gathers) for facts in bucket]

    def cut(self) -> tuple[list[_Shard], list[int]]:
        """The shards, and the first shard of every bucket with the number of shards at the end."""
        text = self.rows["text_bytes"].to_numpy().astype(np.uint64)
        content = text + self.rows["media_bytes"].to_numpy() if self.images else text
        limits = cut(content, self.limit)
        shards = []
        for number, (first, last) in enumerate(pairwise(limits)):
            groups = tuple(first + row for row in cut(content[first:last], GROUP_BYTES, GROUP_ROWS))
            shards.append(_Shard(name=f"{self.name}-{number:05d}.parquet", groups=groups))
        by_text = np.add.reduceat(text, limits[:-1]) if shards else text
        by_content = np.add.reduceat(content, limits[:-1]) if shards else text
        # one measure for both bounds: the larger part of either that a shard takes up, in millionths
        filled = np.maximum(by_text * 10**6 // BUCKET_TEXT, by_content * 10**6 // BUCKET_CONTENT)
        return shards, cut(filled, 10**6)

    def digest(self) -> str:
        """Identifies the selection and where it is read, so that receipts of another one do not count."""
        state = xxhash.xxh3_128(f"{VERSION} {self.limit} {self.images} {BUCKET_TEXT} {BUCKET_CONTENT}".encode())
        for directory, parts in self.pools:
            state.update(json.dumps([str(directory), *parts]).encode())
        for column in self.rows.iter_columns():
            state.update(np.ascontiguousarray(column.to_numpy()).tobytes())
        return state.hexdigest()

    def scatters(self, plan: Path, limits: tuple[int, ...], digest: str) -> list[_Scatter]:
        """The tasks of pass 1: runs of parts with about a bucket of selected text; publishes their plan."""
        taken = self.rows.select("pool", "part", "position", "rank", "repeat", "text_bytes")
        taken = taken.sort("pool", "part", "position", "rank")
        runs = []
        for (number,), rows in taken.partition_by("pool", as_dict=True, maintain_order=True).items():
            text = pl.col("text_bytes").cast(pl.UInt64).sum()
            by_part = rows.group_by("part", maintain_order=True).agg(pl.len(), text)
            ends = by_part["len"].cum_sum().to_list()
            bounds = [0, *(ends[i - 1] for i in cut(by_part["text_bytes"].to_numpy(), BUCKET_TEXT)[1:])]
            runs += [(self.pools[int(number)], rows[first:last]) for first, last in pairwise(bounds)]
        columns = ["part", "position", "rank", "repeat"]
        batches = [rows.select(columns).to_arrow().combine_chunks().to_batches()[0] for _, rows in runs]
        with atomic(plan) as temporary, pa.ipc.new_file(str(temporary), batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return [
            _Scatter(number=i, directory=place[0], parts=tuple(place[1]), limits=limits, plan=plan, digest=digest)
            for i, (place, _) in enumerate(runs)
        ]


def cut(costs: npt.NDArray[Any], most: int, rows: int = 1 << 62) -> list[int]:
    """Where runs begin, and the end: each as long as its costs sum to at most `most` and it has at most `rows`.

    A run has at least one row.
    """
    sums = np.concatenate([[0], np.cumsum(costs, dtype=np.uint64)]).astype(np.uint64)
    limits = [0]
    while limits[-1] < len(costs):
        first = limits[-1]
        fit = int(np.searchsorted(sums, sums[first] + np.uint64(most), side="right")) - 1
        limits.append(max(first + 1, min(fit, first + rows)))
    return limits


def _remove_others(directory: Path, name: str, known: set[str]) -> None:
    """Remove shards of an earlier, other selection."""
    for path in directory.glob(f"{name}-*.parquet"):
        if path.name not in known:
            path.unlink()


def _receipt(path: Path, digest: str) -> dict[str, Any] | None:
    """The facts of a file that is finished, if it belongs to this selection."""
    facts = record(path)
    return facts if facts is not None and facts.pop("digest") == digest else None


def _finished(path: Path, digest: str, shard: Path) -> dict[str, Any] | None:
    """The facts of a shard that a killed run has finished, if it is there as it was written."""
    facts = _receipt(path, digest)
    return facts if facts is not None and shard.is_file() and hash_once(shard) == facts["xxh3"] else None


def _scatter(task: _Scatter) -> None:
    """Pass 1 for one run of parts: an IPC file with one record batch per bucket for every batch read."""
    receipt = task.target.with_suffix(".json")
    if _receipt(receipt, task.digest) is not None and usable(task.target):
        return
    with pa.memory_map(str(task.plan)) as source:
        taken = frame(pa.ipc.open_file(source).get_batch(task.number))
    limits = np.array(task.limits, np.uint32)
    with (
        published(task.target) as temporary,
        pa.ipc.new_file(str(temporary), SCATTER, options=SCATTERED) as writer,
    ):
        for batch in _taken_batches(task, taken):
            edges = np.searchsorted(batch.column("rank").to_numpy(), limits)
            for first, last in pairwise(edges):
                writer.write_batch(batch.slice(first, last - first))
    write_record(receipt, {"digest": task.digest})


def _taken_batches(task: _Scatter, taken: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """The pairs taken, a batch of one part at a time, by rank inside a batch."""
    for (part,), rows in taken.partition_by("part", as_dict=True, maintain_order=True).items():
        position, rank, repeat = (rows[name].to_numpy() for name in ("position", "rank", "repeat"))
        for start, batch in _batches(task.directory / task.parts[int(part)], position):
            first, last = np.searchsorted(position, [start, start + batch.num_rows])
            if first == last:
                continue
            order = first + np.argsort(rank[first:last])
            chosen = batch.take(pa.array(position[order] - start))
            columns = [chosen.column(field.name) for field in TAKEN]
            columns += [pa.array(repeat[order]), pa.array(rank[order])]
            yield pa.RecordBatch.from_arrays(columns, schema=SCATTER)
            tick(rows=len(order))


def _batches(path: Path, position: npt.NDArray[np.uint32]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(position of its first row, batch) of the row groups that hold any of the positions."""
    columns = [field.name for field in TAKEN]
    with opened(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(position, [start, end])
            if first < last:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                    yield start, batch
                    start += batch.num_rows
            start = end


def _gather(task: _Gather) -> list[ShardFacts]:
    """Pass 2 for one bucket: its shards."""
    receipts = {shard: task.scattered[0].with_name(f"{shard.name}.json") for shard in task.shards}
    done = {shard: _finished(receipts[shard], task.digest, task.directory / shard.name) for shard in task.shards}
    if any(facts is None for facts in done.values()):
        table, order = _bucket(task)
        images = ImageStore(task.images) if task.images else None
        for shard in task.shards:
            if done[shard] is None:
                facts = _write_shard(task, table, order, shard, images)
                write_record(receipts[shard], {"digest": task.digest, **asdict(facts)})
                done[shard] = asdict(facts)
    return [ShardFacts(**facts) for facts in done.values() if facts is not None]


def _bucket(task: _Gather) -> tuple[pa.RecordBatch, npt.NDArray[np.intp]]:
    """The rows of the bucket from all scatter files, and the place of each rank in them."""
    pieces = []
    for path in task.scattered:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        numbers = range(task.number, file.num_record_batches, task.buckets)
        pieces += [piece for i in numbers if (piece := file.get_batch(i)).num_rows]
    first, last = task.shards[0].groups[0], task.shards[-1].groups[-1]
    ranks = np.concatenate([piece.column("rank").to_numpy() for piece in pieces] or [np.empty(0, np.uint32)])
    order = np.argsort(ranks)
    if not np.array_equal(ranks[order], np.arange(first, last, dtype=np.uint32)):
        raise WorkspaceError(
            str(task.directory),
            f"{len(ranks):,} pairs found for the ranks {first:,} to {last:,}",
            "every selected pair once",
            "the pairs files have changed since: run curate normalize again",
        )
    return pa.concat_batches([piece.drop_columns(["rank"]) for piece in pieces]), order


def _write_shard(
    task: _Gather, table: pa.RecordBatch, order: npt.NDArray[np.intp], shard: _Shard, images: ImageStore | None
) -> ShardFacts:
    path, start = task.directory / shard.name, task.shards[0].groups[0]
    schema = columns(embed=images is not None, messages=task.messages)
    with atomic(path) as temporary:
        with pq.ParquetWriter(
            temporary,
            schema,
            compression=CODECS,
            compression_level={leaf: 1 for leaf, codec in CODECS.items() if codec == "zstd"},
            use_dictionary=list(FEW_VALUES),
            write_statistics=["source"],
        ) as writer:
            for first, last in pairwise(shard.groups):
                rows = table.take(pa.array(order[first - start : last - start]))
                arrays = [shard_column(rows, field, images) for field in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema), row_group_size=last - first)
                tick(rows=last - first)
        xxh3, sha256 = digests(temporary, xxhash.xxh3_128(), hashlib.sha256())
        return ShardFacts(
            name=path.name,
            rows=shard.groups[-1] - shard.groups[0],
            bytes=temporary.stat().st_size,
            xxh3=xxh3,
            sha256=sha256,
        )
