"""Cross-fitted margins: how much better a linear reward calls the chosen reply, fitted without the pair itself.

A pair is the difference of the features of its chosen and its rejected reply, so its label is always 1 and there
is no intercept: reversing a pair reverses its margin. The loss is the sum of log(1 + exp(-x.w)) with an L2 penalty
`ridge` / 2 * |w|^2. One model for all pairs is fitted by Newton's method; those that leave a part out begin there
and go on with the Hessian of their own pairs at that point, which few steps make exact.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays import F64, I64

Floats = npt.NDArray[np.floating[Any]]
"""float32 or float64: the Hessian is summed in the kind that the features have, solved in float64."""

RIDGES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""The penalties tried, for differences whose mean squared length is 1."""

ROWS = 1 << 13
"""Pairs worked on at a time."""

SAMPLE = 10_000
"""Pairs from which the penalty is chosen, and from which the model of all pairs begins."""

NEWTON_STEPS, CHORD_STEPS = 25, 40
ENOUGH, ROUGHLY = 1e-4, 1e-2
"""A fit ends when its last step moved margins by less than this, root mean square; ROUGHLY where penalties are
compared."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Features of pairs [n, d], each column divided by `scale`, less what is linear in `rulers` [n, r]."""

    values: Floats
    scale: F64
    rulers: F64 | None = None
    slopes: F64 | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.scale)

    def take(self, rows: Any) -> "Differences":
        """Return some of the pairs: without a copy where `rows` is a slice."""
        return replace(self, values=self.values[rows], rulers=None if self.rulers is None else self.rulers[rows])

    def block(self, rows: Any) -> Floats:
        """Return the features of some pairs as they count."""
        kind = self.values.dtype
        values: Floats = self.values[rows] / self.scale.astype(kind)
        if self.rulers is not None and self.slopes is not None:
            values -= (self.rulers[rows] @ self.slopes).astype(kind)
        return values

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield all pairs, ROWS at a time, with their place."""
        for start in range(0, len(self), ROWS):
            rows = slice(start, min(start + ROWS, len(self)))
            yield rows, self.block(rows)

    def without_rulers(self, rulers: F64) -> "Differences":
        """Return the same pairs with what is linear in the rulers [n, r] taken out of each feature."""
        used = rulers[:, np.abs(rulers).max(axis=0, initial=0.0) > 0]
        products = np.zeros((used.shape[1], self.width))
        for rows, values in self.blocks():
            products += used[rows].T @ values
        slopes = np.asarray(np.linalg.lstsq(used.T @ used, products, rcond=None)[0], np.float64)
        return replace(self, rulers=used, slopes=slopes)


def scaled(values: Floats) -> tuple[Differences, Differences]:
    """Return the pairs with the features as they are and with all equally large; a pair's mean square is 1."""
    squares = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS):
        squares += (values[start : start + ROWS].astype(np.float64) ** 2).sum(axis=0)
    means = squares / max(len(values), 1)
    total = float(means.sum()) or 1.0
    each = np.sqrt(means * max((means > 0).sum(), 1))
    same = np.full(len(means), np.sqrt(total))
    return Differences(values, same), Differences(values, np.where(each > 0, each, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """What was chosen: the scale of the features, and the ridge."""

    equal: bool
    ridge: float


def choose(values: Floats, folds: I64) -> Penalty:
    """Choose the scale and the ridge by what predicts the other half of the folds best, of SAMPLE pairs."""
    rows = sample(len(values))
    half = folds[rows] % 2 == 0
    best: tuple[float, Penalty] | None = None
    for equal, x in enumerate(scaled(values[rows])):
        losses = np.zeros(len(RIDGES))
        for fitted, judged in ((half, ~half), (~half, half)):
            if fitted.any() and judged.any():
                losses += _losses(x.block(fitted), x.block(judged))
        for ridge, loss in zip(RIDGES, losses.tolist(), strict=True):
            if best is None or loss < best[0]:
                best = loss, Penalty(equal=bool(equal), ridge=ridge)
    assert best is not None
    return best[1]


def _losses(fitted: Floats, judged: Floats) -> F64:
    """The loss of the judged pairs for each of RIDGES; each fit begins at the one before."""
    weights, out = np.zeros(fitted.shape[1]), []
    for ridge in RIDGES:
        weights = _newton(fitted, ridge, weights, ROUGHLY)
        out.append(float(np.logaddexp(0, -(judged @ weights)).sum()))
    return np.array(out)


def sample(pairs: int) -> I64:
    """Return at most SAMPLE rows, evenly spread."""
    return np.unique(np.linspace(0, max(pairs - 1, 0), min(pairs, SAMPLE)).astype(np.int64))


def fit(x: Differences, ridge: float) -> F64:
    """Return the weights [d] of one model of all pairs."""
    rows = sample(len(x))
    weights = _newton(x.block(rows), ridge * len(rows) / max(len(x), 1), np.zeros(x.width))
    if len(rows) == len(x):
        return weights
    hessian = _hessians(x, np.zeros(len(x), np.int64), 1, weights)
    return _chord(x, hessian, np.ones((1, 1), np.bool_), np.zeros(len(x), np.int64), ridge, weights)[:, 0]


def _newton(x: Floats, ridge: float, weights: F64, enough: float = ENOUGH) -> F64:
    for _ in range(NEWTON_STEPS):
        doubt = _doubt(x @ weights)
        gradient = ridge * weights - x.T @ doubt
        hessian = _weighted_square(x, doubt * (1 - doubt)) + ridge * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if step @ hessian @ step < enough**2 * len(x):
            break
    return weights


def _doubt(margins: Floats) -> F64:
    """The chance that the model gives to the other label."""
    doubt: F64 = 0.5 - 0.5 * np.tanh(0.5 * margins.astype(np.float64))
    return doubt


def _weighted_square(x: Floats, weight: F64) -> F64:
    rooted = x * np.sqrt(weight).astype(x.dtype)[:, None]
    square: F64 = (rooted.T @ rooted).astype(np.float64)
    return square


def _hessians(x: Differences, parts: I64, count: int, weights: F64) -> F64:
    """The sum over the pairs of each part, [parts, d, d], at these weights."""
    out = np.zeros((count, x.width, x.width))
    for rows, values in x.blocks():
        doubt = _doubt(values @ weights.astype(values.dtype))
        for part in np.unique(parts[rows]).tolist():
            own = parts[rows] == part
            out[part] += _weighted_square(values[own], (doubt * (1 - doubt))[own])
    return out


def _chord(
    x: Differences, hessians: F64, uses: npt.NDArray[np.bool_], parts: I64, ridge: float, start: F64
) -> F64:
    """The weights [d, models] of models that use the parts `uses` [models, parts], from a common start.

    Each keeps the Hessian of its parts, and halves steps that make its loss larger.
    """
    identity = ridge * np.eye(x.width)
    solvers = [np.linalg.inv(np.tensordot(used, hessians, 1) + identity) for used in uses.astype(float)]
    weights = np.repeat(start[:, None], len(uses), axis=1)
    loss, gradient = _slopes(x, weights, uses, parts, ridge)
    pace, pairs = np.ones(len(uses)), np.maximum(uses @ np.bincount(parts, minlength=uses.shape[1]), 1)
    for _ in range(CHORD_STEPS):
        steps = np.stack([solver @ gradient[:, m] for m, solver in enumerate(solvers)], axis=1)
        moved = np.einsum("dm,dm->m", steps, gradient)
        if (moved < ENOUGH**2 * pairs).all():
            break
        proposed = weights - steps * pace
        new, slopes = _slopes(x, proposed, uses, parts, ridge)
        good = new <= loss + 1e-7 * np.abs(loss)
        weights, gradient = np.where(good, proposed, weights), np.where(good, slopes, gradient)
        loss, pace = np.where(good, new, loss), np.where(good, pace, pace / 2)
    return weights


def _slopes(
    x: Differences, weights: F64, uses: npt.NDArray[np.bool_], parts: I64, ridge: float
) -> tuple[F64, F64]:
    """The loss [models] and its gradient [d, models] of each model over the pairs that it uses."""
    loss, gradient = 0.5 * ridge * (weights**2).sum(axis=0), ridge * weights
    for rows, values in x.blocks():
        margins = values @ weights.astype(values.dtype)
        own = uses.T[parts[rows]]
        loss += np.where(own, np.logaddexp(0, -margins.astype(np.float64)), 0.0).sum(axis=0)
        gradient -= values.T @ np.where(own, _doubt(margins), 0.0).astype(values.dtype)
    return loss, gradient


def cross_fit(x: Differences, parts: I64, ridge: float) -> F64:
    """Return the margin of each pair by the model of all other parts; NaN where there is no other part.

    `parts` numbers the part of each pair, from 0.
    """
    count = int(parts.max(initial=-1)) + 1
    sizes = np.bincount(parts, minlength=count)
    uses = (sizes > 0)[None, :] & ~np.eye(count, dtype=np.bool_)
    fitted = np.flatnonzero((sizes > 0) & uses.any(axis=1))
    out: F64 = np.full(len(x), np.nan)
    if len(fitted):
        start = fit(x, ridge)
        hessians = _hessians(x, parts, count, start)
        weights = np.zeros((x.width, count))
        weights[:, fitted] = _chord(x, hessians, uses[fitted], parts, ridge, start)
        for rows, values in x.blocks():
            margins = values @ weights.astype(values.dtype)
            out[rows] = np.take_along_axis(margins, parts[rows, None], axis=1)[:, 0]
        out[~np.isin(parts, fitted)] = np.nan
    return out


def each(x: Differences, parts: I64, margins: Callable[[Differences, I64], F64]) -> F64:
    """Return `margins` of the pairs of each part by themselves; it gets them with their rows."""
    out: F64 = np.full(len(x), np.nan)
    for rows in _rows_of(parts):
        at: Any = slice(int(rows[0]), int(rows[-1]) + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
        out[rows] = margins(x.take(at), rows)
    return out


def _rows_of(parts: I64) -> Sequence[I64]:
    return [np.flatnonzero(parts == part) for part in np.unique(parts).tolist()]
