"""Pairs whose replies change places in the shards, since people (or an audit) found the other one better."""

from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrays import B8
from curate.arrow_compute import pc
from curate.schema import MEDIA_BLOCKS

SWAPPED = (
    ("chosen", "rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_critique", "rejected_critique"),
)
"""Columns that change places; `margin` becomes null, since it was of the other preference."""


def exchanged(rows: pa.RecordBatch, flips: B8) -> pa.RecordBatch:
    """The pairs with the replies of some exchanged: their texts, scores, critiques and media."""
    if not flips.any():
        return rows
    count = rows.num_rows
    names = rows.schema.names
    columns = dict(zip(names, rows.columns, strict=True))
    at = np.arange(count)
    for left, right in SWAPPED:
        if left in columns:
            both = pa.concat_arrays([columns[left], columns[right]])
            columns[left] = both.take(pa.array(np.where(flips, at + count, at)))
            columns[right] = both.take(pa.array(np.where(flips, at, at + count)))
    if "margin" in columns:
        kind = columns["margin"].type
        columns["margin"] = pc.if_else(pa.array(flips), pa.scalar(None, kind), columns["margin"])
    if "media" in columns:
        columns["media"] = _media(rows, flips)
    return pa.RecordBatch.from_arrays([columns[name] for name in names], schema=rows.schema)


def _media(rows: pa.RecordBatch, flips: B8) -> pa.Array:
    """The media of every pair; those of the replies of a flipped one change places with them."""
    media = rows.column("media")
    found = media.to_pylist() if any(len(media[int(i)]) for i in np.flatnonzero(flips)) else None
    if found is None:
        return media
    for i in np.flatnonzero(flips).tolist():
        sides = [_media_blocks(rows.column(side)[i].as_py()) for side in ("prompt", "chosen", "rejected")]
        first, second = sides[0], sides[0] + sides[1]
        found[i] = found[i][:first] + found[i][second : second + sides[2]] + found[i][first:second]
    return pa.array(found, media.type)


def _media_blocks(turns: list[dict[str, Any]]) -> int:
    return sum(block["type"] in MEDIA_BLOCKS for turn in turns for block in turn["content"])
