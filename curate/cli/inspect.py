"""curate why, curate verify, curate diff, curate show: commands that read finished work."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from curate.cli import completion
from curate.cli.options import (
    A_MIX,
    MANIFESTS,
    WORKSPACE,
    JsonOption,
    ManifestsOption,
    MixArgument,
    RawOption,
    WorkspaceOption,
)
from curate.cli.output import data, say, show_table, show_text
from curate.inspect import render
from curate.inspect.artefacts import find_mix
from curate.inspect.diff import change_lines, compare_mixes, diff_tables
from curate.inspect.show import Item, Wanted, find_target, one_pair, sample_dropped, sample_pairs, sample_skips
from curate.inspect.text import shorten
from curate.inspect.verify import verify_files
from curate.inspect.why import history_lines, pair_history, row_history, row_lines
from curate.tables import Table
from curate.text.inert import terminal_line, terminal_text
from curate.workspace import Workspace

STYLES = {"head": "bold", "fact": "dim", "added": "green", "removed": "red", "note": "dim italic"}
INDENT = "  "


def why(
    pair: Annotated[
        str, typer.Argument(help="A pair id or its first 6 or more digits, or a row such as file.jsonl:17.")
    ],
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="The source of the row.")] = None,
    workspace: WorkspaceOption = WORKSPACE,
    manifests: ManifestsOption = MANIFESTS,
    as_json: JsonOption = False,
) -> None:
    """Print the history of a pair: its upstream row, and what every mix did with it.

    Given an upstream row and its source: which pairs the row gave, or why it was skipped.
    """
    place = Workspace(workspace)
    if source is not None:
        entries = row_history(pair, source, place)
        _out(entries, row_lines(entries), as_json)
    elif ":" in pair:
        raise typer.BadParameter("a row needs its --source NAME")
    else:
        history = pair_history(pair, place, manifests)
        _out(history, history_lines(history), as_json)


def verify(
    mix: Annotated[
        str | None, typer.Argument(help=A_MIX + "  [default: everything]", autocompletion=completion.mixes)
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    raw: RawOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of the workspace again and list each that differs from its record; exit 1 if any does."""
    place = Workspace(workspace)
    report = verify_files(place, find_mix(mix, place) if mix is not None else None, raw, say)
    _out(report.to_dict(), report.differing, as_json)
    for line in report.unchecked:
        say(f"not checked: {line}")
    say(report.summary)
    if report.differing:
        raise typer.Exit(1)


def diff(
    a: MixArgument, b: MixArgument, workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False
) -> None:
    """Compare two mixes: rows in both, only in A, only in B, the reasons, and what differs in their recipes."""
    place = Workspace(workspace)
    found = compare_mixes(find_mix(a, place), find_mix(b, place), place)
    if as_json:
        data(dataclasses.asdict(found))
        return
    show_text(f"A {found.a}: {found.rows_a:,} rows\nB {found.b}: {found.rows_b:,} rows")
    for table in diff_tables(found):
        show_table(table)
    for line in change_lines(found):
        show_text(terminal_line(line))


ShowArgument = Annotated[
    str,
    typer.Argument(
        help="A mix or a source: name, name@fingerprint or its directory; or a file of rows.",
        autocompletion=completion.any_of(completion.mixes, completion.sources),
    ),
]
ReasonArgument = Annotated[
    str | None, typer.Argument(help="With --dropped: STEP or STEP/REASON; with --skipped: a reason.")
]
DroppedOption = Annotated[bool, typer.Option("--dropped", help="Dropped pairs, and the pair that each lost to.")]
SkippedOption = Annotated[bool, typer.Option("--skipped", help="Rows that gave no pair.")]
SourceOption = Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only this source of a mix.")]
RowsOption = Annotated[int, typer.Option("--rows", min=1, help="How many to print, sampled from all.")]
PairOption = Annotated[
    str | None, typer.Option("--pair", metavar="PAIR", help="This pair, by its id or first digits.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Print long texts whole.")]
RawTextOption = Annotated[
    bool,
    typer.Option("--raw-text", help="Print texts whole, without marks, not wrapped; in a pipe exactly as stored."),
]


def show(
    target: ShowArgument,
    reason: ReasonArgument = None,
    dropped: DroppedOption = False,
    skipped: SkippedOption = False,
    source: SourceOption = None,
    rows: RowsOption = 5,
    pair: PairOption = None,
    full: FullOption = False,
    raw_text: RawTextOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Print pairs of a mix or a source, dropped pairs, or skipped rows."""
    _check_choice(reason, pair, dropped=dropped, skipped=skipped)
    place = Workspace(workspace)
    found = find_target(target, place, skipped=skipped)
    wanted = Wanted(rows=rows, source=source, reason=reason)
    if skipped:
        items = sample_skips(found, wanted, place)
    elif dropped:
        items = sample_dropped(found, wanted, place)
    elif pair is not None:
        items = one_pair(found, pair, wanted, place)
    else:
        items = sample_pairs(found, wanted)
    if as_json:
        data(items)
    elif skipped:
        _show_skips(items, full or raw_text)
    else:
        _show_pairs(items, place, full=full, raw=raw_text)
    if not items:
        say(f"{target}: nothing to show")


def _check_choice(reason: str | None, pair: str | None, *, dropped: bool, skipped: bool) -> None:
    if sum((dropped, skipped, pair is not None)) > 1:
        raise typer.BadParameter("one of --dropped, --skipped and --pair")
    if reason is not None and not dropped and not skipped:
        raise typer.BadParameter(f"a reason ({terminal_line(reason)}) needs --dropped or --skipped")


def _out(value: Any, lines: Iterable[str], as_json: bool) -> None:
    if as_json:
        data(value)
        return
    for line in lines:
        show_text(terminal_line(line))


def _show_skips(items: list[Item], full: bool) -> None:
    most = 10_000 if full else 200
    names = ("source", "row", "reason", "detail")
    cells = [tuple(shorten(item[name] or "", most) for name in names) for item in items]
    show_table(Table("skipped rows", names, list(cells)))


def _show_pairs(items: list[Item], place: Workspace, *, full: bool, raw: bool) -> None:
    labels = render.media_labels(items, place.images)
    console = Console(highlight=False)
    for number, item in enumerate(items):
        if number:
            typer.echo()
        for line in render.page(item, labels, full=full, raw=raw):
            _show_line(console, line, wrap=not raw)


def _show_line(console: Console, line: render.Line, *, wrap: bool) -> None:
    """Print a line of a page; texts and facts are wrapped and indented."""
    if not wrap and line.kind == "text":
        stored = "".join(span.text for span in line.spans)
        if console.is_terminal:
            show_text(stored)
        else:
            typer.echo(stored, color=True)  # as stored, terminal codes and all
        return
    spans = ((terminal_text(span.marked), STYLES.get(span.kind, "")) for span in line.spans)
    text = Text.assemble(*spans, style=STYLES.get(line.kind, ""))
    indent = "" if line.kind == "head" else INDENT
    for row in text.wrap(console, max(console.width - len(indent), 20)):
        row.rstrip()
        console.print(Text(indent) + row, soft_wrap=True)
