"""curate plan, curate mix."""

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

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
from curate.contamination.findable import findable_table
from curate.contamination.strengths import strength_table
from curate.engines.base import Tick
from curate.inputs import located_pairs, pool_sizes
from curate.mixing import quotas
from curate.mixing.pool_sizes import doubts, pools_table
from curate.mixing.quotas import Plan
from curate.near_duplicates.banding import curve_table
from curate.pairs.column_account import not_used
from curate.recipe import load
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
    read = load(recipe)
    inputs = place.inputs
    hashes = inputs.hashes
    # eval sets need not be there yet: a plan reads no text
    listed = steps.build_all(read.steps, read.where)
    steps.check_eval_sets(listed, read.where, inputs.manifests)
    bandings = steps.bandings(listed)
    counted, uncounted = findable_items(listed, inputs.eval_set_library(read, hashes), read.where)
    known = pool_sizes(located_pairs(read, inputs, hashes))
    planned = make_plan(read, {label: size.pairs for label, size in known.items()})
    warnings = doubts(read, planned, known)
    if as_json:
        curves = {name: banding.to_dict() for name, banding in bandings.items()}
        pools = {label: asdict(size) for label, size in known.items()}
        sets = {of: one.to_dict() for found in counted.values() for of, one in found.items()}
        leaks = {"decontamination": sets} if counted or uncounted else {}
        data({**planned.to_dict(), "pools": pools, "warnings": warnings, "near_duplicates": curves, **leaks})
    else:
        show_table(
            quotas.plan_table(planned, "pools before screening where counted, else as published; less the holdout")
        )
        show_table(pools_table(read, known))
        for name, banding in bandings.items():
            show_table(curve_table(name, banding))
        for name, share in steps.shares(listed).items():
            table = strength_table(name, share)
            show_table(table) if table.rows else say(table.title)
        for name, found in counted.items():
            show_table(findable_table(name, found))
    for line in uncounted:
        say(line)
    for warning in warnings:
        say(f"warning: {warning}")


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
