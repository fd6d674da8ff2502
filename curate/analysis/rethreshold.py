"""What `near_dedup` would drop at other thresholds: decided anew from cached sketches; nothing is built."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from curate.engines.base import Engine, Listener
from curate.errors import ConfigError
from curate.hashing import Hashes
from curate.inputs import Inputs, finished_pairs, pools_of
from curate.near_duplicates.banding import Banding
from curate.recipe import Recipe
from curate.screening.screen import trials
from curate.steps.base import Step
from curate.steps.near_dedup import NearDedup
from curate.tables import Table

STEP = "near_dedup"
USUAL = (0.7, 0.75, 0.8, 0.85, 0.9)
SHORT = 10  # hex digits of an id in a table; `curate why` takes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A pair that a threshold drops and no stricter one here, and the pair that it loses to."""

    pool: str
    pair_id: str
    winner_pool: str
    winner: str
    score: float
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What one threshold drops, by label of the pool.

    `new` counts the pairs that it drops and the next stricter one does not, `spared` those the other way round: a
    pair may stay because what it is near to goes. `samples` are of the new ones.
    """

    banding: Banding
    dropped: Mapping[str, int]
    new: int
    spared: int
    samples: Sequence[Sample]

    @property
    def jaccard(self) -> float:
        """The least similarity of near-duplicates."""
        return self.banding.jaccard

    @property
    def recall(self) -> float:
        """The share of near-duplicates with just this similarity that are compared; of all others it is more."""
        return self.banding.compared(self.jaccard)

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return {
            "jaccard": self.jaccard,
            "bands": self.banding.bands,
            "rows": self.banding.rows,
            "recall": self.recall,
            "dropped": dict(self.dropped),
            "new": self.new,
            "spared": self.spared,
            "samples": [asdict(sample) for sample in self.samples],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Thresholds, the strictest first, the recipe's own among them; `pairs` come to the step, by label."""

    recipe: str
    own: float
    pairs: Mapping[str, int]
    found: Sequence[Threshold]

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values."""
        found = [threshold.to_dict() for threshold in self.found]
        return {"recipe": self.recipe, "jaccard": self.own, "pairs": dict(self.pairs), "thresholds": found}


def try_thresholds(
    recipe: Recipe,
    inputs: Inputs,
    jaccards: Sequence[float],
    engine: Engine,
    listen: Listener | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Thresholds:
    """Return what the recipe's `near_dedup` drops with its own threshold and with each of these.

    The steps before it run as in a mix, those after it do not run. Reasons and sketches are made and cached where
    they are not yet. Raises ConfigError without the step, for a threshold that cannot be, and
    for a source that is not normalized.
    """
    hashes = inputs.hashes
    *before, (_, step) = _up_to_near(recipe, inputs, hashes)
    assert isinstance(step, NearDedup)
    candidates = [_at(step, jaccard) for jaccard in sorted({step.jaccard, *jaccards}, reverse=True)]
    pools = pools_of(recipe, finished_pairs(recipe, inputs, hashes))
    named = [(f"{STEP} at {candidate.jaccard:g}", candidate) for candidate in candidates]
    pairs, dropped = trials(pools, before, named, recipe.seed, engine, listen, inputs.workspace.images, say)
    found = tuple(_thresholds([candidate.banding for candidate in candidates], dropped, pairs))
    return Thresholds(recipe=recipe.name, own=step.jaccard, pairs=pairs, found=found)


def _up_to_near(recipe: Recipe, inputs: Inputs, hashes: Hashes) -> list[tuple[str, Step]]:
    """The steps of a recipe up to `near_dedup`, which is the last."""
    names = [name for name, _ in recipe.steps]
    if STEP not in names:
        where, hint = f"{recipe.where}.steps", f"add `- {STEP}: {{jaccard: 0.8}}`"
        raise ConfigError(where, f"no {STEP}", "a recipe that looks for near-duplicates", hint)
    return inputs.steps(replace(recipe, steps=recipe.steps[: names.index(STEP) + 1]), hashes)


def _at(step: NearDedup, jaccard: float) -> NearDedup:
    try:
        return replace(step, jaccard=jaccard)
    except ValueError as fault:
        raise ConfigError("--jaccard", str(fault)) from None


def _thresholds(
    bandings: Sequence[Banding], dropped: Iterator[pl.DataFrame], pairs: Mapping[str, int]
) -> Iterator[Threshold]:
    """One for each banding and what is dropped by it, the strictest first."""
    stricter = pl.DataFrame(schema={"index": pl.UInt32})
    for banding, lost in zip(bandings, dropped, strict=True):
        new = lost.join(stricter, on="index", how="anti")
        counts = dict(lost.group_by("pool").len().iter_rows())
        yield Threshold(
            banding=banding,
            dropped={label: counts.get(label, 0) for label in pairs},
            new=new.height,
            spared=stricter.height + new.height - lost.height,
            samples=_samples(new),
        )
        stricter = lost.select("index")


def _samples(new: pl.DataFrame) -> list[Sample]:
    """The least alike, which the threshold must answer for, and one from the middle."""
    ordered = new.sort("score", "pair_id", "index")
    rows = sorted({0, ordered.height // 2}) if ordered.height else []
    return [Sample(**row) for row in ordered[rows].drop("index").iter_rows(named=True)]


# ------------------------------------------------------------------------------------------ tables


def tables(found: Thresholds) -> list[Table]:
    """What each threshold is and drops, the same by source, and samples."""
    return [_threshold_table(found), _source_table(found), _sample_table(found)]


def _threshold_table(found: Thresholds) -> Table:
    total = sum(found.pairs.values())
    rows = []
    for one in found.found:
        lost, own = sum(one.dropped.values()), "recipe" if one.jaccard == found.own else ""
        facts = (one.jaccard, one.banding.bands, one.banding.rows, one.recall)
        rows.append((*facts, lost, lost / max(total, 1), one.new, one.spared, own))
    title = f"{STEP} of {found.recipe}: what each threshold drops of the {total:,} pairs that come to it"
    return Table(title, ("jaccard", "bands", "rows", "recall", "dropped", "share", "new", "spared", ""), rows)


def _source_table(found: Thresholds) -> Table:
    rows = [(label, pairs, *(one.dropped[label] for one in found.found)) for label, pairs in found.pairs.items()]
    totals = tuple(sum(column) for column in zip(*(row[1:] for row in rows), strict=True))
    columns = ("source", "pairs", *(f"{one.jaccard:g}" for one in found.found))
    return Table("dropped by source", columns, rows, ("all", *totals))


def _sample_table(found: Thresholds) -> Table:
    rows = [
        (f"{one.jaccard:g}", some.score, some.pool, some.pair_id[:SHORT], some.winner_pool, some.winner[:SHORT])
        for one in found.found
        for some in one.samples
    ]
    columns = ("jaccard", "score", "source", "pair", "lost to", "its pair")
    return Table("some of the new pairs", columns, rows)
