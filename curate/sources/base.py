"""The type of a source, and the functions that adapters are written with.

An adapter turns one upstream row into drafts: content only. The driver (`curate.pairs.normalize`) reads the files,
finds the media, stamps provenance and counts. A row that cannot become a pair raises `SkipRow("reason")`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from curate.errors import MissingColumn, SkipRow
from curate.schema import Block, MediaKind, Message


class Row(dict[str, Any]):
    """One upstream record; `row["x"]` raises MissingColumn with the column's name, `row.get("x")` gives None.

    `file` is the path of its file inside the raw directory, `context` the source's facts of that file.
    """

    file: str = ""
    context: Mapping[str, Any] = {}

    def __missing__(self, key: str) -> Any:
        raise MissingColumn(key)


@dataclass(slots=True, kw_only=True)
class MediaSource:
    """Media as upstream gives them: bytes, or a path to look up in the source's media (never opened as is).

    A video's path is the directory of its frames.
    """

    kind: MediaKind = "image"
    path: str = ""
    data: bytes | memoryview | None = None


@dataclass(slots=True, kw_only=True)
class Draft:
    """The content of one pair; the driver adds ids and provenance.

    `group` names what upstream groups by (a post, a ranked question); None: the row itself is the group.
    `annotator` and `license` override the source's own where upstream has them row by row. `media` are those of
    the prompt, then of chosen, then of rejected, in the order of their blocks; `tools` the JSON of the functions
    offered.
    """

    prompt: Sequence[Message]
    chosen: Sequence[Message]
    rejected: Sequence[Message]
    media: Sequence[MediaSource] = ()
    margin: float | None = None
    chosen_score: float | None = None
    rejected_score: float | None = None
    chosen_critique: str | None = None
    rejected_critique: str | None = None
    category: str | None = None
    annotator: str | None = None
    license: str | None = None
    group: str | None = None
    tools: str | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """One file of rows in a raw directory; `member` is its name in `path` if that is an archive."""

    path: Path
    member: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One public dataset: where it is published, its facts, and its adapter.

    files      glob patterns of the files that hold rows, relative to the raw directory; `archive.zip!*.jsonl`
               names members of an archive. A pattern that matches nothing is an error.
    row_files  replaces `files` where upstream has an index of its own (MMPR's meta.json) or where options
               choose the files: (raw directory, options) -> files.
    media      glob patterns of the archives (zip, tar, byte-split zip parts) and directories with media.
    local_media  the same for media that upstream does not have, or has a second time: looked up where they are,
                 never fetched.
    media_match  "path": the upstream path and the stored path must agree from the end until one of them is
               used up; "name": only the file name must agree (for sets whose images are fetched elsewhere).
    reads      the columns that the adapter may read, whatever its options and files; None: not known. Only these
               are converted where the format allows that, and all others are listed as not used.
    ignores    columns that it leaves out on purpose.
    manifest   the user's own manifest that the source was made from: there, a column that is neither read nor
               ignored and looks like media, scores, tool calls or part of a prompt stops the run.
    columns    a column function (`curate.sources.by_columns`), which gives what the adapter gives of many rows.
    types      where rows are nested and lines of JSON: the Arrow types of the columns that `columns` takes.
    options    a frozen dataclass with defaults; the adapter then takes (row, options).
    max_skip   the share of rows that may be skipped before the run stops.
    rows       rows as published, pairs as published or derived, with the default options; None where unknown.
    derived_pairs  options -> the pairs that they give by `rows`, an upper bound; None where nothing follows.
    version    goes up when the adapter's output changes; part of every fingerprint.
    """

    repo: str
    to_pairs: Callable[..., Iterator[Draft]]
    files: tuple[str, ...] = ()
    row_files: Callable[[Path, Any], list[RowFile]] | None = None
    media: tuple[str, ...] = ()
    local_media: tuple[str, ...] = ()
    media_match: Literal["path", "name"] = "path"
    reads: tuple[str, ...] | None = None
    ignores: tuple[str, ...] = ()
    manifest: str = ""
    columns: Callable[..., Any] | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    options: type[Any] | None = None
    license: str | None = None
    annotator: str | None = None
    languages: tuple[str, ...] = ("en",)
    modality: Literal["text", "image", "video"] = "text"
    paper: str = ""
    rows: int | None = None
    pairs: int | None = None
    derived_pairs: Callable[[Any], int | None] | None = None
    max_skip: float = 0.05
    version: int = 1


def text(row: Mapping[str, Any], column: str) -> str:
    """The column's text; anything else is a skip `<column>_not_text`."""
    value = row[column]
    if isinstance(value, str):
        return value
    raise SkipRow(f"{column}_not_text", type(value).__name__)


def number(row: Mapping[str, Any], column: str) -> float:
    """The column's number as a float (text such as "4" counts); else a skip `<column>_not_a_number`."""
    value = row[column]
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise SkipRow(f"{column}_not_a_number", repr(value)[:80])


def message(role: str, content: str) -> Message:
    """One text turn."""
    return Message(role, (Block("text", content),))


def user(content: str) -> list[Message]:
    """A prompt of one user turn."""
    return [message("user", content)]


def reply(content: str) -> list[Message]:
    """One assistant turn."""
    return [message("assistant", content)]


TOKENS = re.compile(r"<(image|video)(?:[_ ](\d+))?>")


def with_media(
    messages: Sequence[Message],
    media: Sequence[MediaSource],
    *,
    absent: Literal["prepend", "skip"] = "prepend",
) -> tuple[list[Message], list[MediaSource]]:
    """Turn placeholders (`<image>`, `<image_2>`, `<image 2>`, `<video>`) in text into media blocks.

    With no placeholder at all, the media go to the front of the first user turn (`absent="prepend"`). Numbered
    placeholders put the media into the order of their first mention. Skips: `placeholder_mismatch` where the
    count or the kinds do not match the media, `foreign_placeholder` where another system's stand beside media.
    """
    if media:
        _check_foreign(messages)
    found: list[tuple[str, int | None]] = []
    out = [_split_tokens(turn, found) for turn in messages]
    if not found and media and absent == "prepend":
        return _prepend(list(messages), media), list(media)
    ordered = _in_order(found, media)
    if [kind for kind, _ in found] != [item.kind for item in ordered]:
        raise SkipRow("placeholder_mismatch", f"{len(found)} placeholders, {len(media)} media")
    return out, ordered


FOREIGN = re.compile(
    r"<(?:image|img|video)\d+>|<(?:ImageHere|img|Image|IMAGE|image_placeholder|im_patch|IMG_CONTEXT|image_soft_token)>"
    r"|<\|(?:image|video|vision)\w*\|>|\[IMG\]|<start_of_image>"
)
"""Placeholders of other systems; where they stand for a picture their text would be read as words."""


def _check_foreign(messages: Sequence[Message]) -> None:
    for turn in messages:
        for block in turn.content:
            if block.text is not None and (tag := FOREIGN.search(block.text)):
                raise SkipRow("foreign_placeholder", tag[0])


def _split_tokens(turn: Message, found: list[tuple[str, int | None]]) -> Message:
    blocks: list[Block] = []
    for block in turn.content:
        if block.text is None or "<" not in block.text:
            blocks.append(block)
            continue
        position = 0
        for token in TOKENS.finditer(block.text):
            _add_text(blocks, block.text[position : token.start()])
            kind: MediaKind = "image" if token[1] == "image" else "video"
            blocks.append(Block(kind, None))
            found.append((kind, _placed_at(token[2])))
            # upstream writes "<image>\n" before the question: the line break belongs to the placeholder
            position = token.end() + block.text.startswith("\n", token.end())
        _add_text(blocks, block.text[position:])
    return Message(turn.role, tuple(blocks) or (Block("text", ""),))


def _placed_at(digits: str | None) -> int | None:
    """The number of a placeholder; 0, which fits no medium, where it has more digits than any row has media."""
    return None if digits is None else int(digits) if len(digits) < 10 else 0


def _add_text(blocks: list[Block], piece: str) -> None:
    if piece.strip():
        blocks.append(Block("text", piece))


def _in_order(found: list[tuple[str, int | None]], media: Sequence[MediaSource]) -> list[MediaSource]:
    numbers = [number for _, number in found]
    if not numbers or None in numbers:
        return list(media)
    if sorted(n for n in numbers if n is not None) != list(range(1, len(media) + 1)):
        raise SkipRow("placeholder_mismatch", f"placeholders {numbers}, {len(media)} media")
    return [media[n - 1] for n in numbers if n is not None]


def _prepend(messages: list[Message], media: Sequence[MediaSource]) -> list[Message]:
    blocks = tuple(Block(item.kind, None) for item in media)
    for i, turn in enumerate(messages):
        if turn.role == "user":
            messages[i] = Message("user", blocks + turn.content)
            return messages
    raise SkipRow("no_user_turn")
