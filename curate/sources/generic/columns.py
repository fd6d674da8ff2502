"""The column maps of the generic adapters: every field is our name, its value theirs; null means the same name."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import orjson

from curate.errors import MissingColumn, SkipRow
from curate.sources.base import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What every adapter reads. `group` names pairs that belong together; the others are as in a Draft."""

    prompt: str | None = None
    system: str | None = None
    images: str | None = None
    videos: str | None = None
    category: str | None = None
    group: str | None = None
    annotator: str | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceColumns(Columns):
    """The columns of the adapter `preference`."""

    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    chosen_score: str | None = None
    rejected_score: str | None = None
    chosen_critique: str | None = None
    rejected_critique: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredColumns(Columns):
    """The columns of the adapter `scored`; the one with the verdict is read if it is mapped, else the scores."""

    response_a: str | None = None
    response_b: str | None = None
    score_a: str | None = None
    score_b: str | None = None
    preference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingColumns(Columns):
    """The columns of the adapter `ranking`."""

    responses: str | None = None
    scores: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads a row by our names.

    A mapped column is expected in every row unless it is `optional`: a typing error in a column map must not turn
    pairs with images into pairs without.
    """

    columns: Columns
    optional: tuple[str, ...]
    json: tuple[str, ...]

    def required(self, row: Row, name: str) -> Any:
        """The value. Raises MissingColumn with their name."""
        return self._value(name, row[self._theirs(name)])

    def maybe(self, row: Row, name: str) -> Any:
        """The value, or None where the row may lack it."""
        theirs = self._theirs(name)
        if theirs not in row:
            if name in mapped(self.columns) and name not in self.optional:
                raise MissingColumn(theirs)
            return None
        return self._value(name, row[theirs])

    def knows(self, row: Row, name: str) -> bool:
        """Whether there is such a column, mapped or in this row."""
        return name in mapped(self.columns) or self._theirs(name) in row

    def text(self, row: Row, name: str) -> str | None:
        """A text that may be missing, null or "" (then None); numbers become text. Skips: `<name>_not_text`."""
        value = self.maybe(row, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise SkipRow(f"{name}_not_text", type(value).__name__)
        return value or None

    def number(self, row: Row, name: str) -> float | None:
        """A number that may be missing, null or "" (then None). Skips: `<name>_not_a_number`."""
        value = self.maybe(row, name)
        return None if value is None or value == "" else as_number(value, name)

    def _theirs(self, name: str) -> str:
        return getattr(self.columns, name) or name

    def _value(self, name: str, value: Any) -> Any:
        if name not in self.json or not isinstance(value, str) or not value.strip():
            return value
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise SkipRow(f"{name}_not_json", str(error)[:80]) from None


def reads(columns: Columns) -> tuple[str, ...]:
    """The columns of a row, by their names, that a reader of these columns may look at."""
    return tuple(getattr(columns, field.name) or field.name for field in fields(columns))


def mapped(columns: Columns) -> Iterator[str]:
    """Our names of the columns that the user gave a name for."""
    return (field.name for field in fields(columns) if getattr(columns, field.name) is not None)


def as_number(value: Any, name: str) -> float:
    """The value as a float (text such as "4" counts). Skips: `<name>_not_a_number`."""
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise SkipRow(f"{name}_not_a_number", repr(value)[:80])
