"""Pairs artefacts for tests, written from dicts that a person can read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.schema import (
    PAIRS_FILE,
    Block,
    Media,
    Message,
    combine,
    fields_digest,
    key64,
    media_digest,
    messages_digest,
)

KNOWN = ("margin", "chosen_score", "rejected_score", "chosen_critique", "rejected_critique")
NUMBERS = ("margin", "chosen_score", "rejected_score")
TEXTS = ("chosen_critique", "rejected_critique", "category", "annotator", "license", "extra")


def turn(role: str, *content: str) -> Message:
    """One turn; `<image>` and `<video>` stand for media blocks, anything else is a text block."""
    kinds = {"<image>": "image", "<video>": "video"}
    return Message(role, tuple(Block(kinds[c], None) if c in kinds else Block("text", c) for c in content))


def pair(**given: Any) -> dict[str, Any]:
    """One row of a pairs file.

    prompt, chosen, rejected   text, or a list of turns (see `turn`); a text prompt gets its media blocks in front
    media                      list of store keys (one image each) or Media
    source, row, group         default "test", "test.jsonl:0", and a group of its own per row
    the rest                   columns of curate.schema.PAIR, null by default
    """
    source, row = given.get("source", "test"), given.get("row", "test.jsonl:0")
    media = [m if isinstance(m, Media) else Media("image", (m,)) for m in given.get("media", ())]
    prompt = _messages(given.get("prompt", "What is 1 + 1?"), "user", [f"<{m.kind}>" for m in media])
    chosen, rejected = (_messages(given.get(side, side), "assistant", []) for side in ("chosen", "rejected"))
    numbers = {name: given.get(name) for name in NUMBERS}
    texts = {name: given.get(name) for name in TEXTS}
    digests = [messages_digest(prompt), messages_digest(chosen), messages_digest(rejected), media_digest(media)]
    return {
        "pair_id": combine(source, *digests, fields_digest(list(numbers.values()), list(texts.values()))),
        "group_id": combine(source, str(given.get("group", row)).encode()),
        "source": source,
        "row": row,
        "prompt": _plain(prompt),
        "chosen": _plain(chosen),
        "rejected": _plain(rejected),
        "media": [{"kind": m.kind, "keys": list(m.keys)} for m in media],
        **numbers,
        **texts,
        "revision": given.get("revision"),
        "prompt_key": key64(digests[0], digests[3]),
        "chosen_key": key64(digests[1]),
        "rejected_key": key64(digests[2]),
        "text_bytes": _size(prompt) + _size(chosen) + _size(rejected),
        "chosen_bytes": _size(chosen),
        "rejected_bytes": _size(rejected),
        "media_bytes": given.get("media_bytes", 0),
        "tools": given.get("tools"),
        "reply_media": given.get("reply_media", 0),
        "has_fields": given.get("has_fields", False),
        "known": sum(given.get(name) is not None for name in KNOWN),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as one table with the schema of a pairs file; a row without `row` gets its number."""
    numbered = [{"row": f"test.jsonl:{i}", **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist([pair(**row) for row in numbered], schema=PAIRS_FILE)


def write_pairs(directory: Path, rows: Sequence[Mapping[str, Any]], *, part_rows: int = 1000) -> tuple[str, ...]:
    """Write the rows as the parts of a pairs artefact, `part_rows` in each; the names of the parts."""
    directory.mkdir(parents=True, exist_ok=True)
    whole = table(rows)
    parts = []
    for start in range(0, max(whole.num_rows, 1), part_rows):
        parts.append(f"part-{len(parts):05d}.parquet")
        pq.write_table(whole.slice(start, part_rows), directory / parts[-1], compression="zstd")
    return tuple(parts)


def _size(messages: Sequence[Message]) -> int:
    return sum(len((block.text or "").encode()) for message in messages for block in message.content)


def _messages(value: Any, role: str, front: Sequence[str]) -> list[Message]:
    return [turn(role, *front, value)] if isinstance(value, str) else list(value)


def _plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{"role": m.role, "content": [b._asdict() for b in m.content]} for m in messages]
