"""How sure a number is: Wilson intervals, McNemar's exact test, the clustered bootstrap, Holm's correction.

Pure functions; the same input gives the same output to the last bit.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays import F64

LEVEL = 0.95
RESAMPLES = 2000
_CHUNK = 1 << 22  # cluster weights drawn at a time, 32 MiB


class Interval(NamedTuple):
    """Two ends of an interval."""

    low: float
    high: float


def wilson(right: float, total: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share (Wilson 1927; Brown, Cai and DasGupta 2001), not continuity-corrected.

    With z the normal quantile: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Half credits count as such,
    which makes it wider than it need be. It takes trials for independent; an effective number of them need not be
    whole. Raises ValueError outside 0..total.
    """
    if total < 1 or not 0 <= right <= total:
        raise ValueError(f"no share: {right} of {total}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = right / total, z * z / total
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    # at 0 and at all the end is exact, which rounding would miss
    low = (middle - half) / (1 + spread) if right > 0 else 0.0
    high = (middle + half) / (1 + spread) if right < total else 1.0
    return Interval(low, high)


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact two-sided p: the chance of a split as uneven under a fair coin (Fagerland et al. 2013).

    `gained` and `lost` count the trials that only one of the two got right: min(1, 2 P(X <= min)) for
    X ~ Bin(gained + lost, 1/2).
    """
    n = gained + lost
    tail: int = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    chance: float = 2 * tail / (1 << n)
    return min(1.0, chance)


def sign_flip(differences: F64, seed: int, draws: int) -> float:
    """Two-sided p of paired differences that add up to nothing, by flipping their signs at random (Fisher 1935).

    Each difference is one cluster's, so that what happens within clusters does not matter. Where all are of one
    size this is McNemar's test. The observed signs count as one more draw: never below 1 / (draws + 1).
    """
    known = differences[differences != 0]
    total, extreme = abs(float(known.sum())), 1
    draw = np.random.Generator(np.random.PCG64(seed))
    step = max(1, _CHUNK // max(len(known), 1))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        bits = np.unpackbits(draw.integers(0, 256, (rows, (len(known) + 7) // 8), np.uint8), axis=1)
        sums = bits[:, : len(known)].astype(np.float64) @ (2 * known) - known.sum()
        extreme += int((np.abs(sums) >= total * (1 - 1e-9)).sum())
    return extreme / (draws + 1)


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1; none is smaller than one before it, none above 1.
    """
    out, largest = [0.0] * len(chances), 0.0
    for rank, at in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[at]))
        out[at] = largest
    return out


def bootstrap(
    clusters: int, values: Callable[[F64], F64], seed: int, resamples: int = RESAMPLES
) -> npt.NDArray[np.float64]:
    """`values` of `resamples` draws of clusters with replacement (Efron and Tibshirani 1993, chapter 8), [R, V].

    `values` gets how often each cluster was drawn, [r, C], and gives [r, V]. Two systems are compared by giving
    both the same draws, within `values`. Draws depend on `seed` and the number of clusters alone.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    chance = np.full(clusters, 1 / clusters)
    step = max(1, _CHUNK // clusters)
    parts = [
        values(draw.multinomial(clusters, chance, size=min(step, resamples - start)).astype(np.float64))
        for start in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def percentile(draws: F64, level: float = LEVEL) -> Interval | None:
    """The percentile interval of the draws that have a value; None where none has."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(float(low), float(high))


def bootstrap_chance(differences: F64) -> float:
    """Two-sided p of no difference: twice the smaller share of draws on the far side of 0, counting one more draw.

    The added draw (Davison and Hinkley 1997, 4.2) keeps it above 0: never below 2 / (R + 1).
    """
    known = differences[~np.isnan(differences)]
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(known)))


def quantiles(values: npt.NDArray[Any], percents: Sequence[int]) -> list[float]:
    """Return for each percent the smallest value that so many percent of the values do not exceed.

    Without values the list is empty.
    """
    found = np.percentile(values, percents, method="inverted_cdf") if len(values) else ()
    return [float(value) for value in found]
