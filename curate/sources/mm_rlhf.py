"""MM-RLHF: human rankings of three to five replies about an image or a video, and the pairs made of them.

`data: pairs` reads dpo_pairs.jsonl, with the annotators' reasons as critiques; `data: ranked` reads data.jsonl and
makes the pairs by `pairing`. A video is a folder of frames.

Media are found by path, not by name: an extra top directory inside a zip is covered by comparing paths from their
end, whereas names repeat (frames are numbered, and long/1.jpg is not short/1.jpg).

Evidence: the publisher's own converters (Kwai-YuanQi/MM-RLHF, scripts/convert_to_swift.py and
llava/train/train_dpo.py) for dpo_pairs.jsonl, and a public adapter that finds its images in short, long, mcq and
safety.zip by the path's first folder. Nothing was found for the direction of `final_ranking`.

Unverified upstream: the columns of data.jsonl [T], and the direction of `final_ranking` [?]. It is an option, and
1 is the best by default. Every item of MM-RLHF-RewardBench is a sample of this set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from curate.errors import RawError, SkipRow
from curate.sources.base import Draft, MediaSource, Row, RowFile, Source, reply, text, user, with_media
from curate.sources.images import media_of
from curate.sources.ranking import Pairing, pairings

KINDS = ("mcq", "long", "short", "safety", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which file is read, and how a ranking becomes pairs (`data: ranked` only)."""

    data: Literal["pairs", "ranked"] = "pairs"
    final_ranking: Literal["lower_is_better", "higher_is_better"] = "lower_is_better"
    pairing: Pairing = "all_unequal"


def row_files(raw: Path, options: Options) -> list[RowFile]:
    """The one file that `data` names. Raises RawError where it is missing."""
    path = raw / ("dpo_pairs.jsonl" if options.data == "pairs" else "data.jsonl")
    if not path.is_file():
        raise RawError(str(path), "no such file", f"the rows of data: {options.data}", "curate fetch mm_rlhf")
    return [RowFile(path=path)]


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair a row, or those of a ranking."""
    yield from _ranked(row, options) if options.data == "ranked" else _pair(row)


def _pair(row: Row) -> Iterator[Draft]:
    media, path = _media(row)
    prompt, media = with_media(user(text(row, "prompt")), media)
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        media=media,
        chosen_critique=_critique(row.get("chosen_reason")),
        rejected_critique=_critique(row.get("rejected_reason")),
        category=kind_of(path),
        # the pairs of one ranking share id and medium; one id may belong to several questions
        group=f"{row['id']}\n{path}" if row.get("id") is not None else None,
        extra=_facts(row, path),
    )


def _critique(reason: Any) -> str | None:
    return reason if isinstance(reason, str) and reason else None


def _ranked(row: Row, options: Options) -> Iterator[Draft]:
    media, path = _media(row)
    prompt, media = with_media(user(text(row, "question")), media)
    replies, ranks = _rated(row["models_output"], row["final_ranking"])
    sign = -1.0 if options.final_ranking == "lower_is_better" else 1.0
    for best, worst in pairings([sign * rank for rank in ranks], options.pairing, replies):
        yield Draft(
            prompt=prompt,
            chosen=reply(replies[best]),
            rejected=reply(replies[worst]),
            media=media,
            margin=abs(ranks[best] - ranks[worst]),
            category=kind_of(path),
            extra=_facts(row, path) | {"chosen_rank": ranks[best], "rejected_rank": ranks[worst]},
        )


def _facts(row: Row, path: str) -> dict[str, Any]:
    return {key: value for key, value in (("id", row.get("id")), ("path", path)) if value}


def _rated(outputs: Any, ranking: Any) -> tuple[list[str], list[float]]:
    """The replies that have a rank, with their ranks. Skips: `ranking_unreadable`."""
    if not isinstance(outputs, list) or not isinstance(ranking, list) or len(outputs) != len(ranking):
        raise SkipRow("ranking_unreadable", "not one rank for each output")
    pairs = zip(outputs, ranking, strict=True)
    rated = [(output, rank) for output, rank in pairs if output is not None and rank is not None]
    try:
        return [_text(output) for output, _ in rated], [float(rank) for _, rank in rated]
    except (TypeError, ValueError):
        raise SkipRow("ranking_unreadable", repr(ranking)[:80]) from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise SkipRow("output_not_text", type(value).__name__)


def _media(row: Row) -> tuple[list[MediaSource], str]:
    """The image or the video of a row, and its path. Skips: `image_and_video`, `no_media`."""
    images, video = media_of(row.get("image")), row.get("video")
    if images and video:
        raise SkipRow("image_and_video")
    if video:
        path = text(row, "video").rstrip("/")
        return [MediaSource(kind="video", path=path)], path
    if not images:
        raise SkipRow("no_media")
    return images, images[0].path


def kind_of(path: str) -> str | None:
    """The kind of question; upstream gives it only as a directory in the path of the image or video."""
    return next((part for part in PurePosixPath(path).parts if part in KINDS), None)


SOURCE = Source(
    repo="yifanzhang114/MM-RLHF",
    row_files=row_files,
    media=("long.zip", "short.zip", "mcq.zip", "safety.zip", "video.zip"),
    options=Options,
    annotator="human",
    modality="video",
    paper="arXiv:2502.10391",
    rows=62_545,
    pairs=62_545,
    reads=(
        "id",
        "image",
        "video",
        "prompt",
        "chosen",
        "rejected",
        "chosen_reason",
        "rejected_reason",
        "question",
        "models_output",
        "final_ranking",
    ),
    to_pairs=to_pairs,
)
