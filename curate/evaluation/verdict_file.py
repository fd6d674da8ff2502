"""Reads files of verdicts of any origin: JSONL, CSV or Parquet, as score files but with other columns.

benchmark        name of the eval set; may be absent where one eval set is evaluated
item, row        the item as in score files; `id` and `pair_id` are read as `item`

and one of

verdict, first   the better reply, as shown: `A`, `B`, `A>B`, `tie`, ..., or 1 and 2; `first` is the position of
                 the reply that was shown first, 0 where it is absent, and `second` that of the other, needed where
                 items have more than two replies. A line for each verdict: several of one order are votes.
forward, reverse the verdicts with the item's first reply shown first, and with its second one: one, or a list
judgments        JudgeBench's list of both, `decision` in each
chosen, rejected the scores of the right and of the wrong replies, a number or a list; or `chosen_score`,
                 `score_chosen`, `scores_chosen`

A verdict that is empty or unknown cannot be read; it counts, and decides nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import RawError, SkipRow
from curate.evalsets.base import Item
from curate.evalsets.orders import vote
from curate.evaluation.items import KeyedItems
from curate.evaluation.score_file import Places, Scored, absent, cell, lines_of, no_line, number
from curate.evaluation.verdicts import Judged, PairVerdicts
from curate.sources.base import Row
from curate.sources.generic.verdicts import KNOWN, VoteTable

COLUMNS = "columns item or row, and verdict, forward and reverse, judgments, or chosen and rejected"
ITEM = ("item", "id", "pair_id")
SIDES = {
    side: (side, f"{side}_score", f"{side}_scores", f"score_{side}", f"scores_{side}")
    for side in ("chosen", "rejected")
}
INSIDE = ("decision", "judgement", "judgment", "verdict")
"""Where a verdict is that is a mapping."""

WORDS = VoteTable(table=tuple({**KNOWN, "1": "a", "2": "b", "first": "a", "second": "b"}.items()))
MEANS = {"a": 1, "b": 2, "tie": 0}

OneVerdict = tuple[int, int, int | None]
"""Which replies were shown first and second, and the verdict."""


def is_verdicts(path: Path) -> bool:
    """Whether the first line of a file has verdicts instead of scores."""
    row = next((row for _, row in lines_of(path, COLUMNS)), Row())
    kinds = ("verdict", "forward", "reverse", "judgments", *SIDES["chosen"])
    return "score" not in row and "unscored" not in row and any(name in row for name in kinds)


def read(path: Path, wanted: Mapping[str, KeyedItems], *, allow_missing: bool = False) -> Scored:
    """The verdicts of a file as scores of the wanted eval sets' items: each reply's votes less those against it.

    Raises RawError, naming the line or the first items, for what cannot be read, and for items without a line
    unless `allow_missing`.
    """
    sheets = {name: _Sheet(items) for name, items in wanted.items()}
    other: Counter[str] = Counter()
    for where, row in lines_of(path, COLUMNS):
        alone = len(wanted) == 1 and absent(row.get("benchmark"))
        name = next(iter(wanted)) if alone else cell(row, "benchmark", where)
        if name in sheets:
            sheets[name].take(row, where)
        else:
            other[name] += 1
    for name, sheet in sheets.items():
        if sheet.empty:
            raise no_line(path, name, other)
    missing = {name: sheet.missing for name, sheet in sheets.items()}
    if not allow_missing:
        _refuse(path, missing, wanted)
    return Scored(
        scores={name: sheet.scores() for name, sheet in sheets.items()},
        unscored={name: {} for name in wanted},
        other=other,
        judged={name: sheet.judged() for name, sheet in sheets.items()},
        missing=missing,
    )


def _refuse(path: Path, missing: Mapping[str, Sequence[int]], wanted: Mapping[str, KeyedItems]) -> None:
    for name, places in missing.items():
        if places:
            items = wanted[name]
            first = "; ".join(f"row {items.numbers[at]} ({items.keys[at]})" for at in places[:3])
            more = "; ..." if len(places) > 3 else ""
            found = f"{name}: {len(places):,} of {len(items.items):,} items are missing: {first}{more}"
            raise RawError(path.name, found, "a line for each", "--allow-missing leaves them out")


class _Sheet:
    """The verdicts and scores of one eval set that were read so far."""

    def __init__(self, items: KeyedItems) -> None:
        self._items, self._places = items, Places(items)
        self._verdicts_by_order: dict[int, dict[tuple[int, int], list[int | None]]] = {}
        self._scores: dict[int, list[float]] = {}

    @property
    def empty(self) -> bool:
        return not self._verdicts_by_order and not self._scores

    @property
    def missing(self) -> list[int]:
        return [
            at
            for at in range(len(self._items.items))
            if at not in self._verdicts_by_order and at not in self._scores
        ]

    def take(self, row: Row, where: str) -> None:
        at = self._places.of(_named(row), where)
        item = self._items.items[at]
        sides = {side: next((name for name in names if name in row), None) for side, names in SIDES.items()}
        if all(sides.values()):
            self._score(at, item, [row[str(name)] for name in sides.values()], where)
            return
        if at in self._scores:
            raise RawError(where, f"a verdict on {self._items.keys[at]}, which has scores", "one of them")
        orders = self._verdicts_by_order.setdefault(at, defaultdict(list))
        for first, second, verdict in _verdicts(row, item, where):
            orders[first, second].append(verdict)

    def _score(self, at: int, item: Item, sides: Sequence[Any], where: str) -> None:
        if at in self._scores or at in self._verdicts_by_order:
            raise RawError(where, f"a second line of {self._items.keys[at]}", "one")
        scores = [0.0] * len(item.replies)
        for positions, values, side in zip((item.correct, item.wrong), sides, SIDES, strict=True):
            listed = list(values) if isinstance(values, list | tuple) else [values]
            if len(listed) != len(positions):
                raise RawError(where, f"{len(listed)} scores in {side}", f"{len(positions)}, one for each reply")
            for position, value in zip(positions, listed, strict=True):
                scores[position] = number(value, where)
        self._scores[at] = scores

    def scores(self) -> list[list[float]]:
        return [self._scores.get(at) or self._votes(at, item) for at, item in enumerate(self._items.items)]

    def _votes(self, at: int, item: Item) -> list[float]:
        """Each reply's votes less those against it, both orders counting alike; [] without any."""
        if at not in self._verdicts_by_order:
            return []
        out = [0.0] * len(item.replies)
        for (first, second), verdicts in self._verdicts_by_order[at].items():
            out[first] += vote(verdicts)
            out[second] -= vote(verdicts)
        return out

    def judged(self) -> dict[int, Judged]:
        return {
            at: {order: PairVerdicts(tuple(verdicts), ()) for order, verdicts in orders.items()}
            for at, orders in self._verdicts_by_order.items()
        }


def _named(row: Row) -> Row:
    """The row with its item under that name."""
    name = next((name for name in ITEM if not absent(row.get(name))), None)
    if name is None or name == "item":
        return row
    out = Row(row)
    out["item"] = row[name]
    return out


def _verdicts(row: Row, item: Item, where: str) -> Iterator[OneVerdict]:
    if not absent(row.get("judgments")):
        both = row["judgments"]
        if not isinstance(both, list) or not 1 <= len(both) <= 2:
            raise RawError(where, "judgments that are no list of one or two", "one for each order")
        orders = list(zip(both, ((0, 1), (1, 0)), strict=False))
    elif "forward" in row or "reverse" in row:
        orders = [
            (row[name], order) for name, order in (("forward", (0, 1)), ("reverse", (1, 0)))
            if not absent(row.get(name))
        ]  # fmt: skip
    else:
        if "verdict" not in row:
            raise RawError(where, f"columns {', '.join(map(str, row))}", COLUMNS)
        yield (*_order(row, item, where), _verdict(row["verdict"]))
        return
    if len(item.replies) != 2:
        raise RawError(where, f"an item of {len(item.replies)} replies", "verdict with first and second")
    for values, (first, second) in orders:
        for value in values if isinstance(values, list) else [values]:
            yield first, second, _verdict(value)


def _order(row: Row, item: Item, where: str) -> tuple[int, int]:
    """The replies that were shown first and second."""
    first = 0 if absent(row.get("first")) else _position(row, "first", item, where)
    if absent(row.get("second")) and len(item.replies) == 2:
        return first, 1 - first
    second = _position(row, "second", item, where)
    if first == second:
        raise RawError(where, f"reply {first} as first and as second", "two replies")
    return first, second


def _position(row: Row, column: str, item: Item, where: str) -> int:
    value = cell(row, column, where).removesuffix(".0")
    if not (value.isascii() and value.isdecimal()) or int(value) >= len(item.replies):
        raise RawError(where, f"{column} {value}", f"0 to {len(item.replies) - 1}")
    return int(value)


def _verdict(value: Any) -> int | None:
    """1 for the reply shown first, 2 for the other, 0 for a tie; None where it cannot be read."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in INSIDE if name in value), None)
    try:
        return MEANS[WORDS.read(value).side]
    except SkipRow:
        return None
