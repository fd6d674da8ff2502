"""What a shard looks like: its Arrow columns, the features that `datasets` reads, and how Parquet packs each."""

import json
from collections.abc import Iterable, Iterator, Sequence
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

WEIGHT = pa.field("weight", pa.float64(), False)
"""The factor of a pair's loss in training; a column of mixes in which any pair has another one than 1."""

SIDES = ("prompt", "chosen", "rejected")
CALL = pa.struct([
    ("type", pa.string()), ("id", pa.string()),
    ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
])  # fmt: skip
MORE_FIELDS = (
    ("reasoning_content", pa.string()), ("tool_calls", pa.list_(CALL)), ("tool_call_id", pa.string()),
    ("name", pa.string()),
)  # fmt: skip
FIELDS = pa.list_(pa.struct([*MESSAGES.value_type, *MORE_FIELDS]))
"""Messages of a mix in which any pair has tools, calls or reasoning (`schema.to_fields`); `arguments` are JSON
text.

All messages of such a mix have these fields, null where a message has none: `trl.trainer.utils.remove_none_values`
drops them before a chat template that asks only whether a key is there.
"""

TEXT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TEXT_FIELDS = pa.list_(pa.struct([*TEXT.value_type, *MORE_FIELDS]))
"""Messages whose content is one text, as chat templates of text models take it: a list would be read as its
repr."""


def message_type(*, fields: bool, text: bool) -> pa.DataType:
    """The type of the columns SIDES."""
    return (TEXT_FIELDS if text else FIELDS) if fields else TEXT if text else MESSAGES


def columns(*, embed: bool, messages: pa.DataType = MESSAGES, weighted: bool = False) -> pa.Schema:
    """The columns of a shard: with embedded media or without, with messages of this `message_type`, with weights.

    `tools` is there where messages have fields. With `embed`, the metadata let `datasets` read `images` as a list
    of Image.
    """
    plain = [pa.field(one.name, messages, nullable=False) if one.name in SIDES else one for one in REFERENCE]
    plain += [pa.field("tools", pa.string())] if messages in (FIELDS, TEXT_FIELDS) else []
    plain += [WEIGHT] if weighted else []
    return with_features([*plain, IMAGES]) if embed else pa.schema(plain)


def with_features(fields: Sequence[pa.Field]) -> pa.Schema:
    """The schema of these fields; with IMAGES among them, the metadata say to `datasets` that they are images."""
    if IMAGES not in fields:
        return pa.schema(fields)
    features = {field.name: _feature(field.type) for field in fields}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})


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


def _feature(kind: pa.DataType) -> Any:
    """The Hugging Face feature of an Arrow type, as plain values.

    A list is `[feature]`, which every version of `datasets` reads; its own `List` is unknown to those before 4.
    """
    if kind == IMAGES.type.value_type:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


def codecs(fields: Iterable[pa.Field]) -> dict[str, str]:
    """How Parquet compresses each leaf of these columns."""
    return {
        leaf: "none" if leaf == "images.list.element.bytes" else "zstd"  # images are compressed as they are
        for field in fields
        for leaf in _leaves(field.type, field.name)
    }


CODECS = codecs(
    [*REFERENCE, *columns(embed=True, messages=FIELDS, weighted=True), *columns(embed=False, messages=TEXT_FIELDS)]
)

SHARD = columns(embed=True)
"""The columns of a shard with embedded images and plain messages."""
