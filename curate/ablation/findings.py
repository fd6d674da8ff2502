"""The results of an ablation from the scores of its runs: values, tested effects, and suggestions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from curate.ablation.arms import Arm
from curate.ablation.effects import ALPHA, Effect, above_chance, corrected, effects
from curate.ablation.eval_items import EvalItems, title
from curate.ablation.halves import Half, only
from curate.evalsets.base import Formula, Trial
from curate.evaluation.held_out import HOLDOUT
from curate.statistics import Interval

NEGLIGIBLE = 0.02
"""A dataset is useless if the intervals of its effects all end below this."""

COARSE = 0.05
"""Arms are too small to tell where no effect of this size is detectable on any measure."""

Scores = Sequence[Sequence[float]]
ScoresByArm = Mapping[str, Mapping[str, Sequence[Scores]]]
"""Scores by arm, eval set and seed."""


class Suggestion(NamedTuple):
    """What to do with the dataset or settings of an arm, and why.

    `elsewhere` is the arm's largest difference on one half of the items, as it is on the other half.
    """

    about: str
    arm: str
    suggestion: Literal["keep", "drop", "weigh", "unclear", "better", "worse", "no difference"]
    reason: str
    elsewhere: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The results, in shares of 1.

    `values` are every arm's measures with intervals, as effects against all wrong; `tests` the family of Holm's
    correction; `details` the effects on parts of eval sets (sources, categories), which are not tested.
    """

    values: Mapping[str, Sequence[Effect]]
    tests: Sequence[Effect]
    details: Sequence[Effect]
    suggestions: Sequence[Suggestion]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdicts": [one._asdict() for one in self.suggestions],
            "tests": [one.to_dict() for one in self.tests],
            "values": {arm: [one.to_dict() for one in found] for arm, found in self.values.items()},
            "details": [one.to_dict() for one in self.details],
        }


def find(
    arms: Sequence[Arm], own: Mapping[str, set[str]], eval_sets: Sequence[EvalItems], scores: ScoresByArm
) -> Findings:
    """Compare every arm with the first, the baseline, and with its control if it has one.

    `own` names the sources of the dataset of an arm.
    """
    baseline = arms[0]
    every = {arm.name: values(eval_sets, scores[arm.name]) for arm in arms}
    tests: list[Effect] = []
    details: list[Effect] = []
    for arm in arms[1:]:
        for eval_set in eval_sets:
            formulas = eval_set.formulas(own.get(arm.name))
            trials, base = (_trials(eval_set, scores[one.name][eval_set.name]) for one in (arm, baseline))
            found = effects(trials, base, formulas, eval_set.seed)
            found += _of_controls(arm, eval_set, trials, formulas, scores)
            named = [_named(one, eval_set, arm) for one in found]
            compared = eval_set.compared(formulas)
            tests += [one for one in named if one.measure in compared]
            details += [one for one in named if one.measure not in compared]
            details += _by_source(eval_set, arm, trials, base)
    tests = corrected(tests) if tests else []
    suggestions = [
        suggest(arm, [one for one in tests if one.arm == arm.name])._replace(
            elsewhere=elsewhere(arm, baseline, own.get(arm.name), eval_sets, scores)
        )
        for arm in arms[1:]
    ]
    return Findings(values=every, tests=tests, details=details, suggestions=suggestions)


def _of_controls(
    arm: Arm,
    eval_set: EvalItems,
    trials: Sequence[Sequence[Trial]],
    formulas: Sequence[Formula],
    scores: ScoresByArm,
) -> list[Effect]:
    """The effects of an arm against chance if it is single, and against its control if it has one."""
    found: list[Effect] = []
    if arm.mode == "single":
        mirror = [eval_set.trials(_negated(seed)) for seed in scores[arm.name][eval_set.name]]
        found += above_chance(trials, mirror, formulas, eval_set.seed)
    if arm.control is not None:
        at_random = _trials(eval_set, scores[arm.control][eval_set.name])
        controlled = effects(trials, at_random, formulas, eval_set.seed)
        found += [replace(one, against="random") for one in controlled]
    return found


def elsewhere(
    arm: Arm, baseline: Arm, own: set[str] | None, eval_sets: Sequence[EvalItems], scores: ScoresByArm
) -> str:
    """The effect that stands out most on one half of the items, measured on the other half.

    The half that chose the measure shows too large an effect; the other half had no part in the choice. The sign
    is that of the suggestion. Empty where a half has no item.
    """
    halved = {
        half: [
            _named(one, eval_set, arm)
            for eval_set in eval_sets
            for one in _halved(eval_set, arm, scores[arm.name], scores[baseline.name], own, half)
        ]
        for half in get_args(Half)
    }
    known = {(one.eval_set, one.measure): one for one in halved["confirm"]}
    chosen = [one for one in halved["choose"] if (one.eval_set, one.measure) in known]
    if not chosen:
        return ""
    most = max(chosen, key=lambda one: abs(one.difference) / one.error)
    other = known[most.eval_set, most.measure]
    other = turned(other) if arm.lacks else other
    return f"{_title(most)}: {points(other.difference)}, {interval_in_points(other.interval)}"


def _halved(
    eval_set: EvalItems, arm: Arm, mine: Mapping[str, Sequence[Scores]], base: Mapping[str, Sequence[Scores]],
    own: set[str] | None, half: Half,
) -> list[Effect]:  # fmt: skip
    """The effects on the measures that count for suggestions, on one half of the items; none where it is empty."""
    alone, name = arm.mode == "single", eval_set.name
    other = [_negated(seed) for seed in mine[name]] if alone else base[name]
    trials, against = ([only(seed, half) for seed in _trials(eval_set, side)] for side in (mine[name], other))
    if not trials[0]:
        return []
    formulas = eval_set.formulas(own)
    counted = set(eval_set.compared(formulas)) - (set() if alone or name != HOLDOUT else {"own"})
    found = (above_chance if alone else effects)(trials, against, formulas, eval_set.seed)
    return [one for one in found if one.measure in counted]


def _trials(eval_set: EvalItems, by_seed: Sequence[Scores]) -> list[list[Trial]]:
    return [eval_set.trials(scores) for scores in by_seed]


def _negated(scores: Scores) -> list[list[float]]:
    return [[-score for score in row] for row in scores]


def _named(effect: Effect, eval_set: EvalItems, arm: Arm) -> Effect:
    return replace(effect, eval_set=eval_set.name, arm=arm.name)


def _by_source(
    eval_set: EvalItems, arm: Arm, trials: Sequence[Sequence[Trial]], base: Sequence[Sequence[Trial]]
) -> list[Effect]:
    if eval_set.name != HOLDOUT:
        return []
    formulas = eval_set.evalset.formulas(
        tuple(dict.fromkeys(trial.subset for trial in trials[0])), eval_set.options
    )
    return [_named(one, eval_set, arm) for one in effects(trials, base, formulas, eval_set.seed)]


def values(eval_sets: Sequence[EvalItems], by_set: Mapping[str, Sequence[Scores]]) -> list[Effect]:
    """An arm's measures with their intervals, as effects against all replies wrong."""
    out = []
    for eval_set in eval_sets:
        trials = _trials(eval_set, by_set[eval_set.name])
        nothing = [[trial._replace(credit=0.0) for trial in seed] for seed in trials]
        subsets = tuple(dict.fromkeys(trial.subset for trial in trials[0]))
        formulas = eval_set.evalset.formulas(subsets, eval_set.options)
        out += [replace(one, eval_set=eval_set.name) for one in effects(trials, nothing, formulas, eval_set.seed)]
    return out


# --- suggestions


def suggest(arm: Arm, tests: Sequence[Effect]) -> Suggestion:
    """What to do with an arm's dataset, or its settings, by the corrected tests."""
    if arm.control is not None:
        return _of_step(arm, tests)
    if not arm.datasets:
        return _of_settings(arm, tests)
    alone = arm.mode == "single"
    tested = [one for one in tests if (one.against == "chance") == alone]
    effect = [turned(one) if arm.lacks else one for one in tested]
    others = [one for one in effect if not (one.eval_set == HOLDOUT and one.measure == "own")]
    own = [one for one in effect if one.eval_set == HOLDOUT and one.measure == "own"]
    suggestion, reason = _weighed(effect if alone else others)
    if own and not alone:
        reason += f"; on its own held-out pairs {_numbers(own[0])}"
    return Suggestion(" + ".join(arm.datasets), arm.name, suggestion, reason)


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


def _of_settings(arm: Arm, tests: Sequence[Effect]) -> Suggestion:
    better, worse = _signed(tests, 1), _signed(tests, -1)
    if better and worse:
        return Suggestion(arm.name, arm.name, "weigh", f"better on {_list(better)}, but worse on {_list(worse)}")
    if better:
        return Suggestion(arm.name, arm.name, "better", f"better on {_list(better)}")
    if worse:
        return Suggestion(arm.name, arm.name, "worse", f"worse on {_list(worse)}")
    return Suggestion(arm.name, arm.name, "no difference" if tests else "unclear", _undetected(tests))


def _of_step(arm: Arm, tests: Sequence[Effect]) -> Suggestion:
    """A filter is better only where it also beats as many pairs dropped at random, on one of the same measures."""
    found = _of_settings(arm, [one for one in tests if one.against == "baseline"])
    control = [one for one in tests if one.against == "random"]
    if not control:
        return found
    most = max(control, key=lambda one: abs(one.difference) / one.error)
    reason = f"{found.reason}; over as many pairs dropped at random {_title(most)} ({_numbers(most)})"
    if found.suggestion == "better":
        gains = {_title(one) for one in tests if one.against == "baseline" and one.holm < ALPHA}
        if not gains & {_title(one) for one in _signed(control, 1)}:
            return Suggestion(arm.name, arm.name, "unclear", f"{reason}: the gain may come of fewer pairs alone")
    return found._replace(reason=reason)


def _signed(tests: Sequence[Effect], sign: int) -> list[Effect]:
    return sorted(
        (one for one in tests if one.holm < ALPHA and one.difference * sign > 0),
        key=lambda one: -abs(one.difference),
    )


def _undetected(tests: Sequence[Effect]) -> str:
    """That no effect was detected, and which ones would have been."""
    if not tests:
        return "nothing was measured"
    least, most = (pick(tests, key=lambda one: one.detectable_holm) for pick in (min, max))
    small = f"smaller than {100 * least.detectable_holm:.1f} points on {_title(least)}"
    if most is not least:
        small += f" (and {100 * most.detectable_holm:.1f} on {_title(most)})"
    text = f"no detectable effect: {small} would not be detected"
    return f"{text}; the arms are too small to tell" if least.detectable_holm > COARSE else text


def _list(tests: Sequence[Effect]) -> str:
    return ", ".join(f"{_title(one)} ({_numbers(one)})" for one in tests)


def _numbers(one: Effect) -> str:
    p = chance(one.holm)
    difference = f"{points(one.difference)} points, {interval_in_points(one.interval)}"
    return f"{difference}, p_holm{p if p.startswith('<') else f'={p}'}"


def _title(one: Effect) -> str:
    return title(one.eval_set, one.measure)


def points(share: float) -> str:
    """A difference in points with its sign."""
    return f"{_rounded(share):+.1f}"


def interval_in_points(interval: Interval) -> str:
    """An interval in points."""
    return f"[{_rounded(interval.low):.1f}, {_rounded(interval.high):.1f}]"


def _rounded(share: float) -> float:
    return round(100 * share, 1) + 0.0  # no -0.0


def chance(p: float) -> str:
    """A p value as papers print it."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 1 else "1"


def stars(p: float) -> str:
    """Stars of a corrected p value."""
    return "*" * sum(p < level for level in (0.05, 0.01, 0.001))
