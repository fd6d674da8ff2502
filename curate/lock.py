"""The lock of a mix: what identifies it, where every row went, and the facts of its files."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

import curate
from curate import order, schema, steps
from curate.hashing import fingerprint
from curate.mixing import select, shards
from curate.mixing.summary import summary
from curate.pairs.normalize import Artefact
from curate.recipe import Recipe
from curate.screening.screen import Screened
from curate.steps.base import Step


def identity(
    recipe: Recipe, listed: Sequence[tuple[str, Step]], artefacts: Mapping[str, Artefact]
) -> dict[str, Any]:
    """The literals that define a mix: its recipe, its pairs, and the versions of all that judged them."""
    return {
        # steps enter by what their verdicts depend on: a tokenizer by its content, not by where it lies
        "recipe": {name: value for name, value in recipe.material().items() if name != "steps"},
        "pairs": {label: fingerprint(artefact.facts) for label, artefact in artefacts.items()},
        "steps": [[name, steps.identity(step)] for name, step in listed],
        "schema": schema.VERSION,
        "order": order.ORDER_VERSION,
        "shards": shards.VERSION,
    }


def _lock(
    recipe: Recipe,
    facts: dict[str, Any],
    artefacts: Mapping[str, Artefact],
    screened: Screened,
    chosen: select.Selection,
    written: Sequence[shards.ShardFacts],
) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "fingerprint": fingerprint(facts),
        "curate": curate.__version__,
        **{name: facts[name] for name in ("schema", "order", "shards")},
        "recipe": recipe.to_dict(),
        "steps": facts["steps"],
        "rows": len(chosen.mix),
        "held_out": len(chosen.holdout),
        "plan": chosen.plan.to_dict(),
        "funnel": funnel(recipe, artefacts, screened, chosen),
        "sources": {
            label: {**artefact.facts, "pinned": artefact.job.pinned, "fingerprint": facts["pairs"][label]}
            for label, artefact in artefacts.items()
        },
        **summary(recipe, artefacts, chosen),
        **({"message_fields": True} if _has_fields(chosen) else {}),
        "files": [dataclasses.asdict(shard) for shard in written],
    }


def funnel(
    recipe: Recipe, artefacts: Mapping[str, Artefact], screened: Screened, chosen: select.Selection
) -> dict[str, dict[str, Any]]:
    """Where every row and pair of every pool went; the conservation law is asserted (design 6)."""
    out: dict[str, dict[str, Any]] = {}
    accounts = {one.pool.label: dataclasses.asdict(one.funnel) for one in screened.pools}
    for number, pool in enumerate(recipe.pools):
        manifest, account = artefacts[pool.label].manifest, accounts[pool.label]
        rows = chosen.mix.filter(pl.col("pool") == number)
        used = rows.select("part", "position").n_unique()
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
        if passed_over := artefacts[pool.label].columns.get("not_used"):
            out[pool.label]["columns_not_used"] = passed_over
    return out


def _has_fields(chosen: select.Selection) -> bool:
    """Whether the shards have message fields (`curate.mixing.shard_schema.columns`)."""
    return any(bool(rows["has_fields"].any()) for rows in (chosen.mix, chosen.holdout))
