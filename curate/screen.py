"""Runs steps over the pairs of a recipe, writes decisions, and keeps the conservation law.

The verdict of each row step alone is cached beside the pairs, so that a changed threshold costs one step anew and
an unchanged recipe costs none. All row steps that have no verdict yet share one pass over each part.

    <pairs>/steps/<name>-<fingerprint>/part-00000.parquet    position, reason: what the step would drop
    <pairs>/scores/<name>-<fingerprint>/part-00000.parquet   the scorer's columns, one row per pair
"""

import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate import corpus as corpora
from curate import keys as key_columns
from curate.corpus import Corpus, Pool, Sketch
from curate.engines.base import Engine, Listener, tick
from curate.errors import WorkspaceError
from curate.mix import order_key
from curate.steps import identity, is_corpus_step, is_row_step
from curate.steps import view as views
from curate.steps.base import DECISION, CorpusStep, RowStep, Scorer, Step
from curate.workspace import atomic

VERDICT = {"position": pl.UInt32, "reason": pl.String}
LOSERS = {
    "at": pl.UInt32,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
}
DECISIONS = {
    "pair_id": pl.String,
    "source": pl.String,
    "row": pl.String,
    "step": pl.String,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
    "part": pl.UInt32,
    "position": pl.UInt32,
}
"""Columns of a decisions file. `row` is where upstream the row is; `winner` the pair id it lost to, null if none.

`score` and `evidence` are the step's: how sure it is, and what it found.
`part` counts the pool's parts in order, `position` the rows of one part.
"""

BATCH_BYTES = 32 << 20  # text of one batch, before the copies that steps make of it
BATCH_ROWS = 8192

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How many pairs came and stayed, and how many left by each `step/why`, in the order of the steps."""

    pairs: int
    dropped: Mapping[str, int]
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedPool:
    """What the steps say of one pool; `keys` and the mask `alive` have its pairs in file order.

    `flags` has the columns of `decisions`, about pairs that were not dropped by the step that found something.
    """

    pool: Pool
    keys: pl.DataFrame
    alive: Mask
    decisions: pl.DataFrame
    flags: pl.DataFrame
    funnel: Funnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What the steps say of all pools, in their order."""

    pools: tuple[ScreenedPool, ...]


def screen(
    pools: Sequence[Pool],
    steps: Sequence[tuple[str, Step]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
) -> Screened:
    """Run the steps in their order; what one drops, later ones do not see. `listen` hears pairs read as rows.

    `images` is the image store of the pairs.
    """
    judges = {at: _judge(name, step) for at, (name, step) in enumerate(steps) if is_row_step(step)}
    _judge_all(pools, list(judges.values()), engine, listen)
    sketches = [sketch for _, step in steps if is_corpus_step(step) for sketch in step.sketches()]
    corpus = sketched(pools, sketches, seed, engine, listen, images)
    ledgers = [_Ledger(pool) for pool in pools]
    for at, (name, step) in enumerate(steps):
        if is_row_step(step):
            for ledger in ledgers:
                ledger.drop(name, ledger.verdicts(judges[at]))
        elif is_corpus_step(step):
            _decide(name, step, ledgers, corpus)
    return Screened(pools=tuple(ledger.close() for ledger in ledgers))


def sketched(
    pools: Sequence[Pool],
    sketches: Iterable[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
) -> Corpus:
    """The pools with these sketches made; those that are cached are not made again."""
    places = {one: _place(one) for one in sketches}
    corpus = Corpus(pools=tuple(pools), images=images, seed=seed, engine=engine, places=places)
    corpora.make(corpus, places, listen)
    return corpus


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
    judges = {name: _judge(name, step) for name, step in steps.items()}
    _judge_all(pools, list(judges.values()), engine, listen)
    for pool in pools:
        ledger = _Ledger(pool)
        scored = {name: judge for name, judge in judges.items() if judge.scorer is not None}
        yield Opinions(
            keys=ledger.keys,
            verdicts={name: ledger.verdicts(judge).select("at", "reason") for name, judge in judges.items()},
            scores={
                name: pl.concat([_read(pool.directory / judge.scores / part) for part in pool.parts])
                for name, judge in scored.items()
            },
        )


def write_decisions(screened: Screened, directory: Path) -> None:
    """Publish the decisions of each pool as `directory/<label>.parquet`, and `directory/../review.parquet`.

    The review sheet has what steps found with evidence for it, dropped or flagged, over all pools.
    """
    for one in screened.pools:
        _write(one.decisions, directory / f"{one.pool.label}.parquet")
    _write(review(screened), directory.parent / "review.parquet")


def review(screened: Screened) -> pl.DataFrame:
    """Decisions with evidence and flags of all pools, the surest first: DECISIONS, `pool` and `fate`."""
    found = [pl.DataFrame(schema={"fate": pl.String, "pool": pl.String, **DECISIONS})]
    for one in screened.pools:
        proved = one.decisions.filter(pl.col("evidence").is_not_null())
        for fate, some in (("dropped", proved), ("flagged", one.flags)):
            found.append(some.select(pl.lit(fate).alias("fate"), pl.lit(one.pool.label).alias("pool"), *DECISIONS))
    last = ["pair_id", "part", "position"]
    return pl.concat(found).sort("step", "reason", "score", *last, descending=[False, False, True, *[False] * 3])


# ------------------------------------------------------------------------------------------------ the ledger


class _Ledger:
    """The alive pairs of one pool, and why the others are not."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.keys = key_columns.load(pool.directory, pool.parts)
        counts = np.bincount(self.keys["part"].to_numpy(), minlength=len(pool.parts))
        self.starts: list[int] = [0, *np.cumsum(counts).tolist()]
        self.alive: Mask = np.ones(self.keys.height, np.bool_)
        self.dropped: dict[str, int] = {}
        self.decided: list[pl.DataFrame] = []
        self.flagged: list[pl.DataFrame] = []

    def verdicts(self, judge: "_Judge") -> pl.DataFrame:
        """LOSERS by the cached verdicts of a row step, alive or not."""
        found = [pl.DataFrame(schema=LOSERS)]
        for part, start in zip(self.pool.parts, self.starts, strict=False):
            verdict = _read(self.pool.directory / judge.verdicts / part)
            found.append(verdict.select(pl.col("position").alias("at") + start, "reason"))
        return pl.concat(found, how="diagonal")

    def flag(self, step: str, found: pl.DataFrame) -> None:
        """Write down what a step found in pairs that stay."""
        self.flagged.append(found.with_columns(pl.lit(step).alias("step")))

    def drop(self, step: str, losers: pl.DataFrame) -> None:
        """Drop those of the losers that are still alive."""
        before = int(self.alive.sum())
        losers = losers.filter(self.alive[losers["at"].to_numpy()])
        self.alive[losers["at"].to_numpy()] = False
        for reason, count in losers.group_by("reason").len().sort("reason").iter_rows():
            self.dropped[f"{step}/{reason}"] = self.dropped.get(f"{step}/{reason}", 0) + count
        self.decided.append(losers.with_columns(pl.lit(step).alias("step")))
        kept = int(self.alive.sum())
        assert before == kept + losers.height, f"{self.pool.label}, {step}: {before} != {kept} + {losers.height}"

    def close(self) -> ScreenedPool:
        """The pool as screened. The law of conservation holds."""
        funnel = Funnel(pairs=self.keys.height, dropped=self.dropped, kept=int(self.alive.sum()))
        assert funnel.pairs == sum(funnel.dropped.values()) + funnel.kept, f"{self.pool.label}: {funnel}"
        decisions, flags = self._decisions(self.decided), self._decisions(self.flagged)
        assert decisions.height == funnel.pairs - funnel.kept
        return ScreenedPool(
            pool=self.pool, keys=self.keys, alive=self.alive, decisions=decisions, flags=flags, funnel=funnel
        )

    def _decisions(self, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
        empty = pl.DataFrame(schema={**LOSERS, "step": pl.String})
        decided = pl.concat([empty, *found]).sort("at")
        losers = self.keys[decided["at"]]
        columns: dict[str, Any] = {
            "pair_id": _pair_ids(losers),
            "source": pl.lit(self.pool.source),
            "row": self._rows(losers),
            "part": losers["part"],
            "position": losers["position"],
        }
        return decided.with_columns(**columns).select(list(DECISIONS))

    def _rows(self, losers: pl.DataFrame) -> pl.Series:
        """Where upstream the losers (sorted) are: one column, read from those parts only that lost pairs."""
        found = [pl.Series(dtype=pl.String)]
        for (part,), some in losers.group_by("part", maintain_order=True):
            rows = pl.read_parquet(self.pool.directory / self.pool.parts[int(str(part))], columns=["row"])
            found.append(rows["row"][some["position"]])
        return pl.concat(found)


def _place(sketch: Sketch) -> str:
    return f"sketches/{type(sketch).__name__.lower()}-{_fingerprint(sketch)}"


def _decide(name: str, step: CorpusStep, ledgers: Sequence[_Ledger], corpus: Corpus) -> None:
    """Ask a corpus step about the alive pairs of all pools, and drop its losers."""
    frames = [_corpus_keys(ledger, number, corpus.seed) for number, ledger in enumerate(ledgers)]
    pairs = pl.concat(frames).with_row_index("index")
    alive = np.concatenate([ledger.alive for ledger in ledgers])
    decided = step.decide(pairs.filter(alive).drop("id_hi", "id_lo"), corpus)
    decided = pl.concat([pl.DataFrame(schema=DECISION), decided], how="diagonal")
    assert alive[decided["index"].to_numpy()].all(), f"{name} decided about pairs that it was not shown"
    winners = _pair_ids(pairs[decided["winner"].fill_null(0)])
    losers = decided.with_columns(winner=pl.when(pl.col("winner").is_not_null()).then(winners))
    start = 0
    for ledger in ledgers:
        end = start + ledger.keys.height
        own = losers.filter(pl.col("index").is_between(start, end, closed="left"))
        stays = own["flag"].fill_null(False)
        found = own.select(pl.col("index").alias("at") - start, *list(LOSERS)[1:])
        ledger.drop(name, found.filter(~stays))
        ledger.flag(name, found.filter(stays))
        start = end


def _corpus_keys(ledger: _Ledger, pool: int, seed: int) -> pl.DataFrame:
    """The KEY columns of one pool but `index`, and the halves of the pair ids."""
    order = order_key(ledger.keys["id_hi"].to_numpy(), ledger.keys["id_lo"].to_numpy(), seed)
    return ledger.keys.select(
        pl.lit(ledger.pool.priority, pl.UInt16).alias("priority"),
        pl.Series("order", order, pl.UInt64),
        "prompt_key",
        "chosen_key",
        "rejected_key",
        pl.lit(pool, pl.UInt16).alias("pool"),
        "part",
        "position",
        "id_hi",
        "id_lo",
    )


def _pair_ids(pairs: pl.DataFrame) -> pl.Series:
    """The pair ids, 32 hex digits each, of rows with `id_hi` and `id_lo`."""
    halves = np.stack([pairs["id_hi"].to_numpy(), pairs["id_lo"].to_numpy()], axis=1)
    digits = binascii.hexlify(halves.astype(">u8").tobytes())
    offsets = np.arange(pairs.height + 1, dtype=np.int64) * 32
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.large_string(), pairs.height, buffers)))


# ------------------------------------------------------------------------------------------------ row steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """A row step, and the directories of its verdicts and of its scorer's columns inside a pairs artefact."""

    step: RowStep
    verdicts: str
    scorer: Scorer | None
    scores: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One part, and the row steps that have not judged it yet."""

    directory: Path
    part: str
    judges: tuple[_Judge, ...]

    def __str__(self) -> str:
        return f"screening {self.directory / self.part}"


def _judge(name: str, step: RowStep) -> _Judge:
    scorer = step.scorer()
    scores = f"scores/{type(scorer).__name__.lower()}-{_fingerprint(scorer)}" if scorer else ""
    return _Judge(step=step, verdicts=f"steps/{name}-{_fingerprint(step)}", scorer=scorer, scores=scores)


def _fingerprint(part: Any) -> str:
    said = json.dumps([views.VERSION, type(part).__name__, identity(part)], sort_keys=True)
    return xxhash.xxh3_64_hexdigest(said.encode())


def _judge_all(pools: Sequence[Pool], judges: Sequence[_Judge], engine: Engine, listen: Listener | None) -> None:
    """Make every verdict that is not cached yet."""
    tasks = {}
    for directory, part in dict.fromkeys((pool.directory, part) for pool in pools for part in pool.parts):
        missing = [judge for judge in judges if not (directory / judge.verdicts / part).exists()]
        if missing:
            unique = {judge.verdicts: judge for judge in missing}
            tasks[directory, part] = _Task(directory=directory, part=part, judges=tuple(unique.values()))
    if tasks:
        for _ in engine.map(judge_part, list(tasks.values()), listen):
            pass


def judge_part(task: _Task) -> None:
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
        _write(pl.concat([pl.DataFrame(schema=VERDICT), *verdicts]), task.directory / place / task.part)


class _Scores:
    """One scorer's columns over one part: read where they are cached, else computed batch by batch."""

    def __init__(self, task: _Task, judge: _Judge) -> None:
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
            _write(pl.concat([pl.DataFrame(schema=self.scorer.columns), *self.computed]), self.path)


def _view_columns(judges: Iterable[_Judge], scores: Iterable[_Scores]) -> set[str]:
    columns = {"margin"}  # a number that costs nothing: a view has a height even where only scores are read
    for judge in judges:
        own = set() if judge.scorer is None else set(judge.scorer.columns)
        columns |= set(judge.step.reason().meta.root_names()) - own
    return columns.union(*(one.reads for one in scores))


def _by_scores(judges: Iterable[_Judge]) -> list[tuple[str, list[_Judge]]]:
    """The steps by the scores that they read: two scorers may give columns of one name."""
    ordered = sorted(judges, key=lambda judge: judge.scores)
    return [(place, list(group)) for place, group in groupby(ordered, key=lambda judge: judge.scores)]


def _ask(frame: pl.DataFrame, judges: Sequence[_Judge], position: int) -> Iterator[pl.DataFrame]:
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


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.ComputeError as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "a cache file", "delete it and run again") from None


def _write(frame: pl.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        frame.write_parquet(temporary)
