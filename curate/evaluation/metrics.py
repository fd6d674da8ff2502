"""Official metrics of eval sets with intervals, and paired tests between two sets of scores."""

from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np
import xxhash

from curate import statistics
from curate.arrays import F64
from curate.evalsets.base import EvalSet, Formula, Options, Scores, Trial
from curate.evalsets.measures import Measure, Tally, evaluate_formulas, measures, tally
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

    `gained` and `lost` are trials that only B, or only A, got right, and `mcnemar` their exact p; None for
    weighted means. McNemar's test assumes independent trials: where trials outnumber clusters, use the bootstrap's
    p. The p values with `holm` are corrected for all measures that are compared in one call.
    """

    benchmark: str
    measure: str
    a: float
    b: float
    interval: Interval | None
    gained: int | None
    lost: int | None
    mcnemar: float | None
    bootstrap: float
    mcnemar_holm: float | None = None
    bootstrap_holm: float = 1.0


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
        Line(measure, _wilson(measure), statistics.percentile(draws[:, i]) if measure.value is not None else None)
        for i, measure in enumerate(measures(found, formulas))
    ]


def _wilson(measure: Measure) -> Interval | None:
    if measure.right is None or not measure.trials:
        return None
    return statistics.wilson(measure.right, measure.trials)


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
) -> list[Delta]:
    """B against A on every measure that has a value; `corrected` is for all eval sets together."""
    trials_a, trials_b = evalset.trials(items.items, a), evalset.trials(items.items, b)
    left, right = tally(trials_a), tally(trials_b)
    formulas = evalset.formulas(left.subsets, options)

    def values(weights: F64) -> F64:
        return differences(left, right, formulas, weights)

    draws = statistics.bootstrap(len(left.clusters), values, seed_of(evalset.name), resamples)
    out = []
    for i, (formula, one, two) in enumerate(
        zip(formulas, measures(left, formulas), measures(right, formulas), strict=True)
    ):
        if one.value is None or two.value is None:
            continue
        gained = lost = chance = None
        if formula.kind == "pooled":
            gained, lost = discordant(trials_a, trials_b, formula.terms)
            chance = statistics.mcnemar(gained, lost)
        interval, p = statistics.percentile(draws[:, i]), statistics.bootstrap_chance(draws[:, i])
        out.append(Delta(evalset.name, formula.name, one.value, two.value, interval, gained, lost, chance, p))
    return out


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
    """The same deltas with Holm's correction over all of them, for each of the two tests."""
    tested = [i for i, delta in enumerate(deltas) if delta.mcnemar is not None]
    exact = statistics.holm([delta.mcnemar for delta in deltas if delta.mcnemar is not None])
    by_index = dict(zip(tested, exact, strict=True))
    drawn = statistics.holm([delta.bootstrap for delta in deltas])
    return [
        delta._replace(mcnemar_holm=by_index.get(i), bootstrap_holm=drawn[i]) for i, delta in enumerate(deltas)
    ]


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


def deltas_tables(deltas: Sequence[Delta]) -> list[Table]:
    """A table for each eval set with one line per compared measure, in percent and points."""
    columns = ("measure", "A", "B", "B-A", "bootstrap 95 %", "only B", "only A", "McNemar", "bootstrap")
    tables = []
    for name in dict.fromkeys(delta.benchmark for delta in deltas):
        rows = [
            (
                d.measure, percent(d.a), percent(d.b), f"{100 * (d.b - d.a):+.2f}", span(d.interval),
                d.gained, d.lost, d.mcnemar_holm, d.bootstrap_holm,
            )
            for d in deltas
            if d.benchmark == name
        ]  # fmt: skip
        tables.append(Table(f"{name}: B against A, p by Holm over {len(deltas)} measures", columns, rows))
    return tables


def percent(share: float | None) -> str | None:
    """A share in percent with two digits, as papers print it."""
    return None if share is None else f"{100 * share:.2f}"


def span(interval: Interval | None) -> str | None:
    """An interval in percent."""
    return None if interval is None else f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _count(right: float | None) -> str | None:
    return None if right is None else f"{right:,.2f}".removesuffix(".00")
