"""curate ablate."""

import shlex
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from curate import trainer_process
from curate.ablation import arms, spec, write
from curate.ablation import probe as probe_runs
from curate.ablation.arms import Mode
from curate.ablation.outcome import outcome
from curate.ablation.plan import commands, plan_table, planned_rows
from curate.ablation.report import Report, accuracy_table, brief_table, cost_table, suggestion_table
from curate.ablation.runs import one_after_another
from curate.ablation.study import Budget, Prepared, Study, folder, prepare
from curate.cli.mix import Terminal
from curate.cli.options import JsonOption, WorkOptions
from curate.cli.output import data, say, show_table
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.mixing.quotas import Plan
from curate.workspace import Workspace


class Once(Terminal):
    """Shows one plan, the baseline's: that of the other arms is in `--plan`."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def plan(self, plan: Plan, basis: str) -> None:
        """The plan as a table, the first time on each basis."""
        if basis not in self._shown:
            self._shown.add(basis)
            super().plan(plan, basis)


MODES: tuple[Mode, ...] = ("single", "leave-one-out", "add-one")


def ablate(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="ABLATION",
            help="An ablation: its name, such as heads (curate recipes --ablations lists them), or its file.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="RECIPE", help="The recipe whose datasets are compared: its name or file."
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME",
            help="An entry or source of the recipe, or a source to add; repeat for more.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every entry of the recipe.")] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="single, leave-one-out or add-one.  [default: leave-one-out; add-one for a dataset that the "
            "recipe lacks]",
        ),
    ] = None,
    baseline_mix: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline-mix",
            metavar="NAME",
            help="An entry that the baseline has; repeat for more.  [default: all]",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="UNIT=N", help="pairs=N or steps=N for every arm.  [default: the preset's epochs]"
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Runs of each arm.  [default: 3]")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", metavar="NAME", help="As for curate train.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting of all arms, such as lr=1e-5; repeat for more."
        ),
    ] = None,
    eval_set: Annotated[
        list[str] | None,
        typer.Option(
            "--eval-set", "-e", metavar="NAME", help="Repeat for more.  [default: all that were fetched]"
        ),
    ] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Train only heads, on features of the frozen backbone that are computed once."
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show the arms, their mixes and every command; run nothing.")
    ] = False,
    ready: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Build the mixes and the run folders, then stop: the first line of a plan."
        ),
    ] = False,
    nproc: Annotated[int, typer.Option("--nproc", min=1, help="Processes of each run, one per GPU.")] = 1,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Train arms that differ by one dataset (or by one setting), and say which helps, by how much, and how sure.

    Every stage that exists is reused and every finished run is kept: the same command goes on after a kill, and
    more seeds or datasets join those that are there. By default a dataset is left out of the whole recipe, since
    that is the question a blend asks: what would be lost without it?
    """
    if file is not None:
        study = _of_file(file, recipe, dataset, every, mode, baseline_mix, preset)
    else:
        study = _of_recipe(recipe, dataset or [], every, mode, baseline_mix or [], preset)
    study = _adjusted(study, seeds, budget, settings or [], probe=probe)
    if probe:
        probe_runs.check(study)
    work = replace(work, workspace=work.workspace.absolute())
    inputs = work.inputs
    if plan:
        _plan(study, inputs, nproc, as_json)
        return
    trainer_process.check_installed()
    with work.open_engine() as engine:
        prepared = prepare(study, inputs, eval_set or [], engine, Once())
    if ready:
        say(f"ready: {len(prepared.every_run)} runs in {prepared.folder}")
        return
    with Workspace(prepared.folder).hold(wait=work.wait):  # two commands must not carry out the same runs
        report = _carried_out(prepared, inputs.workspace, nproc)
        written = write.write(report, prepared.folder)
    if as_json:
        data(report.to_dict())
        return
    for table in (suggestion_table, accuracy_table, brief_table, cost_table):
        show_table(table(report))
    say(f"report: {written}")


def _carried_out(prepared: Prepared, workspace: Workspace, nproc: int) -> Report:
    if not prepared.study.probe:
        one_after_another(prepared.every_run, nproc, say)
        return outcome(prepared)
    probe_runs.carry_out(prepared, workspace, say)
    report = outcome(prepared)
    return replace(report, probe=probe_runs.agreement(report, probe_runs.full_values(prepared)))


def _of_file(file: str, recipe: str | None, dataset: Any, every: bool, mode: Any, baseline: Any,
             preset: str | None) -> Study:  # fmt: skip
    given = [name for name, value in (("--dataset", dataset), ("--all", every), ("--mode", mode),
                                      ("--baseline-mix", baseline)) if value]  # fmt: skip
    if given:
        raise ConfigError(given[0], f"given beside {file}", "one of them", "an ablation file names its own arms")
    return spec.load(file, recipe, preset)


def _of_recipe(name: str | None, named: list[str], every: bool, mode: str | None, baseline: list[str],
               preset: str | None) -> Study:  # fmt: skip
    if name is None or preset is None:
        missing = "--recipe" if name is None else "--preset"
        raise ConfigError(missing, "not given", "a recipe and a preset", "or an ablation file, which names both")
    if bool(named) == every:
        raise ConfigError("--dataset", "no dataset named" if not named else "given beside --all", "one of them")
    if mode is not None and mode not in MODES:
        raise ConfigError("--mode", f"found {mode!r}", " or ".join(MODES))
    recipe, added = arms.load(name, named)
    datasets = named or [entry.label for entry in recipe.entries]
    chosen: Mode | None = next((one for one in MODES if one == mode), None)
    compared = arms.choose(recipe, added, list(dict.fromkeys(datasets)), chosen, baseline)
    return Study(
        title=recipe.name, about=recipe.about, recipe=recipe, arms=tuple(compared), seeds=3, preset=preset
    )


def _adjusted(study: Study, seeds: int | None, budget: str | None, settings: list[str], *, probe: bool) -> Study:
    """The study with what the command line says over it."""
    return replace(
        study, probe=probe, seeds=seeds or study.seeds, settings=(*study.settings, *settings),
        budget=Budget.parse(budget) if budget else study.budget,
    )  # fmt: skip


def _plan(study: Study, inputs: Inputs, nproc: int, as_json: bool) -> None:
    rows, place = planned_rows(study, inputs), folder(study, inputs.workspace)
    again = shlex.join(["curate", *(word for word in sys.argv[1:] if word not in ("--plan", "--json"))])
    runs = [] if study.probe else [f"{again} --prepare", *commands(study, place, nproc)]
    lines = [*runs, again]
    if as_json:
        data({"folder": str(place), "arms": rows, "commands": lines})
        return
    show_table(plan_table(study, rows))
    say("the commands: the first builds the mixes; then one line a run, in any order and place; the last reports")
    for line in lines:
        typer.echo(line)
