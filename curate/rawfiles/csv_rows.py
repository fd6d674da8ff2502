"""Rows of CSV and TSV: every cell is text, and every row has a cell for every name of the header."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from curate.errors import RawError
from curate.rawfiles.bad_rows import CELLS_DO_NOT_FIT, BadRow

ROW_LINES = 1_000_000
"""The most lines of a row, and the most empty lines one after another."""
CELL_BYTES = 512 << 20
"""The longest cell, in characters; a quote that is never closed would otherwise take in a whole file."""
DELIMITERS = (",", "\t", ";", "|")


def csv_rows(name: str, stream: BinaryIO, delimiter: str) -> Iterator[dict[str, Any] | BadRow]:
    """The rows after the header; BadRow for a row with too few or too many cells, or with a quote out of place.

    `delimiter` is the usual one for the file's name; another of DELIMITERS is used where the header has only that.
    Raises RawError for a name that the header has twice, and for a quote that is open at the end.
    """
    csv.field_size_limit(CELL_BYTES)
    # what is not UTF-8 is a fault of its cell, not of the file
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    first = text.readline()
    lines = _Lines(name, text, first)
    reader = csv.reader(lines, delimiter=_delimiter(first, delimiter), strict=True)
    cells: list[str] | None = None
    try:
        header = _header(name, next(reader, []))
    except csv.Error as error:
        raise RawError(name, f"the header cannot be read ({error})", "names of columns") from None
    while True:
        begin = lines.count + 1
        if cells:
            lines.since = begin
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield _bad_quote(name, begin, error, at_end=lines.ended)
            continue
        if cells is None:
            return
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif cells:  # an empty line is no row
            found = f"line {begin}: {len(cells)} cells, the header has {len(header)}"
            yield BadRow(CELLS_DO_NOT_FIT, found)


class _Lines:
    """The lines of a text, counted; the first one was read already. `since` is the line after the last row."""

    def __init__(self, name: str, text: io.TextIOWrapper, first: str) -> None:
        self._name, self._text, self._first, self.count, self.ended = name, text, first, 0, False
        self.since = 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line, self._first = self._first or self._text.readline(), ""
        if not line:
            self.ended = True
            raise StopIteration
        self.count += 1
        if self.count - self.since > ROW_LINES:
            found = f"{ROW_LINES:,} lines without the end of a row, from line {self.since}"
            raise RawError(self._name, found, "rows", "a quote that is never closed, or empty lines?")
        return line


def _delimiter(header: str, expected: str) -> str:
    """The delimiter that the header has outside its quotes; the expected one where it has that or none."""
    plain = "".join(header.split('"')[::2])
    found = [mark for mark in DELIMITERS if mark in plain]
    return found[0] if len(found) == 1 else expected


def _header(name: str, names: Sequence[str]) -> list[str]:
    """The names of the columns; those without a name are called by their place."""
    header = [column or f"column {place}" for place, column in enumerate(names, 1)]
    twice = [column for column, times in Counter(header).items() if times > 1]
    if twice:
        raise RawError(name, f"the header names {', '.join(twice)} twice", "a name of its own for each column")
    return header


def _bad_quote(name: str, line: int, error: csv.Error, *, at_end: bool) -> BadRow:
    if at_end:
        expected = "a closing quote; a quote inside a quoted cell is written twice"
        raise RawError(name, f"the quote that opens in line {line} is open at the end of the file", expected)
    return BadRow(CELLS_DO_NOT_FIT, f"line {line}: {error}")
