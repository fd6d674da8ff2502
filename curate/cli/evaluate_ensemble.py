"""The part of curate evaluate that makes ensembles of models and score files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from curate.cli.output import show_table
from curate.errors import ConfigError
from curate.evaluation import ensemble_report, ensemble_scores, ensembles, metrics
from curate.evaluation.ensemble_report import Comparison
from curate.evaluation.ensemble_scores import Questions, Scorers
from curate.evaluation.ensembles import KINDS, Ensemble, Fit, Member, Method, Scale
from curate.evaluation.items import LoadedEvalSet
from curate.hashing import Hashes
from curate.inspect.artefacts import find_mix
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True)
class EnsembleOptions:
    """The members of an ensemble, and how their scores become one."""

    members: Annotated[
        list[str] | None,
        typer.Argument(metavar="MEMBER...", help="Models and score files of an ensemble.", show_default=False),
    ] = None
    ensemble: Annotated[
        Method | None,
        typer.Option(
            "--ensemble",
            help="Score with the members together: weighted alike, by accuracy or by margin on held-out pairs.",
        ),
    ] = None
    route: Annotated[
        list[str] | None,
        typer.Option(
            "--route",
            metavar="KIND=MEMBER...",
            help="Which members score which items: image=A text=B. KIND is text, image or video.",
        ),
    ] = None
    weights_on: Annotated[
        str | None,
        typer.Option(
            "--weights-on",
            metavar="MIX",
            help="The mix whose held-out pairs (1,000, evenly over sources) weights and scales are measured on.",
        ),
    ] = None
    scale: Annotated[
        Scale | None,
        typer.Option("--scale", help="Add up scores as they are, or standardised on the held-out pairs.  [raw]"),
    ] = None
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", dir_okay=False, help="Write the ensemble as a file (.yaml)."),
    ] = None

    @property
    def given(self) -> bool:
        """Whether an ensemble is evaluated."""
        return bool(self.ensemble or self.route)

    def check(self, *, template: bool) -> None:
        """Raise ConfigError for options that nothing reads, and for those that lack others."""
        if template:
            self._refuse("--template", ("--ensemble", self.ensemble), ("--route", self.route))
        elif not self.given:
            self._refuse("evaluate", ("--weights-on", self.weights_on))
        if not self.given:
            self._refuse("evaluate", ("members", self.members), ("--scale", self.scale), ("--save", self.save))
            return
        reads = self.ensemble in ("accuracy", "margin") or self.scale == "standardised"
        if reads and self.weights_on is None:
            what = f"--ensemble {self.ensemble}" if self.scale != "standardised" else "--scale standardised"
            raise ConfigError(what, "no held-out pairs", "--weights-on MIX, a mix with a holdout")
        if self.weights_on is not None and not reads:
            hint = "--ensemble accuracy or margin, or --scale standardised"
            raise ConfigError("--weights-on", "given, and a mean of raw scores has no weights", "", hint)
        if self.save is not None and self.save.suffix not in ensembles.SUFFIXES:
            raise ConfigError("--save", str(self.save), "a file that ends in .yaml")

    @staticmethod
    def _refuse(where: str, *options: tuple[str, object]) -> None:
        wrong = [name for name, value in options if value]
        if wrong:
            found = f"{' and '.join(wrong)} given without an ensemble"
            raise ConfigError(where, found, "--ensemble mean|accuracy|margin A B, or --route KIND=MEMBER")

    def parse(self) -> Ensemble:
        """The ensemble, its weights not yet measured. Raises ConfigError."""
        settings: dict[str, Any] = {"method": self.ensemble or "mean", "scale": self.scale or "raw"}
        try:
            if self.route:
                return Ensemble(**settings, routes=_routes([*self.route, *(self.members or ())]))
            members = tuple(Member.of(Path(text)) for text in self.members or ())
            if len(members) < 2:
                found = f"{len(members)} member{'s' * (len(members) != 1)}"
                raise ConfigError("--ensemble", found, "two or more: --ensemble mean A B")
            return Ensemble(**settings, members=members)
        except ValueError as error:
            raise ConfigError("--route" if self.route else "--ensemble", str(error), "") from None

    def held_out(self, workspace: Workspace, scorers: Scorers) -> Questions | None:
        """The held-out pairs that weights are measured on. Raises ConfigError for a mix without any."""
        if self.weights_on is None:
            return None
        mix = find_mix(self.weights_on, workspace)
        mix.check("holdout")
        pairs = scorers.of_held_out(mix.files("holdout"))
        if not pairs.items.items:
            raise ConfigError(
                "--weights-on", f"{mix.title} holds out no pairs", "a mix whose recipe has a holdout"
            )
        return pairs


def _routes(texts: Sequence[str]) -> dict[str, tuple[Member, ...]]:
    routes: dict[str, tuple[Member, ...]] = {}
    for text in texts:
        kind, equals, path = text.partition("=")
        if not equals or kind not in KINDS or not path:
            raise ConfigError("--route", f"found {text!r}", f"KIND=MEMBER, KIND one of {', '.join(KINDS)}")
        routes[kind] = (*routes.get(kind, ()), Member.of(Path(path)))
    return routes


class Evaluated(NamedTuple):
    """An ensemble with what its weights came from, its score files by eval set, and what it was compared with."""

    ensemble: Ensemble
    fits: Mapping[str, Sequence[Fit]]
    files: Mapping[str, Path]
    comparison: Comparison

    def show_members(self) -> None:
        """Show the weights, and each member's measures."""
        show_table(ensemble_report.weights_table(self.ensemble, self.fits))
        labels = ensembles.names(self.ensemble.paths)
        for one in self.comparison.members:
            every = len(one.loaded.items.items)
            part = "" if one.items == every else f" ({one.items:,} of {every:,} items)"
            title = f"{one.loaded.evalset.name}: member {labels[one.path]}{part}"
            show_table(metrics.lines_table(title, one.lines))

    def show_comparison(self) -> None:
        """Show the tests of the whole against its best member, and of what each member adds."""
        labels = ensembles.names(self.ensemble.paths)
        who = {
            name: f"ensemble (B) against its best member, {labels[best]} (A)"
            for name, best in self.comparison.best.items()
        }
        tables = metrics.deltas_tables(self.comparison.deltas, who)
        for table in [*tables, *ensemble_report.left_out_tables(self.ensemble, self.comparison.left_out)]:
            show_table(table)

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "ensemble": ensembles.plain(self.ensemble),
            "held_out": {
                name or "all": [{**one._asdict(), "path": str(one.path)} for one in route]
                for name, route in self.fits.items()
            },
            "members": [
                {
                    "benchmark": one.loaded.evalset.name, "member": str(one.path), "items": one.items,
                    "unscored": one.unscored, "measures": [metrics.line_values(line) for line in one.lines],
                }
                for one in self.comparison.members
            ],
            "best": {name: str(path) for name, path in self.comparison.best.items()},
            "compare": [delta._asdict() for delta in self.comparison.deltas],
            "without": [
                {"member": str(one.path), **one.delta._asdict()} for one in self.comparison.left_out
            ],
        }  # fmt: skip


def scorers_of(workspace: Workspace, max_tokens: int) -> Scorers:
    """What runs the models of an ensemble."""
    return Scorers(workspace=workspace, hashes=Hashes(workspace.cache), max_tokens=max_tokens)


def evaluated(
    options: EnsembleOptions, loaded: Sequence[LoadedEvalSet], workspace: Workspace, max_tokens: int
) -> Evaluated:
    """Measure the weights, score the eval sets with all members, and compare the whole with its parts."""
    ensemble, scorers = options.parse(), scorers_of(workspace, max_tokens)
    fits: Mapping[str, Sequence[Fit]] = {}
    pairs = options.held_out(workspace, scorers)
    if pairs is not None:
        ensemble, fits = ensemble_scores.fitted(ensemble, ensemble.method, pairs, scorers)
    questions = [scorers.of(one) for one in loaded]
    joint = ensemble_scores.join(ensemble, questions, scorers)
    files = ensemble_scores.publish(ensemble, questions, joint, scorers)
    if options.save is not None:
        ensembles.write(options.save, ensemble)
    return Evaluated(ensemble, fits, files, ensemble_report.compare(ensemble, loaded, joint))
