"""Shares of pairs with intervals by the clustered bootstrap: pairs that belong together are drawn together."""

import functools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.arrays import F64, I64, U64
from curate.statistics import RESAMPLES, bootstrap, percentile, wilson

Values = npt.NDArray[Any]
Counted = dict[str, tuple[Values, Values | None]]

BLOCKS = 1024
"""More clusters than this are merged, by hash, into this many blocks, which are drawn instead.

Blocks are random sums of whole clusters, so they show the same spread of the total; with 1,024 of them the width
of an interval is uncertain by 2 %. The cost no longer grows with the pairs.
"""

SEED = 5
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`hits` of `of` pairs: their share and its 95 % interval. `value`, `low`, `high` are None when `of` is 0."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return asdict(self)


def linked(pairs: pl.DataFrame) -> U64:
    """Return a number for each pair, equal for pairs of one group or prompt and for those linked through them.

    A prompt often has more than one upstream row: rankings, and questions that were asked again.
    """
    numbered = pairs.select("group", "prompt_key", number="group")
    while True:
        before = numbered["number"]
        numbered = numbered.with_columns(pl.min("number").over("prompt_key"))
        numbered = numbered.with_columns(pl.min("number").over("group"))
        if numbered["number"].equals(before):
            return before.to_numpy()


class Clusters:
    """Pairs that are drawn together, by number, as blocks."""

    def __init__(self, groups: U64) -> None:
        unique, inverse = np.unique(groups, return_inverse=True)
        self.count = len(unique)
        self._block: I64 = inverse if self.count <= BLOCKS else (groups % np.uint64(BLOCKS)).astype(np.int64)
        self._blocks = min(self.count, BLOCKS)

    def shares(self, counted: Counted) -> dict[str, Share]:
        """Return for each name sum(hits) / sum(of), arrays with a value per pair; `of` None counts every pair."""
        if not self.count:
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
        if high - low < ROUNDING:  # no draw differs: so few pairs may still hide a rare hit
            few = min(of, self.count)
            low, high = wilson(min(max(total / of, 0.0), 1.0) * few, few)
        return Share(hits=round(total), of=of, value=total / of, low=low, high=high)


@functools.lru_cache(maxsize=4)
def _drawn(blocks: int) -> F64:
    """How often each block is drawn: [RESAMPLES, blocks]."""
    return bootstrap(blocks, lambda drawn: drawn, SEED, RESAMPLES)
