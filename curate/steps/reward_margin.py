"""Pairs whose reward margin is among the lowest of their source, or among the highest where that is asked for."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardMargin:
    """Reasons `hardest`, the share of a source's scored pairs with the lowest margins, and `easiest`.

    The margin is what a reward model gave the chosen reply less what it gave the rejected one. Pairs without a
    score are kept, and so is the holdout. Shares count the pairs that earlier steps kept.

    scores         the name of the scores (curate score)
    easiest        the share with the highest margins; made models worse where it was simulated, so that it also
                   needs `drop_easiest`
    at_random      drop as many pairs as that, but any: what a filter is to be compared with
    """

    version: ClassVar[int] = 2
    after_holdout: ClassVar[bool] = True
    wants: ClassVar[str] = "margin"
    scores: str
    hardest: float = 0.1
    easiest: float = 0.0
    drop_easiest: bool = False
    at_random: bool = False

    def __post_init__(self) -> None:
        for name in ("hardest", "easiest"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be a share from 0 to below 1")
        if self.hardest + self.easiest >= 1:
            raise ValueError("hardest and easiest together leave no pair")
        if not self.hardest + self.easiest:
            raise ValueError("hardest and easiest are 0, so that nothing would be dropped")
        if bool(self.easiest) != self.drop_easiest:
            raise ValueError("easiest and drop_easiest: true go together: what models agree with most is dropped")

    def find(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """See the class."""
        ranked = pairs.drop_nulls("margin").sort("margin", "order")
        low, high = (int(share * ranked.height) for share in (self.hardest, self.easiest))
        ends = (("hardest", ranked.head(low)), ("easiest", ranked.tail(high)))
        return pl.concat(some.select("at", reason=pl.lit(reason), score=pl.col("margin")) for reason, some in ends)
