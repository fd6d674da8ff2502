"""The VIEW columns of row steps (see `curate.steps.base`), built from Arrow by offsets, never row by row."""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

VERSION = 1
"""Goes up when a column says something else; part of every cached verdict's name."""

TEXTS = ("prompt_text", "chosen_text", "rejected_text", "question")
"""What a scorer sees."""

DIALOGUE = ("prompt", "chosen", "rejected")
AS_STORED = (
    "chosen_key", "rejected_key", "margin", "chosen_score", "rejected_score", "category", "annotator", "license",
)  # fmt: skip
READS: dict[str, tuple[str, ...]] = {
    **{f"{side}_text": (side,) for side in DIALOGUE},
    **{f"{side}_roles": (side,) for side in DIALOGUE},
    "question": ("prompt",),
    "media_blocks": DIALOGUE,
    "reply_media": ("chosen", "rejected"),
    "media": ("media",),
    **{name: (name,) for name in AS_STORED},
}
"""The columns of a pairs file that each VIEW column is made from."""

I64 = npt.NDArray[np.int64]


def file_columns(columns: Collection[str]) -> list[str]:
    """The columns of a pairs file that these VIEW columns need."""
    return sorted({read for name in columns for read in READS[name]})


def view(batch: Any, columns: Collection[str]) -> pl.DataFrame:
    """These VIEW columns of a record batch that has their `file_columns`, one row per pair."""
    needed = set(file_columns(columns))
    dialogues = {side: Messages(batch.column(side)) for side in DIALOGUE if side in needed}
    return pl.DataFrame({name: _column(name, batch, dialogues) for name in sorted(columns)})


def _column(name: str, batch: Any, dialogues: dict[str, "Messages"]) -> pl.Series:
    if name in AS_STORED:
        return _series(batch.column(name))
    if name == "question":
        return _series(dialogues["prompt"].question())
    if name == "media":
        return _series(pc.list_value_length(batch.column("media"))).cast(pl.UInt32)
    if name in ("media_blocks", "reply_media"):
        counts = [dialogues[side].media_blocks() for side in READS[name]]
        return pl.Series(np.add.reduce(counts).astype(np.uint32))
    side, what = name.rsplit("_", 1)
    return _series(dialogues[side].text() if what == "text" else dialogues[side].roles())


def _series(array: Any) -> pl.Series:
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


class Messages:
    """One messages column, flattened: turns of pairs and blocks of turns are ranges between offsets."""

    def __init__(self, column: Any) -> None:
        turns, blocks = column.values, column.values.field("content")
        self.turns: I64 = column.offsets.to_numpy().astype(np.int64)
        self.blocks: I64 = blocks.offsets.to_numpy().astype(np.int64)
        self.role = turns.field("role")
        is_text = pc.equal(blocks.values.field("type"), "text")
        self.is_text: npt.NDArray[np.bool_] = is_text.to_numpy(zero_copy_only=False)
        # media blocks have no text: leave them out, and let the offsets count text blocks only
        every = blocks.values.field("text")
        self.texts = every if self.is_text.all() else every.filter(is_text)
        self.text_offsets: I64 = np.concatenate([[0], np.cumsum(self.is_text)])[self.blocks]

    def text(self) -> Any:
        """Text blocks of all turns of each pair, joined by line breaks."""
        return _join(self.texts, self.text_offsets[self.turns])

    def turn_texts(self) -> Any:
        """Text blocks of each turn of all pairs, joined by line breaks."""
        first, last = (int(self.turns[at]) for at in (0, -1))
        return _join(self.texts, self.text_offsets).slice(first, last - first)

    def roles(self) -> Any:
        """The roles of each pair's turns."""
        return pa.ListArray.from_arrays(pa.array(self.turns, pa.int32()), self.role)

    def media_blocks(self) -> I64:
        """How many blocks of each pair are not text."""
        counts: I64 = np.diff(self.blocks[self.turns]) - np.diff(self.text_offsets[self.turns])
        return counts

    def question(self) -> Any:
        """Text blocks of the last user turn of each pair, joined by line breaks; "" where no turn is a user's."""
        is_user = pc.equal(self.role, "user").to_numpy(zero_copy_only=False)
        latest = np.maximum.accumulate(np.where(is_user, np.arange(len(is_user)), -1))
        # latest[t] is the last user turn up to and including turn t, in this pair or an earlier one
        last = np.concatenate([[-1], latest])[self.turns[1:]]
        asked = last >= self.turns[:-1]
        turn = pa.array(np.where(asked, last, 0), mask=~asked)
        return _join(self.texts, self.text_offsets).take(turn).fill_null("")


def _join(texts: Any, offsets: I64) -> Any:
    """The texts between neighbouring offsets, each range joined by line breaks."""
    if (np.diff(offsets) == 1).all():  # the usual case, without a copy
        return texts.slice(int(offsets[0]) if len(offsets) else 0, len(offsets) - 1)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), "\n")
