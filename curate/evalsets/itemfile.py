"""The items of an eval set with their media as one Parquet file, for a scorer that reads no raw format."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import RawError
from curate.schema import MESSAGES, Block, Message

VERSION = 2
"""2: critiques."""
FLUSH_BYTES, FLUSH_ITEMS = 16 << 20, 1000
BATCH_ITEMS = 16  # read at a time: an item may hold dozens of frames

ITEMS = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("prompt", MESSAGES, nullable=False),
        pa.field("replies", pa.list_(MESSAGES), nullable=False),
        pa.field("media", pa.list_(pa.struct([("kind", pa.string()), ("frames", pa.list_(pa.binary()))]))),
        pa.field("problem", pa.string()),
        pa.field("critiques", pa.list_(pa.string())),
    ]
)


class Question(NamedTuple):
    """One item as a scorer reads it.

    item       its key in a score file
    replies    the candidates, in order
    media      bytes of each image, or of each frame of a video, in the order of the prompt's blocks
    problem    why media of the prompt are missing; such an item cannot be scored
    critiques  what is said of each reply, where the eval set says something; None where it says nothing of one
    """

    item: str
    prompt: tuple[Message, ...]
    replies: tuple[tuple[Message, ...], ...]
    media: tuple[bytes | tuple[bytes, ...], ...] = ()
    problem: str | None = None
    critiques: tuple[str | None, ...] = ()


def write(path: Path, benchmark: str, questions: Iterable[Question]) -> None:
    """Write the file in one pass over the questions; about 16 MB of them are held at a time."""
    schema = ITEMS.with_metadata({"benchmark": benchmark, "version": str(VERSION)})
    with pq.ParquetWriter(path, schema, compression="none") as file:
        held: list[dict[str, Any]] = []
        size = 0
        for question in questions:
            held.append(_row(question))
            size += sum(len(frame) for one in held[-1]["media"] for frame in one["frames"])
            if size >= FLUSH_BYTES or len(held) >= FLUSH_ITEMS:
                file.write_table(pa.Table.from_pylist(held, schema))
                held, size = [], 0
        file.write_table(pa.Table.from_pylist(held, schema))


def _row(question: Question) -> dict[str, Any]:
    media = [
        {"kind": "image", "frames": [one]} if isinstance(one, bytes) else {"kind": "video", "frames": list(one)}
        for one in question.media
    ]
    replies = [_plain(reply) for reply in question.replies]
    return {**question._asdict(), "prompt": _plain(question.prompt), "replies": replies, "media": media}


def _plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": [block._asdict() for block in turn.content]} for turn in messages]


def _question(row: dict[str, Any]) -> Question:
    media = (one["frames"][0] if one["kind"] == "image" else tuple(one["frames"]) for one in row["media"])
    replies = tuple(_messages(reply) for reply in row["replies"])
    return Question(
        row["item"], _messages(row["prompt"]), replies, tuple(media), row["problem"], tuple(row["critiques"])
    )


def _messages(turns: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], tuple(Block(**block) for block in turn["content"])) for turn in turns)


class ItemFile:
    """An items file; its items are streamed. Raises RawError for any other file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with pq.ParquetFile(path) as file:
                facts = file.schema_arrow.metadata or {}
                self._count = int(file.metadata.num_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise RawError(str(path), f"not an items file ({str(error).splitlines()[0][:120]})") from None
        version = facts.get(b"version", b"").decode()
        if version != str(VERSION):
            raise RawError(str(path), f"items of version {version or 'unknown'}", f"version {VERSION}")
        self.benchmark = facts[b"benchmark"].decode()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Question]:
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(BATCH_ITEMS):
                yield from map(_question, batch.to_pylist())
