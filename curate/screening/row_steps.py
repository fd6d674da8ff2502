"""Row steps over pairs files: each one's verdict about every pair, cached beside the pairs.

A changed threshold costs one step anew, and an unchanged recipe none. All steps that have no verdict yet share one
pass over each part.

    <pairs>/steps/<name>-<fingerprint>/part-00000.parquet    position, reason: what the step would drop
    <pairs>/scores/<name>-<fingerprint>/part-00000.parquet   the scorer's columns, one row per pair
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import xxhash

from curate.engines.base import Engine, Listener, tick
from curate.errors import WorkspaceError
from curate.pairs import keys as key_columns
from curate.pairs.pool import Pool
from curate.steps import identity
from curate.steps import view as views
from curate.steps.base import RowStep, Scorer
from curate.workspace import atomic

VERDICT = {"position": pl.UInt32, "reason": pl.String}

BATCH_BYTES = 32 << 20  # text of one batch, before the copies that steps make of it
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A row step, and the directories of its verdicts and of its scorer's columns inside a pairs artefact."""

    step: RowStep
    verdicts: str
    scorer: Scorer | None
    scores: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One part, and the row steps that have not judged it yet."""

    directory: Path
    part: str
    judges: tuple[Judge, ...]

    def __str__(self) -> str:
        return f"screening {self.directory / self.part}"


def judge_of(name: str, step: RowStep) -> Judge:
    """The step as the judge of that name."""
    scorer = step.scorer()
    scores = f"scores/{type(scorer).__name__.lower()}-{fingerprint_of(scorer)}" if scorer else ""
    return Judge(step=step, verdicts=f"steps/{name}-{fingerprint_of(step)}", scorer=scorer, scores=scores)


def fingerprint_of(part: Any) -> str:
    """What tells the caches of a step, a scorer or a sketch from those of another one."""
    said = json.dumps([views.VERSION, type(part).__name__, identity(part)], sort_keys=True)
    return xxhash.xxh3_64_hexdigest(said.encode())


def judge_all(pools: Sequence[Pool], judges: Sequence[Judge], engine: Engine, listen: Listener | None) -> None:
    """Make every verdict that is not cached yet."""
    tasks = {}
    for directory, part in dict.fromkeys((pool.directory, part) for pool in pools for part in pool.parts):
        missing = [judge for judge in judges if not (directory / judge.verdicts / part).exists()]
        if missing:
            unique = {judge.verdicts: judge for judge in missing}
            tasks[directory, part] = Task(directory=directory, part=part, judges=tuple(unique.values()))
    if tasks:
        for _ in engine.map(judge_part, list(tasks.values()), listen):
            pass


def judge_part(task: Task) -> None:
    """Judge one part in one pass over the columns that its steps read, and cache verdicts and scores."""
    scores = {judge.scores: _Scores(task, judge) for judge in task.judges}
    columns = _view_columns(task.judges, scores.values())
    found: dict[str, list[pl.DataFrame]] = {judge.verdicts: [] for judge in task.judges}
    position = 0
    for batch in _batches(task.directory / task.part, views.file_columns(columns)):
        view = views.view(batch, columns)
        for place, judges in _by_scores(task.judges):
            frame = view.hstack(scores[place].of(view, position))
            for judge, verdict in zip(judges, _ask(frame, judges, position), strict=True):
                found[judge.verdicts].append(verdict)
        position += batch.num_rows
        tick(rows=batch.num_rows)
    for one in scores.values():
        one.publish()
    for place, verdicts in found.items():
        write_frame(pl.concat([pl.DataFrame(schema=VERDICT), *verdicts]), task.directory / place / task.part)


class _Scores:
    """One scorer's columns over one part: read where they are cached, else computed batch by batch."""

    def __init__(self, task: Task, judge: Judge) -> None:
        self.scorer = judge.scorer
        self.path = task.directory / judge.scores / task.part
        cached = judge.scorer is not None and self.path.exists()
        self.cached = _read(self.path) if cached else None
        self.computed: list[pl.DataFrame] = []

    def of(self, view: pl.DataFrame, position: int) -> pl.DataFrame:
        """The columns for a view that begins at this position; none without a scorer."""
        if self.scorer is None:
            return pl.DataFrame()
        if self.cached is not None:
            return self.cached.slice(position, view.height)
        self.computed.append(self.scorer.score(view))
        return self.computed[-1]

    @property
    def reads(self) -> set[str]:
        """The VIEW columns that are needed to compute them."""
        return set() if self.scorer is None or self.cached is not None else set(views.TEXTS)

    def publish(self) -> None:
        """Cache what was computed."""
        if self.scorer is not None and self.cached is None:
            write_frame(pl.concat([pl.DataFrame(schema=self.scorer.columns), *self.computed]), self.path)


def _view_columns(judges: Iterable[Judge], scores: Iterable[_Scores]) -> set[str]:
    columns = {"margin"}  # a number that costs nothing: a view has a height even where only scores are read
    for judge in judges:
        own = set() if judge.scorer is None else set(judge.scorer.columns)
        columns |= set(judge.step.reason().meta.root_names()) - own
    return columns.union(*(one.reads for one in scores))


def _by_scores(judges: Iterable[Judge]) -> list[tuple[str, list[Judge]]]:
    """The steps by the scores that they read: two scorers may give columns of one name."""
    ordered = sorted(judges, key=lambda judge: judge.scores)
    return [(place, list(group)) for place, group in groupby(ordered, key=lambda judge: judge.scores)]


def _ask(frame: pl.DataFrame, judges: Sequence[Judge], position: int) -> Iterator[pl.DataFrame]:
    """VERDICTs of each step about the pairs of the frame, the first of which stands at this position."""
    reasons = {judge.verdicts: judge.step.reason() for judge in judges}
    asked = frame.lazy().select(**reasons).collect().with_row_index("position", position)
    for judge in judges:
        yield asked.select("position", reason=judge.verdicts).drop_nulls()


def _batches(path: Path, columns: list[str]) -> Iterator[Any]:
    """Record batches of a pairs file with these columns, each of about BATCH_BYTES at most."""
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
        rows = max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(widest, 1))))
        yield from file.iter_batches(rows, columns=columns)


def starts_of(keys: pl.DataFrame, parts: int) -> list[int]:
    """The row of a pool's key columns at which each of its parts begins, and the number of them all."""
    counts = np.bincount(keys["part"].to_numpy(), minlength=parts)
    return [0, *np.cumsum(counts).tolist()]


def verdicts(pool: Pool, judge: Judge, starts: Sequence[int]) -> pl.DataFrame:
    """The cached verdicts about a pool: columns `at`, a row of its key columns, and `reason`."""
    found = [pl.DataFrame(schema={"at": pl.UInt32, "reason": pl.String})]
    for part, start in zip(pool.parts, starts, strict=False):
        verdict = _read(pool.directory / judge.verdicts / part)
        found.append(verdict.select(pl.col("position").alias("at") + start, "reason"))
    return pl.concat(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What row steps say of every pair of a pool, whatever another one says.

    keys      the key columns of its pairs in file order
    verdicts  by the step's name: what it would drop, columns `at` (the row of `keys`) and `reason`
    scores    by the step's name: its scorer's columns, a row for each pair
    """

    keys: pl.DataFrame
    verdicts: Mapping[str, pl.DataFrame]
    scores: Mapping[str, pl.DataFrame]


def opinions(
    pools: Sequence[Pool], steps: Mapping[str, RowStep], engine: Engine, listen: Listener | None = None
) -> Iterator[Opinions]:
    """Ask row steps about all pairs of each pool; nothing is dropped. Verdicts and scores are cached as ever."""
    judges = {name: judge_of(name, step) for name, step in steps.items()}
    judge_all(pools, list(judges.values()), engine, listen)
    for pool in pools:
        keys = key_columns.load(pool.directory, pool.parts)
        starts = starts_of(keys, len(pool.parts))
        scored = {name: judge for name, judge in judges.items() if judge.scorer is not None}
        yield Opinions(
            keys=keys,
            verdicts={name: verdicts(pool, judge, starts) for name, judge in judges.items()},
            scores={
                name: pl.concat([_read(pool.directory / judge.scores / part) for part in pool.parts])
                for name, judge in scored.items()
            },
        )


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.ComputeError as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "a cache file", "delete it and run again") from None


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Publish a Parquet file."""
    with atomic(path) as temporary:
        frame.write_parquet(temporary)
