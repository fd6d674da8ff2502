"""The accounts of pools while steps run over them, pair by pair, with the conservation law."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from curate.arrays import B8, F64
from curate.engines.base import Engine
from curate.pairs.pool import PairsPool
from curate.screening import score_steps
from curate.screening.broken_images import NAME, broken_images
from curate.screening.key_files import KeyFiles
from curate.screening.row_steps import CachedStep, read_reasons
from curate.screening.screened import DECISIONS, Funnel, Late, ScreenedPool
from curate.steps.base import DECISION, CorpusStep, ScoreStep
from curate.steps.corpus import Corpus

FOUND = {
    "at": pl.UInt32,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
}
"""What a step finds in pairs of one pool: `at` is a row of its key columns."""

EFFECT = {"flag": pl.Boolean, "flip": pl.Boolean, "weight": pl.Float64}
"""What becomes of a pair in which a step finds something, unless it is dropped: see curate.steps.base.DECISION."""

TRIAL = ["index", "pool", "pair_id", "winner_pool", "winner", "score", "evidence"]
"""Columns of a trial, a row for each pair that would be dropped.

`index` numbers the pairs of all pools; pools are labels, the pair and its winner are ids.
"""

HoldOut = Callable[[Mapping[str, pl.DataFrame]], Mapping[str, pl.Series]]
"""From the key columns of kept pairs, by pool label, to which of them are held out."""


class Ledger:
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
        self.weighted: list[pl.DataFrame] = []
        self.flipped: B8 = np.zeros(self.starts[-1], np.bool_)

    def reasons(self, step: CachedStep) -> pl.DataFrame:
        """FOUND by a row step in all pairs, dropped or not."""
        empty = pl.DataFrame(schema=FOUND)
        return pl.concat([empty, read_reasons(self.pool, step, self.starts)], how="diagonal")

    def settle(self, step: str, found: pl.DataFrame) -> None:
        """Drop and flag pairs as was decided: FOUND and EFFECT."""
        stays = found["flag"].fill_null(False)
        self.flipped[found.filter(found["flip"].fill_null(False))["at"].to_numpy()] = True
        self.weighted.append(found.select("at", "weight").drop_nulls())
        found = found.select(list(FOUND))
        self.drop(step, found.filter(~stays))
        self.flagged.append(found.filter(stays).with_columns(pl.lit(step).alias("step")))

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
            weights=self._weights(),
            decisions=self._decisions(self.decided),
            flags=self._decisions(self.flagged),
            starts=np.array(self.starts),
        )
        return replace(self.early, late=late)

    def _weights(self) -> F64:
        """The weight of each pair: the product of those that steps gave it, 1 of none."""
        weights: F64 = np.ones(self.starts[-1])
        for found in self.weighted:
            weights[found["at"].to_numpy()] *= found["weight"].to_numpy()
        return weights

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


class Ledgers:
    """The accounts of all pools, and their key columns."""

    def __init__(self, pools: Sequence[PairsPool], seed: int, engine: Engine) -> None:
        self.keys = KeyFiles(pools, seed, engine)
        self.each = [Ledger(pool, number, self.keys) for number, pool in enumerate(pools)]

    def begin_late(self) -> None:
        """Close the accounts of steps that hold for all pairs."""
        for ledger in self.each:
            ledger.begin_late()

    @property
    def kept(self) -> B8:
        """Which pairs are kept so far, by index."""
        return np.concatenate([ledger.kept for ledger in self.each])

    def decide_scored(self, name: str, step: ScoreStep, seed: int, hold_out: HoldOut | None) -> None:
        """Settle what a step that reads scores finds in the kept pairs, but for held-out and exchanged ones."""
        early = {one.pool.label: one.early for one in self.each if one.early is not None}
        keys = {label: one.kept_keys() for label, one in early.items()}
        held = hold_out(keys) if hold_out is not None else {}
        for ledger in self.each:
            label = ledger.pool.label
            at = np.flatnonzero(early[label].kept)
            pairs = keys[label].select("id_hi", "id_lo", at=pl.Series(at, dtype=pl.UInt32))
            free = ledger.kept[at] & ~ledger.flipped[at] & ~(held[label].to_numpy() if label in held else False)
            pairs = pairs.filter(pl.Series(free, dtype=pl.Boolean))
            found = score_steps.find(step, name, ledger.pool, pairs, seed)
            assert found["at"].is_in(pairs["at"].implode()).all(), (
                f"{name} decided about a pair that it did not get"
            )
            ledger.settle(name, pl.concat([pl.DataFrame(schema=FOUND | EFFECT), found], how="diagonal_relaxed"))

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
            found = own.with_columns(pl.col("index").alias("at") - int(first), weight=pl.lit(None, pl.Float64))
            ledger.settle(name, found)


def _as_decisions(decided: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=DECISION), decided], how="diagonal")
