"""VisionArena-Battle: votes of people between two anonymous models about images of their own; gated.

Columns as in `wildvision_battle`, but a list `images`, `num_turns`, and `categories` as flags. Ties (37 %) are
pairs with margin 0. A battle of several turns is about whole dialogues (see `curate.sources.arena.share`); the
images are taken to belong to the first user turn [I], so several images beside several turns are a skip.

Evidence: a public inspection of the set: 29,849 rows in 31 Parquet shards with the images in them, 25,713 of one
turn; winner model_a 9,374, model_b 9,354, tie (bothbad) 5,905, tie 5,216; columns `judge`, `winner`,
`num_turns`, `language`, `categories`, `images`, `question_id`, `model_a`, `model_b`, `conversation_a`,
`conversation_b`, `tstamp`, `conv_metadata`; and a public adapter that reads them (tests of its
`normalize_source_row`). Terms: an agreement of its own, to be accepted on the Hub. Unverified: the directory of
the shards.
"""

from collections.abc import Iterator
from typing import Any

from curate.errors import SkipRow
from curate.sources.arena import facts, read_vote, share
from curate.sources.base import Draft, Row, Source, with_media
from curate.sources.images import required_media
from curate.sources.messages import turns

FACTS = ("question_id", "language", "num_turns")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the side of a tie that is called chosen is model_a.

    Skips: `winner_unreadable`, `image_turns_unknown`, `no_reply`, `prompts_differ`, those of `turns` and of
    `with_media`.
    """
    vote = read_vote(row, ("tie", "tie (bothbad)"))
    best, worst = (turns(row[f"conversation_{side}"]) for side in (vote.best, vote.worst))
    prompt, chosen, rejected = share(best, worst)
    images = required_media(row["images"])
    if len(images) > 1 and sum(turn.role == "user" for turn in best) > 1:
        raise SkipRow("image_turns_unknown", f"{len(images)} images in a dialogue of several turns")
    prompt, media = with_media(prompt, images)
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        media=media,
        margin=0.0 if vote.tie else None,
        category=_category(row.get("categories")),
        extra=facts(row, FACTS, vote),
    )


def _category(flags: Any) -> str | None:
    """The names of the flags that are set."""
    found = sorted(name for name, value in flags.items() if value is True) if isinstance(flags, dict) else []
    return ", ".join(found) or None


SOURCE = Source(
    repo="lmarena-ai/VisionArena-Battle",
    files=("**/train-*.parquet",),
    annotator="human",
    languages=("en", "multilingual"),
    modality="image",
    paper="arXiv:2412.08687",
    rows=29_849,
    pairs=29_849,
    max_skip=0.15,
    reads=(
        "question_id",
        "model_a",
        "model_b",
        "winner",
        "conversation_a",
        "conversation_b",
        "language",
        "num_turns",
        "images",
        "categories",
    ),
    to_pairs=to_pairs,
)
