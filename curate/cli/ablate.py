"""curate ablate."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

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
from curate.cli import completion
from curate.cli.mix import Terminal
from curate.cli.options import JsonOption, PresetOption, WorkOptions
from curate.cli.output import data, say, show_table, show_text
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.mixing.quotas import Plan
from curate.workspace import Workspace


class BaselineTerminal(Terminal):
    """Shows only the plan of the baseline; `--plan` shows those of the other arms."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def plan(self, plan: Plan, basis: str) -> None:
        """The plan as a table, the first time on each basis."""
        if basis not in self._shown:
            self._shown.add(basis)
            super().plan(plan, basis)


MODES: tuple[Mode, ...] = ("single", "leave-one-out", "add-one")


@dataclass(frozen=True, slots=True)
class ArmOptions:
    """The arms of an ablation that has no file."""

    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="The recipe whose datasets are compared: its name or file.",
            autocompletion=completion.recipes,
        ),
    ] = None
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME",
            help="An entry or source of the recipe, or a source to add; repeat for more.",
            autocompletion=completion.sources,
        ),
    ] = None
    every: Annotated[bool, typer.Option("--all", help="Every entry of the recipe.")] = False
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="single, leave-one-out or add-one.  [default: leave-one-out; add-one for a dataset that the "
            "recipe lacks]",
        ),
    ] = None
    baseline_mix: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline-mix",
            metavar="NAME",
            help="An entry that the baseline has; repeat for more.  [default: all]",
        ),
    ] = None
    with_step: Annotated[
        str | None,
        typer.Option(
            "--with-step",
            metavar="STEP",
            help="In the place of datasets: a step that reads scores, such as label_audit. The "
            "arms are without it, with it, and as few pairs at random.",
        ),
    ] = None
    preset: PresetOption = None

    def study(self, file: str | None, manifests: Path) -> Study:
        """The study of an ablation file, or of these options. Raises ConfigError where both name arms."""
        return self._of_recipe(manifests) if file is None else self._of_file(file)

    def _of_file(self, file: str) -> Study:
        options = (("--dataset", self.dataset), ("--all", self.every), ("--mode", self.mode),
                   ("--baseline-mix", self.baseline_mix), ("--with-step", self.with_step))  # fmt: skip
        given = [name for name, value in options if value]
        if given:
            hint = "an ablation file names its own arms"
            raise ConfigError(given[0], f"given beside {file}", "one of them", hint)
        return spec.load(file, self.recipe, self.preset)

    def _of_recipe(self, manifests: Path) -> Study:
        if self.recipe is None or self.preset is None:
            missing, hint = (
                "--recipe" if self.recipe is None else "--preset",
                "or an ablation file, which names both",
            )
            raise ConfigError(missing, "not given", "a recipe and a preset", hint)
        if self.with_step is not None:
            return self._of_step(self.recipe, self.preset, self.with_step)
        named = self.dataset or []
        if bool(named) == self.every:
            found = "given beside --all" if named else "no dataset named"
            raise ConfigError("--dataset", found, "one of them")
        if self.mode is not None and self.mode not in MODES:
            raise ConfigError("--mode", f"found {self.mode!r}", " or ".join(MODES))
        recipe, added = arms.load(self.recipe, named, manifests)
        datasets = named or [entry.label for entry in recipe.entries]
        mode: Mode | None = next((one for one in MODES if one == self.mode), None)
        compared = arms.choose(recipe, added, list(dict.fromkeys(datasets)), mode, self.baseline_mix or [])
        return Study(
            title=recipe.name, about=recipe.about, recipe=recipe, arms=tuple(compared), seeds=3, preset=self.preset
        )

    def _of_step(self, name: str, preset: str, step: str) -> Study:
        others = (("--dataset", self.dataset), ("--all", self.every), ("--mode", self.mode),
                  ("--baseline-mix", self.baseline_mix))  # fmt: skip
        given = [option for option, value in others if value]
        if given:
            raise ConfigError(given[0], "given beside --with-step", "one of them")
        recipe, _ = arms.load(name, ())
        compared = arms.with_step(recipe, step)
        return Study(
            title=recipe.name, about=recipe.about, recipe=recipe, arms=tuple(compared), seeds=3, preset=preset
        )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How every arm is trained and scored."""

    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="UNIT=N", help="pairs=N or steps=N for every arm.  [default: the preset's epochs]"
        ),
    ] = None
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Runs of each arm.  [default: 3; 1 for a search]")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting of all arms, such as lr=1e-5; repeat for more."
        ),
    ] = None
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Train only heads, on features of the frozen backbone that are computed once."
        ),
    ] = False
    eval_set: Annotated[
        list[str] | None,
        typer.Option(
            "--eval-set",
            "-e",
            metavar="NAME",
            help="An eval set; repeat for more.  [default: all that were fetched]",
            autocompletion=completion.eval_sets,
        ),
    ] = None
    nproc: Annotated[int, typer.Option("--nproc", min=1, help="Processes of each run, one per GPU.")] = 1

    def applied(self, study: Study) -> Study:
        """The study with these options in place of its own. Raises ConfigError."""
        for setting in self.settings or []:
            _check_setting(study, setting)
        return replace(
            study, probe=self.probe, seeds=self.seeds or study.seeds,
            settings=(*study.settings, *(self.settings or [])),
            budget=Budget.parse(self.budget) if self.budget else study.budget,
        )  # fmt: skip


def _check_setting(study: Study, setting: str) -> None:
    """Raise ConfigError for a setting that no run would read: a study gives it itself, or each arm its own."""
    key = setting.partition("=")[0]
    given = {
        "mix": "--recipe",
        "out": "--workspace",
        "seed": "--seeds",
        "eval_every_pairs": "nothing: runs are judged at their end",
    }
    if key in given:
        raise ConfigError(f"--set {setting}", f"every run is given its own {key}", given[key])
    if all(any(own.partition("=")[0] == key for own in arm.settings) for arm in study.arms):
        raise ConfigError(f"--set {setting}", f"every arm sets {key} itself", "another setting")


FileArgument = Annotated[
    str | None,
    typer.Argument(
        autocompletion=completion.ablations,
        metavar="ABLATION",
        help="An ablation: its name, such as heads (curate recipes --ablations lists them), or its file.",
    ),
]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Show the arms, their mixes and every command; run nothing.")
]
ReadyOption = Annotated[
    bool,
    typer.Option("--prepare", help="Build the mixes and the run folders, then stop: the first line of a plan."),
]


def ablate(
    file: FileArgument = None,
    *,
    chosen: ArmOptions,
    training: RunOptions,
    plan: PlanOption = False,
    ready: ReadyOption = False,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Train arms that differ by one dataset (or by one setting), and say which helps, by how much, and how sure.

    Every stage that exists is reused and every finished run is kept: the same command continues after a kill, and
    more seeds or datasets are added to those that are there. By default a dataset is left out of the whole recipe,
    which shows what the blend would lose without it.
    """
    study = training.applied(chosen.study(file, work.manifests))
    if training.probe:
        probe_runs.check(study)
    work = replace(work, workspace=work.workspace.absolute())
    inputs = work.inputs
    if plan:
        _plan(study, inputs, training.nproc, as_json)
        return
    trainer_process.check_installed()
    with work.open_engine() as engine:
        prepared = prepare(study, inputs, training.eval_set or [], engine, BaselineTerminal())
    if ready:
        say(f"ready: {len(prepared.every_run)} runs in {prepared.folder}")
        return
    with Workspace(prepared.folder).hold(wait=work.wait):  # two commands must not do the same runs
        report = _carried_out(prepared, inputs.workspace, training.nproc)
        written = write.write(report, prepared.folder)
    if as_json:
        data(report.to_dict())
        return
    for table in (suggestion_table, accuracy_table, brief_table, cost_table):
        show_table(table(report))
    say(f"report: {written}")


def same_command() -> str:
    """The command line that runs, without --plan and --json, for a shell."""
    return shlex.join(["curate", *(word for word in sys.argv[1:] if word not in ("--plan", "--json"))])


def finish_runs(prepared: Prepared, workspace: Workspace, nproc: int) -> None:
    """Do what is left of a study's runs, as probes or in full."""
    if prepared.study.probe:
        probe_runs.carry_out(prepared, workspace, say)
    else:
        one_after_another(prepared.every_run, nproc, say)


def _carried_out(prepared: Prepared, workspace: Workspace, nproc: int) -> Report:
    finish_runs(prepared, workspace, nproc)
    report = outcome(prepared)
    if not prepared.study.probe:
        return report
    return replace(report, probe=probe_runs.agreement(report, probe_runs.full_values(prepared)))


def _plan(study: Study, inputs: Inputs, nproc: int, as_json: bool) -> None:
    rows, place = planned_rows(study, inputs), folder(study, inputs.workspace)
    command = same_command()
    runs = [] if study.probe else [f"{command} --prepare", *commands(study, place, nproc)]
    lines = [*runs, command]
    if as_json:
        data({"folder": str(place), "arms": rows, "commands": lines})
        return
    show_table(plan_table(study, rows))
    say("commands: the first builds the mixes; then one for each run, in any order and place; the last reports")
    for line in lines:
        show_text(line)
