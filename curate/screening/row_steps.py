"""Row steps over pairs files: the reasons that each step finds for dropping pairs, cached beside the pairs.

After a change of one threshold only that step runs again, and for an unchanged recipe none. All steps without
cached reasons share one pass over each part.

    <pairs>/steps/<name>-<fingerprint>/part-00000.parquet    position, reason: what the step would drop
    <pairs>/scores/<name>-<fingerprint>/part-00000.parquet   the scorer's columns, one row per pair
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import xxhash

from curate import parquet
from curate.checksums import published, usable
from curate.engines.base import Engine, Listener, tick
from curate.errors import WorkspaceError
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.steps import identity
from curate.steps.base import RowStep, Scorer
from curate.steps.view import TEXTS, VERSION, file_columns, make_view
from curate.workspace import atomic

REASONS = {"position": pl.UInt32, "reason": pl.String}
"""Columns of a cached file of reasons: a row for each pair that the step would drop."""

BATCH_BYTES = 32 << 20  # text of one batch, before the copies that steps make of it
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedStep:
    """A row step, and the directories of its reasons and of its scorer's columns inside a pairs artefact."""

    step: RowStep
    reasons: str
    scorer: Scorer | None
    scores: str

    @classmethod
    def of(cls, name: str, step: RowStep) -> Self:
        """Return the step with the directories that its name and content give."""
        scorer = step.scorer()
        scores = f"scores/{type(scorer).__name__.lower()}-{fingerprint_of(scorer)}" if scorer else ""
        return cls(step=step, reasons=f"steps/{name}-{fingerprint_of(step)}", scorer=scorer, scores=scores)


def fingerprint_of(part: Any) -> str:
    """Return what identifies the cache of a step, a scorer or a sketch."""
    facts = json.dumps([VERSION, type(part).__name__, identity(part)], sort_keys=True)
    return xxhash.xxh3_64_hexdigest(facts.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTask:
    """One part, and the row steps that have no reasons for it yet."""

    directory: Path
    part: str
    steps: tuple[CachedStep, ...]

    def __str__(self) -> str:
        return f"screening {self.directory / self.part}"


def find_reasons(
    pools: Sequence[PairsPool], steps: Sequence[CachedStep], engine: Engine, listen: Listener | None
) -> None:
    """Run the steps over every part for which their reasons are not cached yet."""
    tasks = {}
    for directory, part in dict.fromkeys((pool.directory, part) for pool in pools for part in pool.parts):
        missing = {step.reasons: step for step in steps if not usable(directory / step.reasons / part)}
        if missing:
            tasks[directory, part] = PartTask(directory=directory, part=part, steps=tuple(missing.values()))
    if tasks:
        for _ in engine.map(find_part_reasons, list(tasks.values()), listen):
            pass


def find_part_reasons(task: PartTask) -> None:
    """Read a part once, with the columns that its steps need, and cache reasons and scores."""
    scores = {step.scores: _Scores(task, step) for step in task.steps}
    columns = _view_columns(task.steps, scores.values())
    found: dict[str, list[pl.DataFrame]] = {step.reasons: [] for step in task.steps}
    position = 0
    for batch in parquet.batches(task.directory / task.part, file_columns(columns), BATCH_BYTES, BATCH_ROWS):
        view = make_view(batch, columns)
        for place, steps in _by_scores(task.steps):
            frame = view.hstack(scores[place].of(view, position))
            for step, reasons in zip(steps, _reasons(frame, steps, position), strict=True):
                found[step.reasons].append(reasons)
        position += batch.num_rows
        tick(rows=batch.num_rows)
    for one in scores.values():
        one.publish()
    for place, frames in found.items():
        _publish(pl.concat([pl.DataFrame(schema=REASONS), *frames]), task.directory / place / task.part)


class _Scores:
    """One scorer's columns over one part: read where they are cached, else computed batch by batch."""

    def __init__(self, task: PartTask, step: CachedStep) -> None:
        self.scorer = step.scorer
        self.path = task.directory / step.scores / task.part
        cached = step.scorer is not None and usable(self.path)
        self.cached = _read(self.path) if cached else None
        self.computed: list[pl.DataFrame] = []

    def of(self, view: pl.DataFrame, position: int) -> pl.DataFrame:
        """Return the columns for a view that begins at this position; none without a scorer."""
        if self.scorer is None:
            return pl.DataFrame()
        if self.cached is not None:
            return self.cached.slice(position, view.height)
        self.computed.append(self.scorer.score(view))
        return self.computed[-1]

    @property
    def reads(self) -> set[str]:
        """The VIEW columns that are needed to compute them."""
        return set() if self.scorer is None or self.cached is not None else set(TEXTS)

    def publish(self) -> None:
        """Cache what was computed."""
        if self.scorer is not None and self.cached is None:
            _publish(pl.concat([pl.DataFrame(schema=self.scorer.columns), *self.computed]), self.path)


def _view_columns(steps: Iterable[CachedStep], scores: Iterable[_Scores]) -> set[str]:
    columns = {"margin"}  # a number that costs nothing: a view has a height even where only scores are read
    for step in steps:
        own = set() if step.scorer is None else set(step.scorer.columns)
        columns |= set(step.step.reason().meta.root_names()) - own
    return columns.union(*(one.reads for one in scores))


def _by_scores(steps: Iterable[CachedStep]) -> list[tuple[str, list[CachedStep]]]:
    """The steps by the scores that they read: two scorers may give columns of one name."""
    ordered = sorted(steps, key=lambda step: step.scores)
    return [(place, list(group)) for place, group in groupby(ordered, key=lambda step: step.scores)]


def _reasons(frame: pl.DataFrame, steps: Sequence[CachedStep], position: int) -> Iterator[pl.DataFrame]:
    """REASONS of each step for the pairs of the frame, the first of which has this position in its part."""
    expressions = {step.reasons: step.step.reason() for step in steps}
    found = frame.lazy().select(**expressions).collect().with_row_index("position", position)
    for step in steps:
        yield found.select("position", reason=step.reasons).drop_nulls()


def read_reasons(pool: PairsPool, step: CachedStep, starts: Sequence[int]) -> pl.DataFrame:
    """Return a step's cached reasons for a pool: columns `at`, a row of its key columns, and `reason`."""
    found = [pl.DataFrame(schema={"at": pl.UInt32, "reason": pl.String})]
    for part, start in zip(pool.parts, starts, strict=False):
        reasons = _read(pool.directory / step.reasons / part)
        found.append(reasons.select(pl.col("position").alias("at") + start, "reason"))
    return pl.concat(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReasons:
    """What row steps find in every pair of a pool, each whatever the others find.

    keys      the key columns of its pairs in file order
    reasons   by the step's name: what it would drop, columns `at` (the row of `keys`) and `reason`
    scores    by the step's name: its scorer's columns, a row for each pair
    """

    keys: pl.DataFrame
    reasons: Mapping[str, pl.DataFrame]
    scores: Mapping[str, pl.DataFrame]


def reasons_of_pools(
    pools: Sequence[PairsPool], steps: Mapping[str, RowStep], engine: Engine, listen: Listener | None = None
) -> Iterator[PoolReasons]:
    """Run row steps over all pairs of each pool and yield what they find; nothing is dropped, all is cached."""
    cached = {name: CachedStep.of(name, step) for name, step in steps.items()}
    find_reasons(pools, list(cached.values()), engine, listen)
    for pool in pools:
        keys = load_keys(pool.directory, pool.parts)
        starts = [0, *np.cumsum(np.bincount(keys["part"].to_numpy(), minlength=len(pool.parts))).tolist()]
        scored = {name: step for name, step in cached.items() if step.scorer is not None}
        yield PoolReasons(
            keys=keys,
            reasons={name: read_reasons(pool, step, starts) for name, step in cached.items()},
            scores={
                name: pl.concat([_read(pool.directory / step.scores / part) for part in pool.parts])
                for name, step in scored.items()
            },
        )


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.ComputeError as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "a cache file", "delete it and run again") from None


def _publish(frame: pl.DataFrame, path: Path) -> None:
    """Write a cache file, with its checksum."""
    with published(path) as temporary:
        frame.write_parquet(temporary)


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Publish a Parquet file."""
    with atomic(path) as temporary:
        frame.write_parquet(temporary)
