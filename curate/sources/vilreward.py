"""ViLReward-73K: reasoning processes about images, each with a value; best and worst of a question are a pair.

A row is one process. The rows of one image and question are a group, wherever they are in the file: the row with
the highest value gives the pair with the lowest one as the rejected side, and the others are skips
`not_best_of_question`, hence the high max_skip. The whole file is read for that once in each process. Equal
values are ordered by the hash of their text.

Evidence: the publisher's tree (vilreward_73k_train.json, 132 MB, and images.zip; MIT), and a public adapter of
commit 4ea6a938 with its tests (`index`, `image_path`, `question`, `process`, `value`), which groups by image and
question and keeps pairs that are 0.25 apart: `min_gap` does that. Unverified: the scale of `value`, and whether
the file is one JSON list.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from curate.errors import MissingColumn, RawError, SkipRow
from curate.sources.base import Draft, Row, RowFile, Source, number, reply, text, user, with_media
from curate.sources.images import required_media

FILE = "vilreward_73k_train.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`min_gap`: the least difference of two values that makes a pair."""

    min_gap: float = 0.0

    def __post_init__(self) -> None:
        if not self.min_gap >= 0:
            raise ValueError(f"min_gap is {self.min_gap:g}; it must be 0 or more")


class Ends(NamedTuple):
    """The best process of a question, and the worst with its value."""

    best: str
    worst: str
    value: float


def row_files(raw: Path, _: Options) -> list[RowFile]:
    """The one file. Raises RawError where it is missing."""
    path = raw / FILE
    if not path.is_file():
        raise RawError(str(path), "no such file", "the rows of ViLReward-73K", "curate fetch vilreward")
    return [RowFile(path=path, context={"path": path})]


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair for each question, at the row of its best process.

    Skips: `not_best_of_question`, `all_tied`, `below_min_gap`.
    """
    process, value = text(row, "process"), number(row, "value")
    path, question = text(row, "image_path"), text(row, "question")
    ends = _ends(row.context["path"], row.context["path"].stat().st_mtime_ns).get((path, question))
    if ends is None or _key(row) != ends.best:
        raise SkipRow("not_best_of_question")
    if value == ends.value:
        raise SkipRow("all_tied", f"{value:g}")
    if value - ends.value < options.min_gap:
        raise SkipRow("below_min_gap", f"{value:g} and {ends.value:g}")
    prompt, media = with_media(user(question), required_media(path))
    yield Draft(
        prompt=prompt,
        chosen=reply(process),
        rejected=reply(ends.worst),
        media=media,
        margin=value - ends.value,
        chosen_score=value,
        rejected_score=ends.value,
        extra={"index": row["index"]},
    )


def _key(row: Row) -> str:
    """What one row is known by: its process, and its index where two rows have the same."""
    return f"{xxhash.xxh3_64_hexdigest(str(row['process']).encode('utf-8', 'surrogatepass'))} {row['index']}"


@lru_cache(maxsize=1)
def _ends(path: Path, _changed: int) -> dict[tuple[str, str], Ends]:
    """The two ends of every question of the file; rows that cannot be read take no part.

    Raises RawError where the file is no JSON list.
    """
    found: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
    for entry in _entries(path):
        row = Row(entry) if isinstance(entry, dict) else Row()
        try:
            rated = (number(row, "value"), _key(row), text(row, "process"))
            found.setdefault((text(row, "image_path"), text(row, "question")), []).append(rated)
        except (SkipRow, MissingColumn):
            continue
    return {question: _both(rated) for question, rated in found.items()}


def _entries(path: Path) -> list[Any]:
    data = path.read_bytes()
    try:  # bytes that are not UTF-8 spoil their row only, as in the reader of rows
        entries = json.loads(data.decode(json.detect_encoding(data), "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise RawError(path.name, f"no whole JSON ({error})", "one list of rows", "fetch the file again") from None
    if not isinstance(entries, list):
        raise RawError(path.name, f"a {type(entries).__name__} at its top", "one list of rows")
    return entries


def _both(rated: list[tuple[float, str, str]]) -> Ends:
    best = min(rated, key=lambda one: (-one[0], one[1]))
    worst = min(rated, key=lambda one: (one[0], one[1]))
    return Ends(best[1], worst[2], worst[0])


SOURCE = Source(
    repo="UCSC-VLAA/ViLReward-73K",
    row_files=row_files,
    media=("images.zip", "images"),
    options=Options,
    license="mit",
    modality="image",
    paper="arXiv:2503.20271",
    max_skip=0.98,
    reads=("index", "image_path", "question", "process", "value"),
    to_pairs=to_pairs,
)
