"""What an arm does to a measure, and how sure that is: differences paired by item and by seed.

One seed: only chance in the items can be measured. Where every trial is its own cluster, McNemar's exact test
gives p; elsewhere (weighted means, several trials of one cluster) the bootstrap over clusters does. The interval
is the bootstrap's. It is about this one pair of runs: another seed may differ by more.

Several seeds: the mean over seeds of the paired differences. Its variance is that of the items (bootstrap over
clusters, all seeds on the same draw) plus that of the seeds (the variance of the S differences over S), as in
two-way clustering (Cameron, Gelbach and Miller 2011) without the last term: what items and seeds share is counted
twice, which errs on the wide side. p and interval are Student's t with Satterthwaite's degrees of freedom.

Its limits, simulated: of null effects it calls 2 to 8 % significant at three seeds, up to 12 % at two, more the
more seeds differ. A plain bootstrap over items and seeds, with only S values to draw from, calls 17 and 26 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from curate import statistics
from curate.ablation import t_distribution
from curate.arrays import F64
from curate.evalsets.base import Formula, Trial
from curate.evalsets.measures import Tally, evaluate_formulas, tally
from curate.evaluation.metrics import differences, discordant
from curate.statistics import Interval

ALPHA, POWER = 0.05, 0.8
Against = Literal["baseline", "chance", "random"]
"""What an arm is compared with: `random` is the arm without as many pairs that were drawn at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The difference of one measure between an arm and what it is compared with, as shares of 1.

    `gained` and `lost` are trials that only the arm, or only the other got right, over all seeds; None for
    weighted means. `error` is the standard error with its degrees of `freedom`. `p` is of this test alone, `holm`
    corrected for the whole family. `detectable` is the smallest difference that this test would detect four times
    out of five; `detectable_holm` the same at the level of Holm's first step.
    """

    measure: str
    seeds: int
    value: float
    other: float
    difference: float
    interval: Interval
    p: float
    test: Literal["mcnemar", "bootstrap", "t"]
    trials: int | None
    clusters: int
    gained: int | None
    lost: int | None
    error: float
    freedom: float
    detectable: float
    eval_set: str = ""
    arm: str = ""
    against: Against = "baseline"
    holm: float = 1.0
    detectable_holm: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the eval set as `exam`; infinite degrees of freedom are null."""
        plain = {"exam" if name == "eval_set" else name: getattr(self, name) for name in self.__slots__}
        freedom = self.freedom if math.isfinite(self.freedom) else None
        return plain | {"interval": [*self.interval], "freedom": freedom}


def effects(
    arm: Sequence[Sequence[Trial]], other: Sequence[Sequence[Trial]], formulas: Sequence[Formula], seed: int
) -> list[Effect]:
    """The effect on every measure that has a value; `arm` and `other` are trials by seed, of the same items.

    `seed` is the bootstrap's.
    """
    left, right = [tally(trials) for trials in arm], [tally(trials) for trials in other]

    def values(weights: F64) -> F64:
        return np.asarray(
            np.mean([differences(b, a, formulas, weights) for a, b in zip(left, right, strict=True)], 0)
        )

    draws = statistics.bootstrap(len(left[0].clusters), values, seed)
    by_seed = np.concatenate([differences(b, a, formulas) for a, b in zip(left, right, strict=True)])
    means = [_mean(side, formulas) for side in (left, right)]
    out = []
    for i, formula in enumerate(formulas):
        if np.isnan(by_seed[:, i]).any():
            continue
        counts = _Counts.of(arm, other, formula)
        clusters = counts.clusters if counts else len(left[0].clusters)
        measured = _Measured(formula.name, means[0][i], means[1][i], counts, clusters)
        estimate = _one_seed if len(arm) == 1 else _seeds
        out.append(estimate(measured, by_seed[:, i], draws[:, i]))
    return out


def above_chance(trials: Sequence[Sequence[Trial]], mirror: Sequence[Sequence[Trial]],
                 formulas: Sequence[Formula], seed: int) -> list[Effect]:  # fmt: skip
    """How far the arm is above chance: half the difference to its own scores with the opposite sign.

    For pairs that is accuracy less 50 %, and an eval set with other trials needs no chance level of its own.
    """
    return [
        replace(
            one, against="chance", other=(one.value + one.other) / 2, difference=one.difference / 2,
            interval=Interval(one.interval.low / 2, one.interval.high / 2), error=one.error / 2,
            detectable=one.detectable / 2,
        )
        for one in effects(trials, mirror, formulas, seed)
    ]  # fmt: skip


def corrected(family: Sequence[Effect]) -> list[Effect]:
    """The same effects with Holm's correction over all of them, and what is detectable at its first step."""
    adjusted = statistics.holm([one.p for one in family])
    return [
        replace(
            one, holm=p, detectable_holm=detectable(one.error, one.freedom, ALPHA / len(family))
        )
        for one, p in zip(family, adjusted, strict=True)
    ]  # fmt: skip


def detectable(error: float, freedom: float, alpha: float = ALPHA) -> float:
    """The difference that a two-sided test detects with 80 % power: (t_(1-alpha/2) + t_0.8) standard errors.

    With error = sqrt(discordant) / n this is McNemar's, normal approximation.
    """
    return (_quantile(1 - alpha / 2, freedom) + _quantile(POWER, freedom)) * error


def _quantile(share: float, freedom: float) -> float:
    return t_distribution.quantile(share, freedom) if math.isfinite(freedom) else NormalDist().inv_cdf(share)


def _mean(side: Sequence[Tally], formulas: Sequence[Formula]) -> list[float]:
    found = [evaluate_formulas(one, formulas) for one in side]
    return [float(np.mean([values[formula.name][0] for values in found])) for formula in formulas]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Trials of a pooled measure, and those on which the two differ, over all seeds."""

    trials: int
    clusters: int
    gained: int
    lost: int

    @classmethod
    def of(
        cls, arm: Sequence[Sequence[Trial]], other: Sequence[Sequence[Trial]], formula: Formula
    ) -> "_Counts | None":
        if formula.kind != "pooled":
            return None
        counted = [trial for trial in arm[0] if trial.subset in formula.terms]
        by_seed = [discordant(theirs, mine, formula.terms) for mine, theirs in zip(arm, other, strict=True)]
        gained, lost = map(sum, zip(*by_seed, strict=True))
        return cls(len(counted), len({trial.cluster for trial in counted}), gained, lost)


@dataclass(frozen=True, slots=True)
class _Measured:
    measure: str
    value: float
    other: float
    counts: _Counts | None
    clusters: int

    def effect(self, seeds: int, **found: Any) -> Effect:
        counts = self.counts
        return Effect(
            measure=self.measure, seeds=seeds, value=self.value, other=self.other,
            difference=self.value - self.other, clusters=self.clusters,
            trials=counts.trials if counts else None, gained=counts.gained if counts else None,
            lost=counts.lost if counts else None,
            detectable=detectable(found["error"], found["freedom"]), **found,
        )  # fmt: skip

    @property
    def least_error(self) -> float:
        """The error with one discordant trial: the floor, also where no trial differs."""
        return 1 / (self.counts.trials if self.counts else self.clusters)


def _one_seed(measured: _Measured, _: F64, draws: F64) -> Effect:
    counts, interval = measured.counts, statistics.percentile(draws)
    assert interval is not None, "a measure with a value has draws"
    if interval.low == interval.high:  # no trial differs: the rule of three (Hanley, Lippman-Hand 1983)
        interval = Interval(interval.low - 3 * measured.least_error, interval.high + 3 * measured.least_error)
    if counts is None or counts.clusters < counts.trials:
        error = max(float(np.nanstd(draws)), measured.least_error)
        p = statistics.bootstrap_chance(draws)
        return measured.effect(1, interval=interval, p=p, test="bootstrap", error=error, freedom=math.inf)
    error = math.sqrt(max(counts.gained + counts.lost, 1)) / counts.trials
    p = statistics.mcnemar(counts.gained, counts.lost)
    return measured.effect(1, interval=interval, p=p, test="mcnemar", error=error, freedom=math.inf)


def _seeds(measured: _Measured, by_seed: F64, draws: F64) -> Effect:
    seeds, mean = len(by_seed), float(by_seed.mean())
    items, between = float(np.nanvar(draws)), float(by_seed.var(ddof=1)) / seeds
    items = max(items, measured.least_error**2 / seeds)
    freedom = (items + between) ** 2 / (items**2 / max(measured.clusters - 1, 1) + between**2 / (seeds - 1))
    error = math.sqrt(items + between)
    half = t_distribution.quantile(1 - ALPHA / 2, freedom) * error
    return measured.effect(
        seeds, interval=Interval(mean - half, mean + half),
        p=t_distribution.chance(mean / error, freedom), test="t",
        error=error, freedom=freedom,
    )  # fmt: skip
