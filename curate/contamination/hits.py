"""The sketch of the step `decontaminate`: the hits of one pairs file against an index of protected items."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate import parquet
from curate.contamination.index import load
from curate.contamination.protected import ProtectedSets
from curate.contamination.scan import SIDES, Pass, Texts
from curate.engines.base import tick
from curate.pairs.messages import Messages

BATCH_BYTES = 32 << 20
BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationHits:
    """The hits of a pairs file against the index of the fingerprint `index`."""

    version: ClassVar[int] = 2
    suffix: ClassVar[str] = "arrow"
    index: str
    protected: ProtectedSets = field(metadata={"place": True})

    def prepare(self) -> None:
        """Build the index, once for all files."""
        load(self.protected)

    def make(self, pairs: Path, out: Path) -> None:
        """Scan a pairs file."""
        found = Pass(load(self.protected))
        position = 0
        for batch in parquet.batches(pairs, SIDES, BATCH_BYTES, BATCH_ROWS):
            for side, name in enumerate(SIDES):
                found.scan(texts(batch.column(name), position, turns=False), side)
            # a short prompt is a whole turn, a longer one may be spread over several
            found.scan_turns(texts(batch.column(SIDES[0]), position, turns=True), 0)
            position += batch.num_rows
            tick(rows=batch.num_rows)
        found.write(out)


def texts(column: Any, position: int, *, turns: bool) -> Texts:
    """The texts of a messages column whose first row has this position: one of every turn, or one of every row."""
    messages = Messages(column)
    array = messages.turn_texts() if turns else messages.text()
    rows = np.arange(position, position + len(column))
    _, offsets, data = array.cast(pa.large_string()).buffers()
    ends = (
        np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        if len(array)
        else np.zeros(1, np.int64)
    )
    return Texts(
        np.frombuffer(data or b"", np.uint8), ends, np.repeat(rows, np.diff(messages.turns)) if turns else rows
    )
