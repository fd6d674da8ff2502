"""Tables on a terminal: columns side by side, broken between words alone, or row by row where they do not fit."""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from curate.tables import Table, value_text
from curate.text.inert import terminal_line

GAP = 2  # columns between those of a table
BREAKS = ("/@", "/@_-")
"""After which signs a line may end beside spaces: those of paths, and, where that is not enough, of names."""


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as its console, or, in a pipe, as wide as it is."""
    console.print(Text(terminal_line(table.title), "bold"), soft_wrap=False)
    wide = not console.is_terminal and "COLUMNS" not in os.environ
    room = sys.maxsize if wide else console.width
    for breaks in BREAKS:
        if widths := _widths(table, room, breaks):
            width = sum(widths) + GAP * len(widths)
            if wide:  # rich prints nothing wider than its console
                console = Console(file=console.file, width=width, highlight=False)
            console.print(_grid(table, widths, breaks), width=width, crop=False, soft_wrap=False)
            return
    _print_rows(console, table)


def _widths(table: Table, room: int, breaks: str) -> list[int]:
    """The widths of the columns, the widest narrowed until all fit; empty where words would have to be broken."""
    columns = list(zip(*_texts(table), strict=True))
    widths = [max(map(cell_len, cells)) for cells in columns]
    least = [max(cell_len(word.rstrip()) for cell in cells for word in _words(cell, breaks)) for cells in columns]
    while sum(widths) + GAP * (len(widths) - 1) > room:
        spare = [width - most for width, most in zip(widths, least, strict=True)]
        if not any(spare):
            return []
        widths[max(range(len(widths)), key=lambda i: (spare[i] > 0, widths[i]))] -= 1
    return widths


def _texts(table: Table) -> list[list[str]]:
    """The cells of header, rows and footer."""
    return [[cell_text(value) for value in row] for row in (table.columns, *table.rows, table.footer) if row]


def _words(cell: str, breaks: str) -> list[str]:
    """What a line may end after: words, and their parts that end with one of `breaks`, with the space after
    them."""
    return re.findall(rf"[{breaks}]*[^\s{breaks}]+[{breaks}]*\s*|[{breaks}]+\s*|\s+", cell) or [""]


def _wrapped(cell: str, width: int, breaks: str) -> str:
    """The cell in lines of at most this width, which no word of it exceeds."""
    lines = [""]
    for word in _words(cell, breaks):
        if lines[-1] and cell_len((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _print_rows(console: Console, table: Table) -> None:
    """Print every row as lines `column  value`, where the columns do not fit side by side."""
    for row in (*table.rows, table.footer) if table.footer else table.rows:
        grid = Grid(box=None, pad_edge=False, show_header=False)
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in zip(table.columns, row, strict=True):
            grid.add_row(Text(cell_text(name)), Text(cell_text(value)))
        console.print(grid, soft_wrap=False)
        console.print()


def _grid(table: Table, widths: Sequence[int], breaks: str) -> Grid:
    """A table with columns of these widths: numbers to the right, and with thousands separators."""
    grid = Grid(box=None, pad_edge=False)
    grid.show_footer = bool(table.footer)
    header, *rows = [
        [Text(_wrapped(cell, width, breaks)) for cell, width in zip(row, widths, strict=True)]
        for row in _texts(table)
    ]
    footer = rows.pop() if table.footer else [Text("")] * len(widths)
    for i, width in enumerate(widths):
        numeric = any(isinstance(row[i], int | float) for row in table.rows)
        grid.add_column(
            header[i], footer[i], justify="right" if numeric else "left", header_style="dim", footer_style="bold",
            no_wrap=True, width=width,
        )  # fmt: skip
    for row in rows:
        grid.add_row(*row)
    return grid


def cell_text(value: Any) -> str:
    """The value as it is shown."""
    return terminal_line(value_text(value, null="-"))
