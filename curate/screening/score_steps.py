"""Steps that read scores: they come last, and never drop a pair that is held out.

What is held out is chosen among the pairs that all other steps keep, so that it is the same with and without
these steps: a holdout that was filtered by the scores themselves would flatter every model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from curate.errors import ConfigError
from curate.hashing import fingerprint
from curate.order import order_key
from curate.pairs import scores
from curate.pairs.normalize import Artefact
from curate.pairs.pool import PairsPool
from curate.steps import is_score_step
from curate.steps.base import ScoreStep, Step

RANDOM = 1 << 62
"""The number given to `order_key` for pairs drawn at random: their order has nothing to do with selection."""

Receipts = Mapping[str, Mapping[str, Mapping[str, Any]]]


def receipts(listed: Sequence[tuple[str, Step]], artefacts: Mapping[str, Artefact], where: str) -> Receipts:
    """The receipt of every pool's scores, by step and label. Raises ConfigError for none, or in-sample ones."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, step in listed:
        if is_score_step(step):
            place = f"{where}.steps.{name}.scores"
            found[name] = {label: _receipt(label, made, step, place) for label, made in artefacts.items()}
    return found


def _receipt(label: str, made: Artefact, step: ScoreStep, where: str) -> Mapping[str, Any]:
    receipt = scores.receipt_of(made.directory, label, step.scores, where, step.wants)
    if receipt["provenance"] == "in-sample":
        overlap = f": it trained on {receipt['overlap']:,} of the pairs" if receipt["overlap"] else ""
        hint = "cross-fit them with curate score --folds 5, or score with a model that was trained on other pairs"
        found = f"the scores {step.scores!r} of {label} are in-sample{overlap}"
        raise ConfigError(where, found, "scores by a model that did not see the pairs", hint)
    return receipt


def digests(found: Receipts) -> dict[str, dict[str, str]]:
    """What identifies the scores that steps read, for the fingerprint of a mix."""
    return {
        name: {label: fingerprint([file["xxh3"] for file in receipt["files"]]) for label, receipt in by.items()}
        for name, by in found.items()
    }


def facts(found: Receipts) -> dict[str, Any]:
    """What a lock says of the scores that its steps read."""
    kept = ("name", "provenance", "by", "trained_on", "overlap", "scored", "unscored")
    return {
        name: {label: {key: receipt[key] for key in kept} for label, receipt in by.items()}
        for name, by in found.items()
    }


def find(step: ScoreStep, name: str, pool: PairsPool, pairs: pl.DataFrame, seed: int) -> pl.DataFrame:
    """What a step finds in a pool, see `ScoreStep.find`.

    `pairs` are those that are its to judge: at, a row of the pool, and id_hi, id_lo. Raises ConfigError where the
    scores lack what the step wants.
    """
    found = scores.read(pool, step.scores, name)
    if not found[step.wants].count() and found["margin"].count():
        hint = "curate audit with a --name of its own writes such; name them here" if step.wants == "wrong" else ""
        raise ConfigError(name, f"the scores {step.scores!r} have no column {step.wants}", "such scores", hint)
    key = order_key(pairs["id_hi"].to_numpy(), pairs["id_lo"].to_numpy(), seed, RANDOM)
    scored = pairs.select("at", order=pl.Series(key)).hstack(
        found.select("chosen", "rejected", "margin", "wrong")[pairs["at"]]
    )
    decided = step.find(scored)
    if not step.at_random:
        return decided
    some = scored.sort("order", "at").head(decided.height)
    return decided.with_columns(at=some["at"], reason=pl.lit("at_random"), score=pl.lit(None, pl.Float64))
