"""curate plan, curate mix."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

from curate import lock_tables, steps
from curate.build import build
from curate.build import plan as make_plan
from curate.cli.options import (
    WORKSPACE,
    CheckOption,
    InputOptions,
    JsonOption,
    RecipeArgument,
    StrictImagesOption,
    WorkOptions,
)
from curate.cli.output import data, progress, say, say_table, show_table
from curate.contamination.findable import Findable, findable_table
from curate.contamination.strengths import strength_table
from curate.engines.base import Tick
from curate.inputs import Inputs, located_pairs, pool_sizes
from curate.mixing import quotas
from curate.mixing.pool_sizes import PoolSize, doubts, pools_table
from curate.mixing.quotas import Plan
from curate.near_duplicates.banding import curve_table
from curate.pairs.column_account import not_used
from curate.recipe import Recipe, load
from curate.steps.base import Step
from curate.steps.decontaminate import findable_items


class Terminal:
    """Prints how a build goes, on stderr."""

    def say(self, text: str) -> None:
        """One line."""
        say(text)

    def plan(self, plan: Plan, basis: str) -> None:
        """The plan as a table."""
        say_table(quotas.plan_table(plan, basis))

    def progress(self, stage: str, total_bytes: int) -> AbstractContextManager[Callable[[Tick], None]]:
        """A progress bar."""
        return progress(stage, total_bytes)


def plan(
    recipe: RecipeArgument,
    *,
    place: InputOptions,
    as_json: JsonOption = False,
) -> None:
    """Show how many rows each source gives, without reading any text of pairs.

    Pools are counted where a source is normalized already, and published, derived or unknown where it is not. Of
    eval sets that are here, it is counted which items can be found in pairs.
    """
    preview = _previewed(load(recipe), place.inputs)
    if as_json:
        data(preview.to_dict())
    else:
        preview.show()
    for line in preview.uncounted:
        say(line)
    for warning in preview.warnings:
        say(f"warning: {warning}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preview:
    """What is known of a mix before it is built.

    findable   by step, which items of its eval sets can be found in pairs
    uncounted  a line for each step whose eval sets are not here yet
    """

    recipe: Recipe
    plan: Plan
    sizes: Mapping[str, PoolSize]
    steps: Sequence[tuple[str, Step]]
    findable: Mapping[str, Mapping[str, Findable]]
    uncounted: Sequence[str]

    @property
    def warnings(self) -> list[str]:
        return doubts(self.recipe, self.plan, self.sizes)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        curves = {name: banding.to_dict() for name, banding in steps.bandings(self.steps).items()}
        sets = {of: one.to_dict() for found in self.findable.values() for of, one in found.items()}
        return {
            **self.plan.to_dict(),
            "pools": {label: asdict(size) for label, size in self.sizes.items()},
            "warnings": self.warnings,
            "near_duplicates": curves,
            **({"decontamination": sets} if self.findable or self.uncounted else {}),
        }

    def show(self) -> None:
        """Print the plan and its pools, the curves of near-duplicate steps, and what decontamination can find."""
        basis = "pools before screening where counted, else as published; less the holdout"
        show_table(quotas.plan_table(self.plan, basis))
        show_table(pools_table(self.recipe, self.sizes))
        for name, banding in steps.bandings(self.steps).items():
            show_table(curve_table(name, banding))
        for name, share in steps.shares(self.steps).items():
            table = strength_table(name, share)
            show_table(table) if table.rows else say(table.title)
        for name, found in self.findable.items():
            show_table(findable_table(name, found))


def _previewed(recipe: Recipe, inputs: Inputs) -> _Preview:
    hashes = inputs.hashes
    # eval sets need not be there yet: a plan reads no text
    listed = steps.build_all(recipe.steps, recipe.where)
    steps.check_eval_sets(listed, recipe.where, inputs.manifests)
    counted, uncounted = findable_items(listed, inputs.eval_set_library(recipe, hashes), recipe.where)
    sizes = pool_sizes(located_pairs(recipe, inputs, hashes))
    planned = make_plan(recipe, {label: size.pairs for label, size in sizes.items()})
    return _Preview(recipe=recipe, plan=planned, sizes=sizes, steps=listed, findable=counted, uncounted=uncounted)


def mix(
    recipe: RecipeArgument,
    check: CheckOption = False,
    strict_images: StrictImagesOption = False,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Build the training shards of a recipe, running every stage that is missing.

    A killed run continues where it stopped; a finished mix is not built again.
    """
    read = load(recipe)
    inputs = replace(work.inputs, reread=check, strict_images=strict_images)
    with work.open_engine() as engine:
        built = build(read, inputs, engine, Terminal())
    if as_json:
        data({"directory": str(built.directory), "fresh": built.fresh, **built.lock})
        return
    show_table(lock_tables.reasons_table(built.lock["funnel"]))
    show_table(lock_tables.funnel_table(built.lock["funnel"]))
    show_table(lock_tables.shards_table(built.lock["files"]))
    for label, account in built.lock["funnel"].items():
        if line := not_used(account.get("columns_not_used", ())):
            say(f"{label}: {line}")
    say(f"{'built' if built.fresh else 'up to date'}: {built.directory}")
    if not built.lock["rows"]:
        say("nothing is in this mix: the funnel above says where all pairs went")
        return
    say(f"open:  load_dataset('parquet', data_files='{built.directory}/shard-*.parquet')")
    named = shlex.quote(recipe) + (
        "" if work.workspace == WORKSPACE else f" --workspace {shlex.quote(str(work.workspace))}"
    )
    say(f"next:  curate report {named}  shows the mix as a page")
    say(f"       curate show {named}  prints pairs of it")
