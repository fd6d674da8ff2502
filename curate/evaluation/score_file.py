"""Reads score files of any origin: JSONL, CSV or Parquet, one score a line.

benchmark   name of the eval set, such as vl_rewardbench
item        key of the item (`Item.key`), or its id where no other item has it
row         number of its row, from 1, counted over the eval set's row files in order; one of the two is enough
candidate   position of the reply, from 0, in the order of `Item.replies`
score       a finite number; higher is better
unscored    instead of candidate and score: why the item has no score, such as `too_long`
judged      optional, in JSONL and Parquet: what a judge of two replies said (curate.evaluation.verdicts)
"""

import math
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import RawError
from curate.evalsets.base import Item
from curate.evaluation.items import KeyedItems
from curate.evaluation.verdicts import Judged, PairVerdicts, read_cell
from curate.rawfiles import rows
from curate.sources.base import Row, RowFile

COLUMNS = "columns benchmark, item or row, candidate, score"
SHOWN = 3
LARGEST = 1 << 53
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
NO_REASON = ("nan", "none", "null", "false", "true", "0", "1")
"""What programs write into a cell without a reason."""


class Scored(NamedTuple):
    """Scores by eval set, aligned with its items and replies, and the number of lines of other eval sets.

    `unscored` is by eval set which items, by position, have no score and why. In `scores` their wrong replies
    beat the right ones, so that every metric counts them as wrong and none as a tie. An item that is not needed
    may have scores or none, []. `judged` is by eval set what a judge of two replies said of which items. `missing`
    are by eval set the positions of needed items that the file does not have; their scores are [].
    """

    scores: Mapping[str, list[list[float]]]
    unscored: Mapping[str, Mapping[int, str]]
    other: Mapping[str, int]
    judged: Mapping[str, Mapping[int, Judged]]
    missing: Mapping[str, list[int]]


def read(
    path: Path,
    wanted: Mapping[str, KeyedItems],
    *,
    allow_unscored: bool = False,
    allow_missing: bool = False,
    needed: Mapping[str, Container[int]] | None = None,
) -> Scored:
    """The scores of a file for the wanted eval sets: of all their items, or of those at the `needed` positions.

    Raises RawError, naming the first lines or items, for a file that cannot be read, a line that fits no reply, a
    score that is not a finite number or is given twice, for replies without a line, unless `allow_unscored` for
    items of which the file says that they have no score, and unless `allow_missing` for items without a line.
    """
    places = needed or {name: range(len(items.items)) for name, items in wanted.items()}
    sheets = {name: _Sheet(items, places[name]) for name, items in wanted.items()}
    other: Counter[str] = Counter()
    for where, row in lines_of(path, COLUMNS):
        name = cell(row, "benchmark", where)
        if name in sheets:
            sheets[name].take(row, where)
        else:
            other[name] += 1
    for name, sheet in sheets.items():
        if sheet.empty and (other or allow_missing):
            raise no_line(path, name, other)
    unscored = {
        name: {at: why for at, why in sorted(sheet.unscored.items()) if at in sheet.needed}
        for name, sheet in sheets.items()
    }
    if not allow_unscored:
        _refuse(path, unscored, wanted)
    missing = {name: sheet.missing if allow_missing else [] for name, sheet in sheets.items()}
    scores = {name: sheet.whole(path, name, missing[name]) for name, sheet in sheets.items()}
    return Scored(scores, unscored, other, {name: sheet.judged for name, sheet in sheets.items()}, missing)


def no_line(path: Path, name: str, other: Counter[str]) -> RawError:
    """The error of a file without a line of an eval set; `other` counts its lines of others."""
    seen = ", ".join(f"{one} ({lines:,})" for one, lines in other.most_common(SHOWN))
    return RawError(path.name, f"no line of {name}" + (f", but of {seen}" if seen else ""), f"benchmark {name}")


class _Sheet:
    """The scores of one eval set that were read so far."""

    def __init__(self, items: KeyedItems, needed: Container[int]) -> None:
        self.items, self.needed = items, needed
        self.cells: list[list[float | None]] = [[None] * len(item.replies) for item in items.items]
        self.unscored: dict[int, str] = {}
        self.judged: dict[int, dict[tuple[int, int], PairVerdicts]] = {}
        self._places = Places(items)

    @property
    def empty(self) -> bool:
        """Whether no line was of this eval set."""
        return not self.unscored and not any(score is not None for line in self.cells for score in line)

    def take(self, row: Row, where: str) -> None:
        at = self._places.of(row, where)
        line, key = self.cells[at], self.items.keys[at]
        reason = _unscored(row, where)
        if reason is not None:
            if not absent(row.get("score")) or any(score is not None for score in line):
                raise RawError(where, f"{key} is unscored and has a score", "one of them")
            self.unscored[at] = reason
            return
        if at in self.unscored:
            raise RawError(where, f"a score of {key}, which an earlier line calls unscored", "one of them")
        candidate = _candidate(row, where, len(line))
        if line[candidate] is not None:
            raise RawError(where, f"a second score for candidate {candidate} of {key}", "one")
        line[candidate] = _score(row, where)
        if judgments := read_cell(row.get("judged"), candidate, len(line), where):
            self.judged.setdefault(at, {}).update(judgments)

    @property
    def missing(self) -> list[int]:
        """The positions of needed items without a line."""
        return [
            at for at, line in enumerate(self.cells)
            if at in self.needed and at not in self.unscored and all(score is None for score in line)
        ]  # fmt: skip

    def whole(self, path: Path, name: str, missing: Container[int]) -> list[list[float]]:
        for at in self.unscored:
            self.cells[at] = [*as_wrong(self.items.items[at])]
        for at, line in enumerate(self.cells):
            if None in line and (at not in self.needed or at in missing):
                self.cells[at] = []
        return _whole(path, name, self.cells, self.items)


def as_wrong(item: Item) -> list[float]:
    """Scores of an item that has none: its wrong replies beat the right ones."""
    return [0.0 if i in item.correct else 1.0 for i in range(len(item.replies))]


class Places:
    """The positions of an eval set's items by key, by id where that is unique, and by row number."""

    def __init__(self, items: KeyedItems) -> None:
        times = Counter(item.id for item in items.items)
        ids = {item.id: at for at, item in enumerate(items.items) if times[item.id] == 1}
        self._keys = {**ids, **{key: at for at, key in enumerate(items.keys)}}
        self._numbers = {str(number): at for at, number in enumerate(items.numbers)}

    def of(self, row: Row, where: str) -> int:
        """The position of a line's item, by its key, its row number, or both where they agree. Raises RawError."""
        found = {column: cell(row, column, where) for column in ("item", "row") if not absent(row.get(column))}
        if not found:
            cell(row, "item" if "item" in row and "row" not in row else "row", where)
        at = {column: self._known(column, value, where) for column, value in found.items()}
        if len(set(at.values())) > 1:
            raise RawError(
                where, f"item {found['item']} is not row {found['row']}", "both of one item, or one of them"
            )
        return next(iter(at.values()))

    def _known(self, column: str, value: str, where: str) -> int:
        known = self._keys if column == "item" else self._numbers
        # a CSV with empty cells, or a data frame, writes row numbers as 17.0
        name = value if column == "item" else value.removesuffix(".0")
        if name not in known:
            hint = "an id that repeats is no key: give row numbers, from 1" if column == "item" else ""
            raise RawError(where, f"no item has {column} {value}", f"one of {len(self._numbers):,}", hint)
        return known[name]


def _refuse(path: Path, unscored: Mapping[str, Mapping[int, str]], wanted: Mapping[str, KeyedItems]) -> None:
    for name, reasons in unscored.items():
        if not reasons:
            continue
        named = [
            f"row {wanted[name].numbers[at]} ({wanted[name].keys[at]}): {why}"
            for at, why in list(reasons.items())[:SHOWN]
        ]
        first = "; ".join(named) + ("; ..." if len(reasons) > SHOWN else "")
        found = f"{name}: {len(reasons):,} of {len(wanted[name].items):,} items could not be scored: {first}"
        raise RawError(path.name, found, "a score for each", "--allow-unscored counts them as wrong")


def lines_of(path: Path, columns: str) -> Iterator[tuple[str, Row]]:
    """The rows of a file with their places; `columns` says what is expected. Raises RawError."""
    if not path.is_file():
        found = "is a directory" if path.is_dir() else "no such file"
        raise RawError(str(path), found, f"a file with {columns}")
    part = rows.Slice(file=RowFile(path=path), name=path.name, bytes=path.stat().st_size)
    for number, row in rows.rows(part):
        where = f"{path.name}:{number}"
        if not isinstance(row, Row):
            raise RawError(where, f"{row.reason} ({row.detail})", columns)
        yield where, row


def absent(value: object) -> bool:
    """Whether a cell is empty."""
    return value is None or value == ""


def cell(row: Row, column: str, where: str, columns: str = COLUMNS) -> str:
    """A cell as text. Raises RawError, naming the columns that are there and the expected ones, for no text."""
    if column not in row:
        raise RawError(where, f"no column {column} among {', '.join(map(str, row))}", columns)
    value = row[column]
    if absent(value):
        raise RawError(where, f"no {column}", columns)
    if isinstance(value, bool) or str(value).lower() == "nan":
        raise RawError(where, f"{column} {value!r}", columns)
    return str(value)


def _unscored(row: Row, where: str) -> str | None:
    """The reason of a line without a score; None for a line with one."""
    value = row.get("unscored")
    if absent(value):
        return None
    if not isinstance(value, str) or value.strip().lower() in NO_REASON:
        raise RawError(where, f"unscored {value!r}", "a reason such as too_long, or nothing")
    return value


def _candidate(row: Row, where: str, count: int) -> int:
    value = cell(row, "candidate", where).removesuffix(".0")
    if not (value.isascii() and value.isdecimal()) or int(value) >= count:
        raise RawError(where, f"candidate {value}", f"0 to {count - 1}")
    return int(value)


def _score(row: Row, where: str) -> float:
    if "score" not in row:
        cell(row, "score", where)
    return number(row.get("score"), where)


def number(value: Any, where: str) -> float:
    """A score as a float. Raises RawError for what is not finite, or too large to tell from its neighbours."""
    text = value.strip() if isinstance(value, str) else None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or not (text is None or NUMBER.match(text))
    ):
        raise RawError(where, f"score {value!r}", "a finite number")
    score = float(value)
    if not math.isfinite(score):
        raise RawError(where, f"score {value!r}", "a finite number")
    if (isinstance(value, int) or (text or "").lstrip("+-").isdecimal()) and abs(int(value)) > LARGEST:
        raise RawError(
            where, f"score {value}", f"a number that a float can tell from its neighbours, to {LARGEST}"
        )
    return score


def _whole(path: Path, name: str, lines: Sequence[Sequence[float | None]], items: KeyedItems) -> list[list[float]]:
    missing = [
        f"row {number}, candidate {i} ({key})"
        for number, key, line in zip(items.numbers, items.keys, lines, strict=True)
        for i, score in enumerate(line)
        if score is None
    ]
    if missing:
        total = sum(map(len, lines))
        first = "; ".join(missing[:SHOWN]) + ("; ..." if len(missing) > SHOWN else "")
        found = f"{name}: {len(missing):,} of {total:,} scores are missing: {first}"
        lacking = sum(all(score is None for score in line) for line in lines)
        hint = f"--allow-missing leaves out items without any score, {lacking:,} here" if lacking else ""
        raise RawError(path.name, found, "one score for every candidate", hint)
    return [[score for score in line if score is not None] for line in lines]
