"""curate audit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curate.analysis import audit_files, audit_review, audit_run
from curate.analysis.audit_tables import lines, tables
from curate.cli.options import JsonOption, PoolsArgument, WorkOptions
from curate.cli.output import data, progress, say, show_table, show_text
from curate.errors import ConfigError
from curate.inspect.targets import find
from curate.pairs.scores import check_name

BackboneOption = Annotated[
    str | None,
    typer.Option("--preset", "-p", metavar="NAME", help="The backbone whose features are read, as for train."),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as max_length=2048; repeat for more."),
]
AuditNameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="What the audit is called.")]
ReviewOption = Annotated[
    int, typer.Option("--review", min=0, metavar="N", help="Write a sheet of N pairs for people to review.")
]
ReviewedOption = Annotated[
    Path | None,
    typer.Option("--reviewed", metavar="FILE", help="The sheet.csv filled in, or labels of curate browse."),
]
SuspectsOption = Annotated[int, typer.Option("--top", min=0, help="How many suspect pairs to list.")]


def audit(
    target: PoolsArgument,
    preset: BackboneOption = None,
    settings: SettingsOption = None,
    name: AuditNameOption = "audit",
    review: ReviewOption = 0,
    reviewed: ReviewedOption = None,
    top: SuspectsOption = 20,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Rank pairs by how likely their label is wrong, and say what is wrong with which source.

    Linear models on features of a frozen backbone judge each pair without having seen its group. They rank; how
    many labels are wrong only people can say: --review 200 draws a sheet, --reviewed FILE reads it.
    """
    inputs = work.inputs
    place = audit_files.place_of(inputs.workspace, check_name(name))
    if reviewed is not None and (preset or settings or review):
        raise ConfigError(
            "--reviewed", "given beside --preset, --set or --review", "the finished audit's name alone"
        )
    if reviewed is None and preset is None:
        raise ConfigError(
            "--preset", "not given", "the backbone whose features are read", "such as --preset tiny_cpu"
        )
    with work.open_engine() as engine, progress("audit", 0) as listen:
        targets = find([target], inputs)
        if reviewed is not None:
            record = audit_review.reviewed(place, targets, audit_review.read_review(reviewed))
        else:
            record = audit_run.carry_out(
                targets, name, inputs.workspace, preset or "", settings or [], review, engine, listen
            )
        found = audit_files.suspects(place, record, targets, top)
    _show(record, found, as_json=as_json)
    if review:
        say(
            f"sheet: {place / 'sheet.csv'}; fill in label (agree, flip, tie, bad), then run with --reviewed and it"
        )


def _show(record: dict[str, Any], found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        data({**record, "suspects": found})
        return
    show_text("\n".join(lines(record)))
    for table in tables(record, found):
        show_table(table)
