"""What the columns of a few rows hold: texts, messages, numbers, media, lists of these; also inside columns.

A column of objects is looked into, one level deep: `answers.chosen`, `completions.*.response`, `summaries.0.text`.
Text that is JSON in every row (lists in a CSV cell) counts as what it says.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from curate.sources.base import Row
from curate.sources.generic.columns import is_null
from curate.sources.generic.dialogue import MEDIA_PATH
from curate.sources.messages import is_transcript, role_of

Kind = Literal[
    "text", "transcript", "messages", "message", "number", "bool", "texts", "numbers", "objects", "object",
    "bytes",
    "paths", "null", "mixed",
]  # fmt: skip

WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a few rows.

    name    the column, or the path into it
    kind    what it holds wherever it holds anything
    values  one for each row, None where a row has none
    coded   whether it is JSON in text
    """

    name: str
    kind: Kind
    values: tuple[Any, ...]
    coded: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the name in lower case: `chosen_score` and `chosenScore` are both chosen, score."""
        return tuple(word.lower() for word in WORDS.findall(self.name))

    @property
    def filled(self) -> bool:
        """Whether every row has a value."""
        return all(not is_null(value) for value in self.values)

    @property
    def length(self) -> float:
        """The mean length of its texts."""
        texts = [value for value in self.values if isinstance(value, str)]
        return sum(map(len, texts)) / len(texts) if texts else 0.0


def columns_of(rows: Sequence[Row]) -> dict[str, Column]:
    """The columns of the rows and of the objects in them, by name."""
    found: dict[str, Column] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        column = _column(name, [row.get(name) for row in rows])
        found[name] = column
        found.update((inner.name, inner) for inner in _inside(column))
    return found


def _column(name: str, values: Sequence[Any]) -> Column:
    kind = _kind(values)
    if kind == "text" and (parsed := _parsed(values)) is not None:
        return Column(name=name, kind=_kind(parsed), values=tuple(parsed), coded=True)
    return Column(name=name, kind=kind, values=tuple(values))


def _parsed(values: Sequence[Any]) -> list[Any] | None:
    """The values as JSON if each of them that says anything is a list or an object; else None."""
    out: list[Any] = []
    for value in values:
        if is_null(value):
            out.append(None)
            continue
        if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
            return None
        try:
            out.append(orjson.loads(value))
        except orjson.JSONDecodeError:
            return None
    return out


MOST = 0.8
"""A column is of the kind that this share of its values has: publishers' columns hold strays."""


def _kind(values: Sequence[Any]) -> Kind:
    kinds = Counter(_kind_of(value) for value in values if not is_null(value) and value != [])
    if not kinds:
        return "null"
    if "text" in kinds:  # a text may happen to be a transcript or a file name
        kinds["text"] += kinds.pop("transcript", 0) + kinds.pop("paths", 0)
    kind, count = kinds.most_common(1)[0]
    return kind if count >= MOST * kinds.total() else "mixed"


def _kind_of(value: Any) -> Kind:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "transcript" if is_transcript(value) else "paths" if MEDIA_PATH.fullmatch(value.strip()) else "text"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, dict):
        return "message" if role_of(value) else "object"
    if isinstance(value, list | tuple):
        return _list_kind(value)
    try:
        return "number" if math.isfinite(value) else "null"
    except TypeError:
        return "mixed"


def _list_kind(values: Sequence[Any]) -> Kind:
    kinds = {_kind_of(value) for value in values if not is_null(value)}
    if kinds <= {"text", "transcript"}:
        return "texts"
    names: dict[Kind, Kind] = {"message": "messages", "number": "numbers", "object": "objects", "paths": "paths"}
    return names.get(kinds.pop(), "mixed") if len(kinds) == 1 else "mixed"


def _inside(column: Column) -> Iterator[Column]:
    """The columns inside a column of objects, or of lists of objects."""
    if column.kind == "object":
        objects = [value if isinstance(value, dict) else {} for value in column.values]
        for key in _keys(objects):
            yield _column(f"{column.name}.{key}", [value.get(key) for value in objects])
    if column.kind == "objects":
        lists = [value if isinstance(value, list | tuple) else [] for value in column.values]
        yield from _of_lists(column.name, [[item for item in value if isinstance(item, dict)] for value in lists])


def _of_lists(name: str, lists: Sequence[list[dict[str, Any]]]) -> Iterator[Column]:
    lengths = {len(value) for value in lists}
    for key in _keys(item for value in lists for item in value):
        values = [[item.get(key) for item in value] for value in lists]
        yield _column(f"{name}.*.{key}", values)
        if lengths in ({1}, {2}):
            for at in range(max(lengths)):
                yield _column(f"{name}.{at}.{key}", [value[at] for value in values])


def _keys(objects: Any) -> list[str]:
    return [key for key in dict.fromkeys(key for item in objects for key in item) if isinstance(key, str)]
