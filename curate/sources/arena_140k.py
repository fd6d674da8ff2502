"""Arena human preference 140k: votes of people between two anonymous models, from LMArena.

`conversation_a` and `conversation_b` are the dialogues of this battle, with block lists as content; after a vote
other models continue, so `full_conversation`, which has the turns of earlier battles too, is not read. Votes are
model_a, model_b, tie and both_bad; a tie is a pair with margin 0. A battle of several turns is about whole
dialogues: the prompt is what both sides share, a reply is all that follows (see `curate.sources.arena.share`).

Evidence: a public extractor of the set (its schema: role, content blocks {type, text, image, mimeType}, the four
votes), Parquet in seven shards `train-0000?-of-00007` in a public analysis, about 136 k rows by the viewer.
Licence by a copy of the card: prompts CC-BY-4.0, replies under their providers' terms. Unverified: the exact
count, and battles with images: an image is a skip.
"""

from collections.abc import Iterator

from curate.sources.arena import facts, read_vote, share
from curate.sources.base import Draft, Row, Source
from curate.sources.messages import turns

FACTS = ("id", "evaluation_session_id", "evaluation_order", "language", "is_code")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the side of a tie that is called chosen is model_a.

    Skips: `winner_unreadable`, `no_reply`, `prompts_differ`, and those of `turns`.
    """
    vote = read_vote(row, ("tie", "both_bad"))
    best, worst = (turns(row[f"conversation_{side}"]) for side in (vote.best, vote.worst))
    prompt, chosen, rejected = share(best, worst)
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=0.0 if vote.tie else None,
        category="code" if row.get("is_code") else None,
        extra=facts(row, FACTS, vote),
    )


SOURCE = Source(
    repo="lmarena-ai/arena-human-preference-140k",
    files=("data/train-*.parquet",),
    license="cc-by-4.0-prompts-only",
    annotator="human",
    reads=(
        "id",
        "evaluation_session_id",
        "evaluation_order",
        "model_a",
        "model_b",
        "winner",
        "conversation_a",
        "conversation_b",
        "language",
        "is_code",
    ),
    to_pairs=to_pairs,
)
