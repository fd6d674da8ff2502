"""The chance that a label is wrong, from cross-fitted margins; and what a review by people makes of it.

A label agrees with a margin u with chance (1 - e) s(a u) + e s(-a u), where s is the logistic function: `a`, how
much margins are worth, is common to all pairs, and e belongs to a group of them. Margins alone do not identify e:
it ranks pairs, and is a rate only after a review.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curate.analysis.intervals import Share, share
from curate.arrays import B8, F64, I64

RARE = 0.5, 11.0
"""The prior of a group's e, (2e)^x (1 - e)^y: labels are right unless the margins object."""

LOWEST, HIGHEST = 1e-6, 0.5
WORTH = -2.0, 3.0
"""The range of log a."""

FIT_STEPS, WORTH_STEPS = 40, 28
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Noise:
    """How margins and labels fit together: `worth` is a, `rates` are the groups' e."""

    worth: float
    rates: F64

    def wrong(self, margins: F64, group: I64) -> F64:
        """Return the chance that each pair's label is wrong; NaN where it has no margin."""
        right, rate = _logistic(self.worth * margins), self.rates[group]
        against: F64 = rate * (1 - right)
        return against / (against + (1 - rate) * right)


def fit_noise(margins: F64, group: I64, groups: int) -> Noise:
    """Fit it by the largest posterior; pairs without a margin (NaN) say nothing."""
    known = ~np.isnan(margins)
    margins, group = margins[known], group[known]

    def loss(log_worth: float) -> float:
        right = _logistic(math.exp(log_worth) * margins)
        rates = _rates(right, group, groups)
        mixed = right + rates[group] * (1 - 2 * right)
        prior = RARE[0] * np.log(2 * rates) + RARE[1] * np.log1p(-rates)
        return float(-np.log(mixed + 1e-300).sum() - prior.sum())

    log_worth = _lowest(loss, *WORTH)
    return Noise(math.exp(log_worth), _rates(_logistic(math.exp(log_worth) * margins), group, groups))


def _rates(right: F64, group: I64, groups: int) -> F64:
    """For each group the e of largest posterior: Newton's method within ends that close in; it is concave in e."""
    low, high = np.full(groups, LOWEST), np.full(groups, HIGHEST)
    rates, gain = np.full(groups, 0.1), 1 - 2 * right
    for _ in range(FIT_STEPS):
        ratio = gain / (right + rates[group] * gain)
        slope = np.bincount(group, ratio, groups) + RARE[0] / rates - RARE[1] / (1 - rates)
        bend = -np.bincount(group, ratio**2, groups) - RARE[0] / rates**2 - RARE[1] / (1 - rates) ** 2
        low, high = np.where(slope > 0, rates, low), np.where(slope > 0, high, rates)
        aimed = rates - slope / bend
        new = np.where((aimed > low) & (aimed < high), aimed, (low + high) / 2)
        if np.abs(new - rates).max() < 1e-7:
            break
        rates = new
    return rates


def _lowest(value: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one number is lowest, by golden sections (Kiefer 1953)."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(WORTH_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = value(right)
    return (low + high) / 2


def _logistic(values: F64) -> F64:
    out: F64 = 0.5 + 0.5 * np.tanh(0.5 * values)
    return out


def self_check(margins: F64) -> float:
    """Return P(u + v > 0) for the margins u, v of two different pairs.

    It is the AUROC at which the ranking would find labels that were reversed at random: a reversed pair's margin
    is -u, and it ranks above an untouched one where -u < v.
    """
    known = np.sort(margins[~np.isnan(margins)])
    count = len(known)
    if count < 2:
        return math.nan
    above = count - np.searchsorted(known, -known, "right")
    equal = np.searchsorted(known, -known, "right") - np.searchsorted(known, -known, "left")
    own = np.where(known > 0, 1.0, np.where(known == 0, 0.5, 0.0))
    return float((above + equal / 2 - own).sum() / (count * (count - 1)))


# ----------------------------------------------------------------------------------------------------- the review


def review_chances(wrong: F64, size: int) -> F64:
    """Return the chance of each pair to be reviewed: half of `size` at random, half in proportion to `wrong`.

    Pairs without a chance to be wrong (NaN) are in the random half alone.
    """
    known = np.nan_to_num(wrong)
    count, total = len(known), float(known.sum())
    even: F64 = np.full(count, size / max(count, 1))
    return np.minimum(even if not total else even / 2 + size / 2 * known / total, 1.0)


def draw(chances: F64, order: I64, start: float) -> I64:
    """Return the rows of a systematic sample: each row with its chance, in all as many as the chances add up to.

    `order` is a random order of the rows, and `start` lies in [0, 1).
    """
    sums = np.cumsum(chances[order])
    counts = np.floor(sums - start + 1e-9)
    return order[np.diff(counts, prepend=math.floor(-start + 1e-9)) > 0]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a review says: chances become s(shift + slope * logit), and `rate` is the share of wrong labels."""

    shift: float
    slope: float
    rate: Share
    rates: dict[int, Share]

    def apply(self, wrong: F64) -> F64:
        """Return the calibrated chances."""
        return corrected(wrong, self.shift, self.slope)


def corrected(wrong: F64, shift: float, slope: float) -> F64:
    """Return chances as a review of that shift and slope corrects them; NaN stays."""
    return _logistic(shift + slope * _logit(wrong))


STEADY = 4.0
"""How strongly the slope is held at 1, in reviewed pairs."""

FEWEST = 30
"""Reviewed pairs of a source below which its rate is not given."""


def calibrate(wrong: F64, found: F64, chances: F64, source: I64) -> Calibration:
    """Fit a calibration to reviewed pairs: `found` is 1 where the label is wrong, 0 where right, half for a tie.

    Each counts by the inverse of its chance to be reviewed.
    """
    weight = 1 / chances
    design = np.stack([np.ones(len(wrong)), _logit(wrong)], axis=1)
    even, at = weight / weight.mean(), np.array([0.0, 1.0])
    for _ in range(50):
        chance = _logistic(design @ at)
        slope = design.T @ (even * (chance - found)) + STEADY * np.array([0.0, at[1] - 1])
        bend = (design * (even * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(bend + np.diag([1e-6, STEADY]), slope)
        at = at - step * min(1.0, 2 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    rates = {
        one: share((weight * found)[own], weight[own])
        for one in np.unique(source).tolist()
        if (own := source == one).sum() >= FEWEST
    }
    return Calibration(float(at[0]), float(at[1]), share(weight * found, weight), rates)


def reliability(chance: F64, found: F64, chances: F64, groups: int = 5) -> list[tuple[float, Share]]:
    """Return the mean chance of groups of about as many reviewed pairs, and the share of wrong labels in each.

    Arguments are those of `calibrate`, with calibrated chances; the groups go from low chances to high ones.
    """
    weight, made = 1 / chances, []
    for own in np.array_split(np.argsort(chance, kind="stable"), groups):
        if len(own):
            mean = float(np.average(chance[own], weights=weight[own]))
            made.append((mean, share((weight * found)[own], weight[own])))
    return made


def _logit(chance: F64) -> F64:
    inside = np.clip(chance, 1 / (1 + math.exp(6)), 1 - 1 / (1 + math.exp(6)))
    out: F64 = np.log(inside / (1 - inside))
    return out


def calibration_error(chance: F64, wrong: B8, bins: int = 10) -> float:
    """Return the mean distance of chance and share over `bins` of equally many pairs (Naeini et al. 2015)."""
    ends = np.quantile(chance, np.linspace(0, 1, bins + 1))
    number = np.clip(np.searchsorted(ends, chance, "right") - 1, 0, bins - 1)
    error = 0.0
    for own in (number == one for one in range(bins)):
        if own.any():
            error += abs(float(chance[own].mean()) - float(wrong[own].mean())) * float(own.mean())
    return error
