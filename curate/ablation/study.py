"""A study: what is compared; and its preparation: mixes built and checked, runs configured."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from curate import trainer_process
from curate.ablation import eval_items
from curate.ablation.arms import Arm, removed, sources_of
from curate.ablation.eval_items import EvalItems
from curate.ablation.runs import Run
from curate.build import Built, Watcher, build_family, screening_key
from curate.checksums import write_record
from curate.engines.base import Engine
from curate.errors import ConfigError
from curate.hashing import fingerprint
from curate.inputs import Inputs
from curate.pairs.keys import halves
from curate.recipe import Recipe
from curate.workspace import Workspace

EPOCHS = 1000
"""More epochs than any budget of steps needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long every arm is trained: a number of pairs or optimizer steps, whatever the size of its mix."""

    kind: Literal["pairs", "steps"]
    amount: int

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """`pairs=N` or `steps=N`. Raises ConfigError."""
        kind, _, amount = text.partition("=")
        if kind not in ("pairs", "steps") or not amount.isdecimal() or int(amount) < 1:
            raise ConfigError("--budget", f"found {text!r}", "pairs=N or steps=N")
        return cls(kind="pairs" if kind == "pairs" else "steps", amount=int(amount))

    def __str__(self) -> str:
        return f"{self.kind}={self.amount}"

    def of(self, rows: int) -> tuple[str, ...]:
        """The trainer's settings for a mix of `rows` rows, with enough epochs that a small one is repeated."""
        epochs = max(self.amount / rows, 1) * 2 if self.kind == "pairs" else EPOCHS
        return f"max_{self}", f"epochs={epochs:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is compared: arms of a recipe, the baseline first, with the same preset, settings and seeds."""

    title: str
    about: str
    recipe: Recipe
    arms: tuple[Arm, ...]
    seeds: int
    preset: str
    settings: tuple[str, ...] = ()
    budget: Budget | None = None
    probe: bool = False

    @property
    def name(self) -> str:
        """The folder's name, of what makes runs comparable, so that more arms and seeds can be added later."""
        shared = [self.arms[0].recipe(self.recipe).material(), list(self.arms[0].settings), self.preset]
        trained = [list(self.settings), str(self.budget)]
        return f"{self.title}-{Path(self.preset).stem}-{fingerprint([shared, trained])[:8]}"

    def own(self) -> dict[str, set[str]]:
        """The sources of each arm's dataset."""
        return {arm.name: sources_of(self.recipe, arm.datasets) for arm in self.arms if arm.datasets}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A study with its mixes, items files and run folders on disk, ready for its runs."""

    study: Study
    folder: Path
    mixes: Mapping[str, Built]
    eval_sets: tuple[EvalItems, ...]
    runs: Mapping[str, tuple[Run, ...]]

    @property
    def every_run(self) -> list[Run]:
        """All runs, every arm's first seed before any second one, so that all arms can be compared early."""
        return [by_seed[seed] for seed in range(self.study.seeds) for by_seed in self.runs.values()]


def folder(study: Study, workspace: Workspace) -> Path:
    """Where the runs and the report of a study are; a probe's beside the full runs of the same arms."""
    place = workspace.root / "runs" / study.name
    return place / "probe" if study.probe else place


def prepare(study: Study, inputs: Inputs, names: Sequence[str], engine: Engine, watch: Watcher) -> Prepared:
    """Build the arms' mixes, check that they differ as they should, write items files and every run's config.

    `names` are eval sets; without any, all that were fetched. Finished stages are reused. Raises ConfigError for
    wrong trainer settings, and where neither held-out pairs nor eval sets are there.
    """
    place = folder(study, inputs.workspace)
    folders = inputs.eval_set_folders(study.recipe)
    eval_items.check_fetched(names, folders)  # before hours of building
    recipes = {arm.name: arm.recipe(study.recipe) for arm in study.arms}
    distinct = list({fingerprint(recipe.material()): recipe for recipe in recipes.values()}.values())
    built: dict[str, Built] = {}
    for family in _families(distinct):
        built |= zip(map(_key, family), build_family(family, inputs, engine, watch), strict=True)
    mixes = {name: built[_key(recipe)] for name, recipe in recipes.items()}
    check(study, mixes)
    held_out = eval_items.holdout(mixes[study.arms[0].name].directory, inputs.workspace.images, place / "items")
    found = eval_items.eval_sets(names, folders)
    eval_sets = ([held_out] if held_out else []) + [eval_set.beside(place / "items") for eval_set in found]
    if not eval_sets:
        raise ConfigError(
            study.recipe.where, "nothing to compare arms on", "a holdout in the recipe, or --eval-set",
            "add holdout: {rows_per_source: 200}",
        )  # fmt: skip
    runs = {arm.name: _runs(study, arm, mixes[arm.name], eval_sets, inputs.workspace) for arm in study.arms}
    prepared = Prepared(study=study, folder=place, mixes=mixes, eval_sets=tuple(eval_sets), runs=runs)
    write_record(place / "ablation.json", facts(prepared))
    return prepared


def _families(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """The recipes that one screening serves together."""
    found: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        found.setdefault(screening_key(recipe), []).append(recipe)
    return list(found.values())


def _key(recipe: Recipe) -> str:
    return fingerprint(recipe.material())


def check(study: Study, mixes: Mapping[str, Built]) -> None:
    """Every arm is the mix of all datasets less exactly the pairs that it leaves out, in the same order.

    Compared are the pair ids in the shards, arm by arm with the baseline; a difference is a fault of ours.
    """
    first = study.arms[0].name
    _check_sizes(study, mixes)
    held, (whole, sources) = _ids(mixes[first].directory, "holdout"), _ids(mixes[first].directory, "shard")
    for arm in study.arms:
        mix = mixes[arm.name].directory
        ids, of = _ids(mix, "shard")
        assert _ids(mix, "holdout") == held, f"{arm.name}: the held-out pairs are the baseline's"
        if not ids:
            raise ConfigError(f"arm {arm.name}", "no pair is left to train on", "pairs in its mix")
        if arm.mode == "single" or not arm.datasets:
            continue
        larger, origin, smaller = (whole, sources, ids) if len(ids) <= len(whole) else (ids, of, whole)
        gone = removed(larger, smaller)
        assert gone is not None, f"{arm.name}: what both mixes have is the same, in the same order"
        own = sources_of(study.recipe, arm.datasets)
        assert {origin[i] for i in gone} <= own, f"{arm.name}: it differs by its dataset's pairs alone"


def _check_sizes(study: Study, mixes: Mapping[str, Built]) -> None:
    """Arms with one step, by its scores and at random, have as many pairs; caps by group could prevent it."""
    rows = {arm.name: mixes[arm.name].lock["rows"] for arm in study.arms if arm.step is not None}
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{name} has {count:,} rows" for name, count in rows.items())
        raise ConfigError(
            study.recipe.where, found, "arms of one size", "leave per_group and epochs out of the recipe"
        )


def _ids(mix: Path, kind: str) -> tuple[list[int], list[str]]:
    """Half of each pair id, which is unique enough, and its source; in order."""
    ids: list[int] = []
    sources: list[str] = []
    for path in sorted(mix.glob(f"{kind}-*.parquet")):
        table = pq.read_table(path, columns=["pair_id", "source"])
        ids += halves(table["pair_id"].combine_chunks(), str(path))[0].tolist()
        sources += map(sys.intern, table["source"].to_pylist())
    return ids, sources


def _runs(
    study: Study, arm: Arm, mix: Built, eval_sets: Sequence[EvalItems], workspace: Workspace
) -> tuple[Run, ...]:
    items = tuple(eval_set.file for eval_set in eval_sets)
    out = []
    for seed in range(study.seeds):
        name = f"{arm.name}-seed{seed}"
        run = Run(name=name, folder=folder(study, workspace) / name, items=items)
        trainer_process.prepare(study.preset, run_settings(study, arm, seed, mix, run.folder, workspace))
        out.append(run)
    return tuple(out)


def run_settings(
    study: Study, arm: Arm, seed: int, mix: Built, run: Path, workspace: Workspace
) -> tuple[str, ...]:
    """The trainer's settings of one run, the last of each key wins; it has no evaluation while it trains."""
    paths = {"mix": mix.directory, "out": run, "images": workspace.images}
    where = (f"{name}={json.dumps(str(path), ensure_ascii=False)}" for name, path in paths.items())
    budget = study.budget.of(mix.lock["rows"]) if study.budget else ()
    return (*where, f"seed={seed}", "eval_every_pairs=null", *budget, *study.settings, *arm.settings)


def facts(prepared: Prepared) -> dict[str, Any]:
    """The facts of a study for `ablation.json` and the report."""
    study = prepared.study
    return {
        "name": study.name,
        "about": study.about,
        "recipe": study.recipe.name,
        "preset": study.preset,
        "budget": str(study.budget) if study.budget else None,
        "settings": list(study.settings),
        "seeds": study.seeds,
        "exams": {eval_set.name: len(eval_set.items.items) for eval_set in prepared.eval_sets},
        "arms": {arm.name: _arm_facts(arm, prepared) for arm in study.arms},
    }


def _arm_facts(arm: Arm, prepared: Prepared) -> dict[str, Any]:
    mix = prepared.mixes[arm.name]
    return {
        "datasets": list(arm.datasets),
        "without": list(arm.without),
        **({"step": list(arm.step)} if arm.step is not None else {}),
        "settings": list(arm.settings),
        "mix": str(mix.directory),
        "fingerprint": mix.lock["fingerprint"],
        "rows": mix.lock["rows"],
        "entries": {line["label"]: line["rows"] for line in mix.lock["plan"]["sources"]},
        "sources": {label: account["mixed"] for label, account in mix.lock["funnel"].items()},
    }
