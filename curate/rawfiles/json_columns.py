"""JSON lines as Arrow columns: blocks of lines whose values are all flat and of one type a column.

A block is read by columns only where that gives what reading it line by line gives: one object on each line, no
column twice, no value of another type, no column that is not known. Any other block is read line by line.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pj

from curate.arrays import I64
from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.json_rows import check_length, line_ends

BLOCK_BYTES = 4 << 20
"""About how many bytes of lines are read at once."""
TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), type(None): pa.null()}


def line_blocks(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, about BLOCK_BYTES at a time; the last line is alone where it has no line break.

    Raises RawError where a line is too long.
    """
    begun: list[bytes] = []
    length = 0
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut and length + cut >= BLOCK_BYTES:
            yield b"".join([*begun, piece[:cut]])
            begun, length, piece = [], 0, piece[cut:]
        begun.append(piece)
        length += len(piece)
        check_length(name, length)
    rest = b"".join(begun)
    cut = rest.rfind(b"\n") + 1
    yield from filter(None, (rest[:cut], rest[cut:]))


class FlatColumns:
    """The columns of JSON lines and their types, learned from the lines that were read one by one."""

    def __init__(self, use: ColumnUse) -> None:
        self._use = use
        self._types: dict[str, Any] = {}
        self._flat = True

    def read(self, block: bytes) -> Any:
        """The block as a record batch of the columns that are read; None where it must be read line by line."""
        if not self._flat or not _one_object_a_line(block, ends := line_ends(block)):
            return None
        if not self._types:
            self.learn(_value(block[: ends[0]]))
        if not self._flat or not self._types:
            return None
        options = pj.ParseOptions(
            explicit_schema=pa.schema(self._types.items()), unexpected_field_behavior="error"
        )
        whole = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        try:
            table = pj.read_json(pa.BufferReader(block), whole, options)
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        if table.num_rows != len(ends):
            return None
        self._use.see(self._types)
        return table.select(self._use.wanted(table.column_names)).combine_chunks().to_batches()[0]

    def learned(self, values: Iterable[Any]) -> Iterator[Any]:
        """The values as they are, after each was noted."""
        for value in values:
            self.learn(value)
            yield value

    def learn(self, row: Any) -> None:
        """Note the columns of a row and their types; one that is not flat says that the rows are not."""
        if not self._flat or not isinstance(row, dict):
            return
        for name, value in row.items():
            kind = TYPES.get(type(value))
            known = self._types.get(name, kind)
            if kind == known:
                self._types[name] = kind
            else:
                self._types[name] = _common(known, kind)
            if self._types[name] is None:
                self._flat = False
                return


def _common(left: Any, right: Any) -> Any:
    """The type of a column that has values of both; None where there is none."""
    if left is None or right is None:
        return None
    both = {str(left), str(right)} - {"null"}
    if len(both) == 1:
        return left if pa.types.is_null(right) else right
    return pa.float64() if both == {"int64", "double"} else None


def _value(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _one_object_a_line(block: bytes, ends: I64) -> bool:
    """Whether each line begins as an object and ends as one: then no object goes on in the next line."""
    if not (block.startswith(b"{") and block.endswith(b"}\n")):
        return False
    data = np.frombuffer(block, np.uint8)
    return bool((data[ends - 1] == ord("}")).all() and (data[ends[:-1] + 1] == ord("{")).all())
