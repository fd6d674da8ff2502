"""curate search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from curate import trainer_process
from curate.ablation import halves, mixture, search_files
from curate.ablation import probe as probe_runs
from curate.ablation.arms import Arm
from curate.ablation.plan import commands
from curate.ablation.search import NATURAL, Outcome, Search, fitted_candidates, outcome, seen
from curate.ablation.search_tables import candidate_table, domain_table, method, rows_table
from curate.ablation.study import Budget, Prepared, Study, folder, prepare
from curate.build import build
from curate.cli.ablate import BaselineTerminal, RunOptions, finish_runs, same_command
from curate.cli.options import JsonOption, PresetOption, RecipeArgument, WorkOptions
from curate.cli.output import data, say, show_table, show_text
from curate.errors import ConfigError
from curate.html_report.search_page import page
from curate.inputs import Inputs
from curate.recipe import Recipe, load
from curate.workspace import Workspace, atomic


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What is searched, and how the candidates are confirmed."""

    arms: Annotated[int, typer.Option("--arms", min=1, help="Small runs; 8 for each entry are a good number.")] = (
        64
    )
    preset: PresetOption = None
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", min=1, help="Rows of the mix that is searched.  [default: as many as the recipe's]"
        ),
    ] = None
    floor: Annotated[
        list[str] | None,
        typer.Option("--floor", metavar="NAME=SHARE", help="The least share of an entry; repeat for more."),
    ] = None
    cap: Annotated[
        list[str] | None,
        typer.Option(
            "--cap",
            metavar="NAME=SHARE",
            help="The most of an entry; repeat for more.  [default: its pool, max_repeats times]",
        ),
    ] = None
    confirm_seeds: Annotated[
        int, typer.Option("--confirm-seeds", min=1, help="Full runs of each candidate and of the natural mix.")
    ] = 3
    confirm_budget: Annotated[
        str | None,
        typer.Option(
            "--confirm-budget",
            metavar="UNIT=N",
            help="pairs=N or steps=N of a full run.  [default: the preset's epochs]",
        ),
    ] = None

    def template(self, recipe: Recipe, training: RunOptions) -> Study:
        """The study that all runs are of, without arms. Raises ConfigError for a budget that is not pairs=N."""
        if recipe.without:
            found, hint = f"leaves out {', '.join(recipe.without)}", "take them out of its sources"
            raise ConfigError(f"{recipe.where}.without", found, "a recipe that mixes all its entries", hint)
        if self.preset is None:
            raise ConfigError("--preset", "not given", "a preset, such as basereward_1b")
        given = Budget.parse(training.budget) if training.budget else None
        if given is None or given.kind != "pairs":
            found = "not given" if given is None else f"found {training.budget!r}"
            raise ConfigError("--budget", found, "pairs=N: every small run has a mix of exactly N rows")
        blank = Study(
            title=recipe.name,
            about=recipe.about,
            recipe=recipe,
            arms=(Arm(name=NATURAL),),
            seeds=1,
            preset=self.preset,
        )
        self.limits(recipe)
        return training.applied(blank)

    def limits(self, recipe: Recipe) -> tuple[dict[str, float], dict[str, float]]:
        """Floors and caps by entry, as shares. Raises ConfigError with what was typed."""
        labels = [entry.label for entry in recipe.entries]
        return _by_entry("--floor", self.floor, labels), _by_entry("--cap", self.cap, labels)

    def search(self, template: Study, lock: dict[str, Any]) -> Search:
        """The search around the recipe's own mix, whose lock says what its pools hold. Raises InfeasibleError."""
        recipe, lines = template.recipe, {line["label"]: line for line in lock["plan"]["sources"]}
        rows = self.rows or lock["rows"]
        assert template.budget is not None, "checked by template"
        floors, caps = self.limits(recipe)
        within = mixture.bounds(
            {label: line["pool"] for label, line in lines.items()},
            {label: line["rows"] for label, line in lines.items()},
            rows,
            repeats={entry.label: entry.max_repeats for entry in recipe.entries},
            floors=floors, caps=caps,
            where=recipe.where,
        )  # fmt: skip
        small = template.budget.amount
        if small > rows:
            raise ConfigError("--budget", f"{small:,} rows", f"at most {rows:,}, the rows of the mix")
        return Search(template=template, within=within, rows=rows, small=small, arms=self.arms)


def _by_entry(option: str, given: list[str] | None, labels: list[str]) -> dict[str, float]:
    """The shares that an option gives. Raises ConfigError with what was typed."""
    out = {}
    for text in given or []:
        name, _, share = text.rpartition("=")
        if name not in labels:
            raise ConfigError(f"{option} {text}", f"no entry {name!r}", f"NAME=SHARE, of {', '.join(labels)}")
        try:
            out[name] = float(share)
        except ValueError:
            raise ConfigError(f"{option} {text}", f"found {share!r}", "a share from 0 to 1") from None
        if not 0 <= out[name] <= 1:
            raise ConfigError(f"{option} {text}", f"found {share}", "a share from 0 to 1")
    return out


NextRunsOption = Annotated[
    bool, typer.Option("--plan", help="Build the mixes, show the commands of the runs that are next; run nothing.")
]


def search(
    recipe: RecipeArgument,
    *,
    options: SearchOptions,
    training: RunOptions,
    plan: NextRunsOption = False,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Search the mix of a recipe's entries by small runs, and confirm it in full on items that it did not use.

    Four candidates and the recipe's own mix are trained in full; another mix is recommended only for a clear gain.
    Every stage that exists is reused and every finished run is kept: the same command continues after a kill.
    """
    work = replace(work, workspace=work.workspace.absolute())
    trainer_process.check_installed()
    steps = _Stages(
        options=options, training=training, template=options.template(load(recipe), training), work=work
    )
    with work.open_engine() as engine:
        lock = build(steps.template.recipe, work.inputs, engine, BaselineTerminal()).lock
    wanted = options.search(steps.template, lock)
    small = steps.finished(wanted.small_runs(), plan=plan)
    if small is None:
        return
    fitted, mixes = fitted_candidates(wanted, seen(small))
    small = steps.finished(wanted.small_runs(wanted.small_candidates(mixes)), plan=plan)
    budget = Budget.parse(options.confirm_budget) if options.confirm_budget else None
    full = small and steps.finished(wanted.confirmation(mixes, options.confirm_seeds, budget), plan=plan)
    if small is None or full is None:
        return
    found = outcome(wanted, small, full, mixes, fitted)
    place = full.folder / "search"
    written = search_files.write(found, recipe, place)
    with atomic(place / "search.html") as temporary:
        temporary.write_text(page(found), encoding="utf-8")
    if as_json:
        data(search_files.to_dict(found))
    else:
        _show(found, written, place)


def _show(found: Outcome, recipes: Sequence[Path], place: Path) -> None:
    """Print the tables of a search, where its recipes and its page are, and what it recommends."""
    for table in (candidate_table, domain_table, rows_table):
        show_table(table(found))
    for line in method(found):
        say(line)
    say(f"recipes: {', '.join(map(str, recipes))}")
    say(f"page: {place / 'search.html'}")
    show_text(found.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stages:
    """Prepares and finishes the studies of a search, one after the other."""

    options: SearchOptions
    training: RunOptions
    template: Study
    work: WorkOptions

    def finished(self, study: Study, *, plan: bool) -> Prepared | None:
        """The study with all its runs done; with `plan` None, and the commands shown, where some are not."""
        if study.probe:
            probe_runs.check(study)
        inputs: Inputs = self.work.inputs
        with self.work.open_engine() as engine:
            prepared = prepare(study, inputs, self.training.eval_set or [], engine, BaselineTerminal())
        halves.check(prepared.eval_sets)
        left = [
            run for run in prepared.every_run if not all(run.scores(one).exists() for one in prepared.eval_sets)
        ]
        if plan and left:
            self._show(study, prepared, {run.name for run in left})
            return None
        with Workspace(prepared.folder).hold(wait=self.work.wait):
            finish_runs(prepared, inputs.workspace, self.training.nproc)
        return prepared

    def _show(self, study: Study, prepared: Prepared, left: set[str]) -> None:
        place = folder(study, self.work.inputs.workspace)
        names = [run.name for run in prepared.every_run]
        lines = dict(zip(names, commands(study, place, self.training.nproc), strict=True))
        say(f"{len(left)} of {len(names)} runs of {study.name} are left, for any order and place")
        for line in [] if study.probe else [lines[name] for name in names if name in left]:
            show_text(line)
        show_text(same_command())
