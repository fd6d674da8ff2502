"""What a shard looks like: its Arrow columns, the features that `datasets` reads, and how Parquet packs each."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curate.schema import MESSAGES, PAIR

IMAGES = pa.field("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
"""Embedded media in the order of their blocks, a video as its frames; `path` is the key in the image store.

Nullable, though never null: `datasets` heeds the feature of a column only where it could be null. The bytes are as
received, and its feature `Image` decodes them as stored: an EXIF orientation is for who trains to apply.
"""

BARE = frozenset({"row", "tools"})
"""Columns of a pair that a shard leaves out: `row` has upstream's file names, `tools` is there where a pair has
some."""

REFERENCE = pa.schema(
    [*(field for field in PAIR if field.name not in BARE), pa.field("repeat", pa.int32(), False)]
)
"""The columns of a shard without images: a pair without BARE, and `repeat`."""

SIDES = ("prompt", "chosen", "rejected")
CALL = pa.struct([
    ("type", pa.string()), ("id", pa.string()),
    ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
])  # fmt: skip
FIELDS = pa.list_(pa.struct([
    *MESSAGES.value_type, ("reasoning_content", pa.string()), ("tool_calls", pa.list_(CALL)),
    ("tool_call_id", pa.string()), ("name", pa.string()),
]))  # fmt: skip
"""Messages of a mix in which any pair has tools, calls or reasoning (`schema.to_fields`); `arguments` are JSON
text.

All messages of such a mix have these fields, null where a message has none: `trl.trainer.utils.remove_none_values`
drops them before a chat template that asks only whether a key is there.
"""

WITH_FIELDS = pa.schema([
    *(pa.field(field.name, FIELDS, nullable=False) if field.name in SIDES else field for field in REFERENCE),
    pa.field("tools", pa.string()),
])  # fmt: skip


def columns(*, embed: bool, fields: bool) -> pa.Schema:
    """The columns of a shard: with embedded media or without, with FIELDS and `tools` or without.

    With `embed`, the metadata let `datasets` read `images` as a list of Image.
    """
    plain = WITH_FIELDS if fields else REFERENCE
    if not embed:
        return plain
    features = {field.name: _feature(field.type) for field in (*plain, IMAGES)}
    return pa.schema([*plain, IMAGES], {"huggingface": json.dumps({"info": {"features": features}})})


FEW_VALUES = (
    "source", "category", "annotator", "license", "revision", "media.list.element.kind",
    *(f"{side}.list.element.{leaf}" for side in SIDES for leaf in ("role", "content.list.element.type")),
)  # fmt: skip


def _leaves(kind: pa.DataType, path: str) -> Iterator[str]:
    """The Parquet columns of an Arrow column."""
    if pa.types.is_list(kind):
        yield from _leaves(kind.value_type, f"{path}.list.element")
    elif pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _leaves(kind.field(i).type, f"{path}.{kind.field(i).name}")
    else:
        yield path


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The Hugging Face feature of an Arrow type, as plain values."""
    if kind == IMAGES.type.value_type:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


CODECS = {
    leaf: "none" if leaf == "images.list.element.bytes" else "zstd"  # images are compressed as they are
    for field in [*REFERENCE, *WITH_FIELDS, IMAGES]
    for leaf in _leaves(field.type, field.name)
}

SHARD = columns(embed=True, fields=False)
"""The columns of a shard with embedded images and plain messages."""
