"""The plan of an ablation: the rows of every arm's mix, and one command for each run."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate import build, trainer_process
from curate.ablation.arms import Arm
from curate.ablation.study import Study, folder
from curate.checksums import record
from curate.inputs import Inputs, located_pairs, sizes
from curate.recipe import Recipe
from curate.tables import Table

Rows = Mapping[str, Mapping[str, int | None]]
"""By arm and entry; None where it is not known before the mix is built."""


def planned_rows(study: Study, inputs: Inputs) -> Rows:
    """Every arm's rows: exact where the mixes are built, else counted before screening as `curate plan` does."""
    facts = record(folder(study, inputs.workspace) / "ablation.json") or {}
    known: Mapping[str, Any] = facts.get("arms", {})
    if all(arm.name in known for arm in study.arms):
        return {arm.name: known[arm.name]["entries"] for arm in study.arms}
    hashes = inputs.hashes
    plan = build.plan(study.recipe, sizes(located_pairs(study.recipe, inputs, hashes)))
    whole = {line.label: line.rows for line in plan.lines}
    return {arm.name: _rows_left(study.recipe, arm, whole) for arm in study.arms}


def _rows_left(recipe: Recipe, arm: Arm, whole: Mapping[str, int | None]) -> dict[str, int | None]:
    """The rows of each entry: 0 where all its pools are left out, None (not known yet) where some are."""
    left_out = set(arm.without)
    sources = {pool.label: pool.source for pool in recipe.pools}
    out: dict[str, int | None] = {}
    for entry in recipe.entries:
        removed = [bool({pool, sources[pool]} & left_out) for pool in entry.pools]
        named = {entry.label, f"entry:{entry.label}"} & left_out - set(sources) - set(sources.values())
        out[entry.label] = 0 if named or all(removed) else None if any(removed) else whole[entry.label]
    return out


def plan_table(study: Study, rows: Rows) -> Table:
    """One line for each arm: the rows of its mix, in all and by entry, and its settings."""
    lines = []
    for arm in study.arms:
        counts = rows[arm.name]
        total = None if None in counts.values() else sum(n for n in counts.values() if n is not None)
        mix = ", ".join(f"{label} {'?' if n is None else f'{n:,}'}" for label, n in counts.items())
        lines.append((arm.name, total, mix, " ".join(arm.settings) or None))
    title = f"{study.name}: {len(study.arms)} arms, {study.seeds} seeds, {len(study.arms) * study.seeds} runs"
    return Table(title, ("arm", "rows", "mix", "settings"), lines)


def commands(study: Study, place: Path, processes: int) -> list[str]:
    """One shell line for each run: train, then score all eval sets; every arm's first seed first."""
    return [
        run_line(place, place / f"{arm.name}-seed{seed}", processes)
        for seed in range(study.seeds)
        for arm in study.arms
    ]


def run_line(place: Path, run: Path, processes: int) -> str:
    """The shell line of one run; it scores every file in the ablation's folder of items."""
    items = f"{shlex.quote(str(place / 'items'))}/*.parquet"
    score = shlex.join([sys.executable, "-m", "trainer.score", str(run / "final")])
    target = shlex.quote(str(run / "scores"))
    return f"{shlex.join(trainer_process.command(run, processes))} && {score} {items} --out {target}"
