"""The pair: its blocks, its identity and its Arrow schemas. No IO.

Identity is by content, as it survives a Parquet round trip: equal text, media and numbers give an equal
`pair_id` on any machine, in any file, at any position. Two rows of one source that say exactly the same
give the same id twice; `curate.mixing.select` tells such copies apart by their number.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import orjson
import pyarrow as pa
import xxhash

VERSION = 1

MediaKind = Literal["image", "video"]


class Block(NamedTuple):
    """One part of a message; a media block has no text and stands for the next of the pair's media."""

    type: Literal["text", "image", "video"]
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
        pa.field("extra", pa.string()),
    ]
)
"""The columns of a pair (design 4). `extra` is JSON."""

KEYS = pa.schema(
    [
        pa.field("prompt_key", pa.uint64(), nullable=False),
        pa.field("chosen_key", pa.uint64(), nullable=False),
        pa.field("rejected_key", pa.uint64(), nullable=False),
        pa.field("text_bytes", pa.uint32(), nullable=False),
        pa.field("chosen_bytes", pa.uint32(), nullable=False),
        pa.field("rejected_bytes", pa.uint32(), nullable=False),
        pa.field("media_bytes", pa.uint64(), nullable=False),
    ]
)
"""Key columns that stand beside the pair in a pairs file, so that corpus passes never read text.

`prompt_key` covers the prompt and its media; `text_bytes` is the UTF-8 size of all text, `chosen_bytes` and
`rejected_bytes` that of the replies; `media_bytes` is the size of the media as received.
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
