"""WildVision-Battle: people's votes between two anonymous models about an image of their own.

Verdicts are `model_a`, `model_b`, `tie` and `tie (bothbad)`; about a third are ties [T], pairs with margin 0. In a
dialogue of several turns each model answered its own history; such rows have no common prompt and are skipped
(`histories_differ`), hence the high max_skip. Unverified upstream: columns and splits [T], and that the image
belongs to the first user turn [I].

Evidence: the card of a sibling (WildVision/wildvision-internal-data, config battle) for columns and types.
"""

from collections.abc import Iterator, Sequence

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.arena import facts, read_vote
from curate.sources.base import Draft, Row, Source, with_media
from curate.sources.images import required_media
from curate.sources.messages import split_dialogue, turns

TIES = ("tie", "tie (bothbad)")
FACTS = ("question_id", "language", "turn", "anony", "domain")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the side of a tie that is called chosen is model_a."""
    vote = read_vote(row, TIES)
    left, right = turns(row["conversation_a"]), turns(row["conversation_b"])
    if user_turns(left) == user_turns(right) and len(left) == len(right) and left[:-1] != right[:-1]:
        raise SkipRow("histories_differ")
    prompt, chosen, rejected = split_dialogue(row[f"conversation_{vote.best}"], row[f"conversation_{vote.worst}"])
    prompt, media = with_media(prompt, required_media(row["image"]))
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        media=media,
        margin=0.0 if vote.tie else None,
        extra=facts(row, FACTS, vote),
    )


def user_turns(messages: Sequence[Message]) -> list[Message]:
    """The turns of a dialogue that are not the assistant's."""
    return [turn for turn in messages if turn.role != "assistant"]


SOURCE = Source(
    repo="WildVision/wildvision-battle",
    files=("**/*.parquet",),
    license="odc-by",
    annotator="human",
    modality="image",
    paper="arXiv:2406.11069",
    max_skip=0.3,
    reads=(
        "question_id",
        "model_a",
        "model_b",
        "conversation_a",
        "conversation_b",
        "language",
        "image",
        "turn",
        "anony",
        "winner",
        "domain",
    ),
    to_pairs=to_pairs,
)
