"""The pair: its blocks, its identity and its Arrow schemas. No IO.

Identity is by content, as it survives a Parquet round trip: equal text, media and numbers give an equal
`pair_id` on any machine, in any file, at any position. Two rows of one source that say exactly the same
give the same id twice; `curate.mixing.select` tells such copies apart by their number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson
import pyarrow as pa
import xxhash

VERSION = 2
"""2: blocks of tool calls and reasoning, the column `tools`, media in replies. A pair that has none of them keeps
the `pair_id` and the keys that it had under 1."""

MediaKind = Literal["image", "video"]
BlockType = Literal["text", "image", "video", "reasoning", "tool_call", "tool_call_id", "tool_name"]
MEDIA_BLOCKS = ("image", "video")
FIELD_BLOCKS = ("reasoning", "tool_call", "tool_call_id", "tool_name")
"""Blocks that a chat template reads from fields of the message and not from its content (`to_fields`)."""


class Block(NamedTuple):
    """One part of a message.

    A media block has no text and refers to the next of the pair's media. The text of a `tool_call` is a JSON
    object with `name`, `arguments` and, where upstream has one, `id`; `tool_name` and `tool_call_id` say which
    call a turn of the role `tool` answers; `reasoning` precedes what an assistant says.
    """

    type: BlockType
    text: str | None


class Message(NamedTuple):
    """One turn of a dialogue."""

    role: str
    content: tuple[Block, ...]


class Media(NamedTuple):
    """One image, or one video as its ordered frames; `keys` are content hashes in the image store."""

    kind: MediaKind
    keys: tuple[str, ...]


BLOCK = pa.struct([("type", pa.string()), ("text", pa.string())])
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(BLOCK))]))
MEDIA = pa.list_(pa.struct([("kind", pa.string()), ("keys", pa.list_(pa.string()))]))

PAIR = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("prompt", MESSAGES, nullable=False),
        pa.field("chosen", MESSAGES, nullable=False),
        pa.field("rejected", MESSAGES, nullable=False),
        pa.field("media", MEDIA, nullable=False),
        pa.field("margin", pa.float64()),
        pa.field("chosen_score", pa.float64()),
        pa.field("rejected_score", pa.float64()),
        pa.field("chosen_critique", pa.string()),
        pa.field("rejected_critique", pa.string()),
        pa.field("category", pa.string()),
        pa.field("annotator", pa.string()),
        pa.field("license", pa.string()),
        pa.field("revision", pa.string()),
        pa.field("tools", pa.string()),
        pa.field("extra", pa.string()),
    ]
)
"""The columns of a pair (design 4). `tools` (the functions that the assistant may call) and `extra` are JSON.

Media blocks of the prompt, then of chosen, then of rejected refer to `media` in order.
"""

KEYS = pa.schema(
    [
        pa.field("prompt_key", pa.uint64(), nullable=False),
        pa.field("chosen_key", pa.uint64(), nullable=False),
        pa.field("rejected_key", pa.uint64(), nullable=False),
        pa.field("text_bytes", pa.uint32(), nullable=False),
        pa.field("chosen_bytes", pa.uint32(), nullable=False),
        pa.field("rejected_bytes", pa.uint32(), nullable=False),
        pa.field("media_bytes", pa.uint64(), nullable=False),
        pa.field("reply_media", pa.uint16(), nullable=False),
        pa.field("has_fields", pa.bool_(), nullable=False),
        pa.field("known", pa.uint8(), nullable=False),
    ]
)
"""Key columns beside the pair in a pairs file, so that corpus passes never read text.

`prompt_key` covers the prompt, its media and `tools`, the keys of the replies cover theirs; `text_bytes` is the
UTF-8 size of all text, `chosen_bytes` and `rejected_bytes` that of the replies; `media_bytes` is the size of the
media as received; `reply_media` is how many of the media belong to the replies; `has_fields` is whether there are
tools or FIELD_BLOCKS; `known` counts margin, scores and critiques that are not null.
"""

PAIRS_FILE = pa.schema([*PAIR, *KEYS])


def messages_digest(messages: Sequence[Message]) -> bytes:
    """16 bytes that identify a dialogue. Raises UnicodeEncodeError on lone surrogates."""
    parts = []
    for role, content in messages:
        parts.append(f"m{len(role)}:{role}{len(content)};")
        for kind, text in content:
            if text is None:
                parts.append(f"{kind}!")
            else:
                parts += (f"{kind}{len(text)}:", text)
    return xxhash.xxh3_128_digest("".join(parts).encode())


def media_digest(media: Sequence[Media]) -> bytes:
    """16 bytes that identify a pair's media and their order."""
    text = ";".join(f"{kind}:{','.join(keys)}" for kind, keys in media)
    return xxhash.xxh3_128_digest(text.encode())


def fields_digest(numbers: Sequence[float | None], texts: Sequence[str | None]) -> bytes:
    """16 bytes that identify the scalar columns of a pair; numbers must be floats, as they are stored.

    Raises orjson.JSONEncodeError on lone surrogates.
    """
    return xxhash.xxh3_128_digest(orjson.dumps([*numbers, *texts]))


def combine(source: str, *digests: bytes) -> str:
    """One id, 32 hex digits, from a source's name and the 16-byte digests of its parts."""
    return xxhash.xxh3_128_hexdigest(b"".join([source.encode(), b"\0", *digests]))


def key64(*digests: bytes) -> int:
    """The 64-bit key of a key column: the first 8 bytes of each digest as a little-endian word, xor-ed."""
    key = 0
    for digest in digests:
        key ^= int.from_bytes(digest[:8], "little")
    return key


def to_fields(message: Message) -> dict[str, Any]:
    """A message as chat templates take it; an absent field has no key.

    FIELD_BLOCKS become `reasoning_content`, `tool_calls`, `tool_call_id` and `name`, all other blocks stay
    content.
    """
    fields: dict[str, Any] = {"role": message.role, "content": []}
    for kind, text in message.content:
        if kind == "tool_call":
            call = orjson.loads(text or "{}")
            function = {"name": call["name"], "arguments": call["arguments"]}
            one = {"type": "function", "function": function} | ({"id": call["id"]} if "id" in call else {})
            fields.setdefault("tool_calls", []).append(one)
        elif kind in FIELD_BLOCKS:
            fields[FIELD_NAMES[kind]] = text
        else:
            fields["content"].append({"type": kind, "text": text})
    return fields


NAMED: tuple[BlockType, ...] = ("reasoning", "tool_call_id", "tool_name")
FIELD_NAMES = {"reasoning": "reasoning_content", "tool_call_id": "tool_call_id", "tool_name": "name"}


def from_fields(fields: Mapping[str, Any]) -> Message:
    """The message whose `to_fields` this is.

    Keys that are null count as absent; the content may be one text, `arguments` JSON text.
    """
    named = [(kind, fields.get(FIELD_NAMES[kind])) for kind in NAMED]
    before = [Block(kind, text) for kind, text in named if text is not None]
    after = [
        tool_call(call["function"]["name"], call["function"]["arguments"], call.get("id"))
        for call in fields.get("tool_calls") or ()
    ]
    content = fields["content"]
    if isinstance(content, str):  # a message of nothing but calls has no text
        content = [{"type": "text", "text": content}] if content or not (before or after) else []
    blocks = [Block(block["type"], block["text"]) for block in content]
    return Message(fields["role"], (*before, *blocks, *after))


def tool_call(name: str, arguments: Any, call_id: str | None = None) -> Block:
    """The block of one call; `arguments` as an object or as its JSON text, keys in the order of upstream."""
    if isinstance(arguments, str):
        arguments = _object(arguments)
    call = {"name": name, "arguments": arguments} | ({"id": call_id} if call_id is not None else {})
    return Block("tool_call", orjson.dumps(call).decode())


def _object(text: str) -> Any:
    """The JSON object that the text is, or the text where it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text
