"""JSON lines of nested rows as Arrow columns: only what a source reads is made, in the types that it names.

A line that is not of these types is read by itself, with all its columns. msgspec decodes into given types four
times as fast as into dicts, and takes no line that is not JSON.
"""

import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from curate.arrays import B8, I64, U8
from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.json_rows import DEEPEST, line_ends, value_of

GOES_DEEP = sys.hexversion >= 0x030C0000
"""Whether msgspec may go deeper into a row than orjson; before Python 3.12 the interpreter's limit stops it."""
SCALARS = {pa.string(): str, pa.float64(): float, pa.int64(): int}


class TypedLines:
    """Reads lines into columns of `types`; in a struct, `null` is the type of what is there and not read."""

    def __init__(self, use: ColumnUse, types: Mapping[str, Any]) -> None:
        self._use, self._types = use, dict(types)
        self._names: tuple[str, ...] = ()
        self._decode: Any = None
        self._empty: Any = None

    def read(self, block: bytes) -> Any:
        """The lines as a record batch, all null where one is not of the types; None where one begins no object."""
        if not block.endswith(b"\n"):
            return None
        data = np.frombuffer(block, np.uint8)
        ends = line_ends(block)
        starts = np.concatenate([[0], ends[:-1] + 1])
        if not (data[starts] == ord("{")).all():
            return None
        if not self._use.seen and isinstance(first := value_of(block[: ends[0]]), dict):
            self._use.row(first)
        if not (read := [name for name in self._use.seen if name in self._types]):
            return None  # a batch without columns would have no rows
        if self._names != (names := tuple(self._use.seen)):
            self._make(names)
        view = memoryview(block)
        deep = nested_deep(data, ends) if GOES_DEEP else np.zeros(len(ends), np.bool_)
        spans = zip(starts.tolist(), ends.tolist(), deep.tolist(), strict=True)
        rows = [self._empty if odd else self._row(view[start:end]) for start, end, odd in spans]
        try:
            columns = [
                _array(list(map(attrgetter(_field(names, name)), rows)), self._types[name]) for name in read
            ]
        except (pa.ArrowException, OverflowError):
            return None
        return pa.RecordBatch.from_arrays(columns, names=read)

    def _make(self, names: tuple[str, ...]) -> None:
        """A decoder of rows with these columns, and no others."""
        struct = _struct("Row", names, self._types)
        self._names, self._decode = names, msgspec.json.Decoder(struct).decode
        self._empty = struct()

    def _row(self, line: memoryview) -> Any:
        try:
            return self._decode(line)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return self._empty


def nested_deep(data: U8, ends: I64) -> B8:
    """Of lines that end there, which may be nested deeper than a row may be."""
    opening = np.flatnonzero((data == ord("[")) | (data == ord("{")))
    return np.asarray(np.diff(np.searchsorted(opening, ends), prepend=0) > DEEPEST // 2)


def _field(names: Sequence[str], name: str) -> str:
    """The attribute of a column: its name need not be one of Python's."""
    return f"f{names.index(name)}"


def _struct(title: str, names: Sequence[str], types: Mapping[str, Any]) -> Any:
    """A type of objects with these names; those without a type, or of type null, are skipped as they are."""
    fields = [
        (_field(names, name), msgspec.Raw, msgspec.UNSET)
        if pa.types.is_null(kind := types.get(name, pa.null()))
        else (_field(names, name), _python(kind) | None, None)
        for name in names
    ]
    renamed = {_field(names, name): name for name in names}
    return msgspec.defstruct(title, fields, rename=renamed, forbid_unknown_fields=True, gc=False)


def _python(kind: Any) -> Any:
    if pa.types.is_list(kind):
        return GenericAlias(list, (_python(kind.value_type) | None,))
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return _struct("Inside", names, {field.name: field.type for field in kind})
    return SCALARS[kind]


def _array(values: list[Any], kind: Any) -> Any:
    """Decoded values as an array."""
    if pa.types.is_list(kind):
        ends = np.cumsum([0, *(len(value) if value else 0 for value in values)], dtype=np.int32)
        inside = _array(list(chain.from_iterable(filter(None, values))), kind.value_type)
        missing = pa.array([value is None for value in values], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(ends), inside, mask=missing)
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        read = [field for field in kind if not pa.types.is_null(field.type)]
        getters = [(attrgetter(_field(names, field.name)), field.type) for field in read]
        there = None not in values
        columns = [
            _array(list(map(get, values)) if there else [value and get(value) for value in values], inside)
            for get, inside in getters
        ]
        missing = pa.array([value is None for value in values], pa.bool_())
        return pa.StructArray.from_arrays(columns, fields=read, mask=missing)
    return pa.array(values, kind)
