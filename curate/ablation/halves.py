"""Two halves of the items, apart by id: what a choice was made by, and what confirms it.

An item's half follows from the hash of its id; items of one cluster, such as those of one prompt, have one half.
So no item that chose something takes part in what confirms the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import xxhash

from curate.ablation.eval_items import EvalItems
from curate.arrays import F64
from curate.errors import ConfigError
from curate.evalsets.base import Formula, Trial, mean
from curate.evalsets.measures import evaluate_formulas, tally

Half = Literal["choose", "confirm"]
STATED = "Items are split in two by the hash of their ids: one half chooses, the other confirms."
MEAN = "mean"
"""The name of the plain mean over all domains."""

Scores = Sequence[Sequence[float]]


def half_of(cluster: str) -> Half:
    """The half of an item, by its cluster, which is its id where it has none of its own."""
    return "confirm" if xxhash.xxh3_64_intdigest(f"half:{cluster}".encode()) & 1 else "choose"


def only(trials: Sequence[Trial], half: Half) -> list[Trial]:
    """The trials of one half."""
    return [trial for trial in trials if half_of(trial.cluster) == half]


def domains(eval_sets: Sequence[EvalItems]) -> list[tuple[str, str]]:
    """The eval domains of a search: (eval set, measure) of every measure that an ablation compares."""
    return [(one.name, measure) for one in eval_sets for measure in one.compared(one.formulas(None))]


def joined_formulas(eval_sets: Sequence[EvalItems]) -> list[Formula]:
    """The measures of all eval sets, each under the name of its set, and the plain mean over all domains."""
    out = []
    for one in eval_sets:
        for formula in one.formulas(None):
            terms = {_within(one.name, term): weight for term, weight in formula.terms.items()}
            out.append(replace(formula, name=_within(one.name, formula.name), terms=terms))
    return [*out, mean(MEAN, (_within(*domain) for domain in domains(eval_sets)))]


def joined_trials(
    eval_sets: Sequence[EvalItems], scores: Mapping[str, Sequence[Scores]], half: Half
) -> list[list[Trial]]:
    """By seed, the trials of one half of the items of all eval sets; subsets and clusters under the set's name."""
    seeds = len(next(iter(scores.values())))
    return [
        [
            trial._replace(subset=_within(one.name, trial.subset), cluster=_within(one.name, trial.cluster))
            for one in eval_sets
            for trial in only(one.trials(scores[one.name][seed]), half)
        ]
        for seed in range(seeds)
    ]


def domain_values(eval_sets: Sequence[EvalItems], scores: Mapping[str, Sequence[Scores]], half: Half) -> F64:
    """The value of each domain on one half of the items, the mean over seeds; nan where a domain has no item."""
    formulas = joined_formulas(eval_sets)
    found = [evaluate_formulas(tally(one), formulas) for one in joined_trials(eval_sets, scores, half)]
    names = [_within(*domain) for domain in domains(eval_sets)]
    return np.asarray(np.mean([[float(one[name][0]) for name in names] for one in found], axis=0))


def check(eval_sets: Sequence[EvalItems]) -> None:
    """Raise ConfigError for an eval set of which a half lacks items that a measure needs."""
    for one in eval_sets:
        nothing = [[[0.0] * len(item.replies) for item in one.items.items]]
        if any(np.isnan(domain_values([one], {one.name: nothing}, half)).any() for half in get_args(Half)):
            raise ConfigError(
                one.name, f"its {len(one.items.items)} items cannot be split in two halves",
                "items of every category in both", "another --eval-set, or a larger holdout in the recipe",
            )  # fmt: skip


def _within(eval_set: str, name: str) -> str:
    return f"{eval_set}: {name}"
