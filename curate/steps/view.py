"""The VIEW columns of row steps (see `curate.steps.base`), built from Arrow by offsets, never row by row."""

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl

from curate.arrays import series
from curate.arrow_compute import pc
from curate.pairs.messages import Messages

VERSION = 1
"""Goes up when a column changes its meaning; part of the name of everything that is cached of a step."""

TEXTS = ("prompt_text", "chosen_text", "rejected_text", "question")
"""The columns that a scorer reads."""

DIALOGUE = ("prompt", "chosen", "rejected")
AS_STORED = (
    "chosen_key", "rejected_key", "margin", "chosen_score", "rejected_score", "chosen_critique",
    "rejected_critique", "category", "annotator", "license",
)  # fmt: skip
READS: dict[str, tuple[str, ...]] = {
    **{f"{side}_text": (side,) for side in DIALOGUE},
    **{f"{side}_roles": (side,) for side in DIALOGUE},
    "question": ("prompt",),
    "media_blocks": DIALOGUE,
    "reply_media": ("chosen", "rejected"),
    "media": ("media",),
    "videos": ("media",),
    **{name: (name,) for name in AS_STORED},
}
"""The columns of a pairs file that each VIEW column is made from."""


def file_columns(columns: Collection[str]) -> list[str]:
    """The columns of a pairs file that these VIEW columns need."""
    return sorted({read for name in columns for read in READS[name]})


def make_view(batch: Any, columns: Collection[str]) -> pl.DataFrame:
    """These VIEW columns of a record batch that has their `file_columns`, one row per pair."""
    needed = set(file_columns(columns))
    dialogues = {side: Messages(batch.column(side)) for side in DIALOGUE if side in needed}
    return pl.DataFrame({name: _column(name, batch, dialogues) for name in sorted(columns)})


def _column(name: str, batch: Any, dialogues: dict[str, "Messages"]) -> pl.Series:
    if name in AS_STORED:
        return series(batch.column(name))
    if name == "question":
        return series(dialogues["prompt"].question())
    if name == "media":
        return series(pc.list_value_length(batch.column("media"))).cast(pl.UInt32)
    if name == "videos":
        return _videos(batch.column("media"))
    if name in ("media_blocks", "reply_media"):
        counts = [dialogues[side].media_blocks() for side in READS[name]]
        return pl.Series(np.add.reduce(counts).astype(np.uint32))
    side, what = name.rsplit("_", 1)
    return series(dialogues[side].text() if what == "text" else dialogues[side].roles())


def _videos(media: Any) -> pl.Series:
    kinds = pc.equal(pc.struct_field(media.values, "kind"), "video").to_numpy(zero_copy_only=False)
    sums = np.concatenate([[0], np.cumsum(kinds)])
    return pl.Series(np.diff(sums[media.offsets.to_numpy()]).astype(np.uint32))
