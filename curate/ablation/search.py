"""A search for the mix: small runs of drawn mixes, a surface fitted to them, candidates, and their confirmation.

The small runs are judged on one half of the items (curate.ablation.halves), by which the surface is fitted and
candidates are chosen. The candidates and the natural mix are then trained in full and compared on the other half.
Each of the two is a study of `curate ablate`, with its folders, its resume and its plan.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curate.ablation import halves, mixture, probe, probe_agreement, surface
from curate.ablation.arms import Arm
from curate.ablation.effects import ALPHA, Effect, corrected, effects
from curate.ablation.eval_items import title
from curate.ablation.findings import chance, interval_in_points, points
from curate.ablation.halves import MEAN
from curate.ablation.mixture import Bounds
from curate.ablation.probe_agreement import LEAST_TAU
from curate.ablation.study import Prepared, Study
from curate.ablation.surface import Surface
from curate.arrays import F64
from curate.evaluation.metrics import seed_of
from curate.hashing import fingerprint

NATURAL = "natural"
CONFIRMED = 4
"""So many candidates are trained in full, beside the natural mix."""

SEED = 1
"""Of the design: the same recipe, bounds and budget always give the same mixes, and more arms begin with fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched: mixes of `rows` rows within bounds, by `arms` small mixes of `small` rows each.

    `template` has the recipe, the preset and the settings of all runs, without arms.
    """

    template: Study
    within: Bounds
    rows: int
    small: int
    arms: int

    @property
    def title(self) -> str:
        """The name of its studies: of what decides which mixes are drawn."""
        facts = [*map(list, (self.within.least, self.within.most, self.within.natural)), self.rows, SEED]
        return f"{self.template.recipe.name}-search-{fingerprint(facts)[:6]}"

    def arm(self, name: str, shares: F64, total: int) -> Arm:
        """An arm with exact rows."""
        return _arm(name, self.within, self.within.rows(shares, total))

    def small_runs(self, extra: Sequence[Arm] = ()) -> Study:
        """The natural mix and the design, in small; and `extra`."""
        drawn = mixture.design(self.within, self.arms, self.small, SEED)
        arms = [_arm(f"mix{i:03d}", self.within, rows) for i, rows in enumerate(drawn, 1)]
        natural = _arm(NATURAL, self.within, self.within.own(self.small))
        return replace(self.template, title=self.title, arms=(natural, *arms, *extra))

    def confirmation(self, candidates: F64, seeds: int, budget: Any) -> Study:
        """The natural mix and the candidates at full size, trained in full."""
        arms = [self.arm(f"candidate{i}", shares, self.rows) for i, shares in enumerate(candidates, 1)]
        natural = _arm(NATURAL, self.within, self.within.own(self.rows))
        name = f"{self.title}-confirm-{fingerprint([list(arm.rows) for arm in arms])[:6]}"
        every = (natural, *arms)
        return replace(self.template, title=name, arms=every, seeds=seeds, budget=budget, probe=False)

    def small_candidates(self, candidates: F64) -> list[Arm]:
        """The candidates in small, so that proxies and full runs of the same mixes can be compared."""
        mark = fingerprint([[round(share, 9) for share in one] for one in candidates.tolist()])[:6]
        return [self.arm(f"candidate{i}-{mark}", one, self.small) for i, one in enumerate(candidates, 1)]


def _arm(name: str, within: Bounds, rows: Sequence[int]) -> Arm:
    return Arm(name=name, rows=tuple(zip(within.labels, rows, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The small runs: shares of their mixes and their accuracy on the choosing half, [mixes, domains]."""

    names: tuple[str, ...]
    domains: tuple[str, ...]
    shares: F64
    accuracies: F64


def seen(prepared: Prepared) -> Seen:
    """Read the small runs, all of which are done."""
    eval_sets = prepared.eval_sets
    rows = [[count for _, count in arm.rows] for arm in prepared.study.arms]
    values = np.array([_values(prepared, arm.name, "choose") for arm in prepared.study.arms])
    names = tuple(title(*domain) for domain in halves.domains(eval_sets))
    arms = tuple(arm.name for arm in prepared.study.arms)
    return Seen(names=arms, domains=names, shares=mixture.shares(rows), accuracies=values)


def _scores(prepared: Prepared, arm: str) -> dict[str, list[Any]]:
    return {
        one.name: [one.scores(run.scores(one)).scores for run in prepared.runs[arm]] for one in prepared.eval_sets
    }


def _values(prepared: Prepared, arm: str, half: halves.Half) -> F64:
    return halves.domain_values(prepared.eval_sets, _scores(prepared, arm), half)


# --- the confirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate: its rows, what the surface predicted, what its small and its full run had, and its effect.

    `predicted`, `small` are gains over the natural mix on the choosing half; `effect` is that of the full runs on
    the confirming half, with Holm's correction over the candidates, `parts` the effects on each domain.
    """

    name: str
    rows: Mapping[str, int]
    predicted: float
    small: float
    effect: Effect
    parts: Sequence[Effect]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The whole result; `chosen` is the candidate to use, None where the natural mix is kept, and `why` says why.

    `tau` is Kendall's between the small and the full runs of the same mixes; None where that is not defined.
    """

    search: Search
    seen: Seen
    fitted: Surface
    candidates: tuple[Candidate, ...]
    natural: Mapping[str, int]
    tau: float | None
    chosen: str | None
    why: str
    items: int
    seeds: int


def outcome(search: Search, small: Prepared, full: Prepared, mixes: F64, fitted: Surface) -> Outcome:
    """Compare the full runs on the items that chose nothing, and recommend a mix, or the natural one."""
    drawn = seen(small)
    count = len(full.study.arms)
    before = drawn.accuracies[-(count - 1) :].mean(axis=1)  # the candidates are the last of the small runs
    natural = float(drawn.accuracies[0].mean())
    predicted = fitted(mixes).mean(axis=1) - fitted(drawn.shares[:1]).mean()
    found = [_compared(full, arm.name) for arm in full.study.arms[1:]]
    tested = corrected([one[MEAN] for one in found])
    candidates = tuple(
        Candidate(
            name=arm.name, rows=dict(arm.rows), predicted=float(predicted[i]), small=float(before[i]) - natural,
            effect=tested[i], parts=[one for name, one in found[i].items() if name != MEAN],
        )
        for i, arm in enumerate(full.study.arms[1:])
    )  # fmt: skip
    trained = [float(_values(full, arm.name, "confirm").mean()) for arm in full.study.arms]
    tau = probe.kendall([natural, *before.tolist()], trained)
    known = None if math.isnan(tau) else tau
    chosen, why = recommend(candidates, known, probed=search.template.probe)
    confirming = halves.joined_trials(full.eval_sets, _scores(full, NATURAL), "confirm")[0]
    return Outcome(
        search=search, seen=drawn, fitted=fitted, candidates=candidates, natural=dict(full.study.arms[0].rows),
        tau=known, chosen=chosen, why=why, items=len({trial.cluster for trial in confirming}),
        seeds=full.study.seeds,
    )  # fmt: skip


def _compared(full: Prepared, arm: str) -> dict[str, Effect]:
    """The effects of an arm against the natural mix, by domain and over all, on the half that confirms."""
    trials, base = (
        halves.joined_trials(full.eval_sets, _scores(full, name), "confirm") for name in (arm, NATURAL)
    )
    measured = effects(trials, base, halves.joined_formulas(full.eval_sets), seed_of(full.study.title))
    by_name = {one.measure: replace(one, arm=arm) for one in measured}
    wanted = {f"{name}: {measure}": title(name, measure) for name, measure in halves.domains(full.eval_sets)}
    parts = {
        heading: replace(by_name[name], measure=heading) for name, heading in wanted.items() if name in by_name
    }
    return parts | {MEAN: by_name[MEAN]}


def recommend(candidates: Sequence[Candidate], tau: float | None, *, probed: bool) -> tuple[str | None, str]:
    """The candidate to use, or None for the natural mix, and the reason.

    A mix is recommended only for a gain that its full runs show clearly (Holm's p below ALPHA over all candidates)
    on items that chose nothing, and never where the small runs are known not to rank mixes as full runs do.
    """
    study = probe_agreement.published().tau if probed else None
    if study is not None and study < LEAST_TAU:
        return None, (
            f"no recommendation: probes tell nothing about full runs (τ = {study:.2f} in the published study, "
            f"below {LEAST_TAU:g})"
        )
    if tau is None or tau < LEAST_TAU:
        value = "is not defined" if tau is None else f"is {tau:.2f}, below {LEAST_TAU:g}"
        return None, f"no recommendation: τ between the small and the full runs {value}; they tell nothing"
    clear = [one for one in candidates if one.effect.holm < ALPHA and one.effect.difference > 0]
    if not clear:
        best = max(candidates, key=lambda one: one.effect.difference)
        return (
            None,
            f"keep the natural mix: no candidate is clearly better (the best, {best.name}: {numbers(best)})",
        )
    best = max(clear, key=lambda one: one.effect.difference)
    return best.name, f"use {best.name}: {numbers(best)}"


def numbers(one: Candidate) -> str:
    """The gain of a candidate with its paired interval."""
    effect = one.effect
    return (
        f"{points(effect.difference)} points, {interval_in_points(effect.interval)}, p_holm {chance(effect.holm)}"
    )


def fitted_candidates(search: Search, drawn: Seen) -> tuple[Surface, F64]:
    """The surface over the design, and the candidates' shares of the full mix, as whole rows make them."""
    fitted = surface.surface(drawn.shares, drawn.accuracies)
    found = surface.candidates(fitted, search.within, CONFIRMED, SEED)
    return fitted, mixture.shares([search.within.rows(one, search.rows) for one in found])
