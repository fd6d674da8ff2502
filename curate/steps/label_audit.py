"""Pairs whose label is probably wrong, as an audit found."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAudit:
    """Reason `wrong`: the chance that the label is wrong is above a threshold.

    Pairs without a chance are kept as they are, and so is the holdout. Acting on an audit gains little where it
    was simulated: read the sheet of `curate audit --review` first, and compare with `curate ablate --with-step`.

    scores     the name of the scores (curate audit)
    above      the threshold
    action     `drop`; `flip`: the replies are exchanged, as `labels` does it, with the reason `flipped`; `weight`:
               the pair's loss in training is multiplied by the chance that the label is right, 1 - wrong, which
               shards have as the column `weight`. Flipped and weighted pairs are listed in review.parquet
    at_random  treat as many pairs so, but any: what a filter is to be compared with
    """

    version: ClassVar[int] = 2
    after_holdout: ClassVar[bool] = True
    wants: ClassVar[str] = "wrong"
    scores: str = "audit"
    above: float = 0.9
    action: Literal["drop", "flip", "weight"] = field(default="drop", metadata={"added": True})
    at_random: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.above < 1:
            raise ValueError(f"above is {self.above}, but must be a chance between 0 and 1")

    def find(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """See the class."""
        found = pairs.filter(pl.col("wrong") > self.above).select("at", score="wrong")
        if self.action == "drop":
            return found.with_columns(reason=pl.lit("wrong"))
        if self.action == "flip":
            return found.with_columns(reason=pl.lit("flipped"), flag=True, flip=True)
        return found.with_columns(reason=pl.lit("weighted"), flag=True, weight=1 - pl.col("score"))
