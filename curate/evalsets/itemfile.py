"""The items of a benchmark as one Parquet file with their media: what a scorer reads that knows no raw format."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import RawError
from curate.schema import MEDIA, MESSAGES, Media, Message
from curate.shard_schema import IMAGES

VERSION = 1
FLUSH_BYTES = 16 << 20
BATCH_ITEMS = 16  # read at a time: an item may hold dozens of frames

ITEMS = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("prompt", MESSAGES, nullable=False),
        pa.field("replies", pa.list_(MESSAGES), nullable=False),
        pa.field("media", MEDIA, nullable=False),
        IMAGES,
        pa.field("problem", pa.string()),
    ]
)
"""`item` is the key of a score file, `replies` the candidates in order; `problem` says why there are no media."""


class Entry(NamedTuple):
    """One item with its media; `images` holds the bytes of every image and frame, in order."""

    item: str
    prompt: Sequence[Message]
    replies: Sequence[Sequence[Message]]
    media: Sequence[Media] = ()
    images: Sequence[bytes] = ()
    problem: str | None = None


class Question(NamedTuple):
    """One item as a scorer gets it: messages are ready for a chat template."""

    item: str
    prompt: list[dict[str, Any]]
    replies: list[list[dict[str, Any]]]
    media: list[dict[str, Any]]
    images: list[bytes]
    problem: str | None


def write(path: Path, benchmark: str, entries: Iterable[Entry]) -> None:
    """Write the file in one pass over the entries; about 16 MB of them are held at a time."""
    schema = ITEMS.with_metadata({"benchmark": benchmark, "version": str(VERSION)})
    with pq.ParquetWriter(path, schema, compression="none") as file:
        held: list[dict[str, Any]] = []
        size = 0
        for entry in entries:
            held.append(_row(entry))
            size += sum(map(len, entry.images))
            if size >= FLUSH_BYTES or len(held) >= 1000:
                file.write_table(pa.Table.from_pylist(held, schema))
                held, size = [], 0
        file.write_table(pa.Table.from_pylist(held, schema))


def _row(entry: Entry) -> dict[str, Any]:
    keys = [key for one in entry.media for key in one.keys]
    return {
        "item": entry.item,
        "prompt": _messages(entry.prompt),
        "replies": [_messages(reply) for reply in entry.replies],
        "media": [one._asdict() for one in entry.media],
        "images": [{"bytes": data, "path": key} for data, key in zip(entry.images, keys, strict=True)],
        "problem": entry.problem,
    }


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": [block._asdict() for block in turn.content]} for turn in messages]


class ItemFile:
    """A written file; its items are streamed. Raises RawError for a file that is none."""

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
                for row in batch.to_pylist():
                    row["images"] = [image["bytes"] for image in row["images"]]
                    yield Question(**row)
