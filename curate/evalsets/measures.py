"""From trials to numbers: counts by cluster and subset, and formulas evaluated on them.

R is the number of resamples (1 for the scores as they are), C that of clusters, S that of subsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curate.arrays import F64
from curate.evalsets.base import Formula, Trial


class Measure(NamedTuple):
    """A reported number: its value, and the counts that it is computed from.

    `right` (the sum of credits), `trials` and `ties` are None for weighted means, which are no share of a count.
    A value is None where parts of the eval set that it needs have no items.
    """

    name: str
    value: float | None
    right: float | None
    trials: int | None
    ties: int | None
    clusters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Credits and counts of trials, [C, S] each, and ties, [S]."""

    subsets: tuple[str, ...]
    clusters: tuple[str, ...]
    credit: F64
    count: F64
    ties: F64


def tally(trials: Sequence[Trial]) -> Tally:
    """Trials summed by cluster and subset, both in order of first appearance."""
    subsets = {name: i for i, name in enumerate(dict.fromkeys(trial.subset for trial in trials))}
    clusters = {name: i for i, name in enumerate(dict.fromkeys(trial.cluster for trial in trials))}
    credit, count = np.zeros((len(clusters), len(subsets))), np.zeros((len(clusters), len(subsets)))
    ties = np.zeros(len(subsets))
    for trial in trials:
        at = clusters[trial.cluster], subsets[trial.subset]
        credit[at] += trial.credit
        count[at] += 1
        ties[at[1]] += trial.tie
    return Tally(subsets=tuple(subsets), clusters=tuple(clusters), credit=credit, count=count, ties=ties)


def evaluate_formulas(found: Tally, formulas: Sequence[Formula], weights: F64 | None = None) -> dict[str, F64]:
    """The value of each formula, [R], where cluster c counts `weights[r, c]` times; nan where it is unknown."""
    rows = np.ones((1, len(found.clusters))) if weights is None else weights
    return _evaluate(found, formulas, rows @ found.credit, rows @ found.count)


def contributions(a: Tally, b: Tally, formulas: Sequence[Formula]) -> F64:
    """How much each cluster adds to B less A for each formula, [C, formulas]; both have the same trials.

    Formulas are linear in the subsets' means, so that these add up to the difference.
    """
    total = np.broadcast_to(a.count.sum(0), a.count.shape)
    added = _evaluate(a, formulas, b.credit - a.credit, total)
    return np.stack([added[formula.name] for formula in formulas], axis=1)


def _evaluate(found: Tally, formulas: Sequence[Formula], credit: F64, count: F64) -> dict[str, F64]:
    """The value of each formula for each row of credits and counts, [R, S]."""
    values = {name: _ratio(credit[:, i], count[:, i]) for i, name in enumerate(found.subsets)}
    nothing = np.full(len(credit), np.nan)
    for formula in formulas:
        if formula.kind == "pooled":
            columns = _columns(found, formula)
            value = _ratio(credit[:, columns].sum(1), count[:, columns].sum(1))
        else:
            value = _combine(formula, [values.get(term, nothing) for term in formula.terms])
        values[formula.name] = value
    return {formula.name: values[formula.name] for formula in formulas}


def _columns(found: Tally, formula: Formula) -> list[int]:
    return [i for i, name in enumerate(found.subsets) if name in formula.terms]


def _ratio(over: F64, under: F64) -> F64:
    out = np.full(len(over), np.nan)
    np.divide(over, under, out=out, where=under > 0)
    return out


def _combine(formula: Formula, parts: Sequence[F64]) -> F64:
    weights = np.array([*formula.terms.values(), *(weight for weight, _ in formula.given)])[:, None]
    values = np.stack([*parts, *(np.full(len(parts[0]), value) for _, value in formula.given)])
    if formula.kind == "sum":
        return np.asarray((weights * values).sum(0))
    if formula.kind == "weighted":
        return np.asarray((weights * values).sum(0) / weights.sum())
    known = ~np.isnan(values)
    return _ratio((weights * np.where(known, values, 0.0)).sum(0), (weights * known).sum(0))


def measures(found: Tally, formulas: Sequence[Formula]) -> list[Measure]:
    """Each formula's value with its counts, in order."""
    values = evaluate_formulas(found, formulas)
    terms: Mapping[str, Formula] = {formula.name: formula for formula in formulas}
    out = []
    for formula in formulas:
        value = None if np.isnan(values[formula.name][0]) else float(values[formula.name][0])
        columns = [found.subsets.index(name) for name in sorted(_leaves(formula, terms)) if name in found.subsets]
        clusters = int((found.count[:, columns].sum(1) > 0).sum())
        right = trials = ties = None
        if formula.kind == "pooled":
            right = float(found.credit[:, columns].sum())
            trials, ties = int(found.count[:, columns].sum()), int(found.ties[columns].sum())
        out.append(Measure(formula.name, value, right, trials, ties, clusters))
    return out


def _leaves(formula: Formula, terms: Mapping[str, Formula]) -> set[str]:
    """The subsets that a formula is computed from; a pooled formula's terms are always subsets."""
    if formula.kind == "pooled":
        return set(formula.terms)
    named = {name for name in formula.terms if name in terms and name != formula.name}
    return {name for name in formula.terms if name not in named}.union(
        *(_leaves(terms[name], terms) for name in named)
    )
