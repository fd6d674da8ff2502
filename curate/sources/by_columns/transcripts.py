"""Transcripts as HH-RLHF writes them, many at once: `messages.transcript` by columns."""

from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrays import B8, I64, U8
from curate.arrow_compute import pc
from curate.sources.by_columns.messages import Turns

MARKS = (b"\n\nHuman:", b"\n\nAssistant:")
ROLES = ("user", "assistant")


def transcripts(texts: Any) -> Turns:
    """The turns of transcripts that begin with a mark; others, and nulls, have none."""
    begins = pc.or_(*(pc.starts_with(texts, mark.decode()) for mark in MARKS))
    if texts.null_count or not pc.all(begins).as_py():
        texts = pc.if_else(pc.fill_null(begins, False), texts, "")
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset).astype(np.int64)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    places, speakers = _marks(data, offsets)
    lengths = np.array([len(mark) for mark in MARKS])[speakers]
    edges = np.empty(2 * len(places) + 1, np.int32)  # of marks and what follows each, by turns
    edges[0:-1:2], edges[1::2], edges[-1] = places, places + lengths, offsets[-1]
    pieces = pa.StringArray.from_buffers(2 * len(places), pa.py_buffer(edges), texts.buffers()[2])
    texts = pc.utf8_trim_whitespace(pieces.take(pa.array(np.arange(1, 2 * len(places), 2))))
    starts = np.searchsorted(places, offsets)
    roles = pa.DictionaryArray.from_arrays(speakers.astype(np.int8), pa.array(ROLES)).dictionary_decode()
    return Turns(starts, roles, texts, np.ones(len(places), np.bool_))


def _marks(data: U8, offsets: I64) -> tuple[I64, I64]:
    """(where marks begin, which of MARKS each is)."""
    first, last = int(offsets[0]), int(offsets[-1])
    breaks = data[first:last] == ord("\n")
    at = first + np.flatnonzero(breaks[:-1] & breaks[1:])
    ends = offsets[np.searchsorted(offsets, at, "right")] if len(at) else at  # of the text that each is in
    is_mark = [_follows(data, at, ends, mark) for mark in MARKS]
    found = is_mark[0] | is_mark[1]
    return at[found], is_mark[1][found].astype(np.int64)


def _follows(data: U8, at: I64, ends: I64, mark: bytes) -> B8:
    found = at + len(mark) <= ends
    for place, byte in enumerate(mark[2:], 2):
        rows = np.flatnonzero(found)
        found[rows] = data[at[rows] + place] == byte
    return np.asarray(found)
