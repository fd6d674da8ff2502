"""Drafts of many rows at once: what a source may give beside the adapter of one row, which stays the truth.

A *column function* takes a batch of rows as Arrow columns and gives the drafts of those rows that are as they
should be; all others go to the adapter. Tests compare the two, row by row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

from curate.arrays import B8, I32, series
from curate.arrow_compute import pc
from curate.schema import BLOCK, MESSAGES
from curate.sources.base import MediaSource


class Dialogues(NamedTuple):
    """Message lists, flattened: dialogue i has the turns from turns[i] on, turn t the blocks from blocks[t] on.

    turns, blocks   offsets, one more than there are dialogues and turns; both begin with 0
    roles           of each turn
    kinds, texts    of each block; media have no text
    """

    turns: I32
    blocks: I32
    roles: Any
    kinds: Any
    texts: Any

    @classmethod
    def of_turns(cls, turns: I32, roles: Any, texts: Any) -> Self:
        """Dialogues whose turns are one text each."""
        return cls(turns, np.arange(len(texts) + 1, dtype=np.int32), roles, constant("text", len(texts)), texts)

    @classmethod
    def of_texts(cls, role: str, texts: Any) -> Self:
        """Dialogues of one turn each, which is one text."""
        return cls.of_turns(np.arange(len(texts) + 1, dtype=np.int32), constant(role, len(texts)), texts)

    def array(self) -> Any:
        """The dialogues as a column of a pairs file."""
        blocks = pa.StructArray.from_arrays([self.kinds, self.texts], fields=list(BLOCK))
        content = pa.ListArray.from_arrays(pa.array(self.blocks), blocks)
        turns = pa.StructArray.from_arrays([self.roles, content], fields=list(MESSAGES.value_type))
        return pa.ListArray.from_arrays(pa.array(self.turns), turns)

    def has_media(self) -> bool:
        """Whether any block is no text."""
        return bool(self.texts.null_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftColumns:
    """One draft of each row that fits, as columns; the fields are those of `Draft`.

    fits    [rows of the batch] whether the row is among them
    media   of each draft; empty where no draft has any
    extra   of each draft; empty where no draft has any
    """

    fits: B8
    prompt: Dialogues
    chosen: Dialogues
    rejected: Dialogues
    media: Sequence[Sequence[MediaSource]] = ()
    margin: Any = None
    chosen_score: Any = None
    rejected_score: Any = None
    chosen_critique: Any = None
    rejected_critique: Any = None
    category: Any = None
    annotator: Any = None
    license: Any = None
    group: Any = None
    extra: Sequence[Mapping[str, Any] | None] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Rows as Arrow columns: those of their file that the source reads. `file` and `context` as of `Row`."""

    columns: Any
    file: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def has(self, name: str) -> bool:
        """Whether the file has the column."""
        return name in self.columns.schema.names

    def all(self) -> B8:
        """A mask of all rows."""
        return np.ones(len(self), np.bool_)

    def column(self, name: str) -> Any:
        """The column as it is, nulls where the file has none."""
        return self.columns.column(name) if self.has(name) else pa.nulls(len(self))

    def texts(self, name: str) -> Any:
        """The column as text, null where it has none. Raises Misfit for a column of another type."""
        return as_texts(self.column(name))

    def numbers(self, name: str) -> tuple[Any, B8]:
        """(the column as float64, where it is odd): null where it has no number, or NaN, or where it is odd.

        Raises Misfit for a column of another type.
        """
        column = self.column(name)
        if pa.types.is_null(column.type):
            return pa.nulls(len(self), pa.float64()), ~self.all()
        if not (pa.types.is_integer(column.type) or pa.types.is_float64(column.type)):
            raise Misfit
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:  # whole numbers that a float cannot hold
            raise Misfit from None
        values = column.to_numpy(zero_copy_only=False)
        odd = np.isinf(values) | ((values == 0) & np.signbit(values))  # JSON's -0 is a whole number, 0
        plain = pa.array(~(odd | np.isnan(values)))
        return pc.if_else(plain, column, pa.scalar(None, pa.float64())), odd


class Misfit(Exception):  # noqa: N818 - no error: the adapter takes the rows
    """No row of the batch fits."""


ColumnFunction = Callable[..., DraftColumns]
"""(batch, options where the source has any) -> drafts. Raises Misfit where no row fits."""


def as_texts(column: Any) -> Any:
    """A column as text. Raises Misfit where it has another type, or bytes that are not UTF-8."""
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise Misfit
    try:
        column.validate(full=True)
        return column.cast(pa.string())
    except (pa.ArrowInvalid, UnicodeDecodeError):
        raise Misfit from None


def present(*columns: Any) -> B8:
    """Where all columns have a value."""
    masks = [column.is_valid().to_numpy(zero_copy_only=False) for column in columns if column.null_count]
    return reduce(np.logical_and, masks, np.ones(len(columns[0]), np.bool_))


def kept(column: Any, fits: B8) -> Any:
    """The values of the rows that fit."""
    return column if fits.all() else column.filter(pa.array(fits))


def constant(text: str, count: int) -> Any:
    """An array of one text."""
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([text])).dictionary_decode()


def extras(batch: RowBatch, names: Sequence[str], fits: B8) -> list[dict[str, Any]]:
    """Of each row that fits, the columns that have a value there.

    Raises Misfit where a column is neither text nor whole numbers: in a column of floats, JSON's 1 would be 1.0.
    """
    there = [name for name in names if batch.has(name)]
    columns = [series(kept(_plain(batch.column(name)), fits)).to_list() for name in there]
    rows: Iterator[Any] = zip(*columns, strict=True) if there else repeat((), int(fits.sum()))
    return [{name: value for name, value in zip(there, row, strict=True) if value is not None} for row in rows]


def _plain(column: Any) -> Any:
    whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    return column if whole else as_texts(column)


def not_blank(texts: Any) -> Any:
    """The texts; null where there is nothing but white space."""
    blank = pc.or_(pc.equal(texts, ""), pc.utf8_is_space(texts))
    return pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), texts)


def joined_texts(lists: Any, name: str) -> Any:
    """Of a column of lists of structs the texts of one field, those of a row parted by an empty line; else null.

    Raises Misfit for a column of another type.
    """
    if pa.types.is_null(lists.type):
        return pa.nulls(len(lists), pa.string())
    if not pa.types.is_list(lists.type) or not pa.types.is_struct(lists.type.value_type):
        raise Misfit
    texts = not_blank(as_texts(lists.values.flatten()[lists.type.value_type.get_field_index(name)]))
    there = np.concatenate([[0], np.cumsum(present(texts))]).astype(np.int32)[lists.offsets.to_numpy()]
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(there), texts.drop_null()), "\n\n")
    return pc.if_else(pa.array(np.diff(there) > 0), joined, pa.scalar(None, pa.string()))
