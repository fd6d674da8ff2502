"""Shares of pairs with intervals that count clusters: pairs that belong together are one piece of evidence."""

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.ablation import t_distribution
from curate.arrays import F64, U64
from curate.statistics import LEVEL, Interval, wilson

Values = npt.NDArray[Any]
Counted = dict[str, tuple[Values, Values | None]]

ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`hits` of `of` pairs in so many `clusters`: their share and its 95 % interval.

    `clusters` counts only those with pairs of `of`. `value`, `low`, `high` are None when `of` is 0.
    """

    hits: int
    of: int
    clusters: int
    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return asdict(self)


NOTHING = Share(hits=0, of=0, clusters=0, value=None, low=None, high=None)


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
    """Pairs that are one piece of evidence together, by number."""

    def __init__(self, groups: U64) -> None:
        unique, self._cluster = np.unique(groups, return_inverse=True)
        self.count = len(unique)

    def shares(self, counted: Counted) -> dict[str, Share]:
        """Return for each name sum(hits) / sum(of), arrays with a value per pair; `of` None counts every pair."""
        every = self._sums(np.ones(len(self._cluster)))
        return {
            name: share(self._sums(hits), every if of is None else self._sums(of))
            for name, (hits, of) in counted.items()
        }

    def _sums(self, values: Values) -> F64:
        sums: F64 = np.bincount(self._cluster, values, self.count).astype(np.float64)
        return sums


def share(hits: F64, of: F64) -> Share:
    """Return sum(hits) / sum(of), a value per cluster each, with Wilson's interval at its effective size.

    The effective size is that of independent pairs with the same variance, by the jackknife over clusters, less
    what so few clusters cannot know (Korn and Graubard 1998). Independent pairs get Wilson's interval itself.
    Where no cluster differs from another the size is the number of clusters, and no end is nearer to the value
    than it would be had every pair been a hit, or none: one hit more never makes an interval narrower there.
    """
    deciding = of > 0
    hits, of = hits[deciding], of[deciding]
    clusters, total = len(of), float(of.sum())
    if not clusters:
        return NOTHING
    value = min(max(float(hits.sum()) / total, 0.0), 1.0)
    size = _effective_size(hits, of, value)
    low, high = wilson(value * size, size)
    low, high = min(low, wilson(clusters, clusters).low), max(high, wilson(0, clusters).high)
    return Share(
        hits=round(float(hits.sum())), of=round(total), clusters=clusters, value=value, low=low, high=high
    )


def _effective_size(hits: F64, of: F64, value: float) -> float:
    clusters, total = len(of), float(of.sum())
    if clusters == 1:
        return 1.0
    without = (hits - value * of) / (total - of)  # how far the share moves when a cluster is left out
    variance = ((clusters - 1) / clusters) ** 2 * float((without**2).sum())
    if variance <= ROUNDING * value * (1 - value) or not 0 < value < 1:
        return float(clusters)
    few = _t(max(round(total) - 1, 1)) / _t(clusters - 1) if clusters < total else 1.0
    return max(value * (1 - value) / variance * few**2, 1.0)


@functools.lru_cache(maxsize=4096)
def _t(freedom: int) -> float:
    return t_distribution.quantile(0.5 + LEVEL / 2, min(freedom, 1000))  # beyond, as good as normal


def mean_of(shares: Sequence[Share]) -> Share:
    """Return the plain mean of shares of different sources, with `hits`, `of` and `clusters` summed.

    Those without pairs are left out. The ends are as far from the mean as independent errors add up to (Zou and
    Donner 2008).
    """
    known = [one for one in shares if one.value is not None]
    if not known:
        return NOTHING
    value = sum(one.value or 0.0 for one in known) / len(known)
    interval = Interval(value - _away(known, "low"), value + _away(known, "high"))
    return Share(
        hits=sum(one.hits for one in known),
        of=sum(one.of for one in known),
        clusters=sum(one.clusters for one in known),
        value=value,
        low=max(interval.low, 0.0),
        high=min(interval.high, 1.0),
    )


def _away(shares: Sequence[Share], end: str) -> float:
    return math.hypot(*(getattr(one, end) - (one.value or 0.0) for one in shares)) / len(shares)
