"""Column functions over prompts of one user turn that show at most one image: `with_media` by columns."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrays import B8
from curate.arrow_compute import pc
from curate.sources.base import MediaSource
from curate.sources.by_columns.base import Dialogues, Misfit

PLACEHOLDER = "<image>"
MARKS = r"(?i)<\|?(?:im|video|vision|start_of_im)|\[IMG\]"
"""Whatever `TOKENS` and `FOREIGN` match begins so; a text in which this is found goes to the adapter."""


def without_placeholder(texts: Any, pictured: B8) -> tuple[Any, B8]:
    """(texts less the placeholder that they begin with, which of them `with_media` leaves as they are then).

    pictured   whether there is an image, which is before the text
    """
    begins = pc.fill_null(pc.starts_with(texts, PLACEHOLDER), False).to_numpy(zero_copy_only=False)
    fits = texts.is_valid().to_numpy(zero_copy_only=False) & (pictured | ~begins)
    if begins.any():
        rest = pc.replace_substring_regex(texts, f"^{PLACEHOLDER}\n?", "", max_replacements=1)
        blank = pc.fill_null(pc.or_(pc.equal(rest, ""), pc.utf8_is_space(rest)), True).to_numpy(
            zero_copy_only=False
        )
        fits, texts = fits & ~(begins & blank), rest
    suspects = np.flatnonzero(
        pc.fill_null(pc.match_substring_regex(texts, r"[<\[]"), False).to_numpy(zero_copy_only=False)
    )
    if len(suspects):
        marked = pc.fill_null(pc.match_substring_regex(texts.take(pa.array(suspects)), MARKS), True)
        fits[suspects[marked.to_numpy(zero_copy_only=False)]] = False
    return texts, fits


def prompts(texts: Any, pictured: B8) -> Dialogues:
    """User turns of a text each, after an image where there is one."""
    count = len(texts)
    ends = np.cumsum(1 + pictured)
    is_text = np.zeros(int(ends[-1]) if count else 0, np.bool_)
    is_text[ends - 1] = True
    rows = np.zeros(len(is_text), np.int64)
    rows[is_text] = np.arange(count)
    kinds = pa.DictionaryArray.from_arrays(
        is_text.astype(np.int8), pa.array(["image", "text"])
    ).dictionary_decode()
    one = Dialogues.of_texts("user", texts)
    return Dialogues(
        one.turns,
        np.concatenate([[0], ends]).astype(np.int32),
        one.roles,
        kinds,
        texts.take(pa.array(rows, mask=~is_text)) if pictured.any() else texts,
    )


def stored_images(column: Any) -> list[MediaSource | None]:
    """The image of each row where a column of the Hub's images holds its bytes; they are not copied.

    Raises Misfit for a column of another type.
    """
    if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
        raise Misfit
    data = column.flatten()[column.type.get_field_index("bytes")]
    if not pa.types.is_binary(data.type):
        raise Misfit
    offsets = np.frombuffer(data.buffers()[1], np.int32, len(data) + 1, 4 * data.offset).tolist()
    view, there = memoryview(data.buffers()[2] or b"").cast("B"), data.is_valid().to_pylist()
    return [
        MediaSource(data=view[start:stop]) if valid and stop > start else None
        for valid, (start, stop) in zip(there, pairwise(offsets), strict=True)
    ]
