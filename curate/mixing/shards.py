"""Selected pairs -> shard files, in two passes whose memory does not grow with the mix.

The cut into shards and row groups follows from the selection alone. Pass 1 reads every part once and scatters the
pairs taken from it over buckets (a bucket is a run of shards); pass 2 gathers one bucket at a time, puts it into
order and writes its shards. Image bytes are read only there. Both passes leave a receipt for every finished file,
so a killed run continues where it was.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.ahead import ahead
from curate.arrays import U32
from curate.checksums import Following, hash_once, write_record
from curate.engines.base import Engine, tick
from curate.engines.local import suit
from curate.errors import ConfigError, WorkspaceError
from curate.images.store import ImageStore
from curate.mixing.scatter import ScatterTask, between, bucket, by_rank, receipt, scatter
from curate.mixing.select import CHANGES, Selection
from curate.mixing.shard_columns import shard_column, with_frames
from curate.mixing.shard_schema import CODECS, FEW_VALUES, WEIGHT, columns, message_type
from curate.recipe import ShardSettings
from curate.workspace import atomic

VERSION = 3
"""Part of every fingerprint: goes up when equal selections give other bytes."""

BUCKET_TEXT = 256_000_000  # bytes of text that a task of either pass holds at once, in mixes below PIECE
BUCKET_CONTENT = 1_000_000_000  # with media: below the text bound, so that there are buckets for all workers
PIECE = 1_000_000
"""Bytes of text that each scatter file has for each bucket, at least: buckets grow for that with the root of the
mix, above 65 GB of text. So the cost of a pair is the same in any mix."""

FEW_BUCKETS = 2
"""So many are written sooner than processes have started: 300,000 pairs of 1 kB in 4.6 s, by two in 7.0."""

GROUP_BYTES = 32_000_000
GROUP_ROWS = 10_000


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
class _Gather:
    """Pass 2: the bucket `number`, from every scatter file."""

    number: int
    scattered: tuple[Path, ...]
    shards: tuple[_Shard, ...]
    directory: Path
    images: Path | None
    messages: pa.DataType
    frames: bool
    weighted: bool
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
    message fields where any pair has tools, calls or reasoning, with texts as content as the settings say, and
    with weights where the selection has some. The bytes depend on neither the engine nor the order of parts.
    Raises WorkspaceError where the pairs files lack what was selected.
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
        job = Job(
            name=name, rows=rows, pools=pools, images=root, messages=kind, frames=settings.videos == "frames",
            limit=int(settings.max_mb * 1e6),
        )  # fmt: skip
        facts += job.run(directory, engine)
    for path in [*directory.glob(".shard-*.tmp"), *directory.glob(".holdout-*.tmp")]:
        path.unlink()  # left by a killed run
    if (directory / ".scatter").exists():
        with ThreadPoolExecutor() as threads:  # a file takes its pages from the cache with it: 45 ms each
            list(threads.map(Path.unlink, directory.glob(".scatter/*/*.arrow")))
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
class Job:
    """One run of the two passes over one selection."""

    name: str
    rows: pl.DataFrame
    pools: Sequence[tuple[Path, Sequence[str]]]
    images: Path | None
    messages: pa.DataType
    frames: bool
    limit: int

    def run(self, directory: Path, engine: Engine) -> list[ShardFacts]:
        """Write the shards that are missing; the facts of all."""
        shards, buckets = self.cut()
        _remove_others(directory, self.name, {shard.name for shard in shards})
        if not shards:
            return []
        digest = self.digest()
        plan = directory / ".scatter" / self.name / "plan.arrow"
        limits = (*(shards[first].groups[0] for first in buckets[:-1]), len(self.rows))
        suit(engine, little=len(buckets) - 1 <= FEW_BUCKETS)
        scatters = self.scatters(plan, limits, digest)
        list(engine.map(scatter, scatters))
        gathers = [
            _Gather(
                number=number,
                scattered=tuple(task.target for task in scatters),
                shards=tuple(shards[first:last]),
                directory=directory,
                images=self.images,
                messages=self.messages,
                frames=self.frames,
                weighted=WEIGHT.name in self.rows.columns,
                digest=digest,
            )
            for number, (first, last) in enumerate(pairwise(buckets))
        ]
        return [facts for bucket in engine.map(_gather, gathers) for facts in bucket]

    def cut(self) -> tuple[list[_Shard], list[int]]:
        """The shards, and the first shard of every bucket with the number of shards at the end."""
        text = self.rows["text_bytes"].to_numpy()
        content = text + self.rows["media_bytes"].to_numpy() if self.images else text
        limits = cut(content, self.limit)
        shards = []
        for number, (first, last) in enumerate(pairwise(limits)):
            groups = tuple(first + row for row in cut(content[first:last], GROUP_BYTES, GROUP_ROWS))
            shards.append(_Shard(name=f"{self.name}-{number:05d}.parquet", groups=groups))
        by_text = np.add.reduceat(text, limits[:-1], dtype=np.uint64) if shards else text
        by_content = np.add.reduceat(content, limits[:-1], dtype=np.uint64) if shards else text
        # one measure for both bounds: the larger part of either that a shard takes up, in millionths
        most = self.bucket_text()
        filled = np.maximum(by_text * 10**6 // most, by_content * 10**6 // (most * BUCKET_CONTENT // BUCKET_TEXT))
        return shards, cut(filled, 10**6)

    def bucket_text(self) -> int:
        """Return how much text a bucket has at most, and a scatter file; see PIECE."""
        return max(BUCKET_TEXT, math.isqrt(int(self.rows["text_bytes"].cast(pl.UInt64).sum()) * PIECE))

    def digest(self) -> str:
        """Identifies the selection and where it is read, so that receipts of another one do not count."""
        state = xxhash.xxh3_128(
            f"{VERSION} {self.limit} {self.images} {self.frames} {self.bucket_text()} {BUCKET_CONTENT} "
            "by size, inside parts".encode()
        )
        for directory, parts in self.pools:
            state.update(json.dumps([str(directory), *parts]).encode())
        for column in self.rows.iter_columns():
            state.update(np.ascontiguousarray(column.to_numpy()).data)
        return state.hexdigest()

    def scatters(self, plan: Path, limits: tuple[int, ...], digest: str) -> list[ScatterTask]:
        """The tasks of pass 1: runs of parts with about a bucket of selected text; publishes their plan."""
        runs = [
            (place, rows) for number, place in enumerate(self.pools) for rows in self._runs_of(number)
        ]  # arrays of row numbers: 4 bytes a pair
        text = self.rows["text_bytes"].to_numpy()
        runs.sort(key=lambda run: -int(text[run[1]].sum(dtype=np.uint64)))  # so that workers end together
        names = ["part", "position", "rank", "repeat", *(name for name in CHANGES if name in self.rows.columns)]
        schema = pa.schema([self.rows.select(names).head(0).to_arrow().schema.field(name) for name in names])
        with atomic(plan) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
            for _, rows in runs:
                some = self.rows.select(names)[rows].rechunk().to_arrow()
                arrays = [column.combine_chunks() for column in some.columns]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return [
            ScatterTask(
                number=i, directory=place[0], parts=tuple(place[1]), limits=limits, plan=plan, digest=digest
            )
            for i, (place, _) in enumerate(runs)
        ]

    def _runs_of(self, pool: int) -> list[U32]:
        """The rows taken from a pool by place in its files, cut into a bucket of text each, inside parts too.

        A part of a compressed file has all its pairs, however many: Arrow merges no column of 2 GB.
        """
        rows = np.flatnonzero(self.rows["pool"].to_numpy() == pool).astype(np.uint32)
        if not len(rows):
            return []
        places = self.rows["part"].to_numpy()[rows].astype(np.uint64) << np.uint64(32)
        places |= self.rows["position"].to_numpy()[rows]
        rows = rows[np.argsort(places, kind="stable")]  # rows of one place stay by rank
        del places
        return np.split(rows, cut(self.rows["text_bytes"].to_numpy()[rows], self.bucket_text())[1:-1])


def cut(costs: npt.NDArray[Any], most: int, rows: int = 1 << 62) -> list[int]:
    """Where runs begin, and the end: each as long as its costs sum to at most `most` and it has at most `rows`.

    A run has at least one row.
    """
    sums = np.zeros(len(costs) + 1, np.uint64)
    np.cumsum(costs, dtype=np.uint64, out=sums[1:])
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


def _finished(path: Path, digest: str, shard: Path) -> dict[str, Any] | None:
    """The facts of a shard that a killed run has finished, if it is there as it was written."""
    facts = receipt(path, digest)
    return facts if facts is not None and shard.is_file() and hash_once(shard) == facts["xxh3"] else None


def _gather(task: _Gather) -> list[ShardFacts]:
    """Pass 2 for one bucket: its shards."""
    receipts = {shard: task.scattered[0].with_name(f"{shard.name}.json") for shard in task.shards}
    done = {shard: _finished(receipts[shard], task.digest, task.directory / shard.name) for shard in task.shards}
    if any(facts is None for facts in done.values()):
        pieces = _pieces(task)
        images = ImageStore(task.images) if task.images else None
        for shard in task.shards:
            if done[shard] is None:
                facts = _write_shard(task, pieces, shard, images)
                write_record(receipts[shard], {"digest": task.digest, **asdict(facts)})
                done[shard] = asdict(facts)
    return [ShardFacts(**facts) for facts in done.values() if facts is not None]


def _pieces(task: _Gather) -> list[pa.RecordBatch]:
    """The pieces of the bucket. Raises WorkspaceError where they are not what was selected."""
    pieces = bucket(task.scattered, task.number)
    first, last = task.shards[0].groups[0], task.shards[-1].groups[-1]
    ranks = np.concatenate([piece.column("rank").to_numpy() for piece in pieces] or [np.empty(0, np.uint32)])
    if not np.array_equal(np.sort(ranks), np.arange(first, last, dtype=np.uint32)):
        raise WorkspaceError(
            str(task.directory),
            f"{len(ranks):,} pairs found for the ranks {first:,} to {last:,}",
            "every selected pair once",
            "the pairs files have changed since: run curate normalize again",
        )
    return pieces


def _write_shard(
    task: _Gather, pieces: Sequence[pa.RecordBatch], shard: _Shard, images: ImageStore | None
) -> ShardFacts:
    path = task.directory / shard.name
    schema = columns(embed=images is not None, messages=task.messages, weighted=task.weighted)
    with atomic(path) as temporary, Following(temporary, xxhash.xxh3_128(), hashlib.sha256()) as following:
        with pq.ParquetWriter(
            temporary,
            schema,
            compression=CODECS,
            compression_level={leaf: 1 for leaf, codec in CODECS.items() if codec == "zstd"},
            use_dictionary=list(FEW_VALUES),
            write_statistics=["source"],
        ) as writer:
            make = partial(_row_group, task, pieces, schema, images)
            with ThreadPoolExecutor(1) as thread:  # makes a row group while the last one is written
                for rows in ahead(thread, make, pairwise(shard.groups), 1):
                    writer.write_batch(rows, row_group_size=len(rows))
                    following.go_on()
                    tick(rows=len(rows))
        xxh3, sha256 = following.digests()
        return ShardFacts(
            name=path.name,
            rows=shard.groups[-1] - shard.groups[0],
            bytes=temporary.stat().st_size,
            xxh3=xxh3,
            sha256=sha256,
        )


def _row_group(
    task: _Gather,
    pieces: Sequence[pa.RecordBatch],
    schema: pa.Schema,
    images: ImageStore | None,
    limits: tuple[int, int],
) -> pa.RecordBatch:
    """The rows of a shard between two ranks."""
    rows = by_rank([between(piece, *limits) for piece in pieces])
    rows = with_frames(rows) if task.frames else rows
    return pa.RecordBatch.from_arrays([shard_column(rows, field, images) for field in schema], schema=schema)
