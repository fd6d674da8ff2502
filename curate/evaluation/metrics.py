"""Official metrics of eval sets with intervals, and paired tests between two sets of scores."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xxhash

from curate import statistics
from curate.arrays import F64
from curate.evalsets.base import EvalSet, Formula, Options, Scores, Trial
from curate.evalsets.measures import Measure, Tally, contributions, evaluate_formulas, measures, tally
from curate.evaluation.items import KeyedItems
from curate.statistics import Interval
from curate.tables import Table

SEED_VERSION = 1


class Line(NamedTuple):
    """A measure with its intervals: Wilson's if it is a share of a count, and the clustered bootstrap's."""

    measure: Measure
    wilson: Interval | None
    bootstrap: Interval | None


class Delta(NamedTuple):
    """B less A on one measure of one eval set.

    `gained` and `lost` are trials that only B, or only A, got right; None for weighted means. `p` is by `test`:
    `McNemar` where each cluster has one trial, right or wrong, else `clustered`, by flipping the signs of whole
    clusters. Interval, test and p are None where FEW clusters or fewer decide. `corrected` is Holm's p over the
    headline measures of all eval sets that are compared in one call; None for the parts, which are not corrected.
    """

    benchmark: str
    measure: str
    headline: bool
    a: float
    b: float
    interval: Interval | None
    gained: int | None
    lost: int | None
    clusters: int
    test: str | None
    p: float | None
    corrected: float | None = None


FEW = 2
"""So few clusters, or one, say nothing about others."""


def draws_for(headlines: int) -> int:
    """The draws of a clustered test among so many headline measures: enough for a corrected p of 0.001."""
    return max(statistics.RESAMPLES, 1000 * headlines)


def evaluate(
    evalset: EvalSet, items: KeyedItems, scores: Scores, options: Options, resamples: int = statistics.RESAMPLES
) -> list[Line]:
    """The official metric of an eval set, every number with its intervals."""
    found = tally(evalset.trials(items.items, scores))
    formulas = evalset.formulas(found.subsets, options)

    def values(weights: F64) -> F64:
        return np.stack(list(evaluate_formulas(found, formulas, weights).values()), axis=1)

    draws = statistics.bootstrap(len(found.clusters), values, seed_of(evalset.name), resamples)
    return [
        Line(measure, _wilson(measure), statistics.percentile(draws[:, i]) if _decided(measure) else None)
        for i, measure in enumerate(measures(found, formulas))
    ]


def _wilson(measure: Measure) -> Interval | None:
    if measure.right is None or not measure.trials:
        return None
    return statistics.wilson(measure.right, measure.trials)


def _decided(measure: Measure) -> bool:
    return measure.value is not None and measure.clusters > FEW


def seed_of(name: str) -> int:
    """The bootstrap's seed: the same for every model, so that two runs on an eval set draw the same clusters."""
    return int(xxhash.xxh3_64_intdigest(f"{SEED_VERSION}:{name}".encode()))


def compare(
    evalset: EvalSet,
    items: KeyedItems,
    a: Scores,
    b: Scores,
    options: Options,
    resamples: int = statistics.RESAMPLES,
    draws: int = statistics.RESAMPLES,
) -> list[Delta]:
    """B against A on every measure that has a value; `corrected` is for all eval sets together.

    `resamples` are the bootstrap's, for intervals, `draws` those of a clustered test (see `draws_for`).
    """
    trials_a, trials_b = evalset.trials(items.items, a), evalset.trials(items.items, b)
    left, right = tally(trials_a), tally(trials_b)
    formulas = evalset.formulas(left.subsets, options)
    seed = seed_of(evalset.name)

    def values(weights: F64) -> F64:
        return differences(left, right, formulas, weights)

    sampled = statistics.bootstrap(len(left.clusters), values, seed, resamples)
    added = contributions(left, right, formulas)
    out = []
    measured = zip(formulas, measures(left, formulas), measures(right, formulas), strict=True)
    for i, (formula, one, two) in enumerate(measured):
        if one.value is None or two.value is None:
            continue
        gained = lost = test = p = interval = None
        if formula.kind == "pooled":
            gained, lost = discordant(trials_a, trials_b, formula.terms)
        if _decided(one):
            interval = statistics.percentile(sampled[:, i])
            if _single(trials_a, trials_b, formula):
                test, p = "McNemar", statistics.mcnemar(gained or 0, lost or 0)
            else:
                test, p = "clustered", statistics.sign_flip(added[:, i], seed, draws)
        headline = formula.name in evalset.headline
        out.append(
            Delta(
                evalset.name, formula.name, headline, one.value, two.value, interval, gained, lost,
                one.clusters, test, p,
            )
        )  # fmt: skip
    return out


def _single(a: Sequence[Trial], b: Sequence[Trial], formula: Formula) -> bool:
    """Whether a formula counts trials that are right or wrong, one of each cluster."""
    if formula.kind != "pooled":
        return False
    trials = [trial for trial in a if trial.subset in formula.terms]
    earned = {trial.credit for some in (a, b) for trial in some if trial.subset in formula.terms}
    return earned <= {0.0, 1.0} and len({trial.cluster for trial in trials}) == len(trials)


def differences(a: Tally, b: Tally, formulas: Sequence[Formula], weights: F64 | None = None) -> F64:
    """B less A for each formula, [R, formulas]; `weights` as for `evaluate_formulas`."""
    left, right = evaluate_formulas(a, formulas, weights), evaluate_formulas(b, formulas, weights)
    return np.stack([right[formula.name] - left[formula.name] for formula in formulas], axis=1)


def discordant(a: Sequence[Trial], b: Sequence[Trial], subsets: Container[str]) -> tuple[int, int]:
    """How many trials of the subsets only B, and only A, got right; part of a credit is not right."""
    gained = lost = 0
    for one, two in zip(a, b, strict=True):
        if one.subset in subsets:
            gained += one.credit < 1 <= two.credit
            lost += two.credit < 1 <= one.credit
    return gained, lost


def corrected(deltas: Sequence[Delta]) -> list[Delta]:
    """The same deltas with Holm's correction over the headline measures that have a test."""
    tested = [i for i, delta in enumerate(deltas) if delta.headline and delta.p is not None]
    chances = statistics.holm([delta.p for delta in deltas if delta.headline and delta.p is not None])
    by_index = dict(zip(tested, chances, strict=True))
    return [delta._replace(corrected=by_index.get(i)) for i, delta in enumerate(deltas)]


def lines_table(title: str, lines: Sequence[Line]) -> Table:
    """One line per measure, in percent."""
    rows = [
        (
            line.measure.name, percent(line.measure.value), _count(line.measure.right), line.measure.trials,
            line.measure.ties, line.measure.clusters, span(line.wilson), span(line.bootstrap),
        )
        for line in lines
    ]  # fmt: skip
    columns = ("measure", "%", "right", "of", "ties", "clusters", "Wilson 95 %", "bootstrap 95 %")
    return Table(title, columns, rows)


def line_values(line: Line) -> dict[str, object]:
    """A line as plain values."""
    return {**line.measure._asdict(), "wilson": line.wilson, "bootstrap": line.bootstrap}


DELTA_COLUMNS = (
    "measure", "A", "B", "B-A", "bootstrap 95 %", "only B", "only A", "clusters", "test", "p",
)  # fmt: skip


def deltas_tables(deltas: Sequence[Delta], who: Mapping[str, str] | None = None) -> list[Table]:
    """Tables for each eval set, in percent and points: its headline measures, and its parts.

    `who` says by eval set what B and A are, where that is not the order they were given in.
    """
    tested = sum(delta.corrected is not None for delta in deltas)
    tables = []
    for name in dict.fromkeys(delta.benchmark for delta in deltas):
        own = [delta for delta in deltas if delta.benchmark == name]
        headline = [(*delta_row(delta), chance(delta.corrected)) for delta in own if delta.headline]
        what = (who or {}).get(name, "B against A")
        title = f"{name}: {what}; corrected: Holm's p over {tested} headline measure{'s' * (tested != 1)}"
        tables.append(Table(title, (*DELTA_COLUMNS, "corrected"), headline))
        parts = [delta_row(delta) for delta in own if not delta.headline]
        tables.append(Table(f"{name}: parts, p not corrected", DELTA_COLUMNS, parts))
    return tables


def delta_row(delta: Delta) -> tuple[object, ...]:
    """The cells of DELTA_COLUMNS, in percent and points."""
    return (
        delta.measure, percent(delta.a), percent(delta.b), f"{100 * (delta.b - delta.a):+.2f}",
        span(delta.interval), delta.gained, delta.lost, delta.clusters, delta.test, chance(delta.p),
    )  # fmt: skip


def chance(p: float | None) -> str | None:
    """A p value with three digits; `<0.001` below that."""
    return None if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float | None) -> str | None:
    """A share in percent with two digits, as papers print it."""
    return None if share is None else f"{100 * share:.2f}"


def span(interval: Interval | None) -> str | None:
    """An interval in percent."""
    return None if interval is None else f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _count(right: float | None) -> str | None:
    return None if right is None else f"{right:,.2f}".removesuffix(".00")
