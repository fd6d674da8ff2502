"""POVID: good replies about COCO images, against the same replies with hallucinations put in.

The images are COCO train2014 and not in the repository: put the directory or its zip into the raw directory. COCO
file names are unique, so the name alone finds an image. Both dialogues have the same human turns; where an earlier
reply differs too, the pair's replies are all that follows the common beginning.

Evidence: a row in the publisher's README (YiyangZhou/POVID, README.md): paths, both dialogues, the placeholder.
"""

from collections.abc import Iterator, Sequence

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, Source, with_media
from curate.sources.images import required_media
from curate.sources.messages import turns


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row: `conversations` over `rejected_conversations`."""
    prompt, chosen, rejected = split(turns(row["conversations"]), turns(row["rejected_conversations"]))
    prompt, media = with_media(prompt, required_media(row["image"]))
    extra = {"id": row["id"]} if row.get("id") is not None else None
    yield Draft(prompt=prompt, chosen=chosen, rejected=rejected, media=media, extra=extra)


def split(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """(prompt, chosen, rejected): what both share up to a human turn, and what follows on either side.

    Skips: `no_reply` (a side does not end with the assistant), `prompts_differ` (other human turns).
    """
    if any(not side or side[-1].role != "assistant" for side in (chosen, rejected)):
        raise SkipRow("no_reply")
    if _other_turns(chosen) != _other_turns(rejected):
        raise SkipRow("prompts_differ")
    last = len(chosen) - 1
    start = next((i for i in range(last) if chosen[i] != rejected[i]), last)
    return chosen[:start], chosen[start:], rejected[start:]


def _other_turns(messages: Sequence[Message]) -> list[tuple[int, Message]]:
    """The turns that are not the assistant's, with their positions."""
    return [(i, turn) for i, turn in enumerate(messages) if turn.role != "assistant"]


SOURCE = Source(
    repo="YiyangAiLab/POVID_preference_data_for_VLLMs",
    files=("POVID_preference_data_for_VLLMs*.json",),
    media=("train2014", "train2014.zip", "coco", "coco/train2014", "data/coco"),
    media_match="name",
    license="cc-by-4.0",
    annotator="rule",
    modality="image",
    paper="arXiv:2402.11411",
    rows=17_184,
    pairs=17_184,
    reads=("id", "image", "conversations", "rejected_conversations"),
    to_pairs=to_pairs,
)
