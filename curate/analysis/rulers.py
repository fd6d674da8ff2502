"""Rulers: one number of a reply each, and how well it alone predicts which reply is the chosen one.

A ruler that predicts the label is a shortcut that a reward model could learn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from curate.analysis.intervals import Clusters, Counted, Share, mean_of
from curate.arrays import F64, I64

MARKDOWN = ("headers", "bold", "code", "items", "tables")

RULERS: Mapping[str, str] = {
    "longer": "characters",
    "markdown": "headers, bold, code blocks, list items and tables together, HTML's too",
    "headers": "lines that begin with # or are underlined",
    "bold": "**bold** and __bold__",
    "code_blocks": "blocks between ``` or ~~~",
    "list_items": "lines that begin with a bullet or a number, of any script",
    "tables": "tables of |",
    "line_breaks": "line breaks",
    "digits": "digits of any script",
    "exclamations": "exclamation marks of any script",
    "questions": "question marks of any script",
    "prompt_words": "the share of its words that the prompt has too",
    "refusal": "1 for a reply that declines to answer (English), else 0",
    "as_an_ai": "1 for a reply that says 'as an AI' or the like (seven languages), else 0",
    "first": "1 for the reply that the judge saw first, where the source records it: LLaVA-Critic and SWE-Arena",
}
"""What each ruler measures."""

TRAITS = {
    "longer": "chars",
    "code_blocks": "code",
    "list_items": "items",
    "line_breaks": "lines",
    "prompt_words": "words_of_prompt",
}
"""The trait behind a ruler where it has another name."""

FIGURES = ("differs", "wins", "auc")

MOST = 1 << 20
"""Values above are taken for this one."""


Rulers = Mapping[str, Mapping[str, Share]]


def rulers(pairs: pl.DataFrame, clusters: Clusters) -> Rulers:
    """For each ruler that is known of some pair, of pairs that all have a label:

    differs  of the pairs, those on whose replies it differs
    wins     of these, those whose chosen reply has more of it
    auc      the chance that it is larger on a chosen reply than on a rejected one of any pair, half where equal
    """
    counted: Counted = {}
    for name in RULERS if pairs.height else ():
        chosen, rejected, known = ruler_values(name, pairs)
        if known is None or known.any():
            of = np.ones(len(chosen)) if known is None else known
            counted[f"differs/{name}"] = ((chosen != rejected) * of, of)
            counted[f"wins/{name}"] = ((chosen > rejected) * of, (chosen != rejected) * of)
            counted[f"auc/{name}"] = (_placements(chosen, rejected, of), of)
    shares = clusters.shares(counted)
    names = [name.removeprefix("auc/") for name in counted if name.startswith("auc/")]
    return {name: {what: shares[f"{what}/{name}"] for what in FIGURES} for name in names}


def mean_rulers(sources: Sequence[Rulers]) -> Rulers:
    """Return for each ruler the plain mean over the sources that know it.

    A pool of all pairs would say what the largest source does, or nothing: where sources differ in how often
    a ruler differs, it can lie far from each of them (Simpson 1951).
    """
    names = [name for name in RULERS if any(name in found for found in sources)]
    return {
        name: {what: mean_of([found[name][what] for found in sources if name in found]) for what in FIGURES}
        for name in names
    }


def ruler_columns(name: str) -> list[str]:
    """The columns of traits that a ruler is made of."""
    if name == "first":
        return ["chosen_first"]
    return [f"{side}_{trait}" for side in ("chosen", "rejected") for trait in _traits_of(name)]


def _traits_of(name: str) -> tuple[str, ...]:
    return MARKDOWN if name == "markdown" else (TRAITS.get(name, name),)


def ruler_values(name: str, pairs: pl.DataFrame) -> tuple[I64, I64, Any]:
    """A ruler of each pair's traits: (of the chosen, of the rejected, for which pairs known or None for all)."""
    if name == "first":
        first = pairs["chosen_first"]
        known = first.is_not_null().to_numpy()
        one = first.fill_null(False).to_numpy().astype(np.int64)
        return one, 1 - one, known.astype(np.float64)
    chosen, rejected = (_side(name, side, pairs) for side in ("chosen", "rejected"))
    return chosen, rejected, None


def difference(name: str, pairs: pl.DataFrame) -> F64:
    """How much more of a ruler the chosen reply has than the rejected one, for each pair; 0 where not known."""
    chosen, rejected, known = ruler_values(name, pairs)
    more: F64 = (chosen - rejected).astype(np.float64)
    return more if known is None else more * known


def _side(name: str, side: str, pairs: pl.DataFrame) -> I64:
    summed = pairs.select(pl.sum_horizontal(pl.col(f"{side}_{x}").cast(pl.Int64) for x in _traits_of(name)))
    values: I64 = np.minimum(summed.to_series().to_numpy(), MOST)
    return values


def _placements(chosen: I64, rejected: I64, weight: F64) -> F64:
    """A number for each pair whose mean is the AUC, and varies as the AUC does from sample to sample.

    The share of rejected replies that its chosen one is above, and that of chosen ones that its rejected one is
    below, less the AUC (the structural components of DeLong et al. 1988).
    """
    size, total = int(max(chosen.max(initial=0), rejected.max(initial=0))) + 1, weight.sum()
    above = _below(rejected, weight, size)[chosen] / total
    below = 1 - _below(chosen, weight, size)[rejected] / total
    placed: F64 = (above + below - (above * weight).sum() / total) * weight
    return placed


def _below(values: I64, weight: F64, size: int) -> F64:
    """For each possible value, the weight of the values below it and half of those equal to it."""
    counts = np.bincount(values, weights=weight, minlength=size)
    return np.cumsum(counts) - counts / 2
