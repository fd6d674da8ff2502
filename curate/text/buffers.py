"""Texts of pairs files as the buffers that kernels read: no Python strings, no object per pair."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from curate import parquet
from curate.arrays import I32, I64, U8

Side = Literal["prompt", "chosen", "rejected"]
SIDES = 3

BATCH_BYTES = 16 << 20  # of text, about
BATCH_ROWS = 1 << 15


class Texts(NamedTuple):
    """The texts of some pairs, one item per named side, and empty ones after them up to SIDES.

    data      UTF-8 of all text blocks of the side, one after another
    offsets   where in `data` each block begins, and the last one's end
    starts    the first block of each pair, and the end of the last pair's
    """

    data: tuple[U8, U8, U8]
    offsets: tuple[I32, I32, I32]
    starts: tuple[I64, I64, I64]


class Batch(NamedTuple):
    """Neighbouring rows of a pairs file: the position of the first, their number, their texts, their media."""

    position: int
    rows: int
    texts: Texts
    media: Any


EMPTY = np.empty(0, np.uint8), np.zeros(1, np.int32), np.empty(0, np.int64)
for _array in EMPTY:
    _array.flags.writeable = False


def batches(path: Path, on: Sequence[Side], *, media: bool = False) -> Iterator[Batch]:
    """The rows of a pairs file with the texts of these sides, and the column `media` where `media` is true."""
    columns = [f"{side}.list.element.content.list.element.text" for side in on]
    position = 0
    for batch in parquet.batches(path, [*columns, *(["media"] if media else [])], BATCH_BYTES, BATCH_ROWS):
        sides = [_side(batch.column(side)) for side in on] + [EMPTY] * (SIDES - len(on))
        texts = Texts(*(tuple(some) for some in zip(*sides, strict=True)))
        yield Batch(position, batch.num_rows, texts, batch.column("media") if media else None)
        position += batch.num_rows


def _side(column: Any) -> tuple[U8, I32, I64]:
    """The (data, offsets, starts) of a messages column of which only the texts were read."""
    blocks = column.values.field("content")
    offsets, data = strings(blocks.values.field("text"))
    turns = column.offsets.to_numpy()
    return data, offsets, frozen(blocks.offsets.to_numpy()[turns].astype(np.int64))


def strings(array: Any) -> tuple[I32, U8]:
    """The (offsets, data) of an Arrow string array; a null is an empty text."""
    array = array if array.type == pa.string() else array.cast(pa.string())
    if not len(array):
        return EMPTY[1], EMPTY[0]
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, 4 * array.offset)
    data = array.buffers()[2]
    return frozen(offsets), frozen(np.frombuffer(data, np.uint8)) if data is not None and data.size else EMPTY[0]


def frozen(array: Any) -> Any:
    """The array, read-only: kernels are compiled for one kind of input."""
    array = array if array.flags.c_contiguous else array.copy()
    array.flags.writeable = False
    return array
