"""Shares of pairs with intervals by the clustered bootstrap: whole groups are drawn, for their pairs are alike."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.statistics import RESAMPLES, Interval, bootstrap, percentile, wilson

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Values = npt.NDArray[Any]
Counted = dict[str, tuple[Values, Values | None]]

BLOCKS = 1024
"""More groups than that are put together, by hash, into so many blocks, which are drawn instead.

Blocks are random sums of whole groups, so their spread says the same of the total's; with 1,024 of them an
interval's width is uncertain by 2 %. The cost no longer grows with the pairs.
"""

SEED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`hits` of `of` pairs, and a 95 % interval; the last three None of nothing."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return asdict(self)


class Clusters:
    """The groups of some pairs, as blocks."""

    def __init__(self, groups: U64) -> None:
        unique, inverse = np.unique(groups, return_inverse=True)
        self.groups = len(unique)
        self._block: I64 = inverse if self.groups <= BLOCKS else (groups % np.uint64(BLOCKS)).astype(np.int64)
        self._blocks = min(self.groups, BLOCKS)

    def shares(self, counted: Counted) -> dict[str, Share]:
        """For each name sum(hits) / sum(of), each one number a pair; `of` None counts every pair."""
        if not self.groups:
            return {name: Share(hits=0, of=0, value=None, low=None, high=None) for name in counted}
        every = self._sums(np.ones(len(self._block)))
        tops = [self._sums(hits) for hits, _ in counted.values()]
        bottoms = [every if of is None else self._sums(of) for _, of in counted.values()]
        top, bottom = np.stack(tops, axis=1), np.stack(bottoms, axis=1)
        drawn = _drawn(self._blocks)
        with np.errstate(invalid="ignore"):
            draws = (drawn @ top) / (drawn @ bottom)
        return {name: self._share(top[:, i], bottom[:, i], draws[:, i]) for i, name in enumerate(counted)}

    def _sums(self, values: Values) -> F64:
        sums: F64 = np.bincount(self._block, values, self._blocks).astype(np.float64)
        return sums

    def _share(self, top: F64, bottom: F64, draws: F64) -> Share:
        total, of = float(top.sum()), int(bottom.sum())
        if not of:
            return Share(hits=0, of=0, value=None, low=None, high=None)
        low, high = percentile(draws) or (total / of, total / of)
        if low == high:  # nothing varied: as many groups as these may still hide some
            low, high = _unvaried(total / of, min(of, self.groups))
        return Share(hits=round(total), of=of, value=total / of, low=low, high=high)


def _unvaried(value: float, groups: int) -> Interval:
    return wilson(value * groups, groups) if value in (0, 1) else Interval(value, value)


@functools.lru_cache(maxsize=4)
def _drawn(blocks: int) -> F64:
    """How often each block is drawn: [RESAMPLES, blocks]."""
    return bootstrap(blocks, lambda drawn: drawn, SEED, RESAMPLES)


def quantiles(values: Values, percents: Sequence[int]) -> list[float]:
    """The smallest value that at least so many percent of the values do not exceed; nothing of nothing."""
    if not len(values):
        return []
    found: F64 = np.percentile(values, percents, method="inverted_cdf")
    return [float(value) for value in found]
