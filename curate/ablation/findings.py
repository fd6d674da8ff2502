"""From the answers of every run to what an ablation found: values, effects with their family, and suggestions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from curate.ablation.arms import Arm
from curate.ablation.effects import ALPHA, Effect, above_chance, corrected, effects
from curate.ablation.eval_items import HOLDOUT, Exam, title
from curate.evalsets.base import Trial
from curate.statistics import Interval

NEGLIGIBLE = 0.02
"""A dataset whose effect is surely within so much of zero is not worth its pairs."""

COARSE = 0.05
"""Arms that could not show an effect of this size on any measure are too small to tell."""

Scores = Sequence[Sequence[float]]
Answered = Mapping[str, Mapping[str, Sequence[Scores]]]
"""Scores by arm, by exam, by seed."""


class Verdict(NamedTuple):
    """What to do with what an arm is about, and why."""

    about: str
    arm: str
    suggestion: Literal["keep", "drop", "weigh", "unclear", "better", "worse", "no difference"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found, in shares of 1.

    `values` are every arm's measures with intervals, as effects against nothing; `tests` the family of Holm's
    correction; `details` the effects on the parts of exams (sources, categories), which are not tested.
    """

    values: Mapping[str, Sequence[Effect]]
    tests: Sequence[Effect]
    details: Sequence[Effect]
    verdicts: Sequence[Verdict]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdicts": [one._asdict() for one in self.verdicts],
            "tests": [one.to_dict() for one in self.tests],
            "values": {arm: [one.to_dict() for one in found] for arm, found in self.values.items()},
            "details": [one.to_dict() for one in self.details],
        }


def find(arms: Sequence[Arm], own: Mapping[str, set[str]], exams: Sequence[Exam], answered: Answered) -> Findings:
    """Compare every arm with the first, the baseline. `own` names the sources of the dataset of an arm."""
    baseline = arms[0]
    every = {arm.name: values(exams, answered[arm.name]) for arm in arms}
    tests: list[Effect] = []
    details: list[Effect] = []
    for arm in arms[1:]:
        for exam in exams:
            trials = _trials(exam, answered[arm.name][exam.name])
            base = _trials(exam, answered[baseline.name][exam.name])
            formulas = exam.formulas(own.get(arm.name))
            found = [_named(one, exam, arm) for one in effects(trials, base, formulas, exam.seed)]
            if arm.mode == "single":
                mirror = [exam.trials(_turned(scores)) for scores in answered[arm.name][exam.name]]
                found += [_named(one, exam, arm) for one in above_chance(trials, mirror, formulas, exam.seed)]
            compared = exam.compared(formulas)
            tests += [one for one in found if one.measure in compared]
            details += [one for one in found if one.measure not in compared]
            details += _by_source(exam, arm, trials, base)
    tests = corrected(tests) if tests else []
    verdicts = [verdict(arm, [one for one in tests if one.arm == arm.name]) for arm in arms[1:]]
    return Findings(values=every, tests=tests, details=details, verdicts=verdicts)


def _trials(exam: Exam, by_seed: Sequence[Scores]) -> list[list[Trial]]:
    return [exam.trials(scores) for scores in by_seed]


def _turned(scores: Scores) -> list[list[float]]:
    return [[-score for score in row] for row in scores]


def _named(effect: Effect, exam: Exam, arm: Arm) -> Effect:
    return replace(effect, exam=exam.name, arm=arm.name)


def _by_source(
    exam: Exam, arm: Arm, trials: Sequence[Sequence[Trial]], base: Sequence[Sequence[Trial]]
) -> list[Effect]:
    if exam.name != HOLDOUT:
        return []
    formulas = exam.evalset.formulas(tuple(dict.fromkeys(trial.subset for trial in trials[0])), exam.options)
    return [_named(one, exam, arm) for one in effects(trials, base, formulas, exam.seed)]


def values(exams: Sequence[Exam], by_exam: Mapping[str, Sequence[Scores]]) -> list[Effect]:
    """An arm's measures with their intervals, as effects against answers that are all wrong."""
    out = []
    for exam in exams:
        trials = _trials(exam, by_exam[exam.name])
        nothing = [[trial._replace(credit=0.0) for trial in seed] for seed in trials]
        subsets = tuple(dict.fromkeys(trial.subset for trial in trials[0]))
        formulas = exam.evalset.formulas(subsets, exam.options)
        out += [replace(one, exam=exam.name) for one in effects(trials, nothing, formulas, exam.seed)]
    return out


# --- suggestions


def verdict(arm: Arm, tests: Sequence[Effect]) -> Verdict:
    """What the corrected tests of an arm say of its dataset, or of its settings."""
    if not arm.datasets:
        return _of_settings(arm, tests)
    alone = arm.mode == "single"
    asked = [one for one in tests if (one.against == "chance") == alone]
    effect = [turned(one) if arm.lacks else one for one in asked]
    others = [one for one in effect if not (one.exam == HOLDOUT and one.measure == "own")]
    own = [one for one in effect if one.exam == HOLDOUT and one.measure == "own"]
    suggestion, reason = _weighed(effect if alone else others)
    if own and not alone:
        reason += f"; on its own held-out pairs {_told(own[0])}"
    return Verdict(" + ".join(arm.datasets), arm.name, suggestion, reason)


def turned(effect: Effect) -> Effect:
    """The effect of having a dataset, from an arm that lacks it."""
    low, high = effect.interval
    return replace(
        effect, value=effect.other, other=effect.value, difference=-effect.difference,
        interval=effect.interval._replace(low=-high, high=-low), gained=effect.lost, lost=effect.gained,
    )  # fmt: skip


def _weighed(effect: Sequence[Effect]) -> tuple[Any, str]:
    helps, harms = _signed(effect, 1), _signed(effect, -1)
    if helps and harms:
        return "weigh", f"helps on {_list(helps)}, but harms {_list(harms)}"
    if helps:
        return "keep", f"helps on {_list(helps)}"
    if harms:
        return "drop", f"harmful on {_list(harms)}"
    if not effect:
        return "unclear", "nothing was measured"
    if all(one.interval.high < NEGLIGIBLE for one in effect):
        most = max(effect, key=lambda one: one.interval.high)
        return "drop", f"useless: at most {points(most.interval.high)} points, on {_title(most)}"
    return "unclear", _undetected(effect)


def _of_settings(arm: Arm, tests: Sequence[Effect]) -> Verdict:
    better, worse = _signed(tests, 1), _signed(tests, -1)
    if better and worse:
        return Verdict(arm.name, arm.name, "weigh", f"better on {_list(better)}, but worse on {_list(worse)}")
    if better:
        return Verdict(arm.name, arm.name, "better", f"better on {_list(better)}")
    if worse:
        return Verdict(arm.name, arm.name, "worse", f"worse on {_list(worse)}")
    return Verdict(arm.name, arm.name, "no difference" if tests else "unclear", _undetected(tests))


def _signed(tests: Sequence[Effect], sign: int) -> list[Effect]:
    return sorted(
        (one for one in tests if one.holm < ALPHA and one.difference * sign > 0),
        key=lambda one: -abs(one.difference),
    )


def _undetected(tests: Sequence[Effect]) -> str:
    """That nothing was seen, and what could have been."""
    if not tests:
        return "nothing was measured"
    least, most = (pick(tests, key=lambda one: one.detectable_holm) for pick in (min, max))
    small = f"smaller than {100 * least.detectable_holm:.1f} points on {_title(least)}"
    if most is not least:
        small += f" (and {100 * most.detectable_holm:.1f} on {_title(most)})"
    text = f"no detectable effect: {small} would not be seen"
    return f"{text}; the arms are too small to tell" if least.detectable_holm > COARSE else text


def _list(tests: Sequence[Effect]) -> str:
    return ", ".join(f"{_title(one)} ({_told(one)})" for one in tests)


def _told(one: Effect) -> str:
    p = chance(one.holm)
    return f"{points(one.difference)} points, {span(one.interval)}, p_holm{p if p.startswith('<') else f'={p}'}"


def _title(one: Effect) -> str:
    return title(one.exam, one.measure)


def points(share: float) -> str:
    """A difference in points with its sign."""
    return f"{_rounded(share):+.1f}"


def span(interval: Interval) -> str:
    """An interval in points."""
    return f"[{_rounded(interval.low):.1f}, {_rounded(interval.high):.1f}]"


def _rounded(share: float) -> float:
    return round(100 * share, 1) + 0.0  # no -0.0


def chance(p: float) -> str:
    """A p value as papers print it."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 1 else "1"


def marks(p: float) -> str:
    """Stars of a corrected p value."""
    return "*" * sum(p < level for level in (0.05, 0.01, 0.001))
