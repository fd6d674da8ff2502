"""What a shard looks like: its Arrow columns, the features that `datasets` reads, and how Parquet packs each."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curate.schema import PAIR

IMAGES = pa.field("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
"""Embedded media in the order of their blocks, a video as its frames; `path` is the key in the image store.

Nullable, though never null: `datasets` heeds the feature of a column only where it could be null.
"""

REFERENCE = pa.schema([*(field for field in PAIR if field.name != "row"), pa.field("repeat", pa.int32(), False)])
"""The columns of a shard without images: a pair without `row` (upstream file names), and `repeat`."""

FEW_VALUES = (
    "source", "category", "annotator", "license", "revision", "media.list.element.kind",
    *(f"{side}.list.element.{leaf}" for side in ("prompt", "chosen", "rejected")
      for leaf in ("role", "content.list.element.type")),
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


CODECS = {
    leaf: "none" if leaf == "images.list.element.bytes" else "zstd"  # images are compressed as they are
    for field in [*REFERENCE, IMAGES]
    for leaf in _leaves(field.type, field.name)
}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The Hugging Face feature of an Arrow type, as plain values."""
    if kind == IMAGES.type.value_type:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


FEATURES = {field.name: _feature(field.type) for field in (*REFERENCE, IMAGES)}
SHARD = pa.schema([*REFERENCE, IMAGES], {"huggingface": json.dumps({"info": {"features": FEATURES}})})
"""The columns of a shard with embedded images; `datasets` reads `images` as a list of Image."""
