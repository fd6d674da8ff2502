"""VLFeedback: up to four replies about an image, each rated by GPT-4V in three aspects, on a scale from 1 to 5.

A reply's score is the mean of its three ratings. Ratings are text and not always numbers: a reply without three
numbers is left out, and with fewer than two left the row is skipped; so is one whose replies all score the same,
hence the higher max_skip. The rationales become the critiques.

`completions` comes as a list of structs or as a struct of lists, by the version of `datasets` that wrote it; the
publisher's own loader reads the second (vlf-silkie/VLFeedback, run_dpo.py, which also skips ratings that are no
numbers). The main branch has Parquet files in `data/` with the images in them, and besides merged_images.zip,
the same images by `img_path` for the rows of older revisions: only the Parquet files are fetched, the zip is
read where it is there. The licence is not stated.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import media_of, required_media
from curate.sources.ranking import Pairing, pairings

ASPECTS = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the ratings of one question become pairs."""

    pairing: Pairing = "all_unequal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """One reply with its score (1 to 5, higher is better)."""

    text: str
    model: str | None
    score: float
    critique: str | None


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """The pairs of one question; margin is the difference of the scores."""
    prompt, media = with_media(
        user(text(row, "prompt")), media_of(row.get("image")) or required_media(row.get("img_path"))
    )
    replies = [rated for entry in entries(row["completions"]) if (rated := rate(entry)) is not None]
    for i, j in pairings([r.score for r in replies], options.pairing, [r.text for r in replies]):
        best, worst = replies[i], replies[j]
        yield Draft(
            prompt=prompt,
            chosen=reply(best.text),
            rejected=reply(worst.text),
            media=media,
            margin=best.score - worst.score,
            chosen_score=best.score,
            rejected_score=worst.score,
            chosen_critique=best.critique,
            rejected_critique=worst.critique,
            extra={"id": row["id"], "chosen_model": best.model, "rejected_model": worst.model},
        )


def entries(completions: Any) -> list[Mapping[str, Any]]:
    """The replies as a list of structs, whichever of the two shapes upstream has.

    Skips: `completions_unreadable`.
    """
    if isinstance(completions, Mapping):
        columns = list(completions.values())
        if not all(isinstance(c, list) for c in columns) or len({len(c) for c in columns}) > 1:
            raise SkipRow("completions_unreadable", "lists of unequal lengths")
        return [dict(zip(completions, values, strict=True)) for values in zip(*columns, strict=True)]
    if isinstance(completions, list) and all(isinstance(entry, Mapping) for entry in completions):
        return completions
    raise SkipRow("completions_unreadable", type(completions).__name__)


def rate(entry: Mapping[str, Any]) -> Rated | None:
    """The reply with the mean of its ratings; None where it has no text or lacks a numeric rating."""
    response, annotations = entry.get("response"), entry.get("annotations")
    if not isinstance(response, str) or not isinstance(annotations, Mapping):
        return None
    notes = [annotations.get(aspect) for aspect in ASPECTS]
    ratings = [_rating(note.get("Rating")) for note in notes if isinstance(note, Mapping)]
    known = [rating for rating in ratings if rating is not None]
    if len(known) < len(ASPECTS):
        return None
    reasons = [
        f"{aspect}: {note['Rationale']}"
        for aspect, note in zip(ASPECTS, notes, strict=True)
        if isinstance(note, Mapping) and note.get("Rationale")
    ]
    critique = "\n".join(reasons) or None
    return Rated(text=response, model=entry.get("model"), score=sum(known) / len(ASPECTS), critique=critique)


def _rating(value: Any) -> float | None:
    try:
        rating = float(value)
    except (TypeError, ValueError):
        return None
    return rating if math.isfinite(rating) else None


ROWS = 80_258


def derived_pairs(options: Options) -> int | None:
    """At most one pair a question for `best_vs_worst`; the others depend on how many scores are equal."""
    return ROWS if options.pairing == "best_vs_worst" else None


SOURCE = Source(
    repo="MMInstruction/VLFeedback",
    files=("**/*.parquet",),
    local_media=("**/*.zip", "images", "merged_images"),
    options=Options,
    annotator="gpt-4v",
    modality="image",
    paper="arXiv:2410.09421",
    rows=ROWS,
    derived_pairs=derived_pairs,
    max_skip=0.1,
    reads=("id", "prompt", "completions", "img_path", "image"),
    to_pairs=to_pairs,
)
