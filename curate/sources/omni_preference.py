"""Omni-Preference (Omni-RRM): two replies about an image or a video, with a verdict that two judges agreed on.

Question and replies are in the judge's prompt, behind "### Context": a line with the file, then "Question:",
"Candidate A:" and "Candidate B:". A prompt in which one of these headings begins a line twice is a skip, as a
reply that quotes the template cannot be distinguished from it. The verdict is JSON in `solution`: scores from 0
to 10, `better` (A, B or equal) and a rationale about both replies. Audio rows are not read.

Videos are mp4 files, and a video here is a folder of frames: to read `parts: [video]`, put the frames of
`video-dataset/.../2D98B.mp4` into the folder `video-dataset/.../2D98B`.

Evidence: the project's README (dma2077/Omni-RRM) for folders and sources, and two public converters of
`dataset_jsonl/<part>/final_rl_data.jsonl` (of verl-omni and UniRL) for rows, headings, paths that begin with
/data/, and 6,637 image and 4,327 video rows in one copy, against 17.0k and 12.2k pairs in the paper. Unverified:
how the rows of final_sft_data.jsonl look, which hold the rest; the licence, of which the card has none.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from curate.errors import RawError, SkipRow
from curate.sources.base import Draft, MediaSource, Row, RowFile, Source, number, reply, text, user, with_media

HEADINGS = re.compile(r"^(?:(?:Image|Video) file|Question|Candidate A|Candidate B):[ ]*", re.MULTILINE)
EXPECTED = ("file", "Question", "Candidate A", "Candidate B")
Part = Literal["image", "video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`parts`: the modalities to read, in this order."""

    parts: tuple[Part, ...] = ("image",)

    def __post_init__(self) -> None:
        if not self.parts or len(set(self.parts)) < len(self.parts):
            raise ValueError("parts must name image, video or both, each once")


def row_files(raw: Path, options: Options) -> list[RowFile]:
    """One file for each part. Raises RawError where one is missing."""
    out = []
    for part in options.parts:
        path = raw / "dataset_jsonl" / part / "final_rl_data.jsonl"
        if not path.is_file():
            raise RawError(str(path), "no such file", f"the part {part}", "fetch it or take it out of parts")
        out.append(RowFile(path=path, context={"part": part}))
    return out


def to_pairs(row: Row, _: Options) -> Iterator[Draft]:
    """One pair a row; a verdict `equal` is a pair with margin 0 whose chosen side is Candidate A.

    Skips: `context_unreadable`, `context_ambiguous`, `solution_not_json`, `verdict_unknown`,
    `scores_contradict_verdict`, `not_one_medium`.
    """
    part: Part = row.context["part"]
    question, replies = read_context(_prompt(row))
    solution = _solution(text(row, "solution"))
    winner = {"A": 0, "B": 1, "equal": None}.get(str(solution["better"]), -1)
    if winner == -1:
        raise SkipRow("verdict_unknown", repr(solution["better"])[:80])
    best = winner or 0
    scores = [number(solution, "score_A"), number(solution, "score_B")]
    margin = 0.0 if winner is None else scores[best] - scores[1 - best]
    if margin < 0:
        raise SkipRow("scores_contradict_verdict", f"{solution['better']} with {scores[0]:g} and {scores[1]:g}")
    medium = _medium(row[f"{part}s"], part)
    prompt, media = with_media(user(question), [medium])
    yield Draft(
        prompt=prompt,
        chosen=reply(replies[best]),
        rejected=reply(replies[1 - best]),
        media=media,
        margin=margin,
        chosen_score=scores[best],
        rejected_score=scores[1 - best],
        category=part,
        group=f"{medium.path}\n{question}",
        extra={"path": medium.path, "rationale": solution.get("reasoning"), "verdict": solution["better"]},
    )


def _prompt(row: Row) -> str:
    messages = row["messages"]
    first = messages[0] if isinstance(messages, list) and messages else None
    content = first.get("content") if isinstance(first, dict) else None
    if not isinstance(content, str):
        raise SkipRow("context_unreadable", "no text in the first message")
    return content


def read_context(prompt: str) -> tuple[str, tuple[str, str]]:
    """The question and the two candidates. Skips: `context_unreadable`, `context_ambiguous`."""
    _, marker, context = prompt.partition("### Context")
    found = list(HEADINGS.finditer(context))
    names = ["file" if "file" in heading[0] else heading[0].partition(":")[0] for heading in found]
    if not marker or not set(EXPECTED) <= set(names):
        raise SkipRow("context_unreadable", ", ".join(names)[:80] or "no heading")
    if tuple(names) != EXPECTED:
        raise SkipRow("context_ambiguous", ", ".join(names)[:80])
    ends = [heading.start() for heading in found[1:]] + [len(context)]
    _, question, first, second = (
        context[heading.end() : end].strip() for heading, end in zip(found, ends, strict=True)
    )
    return question, (first, second)


def _solution(value: str) -> Row:
    try:
        solution = json.loads(value)
    except ValueError as error:
        raise SkipRow("solution_not_json", str(error)) from None
    if not isinstance(solution, dict):
        raise SkipRow("solution_not_json", f"{type(solution).__name__} instead of an object")
    return Row(solution)


def _medium(paths: Any, part: Part) -> MediaSource:
    if not isinstance(paths, list) or len(paths) != 1 or not isinstance(paths[0], str):
        raise SkipRow("not_one_medium", repr(paths)[:80])
    path = PurePosixPath(paths[0].replace("\\", "/").strip().removeprefix("/data/"))
    return MediaSource(kind=part, path=str(path.with_suffix("") if part == "video" else path))


SOURCE = Source(
    repo="Omni-RRM/Omni-Preference",
    row_files=row_files,
    media=("rlaif-v-dataset",),
    local_media=("video-dataset",),
    options=Options,
    annotator="two judge models",
    modality="video",
    paper="arXiv:2602.00846",
    reads=("images", "videos", "messages", "solution"),
    to_pairs=to_pairs,
)
