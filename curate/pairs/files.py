"""Columns and rows of finished files: pairs, shards, skips and decisions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.arrow_compute import pc
from curate.parquet import checked, opened
from curate.schema import from_fields


def column(path: Path, *names: str) -> pa.Table:
    """Some columns of a Parquet file. Raises WorkspaceError if it is missing or damaged."""
    with checked(path, "a Parquet file"):
        return pq.read_table(path, columns=list(names))


def places(path: Path, name: str, value: str, *, prefix: bool = False) -> list[int]:
    """The rows, from 0, whose column `name` is the value, or begins with it."""
    values = column(path, name)[name]
    hits = pc.starts_with(values, value) if prefix else pc.equal(values, value)
    found: list[int] = pc.indices_nonzero(hits).to_pylist()
    return found


BATCH = 256
"""Rows of a row group that are decoded at a time, up to the last that is wanted: few are, and rows are wide."""


def rows_at(path: Path, positions: Sequence[int], names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows in the order of the positions: the columns named, or all but image bytes. Reads few row groups.

    Messages are lists of blocks, also those of shards that have texts or fields instead.
    """
    found: dict[int, dict[str, Any]] = {}
    if not positions:
        return []
    with opened(path, "a Parquet file") as file:
        names = names or [name for name in file.schema_arrow.names if name != "images"]
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            inside = sorted({x for x in positions if start <= x < end})
            if inside:
                found |= dict(zip(inside, _rows(file, group, [x - start for x in inside], names), strict=True))
            start = end
    return [_with_blocks(found[x]) for x in positions]


def _rows(file: Any, group: int, wanted: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a row group at these ascending places."""
    rows: list[dict[str, Any]] = []
    start = 0
    for batch in file.iter_batches(BATCH, row_groups=[group], columns=list(names)):
        inside = [x - start for x in wanted if start <= x < start + batch.num_rows]
        rows += batch.take(pa.array(inside, pa.int64())).to_pylist() if inside else []
        start += batch.num_rows
        if len(rows) == len(wanted):
            break
    return rows


def _with_blocks(row: dict[str, Any]) -> dict[str, Any]:
    for side in {"prompt", "chosen", "rejected"} & row.keys():
        row[side] = [_plain(turn) for turn in row[side]]
    return row


def _plain(turn: dict[str, Any]) -> dict[str, Any]:
    role, blocks = from_fields(turn)
    return {"role": role, "content": [block._asdict() for block in blocks]}
