"""The pairs of a shard as the formats take them: turns of text with places for images, and the images in order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from curate import parquet
from curate.images.store import ImageStore
from curate.mixing.shard_schema import SIDES

BATCH_BYTES = 32_000_000
BATCH_ROWS = 1000

FACTS = (
    "group_id", "source", "margin", "chosen_score", "rejected_score", "chosen_critique", "rejected_critique",
    "category", "annotator", "license", "revision", "repeat", "weight", "extra",
)  # fmt: skip
"""What a pair has beside its dialogue, its media and its tools."""

PLACE = "<image>"
"""The place of one image in a text."""

TAGS = (PLACE, "<video>", "<audio>")
"""What trainers take for the place of a medium, whoever wrote it."""


class Image(NamedTuple):
    """One image: its key in the image store, and its bytes as received."""

    key: str
    data: bytes


class Turn(NamedTuple):
    """One message: its content is one text, or blocks `{type, text}` where it has media; `fields` are its others.

    A video's block is as many image blocks as it has frames.
    """

    role: str
    content: str | Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any]

    @property
    def tagged(self) -> str:
        """The content as one text, each image a PLACE."""
        if isinstance(self.content, str):
            return self.content
        return "".join(PLACE if block["type"] == "image" else block["text"] for block in self.content)

    @property
    def blocks(self) -> Sequence[Mapping[str, Any]]:
        """The content as blocks."""
        return [{"type": "text", "text": self.content}] if isinstance(self.content, str) else self.content

    @property
    def calls(self) -> Sequence[tuple[str, str]]:
        """The name and the arguments, as JSON text, of each call of a tool."""
        functions = [call["function"] for call in self.fields.get("tool_calls", ())]
        return [(function["name"], function["arguments"]) for function in functions]

    @property
    def message(self) -> dict[str, Any]:
        """The message with its content as one text."""
        content = self.content if isinstance(self.content, str) else self.tagged
        return {"role": self.role, "content": content, **self.fields}


@dataclass(slots=True)  # not frozen: that would take a third of the time of an export
class Pair:
    """One pair of a shard; `images` are those of all its blocks in order, `row` holds its columns as read.

    `videos` is how many of its media are videos, `reply_images` how many images the replies hold.
    """

    prompt: Sequence[Turn]
    chosen: Sequence[Turn]
    rejected: Sequence[Turn]
    images: Sequence[Image]
    videos: int
    reply_images: int
    row: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The `pair_id`."""
        return str(self.row["pair_id"])

    @property
    def tools(self) -> str | None:
        """The tools as JSON, where the pair has any."""
        return self.row.get("tools")

    @property
    def margin(self) -> float:
        """The margin, 0 where it has none: what every trainer takes for no margin."""
        return self.row["margin"] or 0.0

    @property
    def turns(self) -> Sequence[Turn]:
        """All turns: of the prompt, of chosen, of rejected."""
        return [*self.prompt, *self.chosen, *self.rejected]


def read(path: Path, images: ImageStore | None) -> Iterator[Pair]:
    """The pairs of a shard, in order; a bounded part of it is in memory. `images` has those that it refers to.

    Raises WorkspaceError where the shard or an image is damaged.
    """
    with parquet.opened(path, "a Parquet file") as file:
        names = set(file.schema_arrow.names)
    wanted = [name for name in ("pair_id", *SIDES, "media", "images", "tools", *FACTS) if name in names]
    for batch in parquet.batches(path, wanted, BATCH_BYTES, BATCH_ROWS, "a Parquet file"):
        rows = batch.to_pylist()
        if images is not None and "images" not in names:
            _add_images(rows, images)
        for row in rows:
            yield pair(row)


def _add_images(rows: Sequence[dict[str, Any]], images: ImageStore) -> None:
    """Give rows that refer to images in the store the column that embedded ones have."""
    keys = [[key for item in row["media"] for key in item["keys"]] for row in rows]
    data = iter(images.read_many([key for some in keys for key in some]))
    for row, some in zip(rows, keys, strict=True):
        row["images"] = [{"path": key, "bytes": next(data)} for key in some]


def pair(row: Mapping[str, Any]) -> Pair:
    """The pair of a shard's row."""
    media = row["media"]
    if not media:
        prompt, chosen, rejected = ([_turn(turn) for turn in row[side]] for side in SIDES)
        return Pair(prompt, chosen, rejected, (), 0, 0, row)
    sizes = iter([len(item["keys"]) for item in media])
    prompt, chosen, rejected = ([_turn_with_media(turn, sizes) for turn in row[side]] for side in SIDES)
    return Pair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        images=[Image(image["path"], image["bytes"]) for image in row["images"]],
        videos=sum(item["kind"] == "video" for item in media),
        reply_images=sum(_images(turn) for turn in (*chosen, *rejected)),
        row=row,
    )


NONE: Mapping[str, Any] = {}


def _turn(turn: Mapping[str, Any]) -> Turn:
    content = turn["content"]
    if not isinstance(content, str):
        content = "".join(block["text"] for block in content)
    return Turn(turn["role"], content, NONE if len(turn) == 2 else fields(turn))


def _turn_with_media(turn: Mapping[str, Any], sizes: Iterator[int]) -> Turn:
    if all(block["type"] == "text" for block in turn["content"]):
        return _turn(turn)
    blocks: list[Mapping[str, Any]] = []
    for block in turn["content"]:
        blocks += [block] if block["type"] == "text" else [{"type": "image", "text": None}] * next(sizes)
    return Turn(turn["role"], blocks, NONE if len(turn) == 2 else fields(turn))


def fields(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What a message has beside its role and content; nulls are not there."""
    named = {name: value for name, value in without_nulls(turn).items() if name not in ("role", "content")}
    if "tool_calls" in named:
        named["tool_calls"] = [without_nulls(call) for call in named["tool_calls"]]
    return named


def without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not null."""
    return {name: value for name, value in values.items() if value is not None}


def _images(turn: Turn) -> int:
    return 0 if isinstance(turn.content, str) else sum(block["type"] == "image" for block in turn.content)
