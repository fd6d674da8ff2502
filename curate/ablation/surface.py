"""The response surface of a mixture: per eval domain, accuracy as y = c - exp(b . shares), fitted with a ridge.

The log-linear law of data mixing (Ye et al. 2024) with a ridge on the deviations of b from their mean, which
leaves the level free: where the data say nothing, all sources count alike. Newton steps damped as Levenberg and
Marquardt do, from two levels of c; the better end is taken. `benchmarks/search.py` compares it with the truth of
simulations.
"""

from dataclasses import dataclass

import numpy as np

from curate.ablation.mixture import Bounds, distance, draw, fit
from curate.arrays import F64

NOISE = 0.02
"""The error of an accuracy that the ridge is weighed against: two points, as of some 600 items."""

RIDGE = 0.05
FLOOR, CEILING = -12.0, 3.0
"""Where the exponent is cut."""

DRAWN, AVERAGED = 6000, 64
APART = 0.3
"""The least distance (sum of absolute differences of shares) between candidates."""

WIDE = (0.2, 0.5, 1.0, 3.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The fit over mixes: `c` of each domain, and `b` by domain and source."""

    c: F64
    b: F64

    def __call__(self, shares: F64) -> F64:
        """The predicted accuracies, [mixes, domains]."""
        return np.asarray(self.c - np.exp(np.clip(shares @ self.b.T, FLOOR, CEILING)))


def surface(shares: F64, accuracies: F64) -> Surface:
    """Fit each column of `accuracies`, [mixes, domains], over the mixes' shares, [mixes, sources]."""
    fits = [_best(shares, accuracies[:, k]) for k in range(accuracies.shape[1])]
    return Surface(c=np.array([one[0] for one in fits]), b=np.array([one[1:] for one in fits]))


def _best(shares: F64, seen: F64) -> F64:
    ends = [_descend(shares, seen, float(seen.max()) + above) for above in (0.02, 0.15)]
    return min(ends, key=lambda end: end[0])[1]


def _descend(shares: F64, seen: F64, level: float) -> tuple[float, F64]:
    """The loss at the end and the parameters (c, b), from c = level and equal b."""
    size = shares.shape[1]
    at = np.concatenate([[level], np.full(size, np.log(max(level - float(seen.mean()), 1e-3)))])
    centring = np.sqrt(RIDGE) * (np.eye(size) - 1 / size)
    loss, residual, slope = _errors(at, shares, seen, centring)
    damping = 1e-2
    for _ in range(200):
        normal = slope.T @ slope
        step = np.linalg.solve(
            normal + damping * (np.diag(np.diag(normal)) + 1e-9 * np.eye(size + 1)), slope.T @ residual
        )
        ahead = _errors(at - step, shares, seen, centring)
        if ahead[0] >= loss:
            damping *= 4
            if damping > 1e9:
                break
            continue
        gained = loss - ahead[0]
        at, damping = at - step, max(damping / 3, 1e-9)
        loss, residual, slope = ahead
        if gained < 1e-9 * max(loss, 1e-9):
            break
    return loss, at


def _errors(at: F64, shares: F64, seen: F64, centring: F64) -> tuple[float, F64, F64]:
    """The loss, its residuals and their derivatives: of the accuracies in units of NOISE, then of the ridge."""
    inside = shares @ at[1:]
    gap = np.exp(np.clip(inside, FLOOR, CEILING))
    moved = np.where((inside > FLOOR) & (inside < CEILING), gap, 0.0)
    residual = np.concatenate([(at[0] - gap - seen) / NOISE, centring @ at[1:]])
    above = np.concatenate([np.ones((len(shares), 1)), -moved[:, None] * shares], axis=1) / NOISE
    below = np.concatenate([np.zeros((len(centring), 1)), centring], axis=1)
    return float(residual @ residual), residual, np.concatenate([above, below])


def candidates(found: Surface, within: Bounds, count: int, seed: int) -> F64:
    """The mixes to confirm: the mean of the best predicted of many drawn ones, then the best that differ from it.

    A single best one would be where the fit errs most; the mean of the best errs less.
    """
    drawn = draw(within, DRAWN, seed, WIDE)
    order = np.argsort(-found(drawn).mean(axis=1), kind="stable")
    chosen = [fit(drawn[order[:AVERAGED]].mean(axis=0, keepdims=True), within)[0]]
    for apart in (APART, APART / 2, APART / 4, 0.0):  # narrow bounds have no mixes far apart
        for i in order:
            if len(chosen) == count:
                return np.array(chosen)
            if min(distance(drawn[i], other) for other in chosen) > apart:
                chosen.append(drawn[i])
    return np.array(chosen)
