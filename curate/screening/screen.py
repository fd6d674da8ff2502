"""Runs steps over the pairs of a recipe, writes decisions, and checks the conservation law."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from curate.arrays import B8, I64
from curate.engines.base import Engine, Listener
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.screening import score_steps
from curate.screening.broken_images import NAME, broken_images, needs_pixels
from curate.screening.key_files import KeyFiles
from curate.screening.row_steps import (
    CachedStep,
    find_reasons,
    fingerprint_of,
    read_reasons,
    write_frame,
)
from curate.steps import is_after_holdout, is_corpus_step, is_row_step, is_score_step
from curate.steps.base import DECISION, CorpusStep, ScoreStep, Step
from curate.steps.corpus import Corpus, Sketch, make_sketches

FOUND = {
    "at": pl.UInt32,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
}
"""What a step finds in pairs of one pool: `at` is a row of its key columns."""

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
"""Columns of a decisions file.

row              where upstream the row is
winner           the id of the pair that it lost to, null if none
score, evidence  how sure the step is, and what it found
part, position   the part of the pool, counted in order, and the row in that part
"""

TRIAL = ["index", "pool", "pair_id", "winner_pool", "winner", "score", "evidence"]
"""Columns of a trial, a row for each pair that would be dropped.

`index` numbers the pairs of all pools; pools are labels, the pair and its winner are ids.
"""


HoldOut = Callable[[Mapping[str, pl.DataFrame]], Mapping[str, pl.Series]]
"""From the key columns of kept pairs, by pool label, to which of them are held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How many pairs there were, were kept, and were dropped for each `step/why`, in the order of the steps."""

    pairs: int
    dropped: Mapping[str, int]
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedPool:
    """What the steps decided about one pool; the mask `kept` has its pairs in file order.

    `flags` has the columns of `decisions`, about pairs that the step which found something did not drop.
    `late` is what steps `after_holdout` decided, which does not hold for held-out pairs: until `without_holdout`
    says which these are, their pairs count as kept.
    """

    pool: PairsPool
    kept: B8
    decisions: pl.DataFrame
    flags: pl.DataFrame
    funnel: Funnel
    late: "Late | None" = None

    def kept_keys(self) -> pl.DataFrame:
        """Read the key columns of the kept pairs; where steps decided `late`, with columns `barred` and `flipped`.

        A pair that is barred may be held out, and not be in the mix.
        """
        keys = load_keys(self.pool.directory, self.pool.parts, self.kept)
        if self.late is None:
            return keys
        return keys.with_columns(
            barred=pl.Series(self.late.barred[self.kept], dtype=pl.Boolean),
            flipped=pl.Series(self.late.flipped[self.kept], dtype=pl.Boolean),
        )

    def without_holdout(self, held: pl.DataFrame) -> Self:
        """The same after the late decisions, but for the held-out pairs at these places (part, position)."""
        if self.late is None:
            return self
        places = held.select(pl.col("part").cast(pl.UInt32), pl.col("position").cast(pl.UInt32))
        dropped, flagged = (
            frame.join(places, on=["part", "position"], how="anti", maintain_order="left")
            for frame in (self.late.decisions, self.late.flags)
        )
        kept = self.kept.copy()
        kept[self.late.rows(dropped)] = False
        counts = dict(self.funnel.dropped)
        for (step, reason), some in dropped.partition_by(
            "step", "reason", as_dict=True, maintain_order=True
        ).items():
            counts[f"{step}/{reason}"] = counts.get(f"{step}/{reason}", 0) + some.height
        funnel = Funnel(pairs=self.funnel.pairs, dropped=counts, kept=int(kept.sum()))
        assert funnel.pairs == sum(counts.values()) + funnel.kept, f"{self.pool.label}: {funnel}"
        order = ["part", "position"]
        return replace(
            self, kept=kept, funnel=funnel, late=None,
            decisions=pl.concat([self.decisions, dropped]).sort(order, maintain_order=True),
            flags=pl.concat([self.flags, flagged]).sort(order, maintain_order=True),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What steps `after_holdout` decided about the kept pairs of a pool, as masks and as DECISIONS.

    `starts` has where the parts begin among the pairs.
    """

    barred: B8
    flipped: B8
    decisions: pl.DataFrame
    flags: pl.DataFrame
    starts: I64

    def rows(self, places: pl.DataFrame) -> I64:
        """The rows of pairs at these places."""
        if not places.height:
            return np.zeros(0, np.int64)
        rows: I64 = self.starts[places["part"].to_numpy()] + places["position"].to_numpy()
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What the steps decided about all pools, in their order."""

    pools: tuple[ScreenedPool, ...]


def screen(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
    say: Callable[[str], None] = lambda _: None,
    hold_out: HoldOut | None = None,
) -> Screened:
    """Run the steps in their order; what one drops, later ones do not see. `listen` gets pairs read as rows.

    `images` is the image store of the pairs; `say` gets a line for each step that reads all pairs at once.
    `hold_out` says which pairs steps that read scores do not get: shares of them are of the others alone.
    """
    ledgers, _ = _walk(pools, steps, (), seed, engine, listen, images, say, hold_out)
    return Screened(pools=tuple(ledger.close() for ledger in ledgers.each))


def trials(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    candidates: Sequence[tuple[str, CorpusStep]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, int], Iterator[pl.DataFrame]]:
    """Return how many pairs of each pool these steps keep, and what each candidate would drop of those: see TRIAL.

    Each candidate runs after the steps, as if it were the only one. Nothing is written but what `screen` caches
    beside the pairs too.
    """
    sketches = [sketch for _, candidate in candidates for sketch in candidate.sketches()]
    ledgers, corpus = _walk(pools, steps, sketches, seed, engine, listen, images, say)
    if any(needs_pixels(candidate) for _, candidate in candidates):
        ledgers.decide_images(corpus, say)
    left = {ledger.pool.label: int(ledger.kept.sum()) for ledger in ledgers.each}

    def dropped() -> Iterator[pl.DataFrame]:
        for name, candidate in candidates:
            say(f"{name}: among {sum(left.values()):,} pairs")
            yield ledgers.trial(name, candidate, corpus)

    return left, dropped()


def _walk(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    more: Sequence[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None,
    images: Path,
    say: Callable[[str], None],
    hold_out: HoldOut | None = None,
) -> tuple["_Ledgers", Corpus]:
    """The pools after these steps, and their corpus with the sketches of the steps and some more."""
    cached = {at: CachedStep.of(name, step) for at, (name, step) in enumerate(steps) if is_row_step(step)}
    find_reasons(pools, list(cached.values()), engine, listen)
    sketches = [sketch for _, step in steps if is_corpus_step(step) for sketch in step.sketches()]
    sketches += more
    if sketches:
        say(f"sketches: {', '.join(dict.fromkeys(type(sketch).__name__.lower() for sketch in sketches))}")
    corpus = sketched(pools, sketches, seed, engine, listen, images)
    ledgers = _Ledgers(pools, seed, engine)
    unseen = True  # images are decoded when a step first needs them
    for at, (name, step) in enumerate(steps):
        if needs_pixels(step) and unseen:
            unseen = False
            ledgers.decide_images(corpus, say)
        if is_after_holdout(step):
            ledgers.begin_late()
        if is_row_step(step):
            for ledger in ledgers.each:
                ledger.drop(name, ledger.reasons(cached[at]))
        elif is_corpus_step(step):
            say(f"{name}: among {sum(int(ledger.kept.sum()) for ledger in ledgers.each):,} pairs")
            ledgers.decide(name, step, corpus)
        elif is_score_step(step):
            say(f"{name}: by the scores {step.scores}")
            ledgers.decide_scored(name, step, seed, hold_out)
    return ledgers, corpus


def sketched(
    pools: Sequence[PairsPool],
    sketches: Iterable[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
) -> Corpus:
    """Return the pools with these sketches, making those that are not cached."""
    places = {one: _place(one) for one in sketches}
    corpus = Corpus(pools=tuple(pools), images=images, seed=seed, engine=engine, places=places)
    make_sketches(corpus, places, listen)
    return corpus


def write_decisions(screened: Screened, directory: Path) -> None:
    """Publish the decisions of each pool as `directory/<label>.parquet`, and `directory/../review.parquet`.

    The review sheet lists the decisions with evidence, dropped or flagged, of all pools.
    """
    for one in screened.pools:
        write_frame(one.decisions, directory / f"{one.pool.label}.parquet")
    write_frame(review(screened), directory.parent / "review.parquet")


def review(screened: Screened) -> pl.DataFrame:
    """Return decisions with evidence and flags of all pools, the surest first: DECISIONS, `pool` and `fate`."""
    found = [pl.DataFrame(schema={"fate": pl.String, "pool": pl.String, **DECISIONS})]
    for one in screened.pools:
        proved = one.decisions.filter(pl.col("evidence").is_not_null())
        for fate, some in (("dropped", proved), ("flagged", one.flags)):
            found.append(some.select(pl.lit(fate).alias("fate"), pl.lit(one.pool.label).alias("pool"), *DECISIONS))
    last = ["pair_id", "part", "position"]
    return pl.concat(found).sort("step", "reason", "score", *last, descending=[False, False, True, *[False] * 3])


# ------------------------------------------------------------------------------------------------ the ledger


class _Ledger:
    """The account of one pool: which pairs are kept so far, and why the others are dropped."""

    def __init__(self, pool: PairsPool, number: int, keys: KeyFiles) -> None:
        self.pool = pool
        self.number = number
        self.key_files = keys
        self.starts: list[int] = keys.parts[number].tolist()
        self.kept: B8 = np.ones(self.starts[-1], np.bool_)
        self.dropped: dict[str, int] = {}
        self.decided: list[pl.DataFrame] = []
        self.flagged: list[pl.DataFrame] = []
        self.early: ScreenedPool | None = None
        self.flipped: B8 = np.zeros(self.starts[-1], np.bool_)

    def reasons(self, step: CachedStep) -> pl.DataFrame:
        """FOUND by a row step in all pairs, dropped or not."""
        empty = pl.DataFrame(schema=FOUND)
        return pl.concat([empty, read_reasons(self.pool, step, self.starts)], how="diagonal")

    def flag(self, step: str, found: pl.DataFrame) -> None:
        """Record what a step found in pairs that are kept."""
        self.flagged.append(found.with_columns(pl.lit(step).alias("step")))

    def drop(self, step: str, found: pl.DataFrame) -> None:
        """Drop those of the pairs that are still kept."""
        before = int(self.kept.sum())
        found = found.filter(self.kept[found["at"].to_numpy()])
        self.kept[found["at"].to_numpy()] = False
        for reason, count in found.group_by("reason").len().sort("reason").iter_rows():
            self.dropped[f"{step}/{reason}"] = self.dropped.get(f"{step}/{reason}", 0) + count
        self.decided.append(found.with_columns(pl.lit(step).alias("step")))
        kept = int(self.kept.sum())
        assert before == kept + found.height, f"{self.pool.label}, {step}: {before} != {kept} + {found.height}"

    def begin_late(self) -> None:
        """Close the account of steps that hold for all pairs; what comes now does not hold for held-out ones."""
        if self.early is None:
            self.early = self._settled()
            self.decided, self.flagged, self.dropped = [], [], {}

    def close(self) -> ScreenedPool:
        """Return the pool as screened, after checking the conservation law."""
        if self.early is None:
            return self._settled()
        late = Late(
            barred=self.early.kept & ~self.kept,
            flipped=self.flipped,
            decisions=self._decisions(self.decided),
            flags=self._decisions(self.flagged),
            starts=np.array(self.starts),
        )
        return replace(self.early, late=late)

    def _settled(self) -> ScreenedPool:
        funnel = Funnel(pairs=self.starts[-1], dropped=self.dropped, kept=int(self.kept.sum()))
        assert funnel.pairs == sum(funnel.dropped.values()) + funnel.kept, f"{self.pool.label}: {funnel}"
        decisions, flags = self._decisions(self.decided), self._decisions(self.flagged)
        assert decisions.height == funnel.pairs - funnel.kept
        return ScreenedPool(pool=self.pool, kept=self.kept.copy(), decisions=decisions, flags=flags, funnel=funnel)

    def _decisions(self, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
        empty = pl.DataFrame(schema={**FOUND, "step": pl.String})
        decided = pl.concat([empty, *found]).sort("at")
        pairs = self.key_files.cells(self.number, decided["at"].cast(pl.Int64).to_numpy(), "pair_id", "row")
        return decided.hstack(pairs).with_columns(source=pl.lit(self.pool.source)).select(list(DECISIONS))


class _Ledgers:
    """The accounts of all pools, and their key columns."""

    def __init__(self, pools: Sequence[PairsPool], seed: int, engine: Engine) -> None:
        self.keys = KeyFiles(pools, seed, engine)
        self.each = [_Ledger(pool, number, self.keys) for number, pool in enumerate(pools)]

    def begin_late(self) -> None:
        """Close the accounts of steps that hold for all pairs."""
        for ledger in self.each:
            ledger.begin_late()

    @property
    def kept(self) -> B8:
        """Which pairs are kept so far, by index."""
        return np.concatenate([ledger.kept for ledger in self.each])

    def decide_scored(self, name: str, step: ScoreStep, seed: int, hold_out: HoldOut | None) -> None:
        """Drop what a step that reads scores finds in the kept pairs that are not held out."""
        early = {one.pool.label: one.early for one in self.each if one.early is not None}
        keys = {label: one.kept_keys() for label, one in early.items()}
        held = hold_out(keys) if hold_out is not None else {}
        for ledger in self.each:
            label = ledger.pool.label
            at = np.flatnonzero(early[label].kept)
            pairs = keys[label].select("id_hi", "id_lo", at=pl.Series(at, dtype=pl.UInt32))
            free = ledger.kept[at] & ~(held[label].to_numpy() if label in held else False)
            pairs = pairs.filter(pl.Series(free, dtype=pl.Boolean))
            found = score_steps.lost(step, name, ledger.pool, pairs, seed)
            assert found["at"].is_in(pairs["at"].implode()).all(), f"{name} dropped a pair that it was not given"
            ledger.drop(name, pl.concat([pl.DataFrame(schema=FOUND), found], how="diagonal_relaxed"))

    def decide(self, name: str, step: CorpusStep, corpus: Corpus) -> None:
        """Run a corpus step on the kept pairs of all pools; drop and flag as it decides."""
        self._settle(name, self._decided(name, step, corpus))

    def decide_images(self, corpus: Corpus, say: Callable[[str], None]) -> None:
        """Drop the kept pairs that show an image which cannot be decoded."""
        pairs = self.keys.frame(self.kept, ("pool", "part", "position", "has_media")).filter("has_media")
        if pairs.height:
            say("images: decoding those that were not yet")
            self._settle(NAME, broken_images(pairs, corpus))

    def trial(self, name: str, step: CorpusStep, corpus: Corpus) -> pl.DataFrame:
        """Return what a corpus step would drop of the kept pairs, as TRIAL."""
        decided = self._decided(name, step, corpus)
        decided = decided.filter(~pl.col("flag").fill_null(False))
        labels = pl.Series([pool.label for pool in corpus.pools], dtype=pl.String)
        won, known = decided["winner"].fill_null(0), pl.col("winner").is_not_null()
        return decided.with_columns(
            pool=labels.gather(self.keys.pools_of(decided["index"])),
            pair_id=self.keys.ids(decided["index"]),
            winner_pool=pl.when(known).then(labels.gather(self.keys.pools_of(won))),
            winner=pl.when(known).then(self.keys.ids(won)),
        ).select(TRIAL)

    def _decided(self, name: str, step: CorpusStep, corpus: Corpus) -> pl.DataFrame:
        """A corpus step's DECISIONs about the kept pairs."""
        kept = self.kept
        decided = _as_decisions(self.keys.decide(step, kept, corpus))
        assert kept[decided["index"].to_numpy()].all(), f"{name} decided about pairs that it did not get"
        return decided

    def _settle(self, name: str, decided: pl.DataFrame) -> None:
        """Drop and flag pairs as was decided."""
        decided = _as_decisions(decided)
        winners = self.keys.ids(decided["winner"].fill_null(0))
        decided = decided.with_columns(winner=pl.when(pl.col("winner").is_not_null()).then(winners))
        for ledger, first, last in zip(self.each, self.keys.starts[:-1], self.keys.starts[1:], strict=True):
            own = decided.filter(pl.col("index").is_between(int(first), int(last), closed="left"))
            stays = own["flag"].fill_null(False)
            found = own.select(pl.col("index").alias("at") - int(first), *list(FOUND)[1:])
            ledger.flipped[found.filter(own["flip"].fill_null(False))["at"].to_numpy()] = True
            ledger.drop(name, found.filter(~stays))
            ledger.flag(name, found.filter(stays))


def _as_decisions(decided: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=DECISION), decided], how="diagonal")


def _place(sketch: Sketch) -> str:
    return f"sketches/{type(sketch).__name__.lower()}-{fingerprint_of(sketch)}"
