"""The columns of a shard made from those of pairs: messages as texts or with fields, and the bytes of media."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from curate.arrow_compute import pc
from curate.images.store import ImageStore
from curate.mixing.shard_schema import IMAGES, SIDES, TEXT
from curate.schema import MEDIA, MEDIA_BLOCKS, MESSAGES, Block, Message, to_fields


def shard_column(rows: pa.RecordBatch, field: pa.Field, images: ImageStore | None) -> pa.Array:
    """One column of a shard."""
    if images is not None and field.name == IMAGES.name:
        return _embedded(rows, images)
    column = rows.column(field.name)
    if field.name not in SIDES or field.type == MESSAGES:
        return column
    return _texts(column) if field.type == TEXT else _with_fields(column, field.type)


def _texts(dialogues: pa.Array) -> pa.Array:
    """Messages of text blocks as TEXT: the blocks of a message one after another."""
    turns = dialogues.values
    content = turns.field("content")
    texts = pc.binary_join(pa.ListArray.from_arrays(content.offsets, content.values.field("text")), "")
    messages = pa.StructArray.from_arrays([turns.field("role"), texts], fields=list(TEXT.value_type))
    return pa.ListArray.from_arrays(dialogues.offsets, messages)


def _with_fields(dialogues: pa.Array, kind: pa.DataType) -> pa.Array:
    """Messages of blocks as messages with fields: row by row, since mixes with tool calls are small."""
    text = kind.value_type.field("content").type == pa.string()
    return pa.array([[_fields(turn, text) for turn in dialogue] for dialogue in dialogues.to_pylist()], kind)


def _fields(turn: dict[str, Any], text: bool) -> dict[str, Any]:
    message = to_fields(Message(turn["role"], tuple(Block(**block) for block in turn["content"])))
    for call in message.get("tool_calls", ()):
        arguments = call["function"]["arguments"]
        if not isinstance(arguments, str):
            call["function"]["arguments"] = orjson.dumps(arguments).decode()
    if text:
        message["content"] = "".join(block["text"] for block in message["content"])
    return message


def with_frames(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with each video as its frames, images one after another at its place. Messages are of MESSAGES.

    Row by row, and only where there is a video.
    """
    media = rows.column("media").to_pylist()
    if not any(item["kind"] == "video" for some in media for item in some):
        return rows
    sizes = [iter([len(item["keys"]) for item in some]) for some in media]
    images = [[{"kind": "image", "keys": [key]} for item in some for key in item["keys"]] for some in media]
    made = {"media": pa.array(images, MEDIA)}
    for name in SIDES:
        dialogues = zip(rows.column(name).to_pylist(), sizes, strict=True)
        made[name] = pa.array([_with_frame_blocks(dialogue, left) for dialogue, left in dialogues], MESSAGES)
    arrays = [made.get(field.name, rows.column(field.name)) for field in rows.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _with_frame_blocks(dialogue: list[dict[str, Any]], sizes: Iterator[int]) -> list[dict[str, Any]]:
    """The turns with as many image blocks for each media block as it has frames."""
    for turn in dialogue:
        blocks = []
        for block in turn["content"]:
            media = block["type"] in MEDIA_BLOCKS
            blocks += [{"type": "image", "text": None}] * next(sizes) if media else [block]
        turn["content"] = blocks
    return dialogue


def _embedded(rows: pa.RecordBatch, images: ImageStore) -> pa.Array:
    """The media of every row as IMAGES."""
    keys = [[key for item in media for key in item["keys"]] for media in rows.column("media").to_pylist()]
    flat = [key for row in keys for key in row]
    values = [pa.array(images.read_many(flat), pa.binary()), pa.array(flat, pa.string())]
    struct = pa.StructArray.from_arrays(values, fields=list(IMAGES.type.value_type))
    offsets = np.cumsum([0, *(len(row) for row in keys)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=IMAGES.type)
