"""Reads score files, anyone's: JSONL, CSV or Parquet, one score a line.

benchmark   name of the eval set, such as vl_rewardbench
item        key of the item (`Item.key`), or
row         number of its row, from 1, counted over the eval set's row files in order
candidate   position of the reply, from 0, in the order of `Item.replies`
score       a finite number; higher is better
unscored    instead of candidate and score: why the item has no score, such as `too_long`
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import RawError
from curate.evaluation.items import KeyedItems
from curate.rawfiles import rows
from curate.sources.base import Row, RowFile

COLUMNS = "columns benchmark, item or row, candidate, score"
SHOWN = 3


class Scored(NamedTuple):
    """Scores by eval set, aligned with its items and replies, and the number of lines of other eval sets.

    `unscored` is by eval set which items, by position, have no score and why. In `scores` their wrong replies
    beat the right ones, so that every metric counts them as wrong and none as a tie.
    """

    scores: Mapping[str, list[list[float]]]
    unscored: Mapping[str, Mapping[int, str]]
    other: Mapping[str, int]


def read(path: Path, wanted: Mapping[str, KeyedItems], *, allow_unscored: bool = False) -> Scored:
    """The scores of a file for the wanted eval sets.

    Raises RawError, naming the first lines or items, for a file that cannot be read, a line that fits no reply, a
    score that is not a finite number or is given twice, for replies without a line, and, unless `allow_unscored`,
    for items of which the file says that they have no score.
    """
    sheets = {name: _Sheet(items) for name, items in wanted.items()}
    other: Counter[str] = Counter()
    for where, row in _rows(path):
        name = _cell(row, "benchmark", where)
        if name in sheets:
            sheets[name].take(row, where)
        else:
            other[name] += 1
    unscored = {name: dict(sorted(sheet.unscored.items())) for name, sheet in sheets.items()}
    if not allow_unscored:
        _refuse(path, unscored, wanted)
    return Scored({name: sheet.whole(path, name) for name, sheet in sheets.items()}, unscored, other)


class _Sheet:
    """The scores of one eval set that were read so far."""

    def __init__(self, items: KeyedItems) -> None:
        self.items = items
        self.cells: list[list[float | None]] = [[None] * len(item.replies) for item in items.items]
        self.unscored: dict[int, str] = {}
        self._keys = {key: at for at, key in enumerate(items.keys)}
        self._numbers = {str(number): at for at, number in enumerate(items.numbers)}

    def take(self, row: Row, where: str) -> None:
        at = _place(row, where, self._keys, self._numbers)
        if row.get("unscored"):
            self.unscored[at] = str(row["unscored"])
            return
        line = self.cells[at]
        candidate = _candidate(row, where, len(line))
        if line[candidate] is not None:
            raise RawError(where, f"a second score for candidate {candidate} of {self.items.keys[at]}", "one")
        line[candidate] = _score(row, where)

    def whole(self, path: Path, name: str) -> list[list[float]]:
        for at in self.unscored:
            item = self.items.items[at]
            self.cells[at] = [0.0 if i in item.correct else 1.0 for i in range(len(item.replies))]
        return _whole(path, name, self.cells, self.items)


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


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    if not path.is_file():
        raise RawError(str(path), "no such file", f"scores with {COLUMNS}")
    part = rows.Slice(file=RowFile(path=path), name=path.name, bytes=path.stat().st_size)
    for number, row in rows.rows(part):
        where = f"{path.name}:{number}"
        if not isinstance(row, Row):
            raise RawError(where, f"{row.reason} ({row.detail})", COLUMNS)
        yield where, row


def _cell(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    if value is None or value == "":
        raise RawError(where, f"no {column}", COLUMNS)
    return str(value)


def _place(row: Row, where: str, keys: Mapping[str, int], numbers: Mapping[str, int]) -> int:
    """The position of a line's item. A key wins over a row number: it is unique."""
    by_key = row.get("item") not in (None, "")
    column = "item" if by_key else "row"
    value = _cell(row, column, where)
    known = keys if by_key else numbers
    # a CSV with empty cells, or a data frame, writes row numbers as 17.0
    name = value if by_key else value.removesuffix(".0")
    if name not in known:
        hint = "an id alone is no key, since ids repeat: give row numbers, from 1" if by_key else ""
        raise RawError(where, f"no item has {column} {value}", f"one of {len(known):,}", hint)
    return known[name]


def _candidate(row: Row, where: str, count: int) -> int:
    value = _cell(row, "candidate", where).removesuffix(".0")
    if not value.isdecimal() or int(value) >= count:
        raise RawError(where, f"candidate {value}", f"0 to {count - 1}")
    return int(value)


def _score(row: Row, where: str) -> float:
    value: Any = row.get("score")
    try:
        score = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise RawError(where, f"score {value!r}", "a finite number")
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
        raise RawError(path.name, found, "one score for every candidate")
    return [[score for score in line if score is not None] for line in lines]
