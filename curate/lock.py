"""The lock of a mix: what identifies it, where every row went, and the facts of its files."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

import curate
from curate import order, schema, steps
from curate.contamination.decisions import OUTCOMES, by_set
from curate.contamination.findable import findable
from curate.hashing import fingerprint
from curate.lock_file import file_facts
from curate.mixing import holdout, select, shards
from curate.pairs.normalize import Artefact
from curate.recipe import Recipe
from curate.screening.screened import Screened, review
from curate.steps.base import Step
from curate.steps.decontaminate import Bound


def identity(
    recipe: Recipe,
    listed: Sequence[tuple[str, Step]],
    artefacts: Mapping[str, Artefact],
    scores: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the literals that define a mix: its recipe, its pairs, and the versions of all code that decides.

    `scores` identifies what steps read that read scores.
    """
    return {
        # steps enter by what their decisions depend on: a tokenizer by its content, not by its path
        "recipe": {name: value for name, value in recipe.material().items() if name != "steps"},
        "pairs": {label: fingerprint(artefact.facts) for label, artefact in artefacts.items()},
        "steps": [[name, steps.identity(step)] for name, step in listed],
        "schema": schema.VERSION,
        "order": order.ORDER_VERSION,
        **({"holdout": holdout.VERSION} if recipe.holdout is not None else {}),
        "shards": shards.VERSION,
        **({"scores": dict(scores)} if scores else {}),
    }


@dataclass(frozen=True, slots=True)
class Screening:
    """The steps that ran, the pairs artefacts that they ran over, and what they decided."""

    listed: Sequence[tuple[str, Step]]
    artefacts: Mapping[str, Artefact]
    screened: Screened


@dataclass(frozen=True, slots=True)
class Results:
    """What the stages of a build made."""

    screening: Screening
    chosen: select.Selection
    shards: Sequence[shards.ShardFacts]
    summary: Mapping[str, Any]


def make_lock(recipe: Recipe, facts: dict[str, Any], made: Results, directory: Path) -> dict[str, Any]:
    """Return the lock of a mix; `facts` is its `identity`, and its shards and decisions are in the directory."""
    artefacts, screened = made.screening.artefacts, made.screening.screened
    lock = {
        "name": recipe.name,
        "fingerprint": fingerprint(facts),
        "curate": curate.__version__,
        **{name: facts[name] for name in ("schema", "order", "shards")},
        "recipe": recipe.to_dict(),
        "steps": facts["steps"],
        "rows": len(made.chosen.mix),
        "held_out": len(made.chosen.holdout),
        "plan": made.chosen.plan.to_dict(),
        "funnel": funnel(recipe, artefacts, screened, made.chosen),
        "sources": {
            label: {**artefact.facts, "pinned": artefact.job.pinned, "fingerprint": facts["pairs"][label]}
            for label, artefact in artefacts.items()
        },
        **made.summary,
        **({"message_fields": True} if shards.has_fields(made.chosen) else {}),
        "content": "text" if shards.has_text(made.chosen, recipe.shards) else "blocks",
        "files": [dataclasses.asdict(shard) for shard in made.shards],
        "decisions": file_facts(
            directory, [f"decisions/{path.name}" for path in sorted((directory / "decisions").glob("*.parquet"))]
        ),
        "review": file_facts(directory, ["review.parquet"])[0],
    }
    for name, step in made.screening.listed:
        if isinstance(step, Bound):
            found = by_set(review(screened).filter(pl.col("step") == name))
            none = dict.fromkeys(OUTCOMES, 0)
            sets = findable(step.protected)
            lock["decontamination"] = {of: {**found.get(of, none), **one.to_dict()} for of, one in sets.items()}
    return lock


def funnel(
    recipe: Recipe, artefacts: Mapping[str, Artefact], screened: Screened, chosen: select.Selection
) -> dict[str, dict[str, Any]]:
    """Return where every row and pair of every pool went, after asserting the conservation law (design 6)."""
    out: dict[str, dict[str, Any]] = {}
    accounts = {one.pool.label: dataclasses.asdict(one.funnel) for one in screened.pools}
    for number, pool in enumerate(recipe.pools):
        manifest, account = artefacts[pool.label].manifest, accounts[pool.label]
        rows = chosen.mix.select("pool", "part", "position").filter(pl.col("pool") == number)
        used = select.distinct_places(rows["part"], rows["position"])
        held = chosen.holdout.filter(pl.col("pool") == number).height
        unused = account["kept"] - used - held
        assert manifest["pairs"] == account["pairs"], f"{pool.label}: pairs = pairs that were screened"
        assert unused >= 0, f"{pool.label}: kept = selected + held out + unused"
        out[pool.label] = {
            "rows": manifest["rows"],
            "skipped": manifest["skipped"],
            "gave": manifest["gave"],
            **account,
            "held_out": held,
            "selected": used,
            "unused": unused,
            "mixed": len(rows),
        }
        for name, usual in select.CHANGES.items():
            if changed := _changed(chosen.mix, number, name, usual):
                out[pool.label]["weighted" if name == "weight" else name] = changed
        if passed_over := artefacts[pool.label].columns.get("not_used"):
            out[pool.label]["columns_not_used"] = passed_over
    return out


def _changed(mix: pl.DataFrame, pool: int, name: str, usual: Any) -> int:
    """How many pairs of a pool are in the mix with another value than usual in a column of CHANGES."""
    if name not in mix.columns:
        return 0
    rows = mix.filter(pl.col(name) != usual, pl.col("pool") == pool)
    return select.distinct_places(rows["part"], rows["position"])
