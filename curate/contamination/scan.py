"""Scans the texts of one pairs file for the documents of an index.

The result is written as two Arrow streams in one file: the hits, and how often each n-gram of the index occurs in
the texts; how many texts there were is in the metadata of the second.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from curate.arrays import I64, U8, U32
from curate.contamination.grams import room_for_hits
from curate.contamination.index import Index
from curate.errors import WorkspaceError

SIDES = ("prompt", "chosen", "rejected")
HITS = pa.schema(
    [("position", pa.uint32()), ("side", pa.uint8()), ("document", pa.uint32()), ("cover", pa.list_(pa.uint8())),
     ("passage", pa.bool_()), ("near", pa.uint8()), ("snippet", pa.string())]
)  # fmt: skip
"""The hits of a file.

cover     for each n-gram of the document how many of its words are in the text
passage   the text has the document but for sentences at its beginning or end: most often, its question
near      0, or how many words of a short prompt the text has, which is not that prompt but likely to be made of it
"""

COUNTS = pa.schema([("gram", pa.uint32()), ("count", pa.uint32())])
SNIPPET = 240  # characters of evidence


class Texts(NamedTuple):
    """Texts data[offsets[i]:offsets[i + 1]] of a UTF-8 buffer, and the position of each one's pair in its file."""

    data: U8
    offsets: I64
    rows: I64


class Pass:
    """The hits of a pass over pairs so far."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.counts: U32 = np.zeros(len(index.rarity), np.uint32)
        self.texts = 0
        self.hits: list[Any] = []
        self._room = room_for_hits(index.packed, 1 << 15)

    def scan(self, texts: Texts, side: int) -> None:
        """Look for documents in the texts; `side` is the position in SIDES that they come from.

        Prompts of few words are left to `scan_turns`.
        """
        from curate.contamination.scan_kernels import scan  # numba

        self.texts += len(texts.rows)
        index, text = self.index, 0
        while text < len(texts.offsets) - 1:
            found, text = scan(
                index.table, index.packed, texts.data, texts.offsets, text, side > 0, self.counts, self._room
            )
            self.hits.append(self._batch(texts, side, found))

    def scan_turns(self, texts: Texts, side: int) -> None:
        """Look for short prompts in the texts, which are turns: for those that are one, and likely ones."""
        from curate.contamination.scan_kernels import scan_short  # numba

        index, text = self.index, 0
        while text < len(texts.offsets) - 1:
            found, text = scan_short(
                index.table, index.near, index.packed, texts.data, texts.offsets, text, self.counts, self._room
            )
            self.hits.append(self._batch(texts, side, found))

    def write(self, path: Path) -> None:
        """Write the hits and counts."""
        there = np.flatnonzero(self.counts).astype(np.uint32)
        counts = pa.table({"gram": there, "count": self.counts[there]}, schema=COUNTS)
        with pa.OSFile(str(path), "wb") as sink:
            _write(sink, pa.Table.from_batches(self.hits, HITS).combine_chunks())
            _write(sink, counts.replace_schema_metadata({"texts": str(self.texts)}))

    def _batch(self, texts: Texts, side: int, hits: int) -> Any:
        """So many hits as a record batch of HITS."""
        text, document, near, passage, begin, stop, end = self._room.rows[:hits].T
        ends = np.concatenate([[0], end]).astype(np.int32)
        columns = [
            texts.rows[text].astype(np.uint32),
            np.full(hits, side, np.uint8),
            document.astype(np.uint32),
            pa.ListArray.from_arrays(ends, self._room.shares[: ends[-1]].copy()),
            passage.astype(np.bool_),
            near.astype(np.uint8),
            pa.array(_snippets(texts.data.data, begin.tolist(), stop.tolist()), pa.string()),
        ]
        return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=HITS)


def _snippets(data: memoryview, begins: list[int], ends: list[int]) -> list[str | None]:
    return [
        str(data[begin:end], errors="replace")[:SNIPPET] if begin >= 0 else None
        for begin, end in zip(begins, ends, strict=True)
    ]


def _write(sink: Any, table: Any) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)


class Found(NamedTuple):
    """The hits of many pairs files (columns of HITS, `pool`, `part`), and the counts over all of them."""

    hits: pl.DataFrame
    counts: I64
    texts: int


def read(files: Iterable[Iterable[Path]], grams: int) -> Found:
    """The sketches of all pools. Raises WorkspaceError where one is damaged."""
    hits, counts, texts = [], np.zeros(grams, np.int64), 0
    for pool, paths in enumerate(files):
        for part, path in enumerate(paths):
            table, counted = _read(path)
            place = {"pool": pl.lit(pool, pl.UInt16), "part": pl.lit(part, pl.UInt32)}
            hits.append(_frame(table).with_columns(**place))
            counts[counted["gram"].to_numpy()] += counted["count"].to_numpy()
            texts += int(counted.schema.metadata[b"texts"])
    empty = _frame(HITS.empty_table()).with_columns(pool=pl.lit(0, pl.UInt16), part=pl.lit(0, pl.UInt32))
    return Found(pl.concat([empty.clear(), *hits]), counts, texts)


def _read(path: Path) -> tuple[Any, Any]:
    try:
        with pa.OSFile(str(path)) as source:
            first, second = (pa.ipc.open_stream(source).read_all() for _ in range(2))
            return first, second
    except pa.ArrowInvalid as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "a cache file", "delete it and run again") from None


def _frame(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
