"""curate doctor, curate overlap."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from curate import evalsets
from curate.analysis.baseline import LEAST, checked, uncompared, worse
from curate.analysis.doctor import ALL, Examination, Settings, examine
from curate.analysis.overlap import KINDS, compare_targets, heat_map, overlap_table
from curate.analysis.tables import tables
from curate.analysis.verdict import concerns, verdict
from curate.cli import completion
from curate.cli.options import JsonOption, WorkOptions
from curate.cli.output import data, progress, say, show_table, show_text
from curate.errors import ConfigError
from curate.inspect.targets import find
from curate.steps.near_dedup import NearDedup
from curate.workspace import read_json, write_json

TargetsArgument = Annotated[
    list[str],
    typer.Argument(
        autocompletion=completion.any_of(completion.mixes, completion.recipes, completion.sources),
        metavar="TARGET...",
        help="Sources, a mix, a recipe (its file, or its name if no mix has it) whose sources are normalized, or "
        "a file or folder of rows.",
        show_default=False,
    ),
]
LENGTHS = "Where a trainer cuts prompt and reply; repeat for more. Tokens with --tokenizer, else characters."
BASELINE = "An earlier --write FILE: exit 1 with a line for everything that got worse beyond chance."

ConcernsOption = Annotated[int, typer.Option("--top", min=1, help="How many concerns the verdict lists.")]
WriteOption = Annotated[Path | None, typer.Option("--write", help="Write the JSON to this file.", dir_okay=False)]
AgainstOption = Annotated[
    list[str] | None, typer.Option("--against", metavar="NAME", help="An eval set, or all; repeat for more.")
]
JaccardOption = Annotated[float, typer.Option("--jaccard", help="How alike near-duplicates are, at least.")]
CopiesOption = Annotated[
    bool,
    typer.Option("--copies", help="An image encoded or scaled anew is the same; decodes every image once."),
]
FiguresOption = Annotated[
    Path | None,
    typer.Option(
        "--figures",
        metavar="DIR",
        help="Write a heat map of each kind into this directory, as SVG.",
        file_okay=False,
    ),
]


@dataclass(frozen=True, slots=True)
class ExaminationOptions:
    """What is examined beyond what is always."""

    length: Annotated[
        list[int] | None,
        typer.Option("--length", min=1, help=LENGTHS + "  [default: 1024, 2048, 4096, 8192]"),
    ] = None
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="TOKENIZER", help="A tokenizer.json, or a model in the local Hub cache."
        ),
    ] = None
    languages: Annotated[bool, typer.Option("--languages", help="Detect the language of questions as well.")] = (
        False
    )
    near: Annotated[
        float | None,
        typer.Option(
            "--near", metavar="JACCARD", help="Agreement counts comparisons as the same that are this alike."
        ),
    ] = None

    @property
    def settings(self) -> Settings:
        """What these options mean to the doctor. Raises BadParameter for a threshold that is none."""
        if self.near is not None:
            _step(self.near)
        lengths = tuple(self.length) if self.length else Settings().lengths
        return Settings(lengths=lengths, tokenizer=self.tokenizer, languages=self.languages, near=self.near)


@dataclass(frozen=True, slots=True)
class BaselineOptions:
    """The earlier examination that this one is compared with."""

    baseline: Annotated[Path | None, typer.Option("--baseline", help=BASELINE, exists=True, dir_okay=False)] = None
    least: Annotated[
        float | None,
        typer.Option(
            "--least",
            min=0,
            max=1,
            help=f"With --baseline: the least change of a share or AUC that is worse.  [default: {LEAST}]",
        ),
    ] = None

    def check(self) -> None:
        """Raise BadParameter for --least without --baseline."""
        if self.least is not None and self.baseline is None:
            raise typer.BadParameter("--least is about --baseline, which is not given")

    def read(self) -> Examination | None:
        """The earlier examination, None without one. Raises ConfigError for a file that is none."""
        if self.baseline is None:
            return None
        return checked(read_json(self.baseline, "name a file that curate doctor --write made"))


def doctor(
    targets: TargetsArgument,
    *,
    options: ExaminationOptions,
    compared: BaselineOptions,
    top: ConcernsOption = 1,
    write: WriteOption = None,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Examine every pair: what predicts the label, what is wrong, what is in it, with 95 % intervals.

    The verdict comes first: what is wrong, how sure, what to do.
    Of a mix, the pairs in its shards; what was computed is cached, so that a second look takes seconds.
    """
    compared.check()
    inputs, settings, earlier = work.inputs, options.settings, compared.read()
    with work.open_engine() as engine, progress("doctor", 0) as listen:
        found = examine(find(targets, inputs), settings, engine, listen)
    found["verdict"] = [concern.to_dict() for concern in concerns(found)]
    if write is not None:
        write_json(write, found)
    if as_json:
        data(found)
    else:
        show_text("\n".join(verdict(found, top)))
        for table in tables(found):
            show_table(table)
    if earlier is not None:
        _compare(found, earlier, LEAST if compared.least is None else compared.least)


def _compare(found: Examination, earlier: Examination, least: float) -> None:
    """Print what got worse; exit with 1 if anything did."""
    for line in uncompared(found, earlier):
        say(f"not compared: {line}")
    if not (found["sources"].keys() & earlier["sources"].keys()) - {ALL}:
        hint = "examine the targets that it was written for, or write it anew with --write"
        raise ConfigError(
            "--baseline", "none of its sources is here, nothing was compared", "a source of both", hint
        )
    lines = worse(found, earlier, least)
    for line in lines:
        say(f"worse: {line}")
    if lines:
        raise typer.Exit(1)
    say("nothing got worse")


def _step(jaccard: float) -> NearDedup:
    try:
        return NearDedup(jaccard=jaccard)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None


def overlap(
    targets: TargetsArgument,
    against: AgainstOption = None,
    jaccard: JaccardOption = 0.8,
    copies: CopiesOption = False,
    figures: FiguresOption = None,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Compare sources with each other and with eval sets: equal pairs, near-duplicates, images."""
    inputs = work.inputs
    names = evalsets.core() if against == ["all"] else against or []
    near = _step(jaccard)
    with work.open_engine() as engine, progress("overlap", 0) as listen:
        compared = find(targets, inputs)
        if len(compared) < 2 and not names:
            raise ConfigError("overlap", f"only {compared[0].label}", "two sources, or an eval set with --against")
        found = compare_targets(compared, names, near, inputs, engine, listen, copies=copies)
    if as_json:
        data(found.to_dict())
    else:
        show_table(overlap_table(found))
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (figures / f"overlap-{kind}.svg").write_text(heat_map(found, kind), encoding="utf-8")
    if not any(count for rows in found.counts.values() for row in rows for count in row):
        say("nothing in common")
