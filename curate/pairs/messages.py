"""A messages column, flattened: texts, roles and media blocks of turns by offsets."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays import I64
from curate.arrow_compute import pc
from curate.schema import MEDIA_BLOCKS


class Messages:
    """One messages column, flattened: turns of pairs and blocks of turns are ranges between offsets."""

    def __init__(self, column: Any) -> None:
        turns, blocks = column.values, column.values.field("content")
        self.turns: I64 = column.offsets.to_numpy().astype(np.int64)
        self.blocks: I64 = blocks.offsets.to_numpy().astype(np.int64)
        self.role = turns.field("role")
        is_text = pc.invert(pc.is_in(blocks.values.field("type"), pa.array(MEDIA_BLOCKS)))
        self.is_text: npt.NDArray[np.bool_] = is_text.to_numpy(zero_copy_only=False)
        # media blocks have no text: leave them out, and let the offsets count blocks with text only
        every = blocks.values.field("text")
        self.texts = every if self.is_text.all() else every.filter(is_text)
        self.text_offsets: I64 = np.concatenate([[0], np.cumsum(self.is_text)])[self.blocks]

    def text(self) -> Any:
        """Text of all turns of each pair, joined by line breaks."""
        return _join(self.texts, self.text_offsets[self.turns])

    def turn_texts(self) -> Any:
        """Text of each turn of all pairs, joined by line breaks."""
        first, last = (int(self.turns[at]) for at in (0, -1))
        return _join(self.texts, self.text_offsets).slice(first, last - first)

    def roles(self) -> Any:
        """The roles of each pair's turns."""
        return pa.ListArray.from_arrays(pa.array(self.turns, pa.int32()), self.role)

    def media_blocks(self) -> I64:
        """How many blocks of each pair are media."""
        counts: I64 = np.diff(self.blocks[self.turns]) - np.diff(self.text_offsets[self.turns])
        return counts

    def question(self) -> Any:
        """Text of the last user turn of each pair, joined by line breaks; "" where no turn is a user's."""
        is_user = pc.equal(self.role, "user").to_numpy(zero_copy_only=False)
        latest = np.maximum.accumulate(np.where(is_user, np.arange(len(is_user)), -1))
        # latest[t] is the last user turn up to and including turn t, in this pair or an earlier one
        last = np.concatenate([[-1], latest])[self.turns[1:]]
        has_question = last >= self.turns[:-1]
        turn = pa.array(np.where(has_question, last, 0), mask=~has_question)
        return _join(self.texts, self.text_offsets).take(turn).fill_null("")


def _join(texts: Any, offsets: I64) -> Any:
    """The texts between neighbouring offsets, each range joined by line breaks."""
    if (np.diff(offsets) == 1).all():  # the usual case, without a copy
        return texts.slice(int(offsets[0]) if len(offsets) else 0, len(offsets) - 1)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), "\n")
