"""Pairs whose label is probably wrong, as an audit found."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import drop_if


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAudit:
    """Reason `wrong`: the chance that the label is wrong is above a threshold.

    Pairs without a chance are kept, and so is the holdout. Acting on an audit gains little where it was simulated:
    read the sheet of `curate audit --review` first, and compare with `curate ablate --with-step`.

    scores     the name of the scores (curate audit)
    above      the threshold
    at_random  drop as many pairs as that, but any: what a filter is to be compared with
    """

    version: ClassVar[int] = 1
    after_holdout: ClassVar[bool] = True
    wants: ClassVar[str] = "wrong"
    scores: str = "audit"
    above: float = 0.9
    at_random: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.above < 1:
            raise ValueError(f"above is {self.above}, but must be a chance between 0 and 1")

    def lost(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """See the class."""
        found = pairs.select("at", reason=drop_if(pl.col("wrong") > self.above, "wrong"), score=pl.col("wrong"))
        return found.drop_nulls("reason")
