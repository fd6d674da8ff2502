"""What steps decided about pools of pairs, and the files of it in a mix."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from curate.arrays import B8, F64, I64
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.screening.row_steps import write_frame

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
        """Read the key columns of the kept pairs; where steps decided `late`, also `barred`, `flipped` and
        `weight`.

        A pair that is barred may be held out, and not be in the mix.
        """
        keys = load_keys(self.pool.directory, self.pool.parts, self.kept)
        if self.late is None:
            return keys
        return keys.with_columns(
            barred=pl.Series(self.late.barred[self.kept], dtype=pl.Boolean),
            flipped=pl.Series(self.late.flipped[self.kept], dtype=pl.Boolean),
            weight=pl.Series(self.late.weights[self.kept], dtype=pl.Float64),
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

    `weights` are factors of the pairs' losses in training. `starts` has where the parts begin among the pairs.
    """

    barred: B8
    flipped: B8
    weights: F64
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
