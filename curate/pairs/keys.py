"""Key columns of pairs files in memory: all that dedupe, caps, holdout and order need; never any text."""

import binascii
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from curate.arrays import B8, U64, series
from curate.errors import WorkspaceError
from curate.pairs.files import column
from curate.parquet import count_rows, opened

COLUMNS = {
    "part": pl.UInt32,
    "position": pl.UInt32,
    "id_hi": pl.UInt64,
    "id_lo": pl.UInt64,
    "group": pl.UInt64,
    "prompt_key": pl.UInt64,
    "chosen_key": pl.UInt64,
    "rejected_key": pl.UInt64,
    "text_bytes": pl.UInt32,
    "media_bytes": pl.UInt64,
    "has_fields": pl.Boolean,
    "known": pl.UInt8,
    "copy": pl.UInt32,
}
"""The columns of `load_keys`, 73 bytes a pair.

`part` counts the files in the order given, `position` the rows of one file. `id_hi` and `id_lo` are the halves
of the pair id, `group` the first half of the group id. `copy` counts the earlier rows with the same pair id.
"""

READ = (
    "pair_id", "group_id", "prompt_key", "chosen_key", "rejected_key", "text_bytes", "media_bytes",
    "has_fields", "known",
)  # fmt: skip
BATCH = 1 << 17

MAPPED = 1 << 18
"""Key columns of so many pairs or more are in a mapped file: the system may take back the memory they have."""


def load_keys(directory: Path, parts: Sequence[str], kept: B8 | None = None) -> pl.DataFrame:
    """The key columns (see COLUMNS) of the pairs files `directory/part`, in file order: of all pairs or the kept.

    Raises WorkspaceError where a file is missing, is no pairs file, or holds an id that is not 32 hex digits.
    """
    rows = sum(count_rows(directory / part) for part in parts)
    arrays = _room(rows if kept is None else int(kept.sum()), directory)
    first = filled = 0
    for number, part in enumerate(parts):
        for batch in _part(directory / part, number):
            size = len(batch["position"])
            if kept is not None:
                chosen = kept[first : first + size]
                batch = {name: values[chosen] for name, values in batch.items()}
            first += size
            for name, values in batch.items():
                arrays[name][filled : filled + len(values)] = values
            filled += len(batch["position"])
    _count_copies(arrays)
    return framed({name: (array, COLUMNS[name]) for name, array in arrays.items()})


def framed(columns: Mapping[str, tuple[np.ndarray[Any, Any], Any]]) -> pl.DataFrame:
    """A frame of these arrays, each with the type of its column; numbers are not copied."""
    return pl.DataFrame([_series(*one).alias(name) for name, one in columns.items()])


def numpy_kind(kind: Any) -> np.dtype[Any]:
    """The numpy type of a column's numbers."""
    found: np.dtype[Any] = pl.Series(dtype=kind).to_numpy().dtype
    return found


def _series(array: np.ndarray[Any, Any], kind: Any) -> pl.Series:
    if kind == pl.Boolean:
        return pl.Series(array, dtype=kind)
    buffers = [None, pa.py_buffer(array)]
    return series(pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), buffers))


def _room(rows: int, directory: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of COLUMNS for so many pairs, in memory or in a file without a name in the directory."""
    kinds = {name: numpy_kind(kind) for name, kind in COLUMNS.items()}
    if rows < MAPPED:
        return {name: np.empty(rows, kind) for name, kind in kinds.items()}
    size = sum(kind.itemsize for kind in kinds.values()) * (rows + 8)
    with tempfile.TemporaryFile(dir=directory) as file:
        os.posix_fallocate(
            file.fileno(), 0, size
        )  # raises where the disk is full; a write to the mapping could not
        memory = mmap.mmap(file.fileno(), size)
    arrays, start = {}, 0
    for name, kind in kinds.items():
        arrays[name] = np.frombuffer(memory, kind, rows, start)
        start += kind.itemsize * (rows + 8) // 8 * 8
    return arrays


def load_labels(directory: Path, parts: Sequence[str]) -> pl.DataFrame:
    """The key columns of pairs files, and their `margin`: 0 where a pair is a tie, null where it is not known.

    Raises as `load_keys`.
    """
    margins = [
        pl.Series("margin", series(column(directory / part, "margin")["margin"]), pl.Float64) for part in parts
    ]
    margin = pl.concat(margins) if margins else pl.Series("margin", [], pl.Float64)
    return load_keys(directory, parts).with_columns(margin)


def halves(ids: Any, where: str) -> tuple[U64, U64]:
    """The upper and the lower 64 bits of an Arrow array of 32-digit hex ids, without making Python strings."""
    ids = ids.cast(pa.large_string())
    offsets = np.frombuffer(ids.buffers()[1], np.int64, len(ids) + 1, 8 * ids.offset)
    if ids.null_count or not (np.diff(offsets) == 32).all():
        raise _damaged(where)
    if not len(ids):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    start = int(offsets[0])
    try:
        values = binascii.unhexlify(memoryview(ids.buffers()[2])[start : start + 32 * len(ids)])
    except binascii.Error:
        raise _damaged(where) from None
    words = np.frombuffer(values, ">u8").astype(np.uint64).reshape(-1, 2)
    return words[:, 0], words[:, 1]


def _damaged(where: str) -> WorkspaceError:
    return WorkspaceError(where, "an id is not 32 hex digits", "a pairs file", "delete it and run again")


def _part(path: Path, number: int) -> Iterator[dict[str, Any]]:
    with opened(path) as file:
        position = 0
        for batch in file.iter_batches(BATCH, columns=list(READ)):
            yield _batch(batch, number, position, str(path))
            position += batch.num_rows


def _batch(batch: Any, part: int, position: int, where: str) -> dict[str, Any]:
    """The columns of some pairs, but `copy`."""
    id_hi, id_lo = halves(batch.column("pair_id"), where)
    group, _ = halves(batch.column("group_id"), where)
    values: dict[str, Any] = {
        "part": np.full(batch.num_rows, part, np.uint32),
        "position": np.arange(position, position + batch.num_rows, dtype=np.uint32),
        "id_hi": id_hi,
        "id_lo": id_lo,
        "group": group,
    }
    return values | {name: batch.column(name).to_numpy(zero_copy_only=False) for name in READ[2:]}


def _count_copies(keys: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Fill in how many earlier rows have the same pair id; sorting 64 bits first, as copies are rare."""
    order = np.argsort(keys["id_lo"], kind="stable")
    low = keys["id_lo"][order]
    keys["copy"][:] = 0
    suspects = np.zeros(len(order), np.bool_)
    suspects[1:] = low[1:] == low[:-1]
    suspects[:-1] |= suspects[1:]
    rows = order[suspects]
    suspected = pl.DataFrame({"row": rows, "low": low[suspects], "high": keys["id_hi"][rows]})
    counted = suspected.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).over("low", "high").alias("copy"))
    keys["copy"][counted["row"].to_numpy()] = counted["copy"].to_numpy()
