"""Output of commands: data on stdout, messages on stderr, progress as bars on a terminal and lines in a pipe.

Nothing is interpreted: no markup, no emoji codes, no control characters, whoever wrote the text.
"""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from curate.errors import CurateError
from curate.tables import Table
from curate.text.inert import json_text, terminal_line, terminal_text

if TYPE_CHECKING:  # `curate --help` needs neither engines nor rich, which take a tenth of a second
    from rich.console import Console

    from curate.engines.base import Tick

PLAIN_FIRST = 2.0  # seconds to the first progress line in a pipe
PLAIN_EVERY = 30.0  # between the next ones


@functools.cache
def messages() -> "Console":
    """The one console for messages, on stderr: lines and bars know of each other. It respects NO_COLOR."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line on stderr. On a terminal it breaks between words, but not inside of a command to copy."""
    from rich.text import Text

    line, mark, hint = text.partition("; hint: ")
    whole = terminal_line(line + mark + _typed(hint))
    messages().print(Text(whole if mark or COMMAND in whole else _folded(whole)))


COMMAND = "curate "


def _folded(text: str) -> str:
    """The text with line breaks between words where a terminal would break inside of one."""
    if not messages().is_terminal:
        return text
    import textwrap

    width = messages().width
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _typed(hint: str) -> str:
    from curate.cli.hints import with_places

    return with_places(hint, sys.argv[1:]) if hint else ""


def fail(error: CurateError) -> None:
    """Print the error in one line on stderr, then its hint."""
    from rich.text import Text

    text = _folded(f"error: {terminal_line(str(error))}").removeprefix("error:")
    messages().print(Text.assemble(("error:", "bold red"), text))
    if error.hint:
        messages().print(Text.assemble(("hint:", "cyan"), f" {terminal_line(_typed(error.hint))}"))


def data(value: Any) -> None:
    """Print JSON on stdout."""
    typer.echo(json_text(value))


def show_text(text: str) -> None:
    """Print text of one line or more on stdout."""
    typer.echo(terminal_text(text))


def show_table(table: Table) -> None:
    """Print a table on stdout, unless it has no rows: for a person on a terminal, tab-separated in a pipe.

    A pipe whose environment has COLUMNS gets what a terminal of that width would.
    """
    if not table.rows:
        return
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        from rich.console import Console

        from curate.cli.terminal_table import print_table

        print_table(Console(highlight=False), table)
    else:
        typer.echo("\n".join([terminal_line(table.title), *_separated(table)]))


def say_table(table: Table) -> None:
    """Print a table on stderr, as a message."""
    from curate.cli.terminal_table import print_table

    print_table(messages(), table)


def _separated(table: Table) -> Iterator[str]:
    """The rows for programs: numbers without thousands separators, nothing for null, tabs between cells alone."""
    for row in (table.columns, *table.rows, *([table.footer] if table.footer else [])):
        yield "\t".join(_plain(value) for value in row)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return terminal_line(text)  # a tab in it is shown as a sign


@contextmanager
def progress(stage: str, total_bytes: int) -> Iterator[Callable[["Tick"], None]]:
    """Show the progress of a stage: rows, rows/s, skipped, and with a total the time left by bytes read."""
    if messages().is_terminal:
        yield from _bar(stage, total_bytes)
    else:
        yield from _lines(stage, total_bytes)


def _bar(stage: str, total: int) -> Iterator[Callable[["Tick"], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=18),
        TextColumn("{task.fields[rows]:,} rows  {task.fields[speed]:,.0f}/s  {task.fields[skipped]:,} skipped"),
        *([TimeRemainingColumn(compact=True)] if total else []),
    )
    with Progress(*columns, console=messages(), transient=True) as bar:
        task = bar.add_task(terminal_line(stage), total=total or None, rows=0, skipped=0, speed=0.0)
        state = _State()

        def listen(tick: "Tick") -> None:
            state.add(tick)
            bar.update(task, advance=tick.bytes, rows=state.rows, skipped=state.skipped, speed=state.speed)

        yield listen


def _lines(stage: str, total: int) -> Iterator[Callable[["Tick"], None]]:
    state = _State()
    due = time.monotonic() + PLAIN_FIRST

    def listen(tick: "Tick") -> None:
        nonlocal due
        state.add(tick)
        if time.monotonic() >= due:
            due = time.monotonic() + PLAIN_EVERY
            say(f"{stage}: {state.line(total)}")

    yield listen


class _State:
    def __init__(self) -> None:
        self.rows = self.skipped = self.bytes = 0
        self._start = time.monotonic()

    def add(self, tick: "Tick") -> None:
        self.rows += tick.rows
        self.skipped += tick.skipped
        self.bytes += tick.bytes

    @property
    def speed(self) -> float:
        return self.rows / max(time.monotonic() - self._start, 1e-9)

    def line(self, total: int) -> str:
        counts = f"{self.rows:,} rows, {self.speed:,.0f} rows/s, {self.skipped:,} skipped"
        done = min(self.bytes / total, 1.0) if total else 0.0
        if not done:
            return counts
        left = (time.monotonic() - self._start) * (1 - done) / done
        return f"{counts}, {done:.0%}, {left:.0f} s left"
