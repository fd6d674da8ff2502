"""The column maps of the generic adapters: every field is our name, its value theirs; null means the same name.

A value is a column, a path into one (`chosen.answer`, `games.0.score`, `completions.*.rating` for all of a list),
or a list of these: texts that are joined by line breaks where one text is wanted (`prompt: [instruction, input]`),
the entries of a list where several are (`responses: [answer_1, answer_2, answer_3]`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import orjson

from curate.errors import MissingColumn, SkipRow
from curate.sources.base import MediaSource, Row
from curate.sources.images import media_of
from curate.sources.messages import tools_of, videos_of

Theirs = str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What every adapter reads. `group` names pairs that belong together; the others are as in a Draft."""

    prompt: Theirs = None
    system: Theirs = None
    images: Theirs = None
    videos: Theirs = None
    tools: Theirs = None
    category: Theirs = None
    group: Theirs = None
    annotator: Theirs = None
    license: Theirs = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceColumns(Columns):
    """The columns of the adapter `preference`; `rejected` may hold a list of texts, one pair for each."""

    chosen: Theirs = None
    rejected: Theirs = None
    margin: Theirs = None
    chosen_score: Theirs = None
    rejected_score: Theirs = None
    chosen_critique: Theirs = None
    rejected_critique: Theirs = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredColumns(Columns):
    """The columns of the adapter `scored`; those with the verdicts are read if they are mapped, else the
    scores."""

    response_a: Theirs = None
    response_b: Theirs = None
    score_a: Theirs = None
    score_b: Theirs = None
    preference: Theirs = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingColumns(Columns):
    """The columns of the adapter `ranking`; `preference` is a list of verdicts over (1, 2), (1, 3), ... (2, 3),
    ..."""

    responses: Theirs = None
    scores: Theirs = None
    preference: Theirs = None


LISTS = frozenset({"responses", "scores", "preference", "images", "videos"})
"""Fields for which a list of columns gives a list of values; for the others it gives one text."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "images": ("image",),
    "videos": ("video",),
    "system": ("system_prompt",),
    "chosen_score": ("score_chosen",),
    "rejected_score": ("score_rejected",),
}
"""Other names that trainers' formats give to a column; read where the row has no column of our name."""

ALPACA = ("instruction", "input")
"""A prompt mapped to the first takes the second along, as every reader of that format does."""


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
        return self._value(name, self._get(row, name))

    def maybe(self, row: Row, name: str) -> Any:
        """The value, or None where the row may lack it."""
        try:
            value = self._get(row, name)
        except MissingColumn:
            if name in mapped(self.columns) and name not in self.optional:
                raise
            return None
        return self._value(name, value)

    def knows(self, row: Row, name: str) -> bool:
        """Whether there is such a column, mapped or in this row."""
        return name in mapped(self.columns) or any(their in row for their in self._theirs(name))

    def label(self, row: Row, name: str) -> str | None:
        """A name that may be missing or say nothing (then None); 17, 17.0 and " 17.0 " are all "17".

        Skips: `<name>_not_text` for anything but text and numbers.
        """
        return as_label(self.maybe(row, name), name)

    def text(self, row: Row, name: str) -> str | None:
        """A text as it is; None where it is missing or says nothing. Skips: `<name>_not_text`."""
        value = self.maybe(row, name)
        if is_null(value):
            return None
        if not isinstance(value, str):
            raise SkipRow(f"{name}_not_text", type(value).__name__)
        return value

    def number(self, row: Row, name: str) -> float | None:
        """A number that may be missing, null, NaN or "" (then None). Skips: `<name>_not_a_number`."""
        value = self.maybe(row, name)
        return None if is_null(value) else as_number(value, name)

    def media(self, row: Row) -> list[MediaSource]:
        """The images and videos in the columns beside the messages. Skips: those of `media_of` and `videos_of`."""
        images, videos = (self._cell(row, name) for name in ("images", "videos"))
        for name, value in (("images", images), ("videos", videos)):
            if isinstance(value, str) and not value.strip():  # outside of tables, an empty name is a lost one
                raise SkipRow("image_missing", f"{name} is an empty text")
        return [*media_of(images), *videos_of(videos)]

    def tools(self, row: Row) -> str | None:
        """The functions that the row offers, as JSON. Skips: `tools_unreadable`."""
        return tools_of(self._cell(row, "tools"))

    def _cell(self, row: Row, name: str) -> Any:
        """The value; an empty cell of a table is no value, as CSV has no null."""
        value = self.maybe(row, name)
        return None if isinstance(value, str) and not value.strip() and is_table(row.file) else value

    def _theirs(self, name: str) -> tuple[str, ...]:
        """The columns of one of our names: as mapped, else ours or the first other spelling."""
        given = getattr(self.columns, name)
        return (given,) if isinstance(given, str) else given or (name, *SPELLINGS.get(name, ()))

    def _get(self, row: Row, name: str) -> Any:
        given = getattr(self.columns, name)
        if given is None:
            there = [their for their in self._theirs(name) if their in row]
            filled = [their for their in there if not is_null(row[their]) and row[their] != []]
            if len(filled) > 1 and row[filled[0]] != row[filled[1]]:
                raise SkipRow(f"{name}_in_two_columns", ", ".join(filled))
            return row[(filled or there or [name])[0]]
        if isinstance(given, str):
            if name == "prompt" and given == ALPACA[0] and isinstance(row.get(ALPACA[1]), str):
                return joined([walk(row, given), row[ALPACA[1]]], name)
            return walk(row, given)
        values = [walk(row, their) for their in given]
        return values if name in LISTS else joined(values, name)

    def _value(self, name: str, value: Any) -> Any:
        if name not in self.json or not isinstance(value, str) or not value.strip():
            return value
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise SkipRow(f"{name}_not_json", str(error)[:80]) from None


def walk(row: Row, path: str) -> Any:
    """The value at a path: a column, or keys and positions inside one. Raises MissingColumn with the whole
    path."""
    if path in row or "." not in path:
        return row[path]
    value: Any = row
    for number, step in enumerate(steps := path.split(".")):
        if step == "*" and isinstance(value, list | tuple):
            rest = ".".join(steps[number + 1 :])
            return [walk(Row(item), rest) if isinstance(item, dict) else None for item in value]
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise MissingColumn(path)
    return value


def joined(values: list[Any], name: str) -> str:
    """The texts that are not empty, joined by line breaks. Skips: `<name>_not_text`."""
    texts = [value for value in values if not is_null(value)]
    if not all(isinstance(value, str) for value in texts):
        raise SkipRow(f"{name}_not_text", ", ".join(type(value).__name__ for value in texts)[:80])
    return "\n".join(texts)


def reads(columns: Columns) -> tuple[str, ...]:
    """The columns of upstream that an adapter with this column map may read."""
    names: list[str] = []
    for field in fields(columns):
        given = getattr(columns, field.name)
        theirs = (field.name, *SPELLINGS.get(field.name, ())) if given is None else given
        names += [theirs] if isinstance(theirs, str) else theirs
    if columns.prompt == ALPACA[0]:
        names.append(ALPACA[1])
    return tuple(dict.fromkeys(part for name in names for part in (name, name.split(".")[0])))


def mapped(columns: Columns) -> Iterator[str]:
    """Our names of the columns that the user gave a name for."""
    return (field.name for field in fields(columns) if getattr(columns, field.name) is not None)


def is_table(file: str) -> bool:
    """Whether a row file is CSV or TSV, in which null and "" are the same."""
    return any(part in ("csv", "tsv") for part in file.lower().split(".")[1:])


def is_null(value: Any) -> bool:
    """Whether a value says nothing: null, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def as_label(value: Any, name: str) -> str | None:
    """A name as text, None for one that says nothing. Skips: as `Reader.label`."""
    if is_null(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise SkipRow(f"{name}_not_text", type(value).__name__)
    text = str(value).strip()
    return _plain_number(text) or None


def _plain_number(text: str) -> str:
    """A whole number without the spelling of a float; any other text as it is."""
    head, dot, zeros = text.partition(".")
    if dot and zeros and not zeros.strip("0") and head.lstrip("+-").isascii() and head.lstrip("+-").isdigit():
        return head
    if "e+" in text.lower():
        try:
            number = Decimal(text)
        except ArithmeticError:
            return text
        if number == number.to_integral_value() and abs(number) < 10**30:
            return str(int(number))
    return "" if text.lower() == "nan" else text


def as_number(value: Any, name: str) -> float:
    """The value as a float (text such as "4" counts, decimals too). Skips: `<name>_not_a_number`."""
    try:
        if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise SkipRow(f"{name}_not_a_number", repr(value)[:80])
