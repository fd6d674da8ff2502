"""Scores of single dialogues, whose prompts are read once for all replies to them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from curate.evalsets.itemfile import Question
from curate.schema import Message

Media = Sequence[bytes | tuple[bytes, ...]]
RENDERED = "rendered"
"""The role of a message that is a whole prompt as a chat template rendered it, or, without special tokens in it,
what a user says: trainers hand over both as one string."""


class Scored(NamedTuple):
    """The score of a dialogue's reply, or the reason why it has none."""

    score: float | None
    problem: str | None = None


class Found(Protocol):
    """What is found for a question: the scores of its replies, or a problem."""

    @property
    def scores(self) -> Sequence[float]:
        """One for each reply."""
        ...

    @property
    def problem(self) -> str | None:
        """Why there are none."""
        ...


Items = Callable[[Iterable[Question]], Iterable[Found]]


def score_dialogues(
    items: Items,
    dialogues: Sequence[Sequence[Message]],
    media: Sequence[Media],
    turns_of: Callable[[Message], Sequence[Message] | str],
) -> list[Scored]:
    """Score the last message of each dialogue, in order, by scoring questions with `items`.

    `media` holds those of each dialogue. Dialogues with equal prompts and media are one question; where it cannot
    be scored as a whole, each of its replies is one of its own, so that a problem is that of one reply only. A
    judge compares every two replies of a question in both orders: there a problem is that of all.
    `turns_of` gives the messages of a RENDERED one, or why there are none.
    """
    found: list[Scored] = [Scored(None)] * len(dialogues)
    whole: dict[int, Sequence[Message]] = {}
    for place, messages in enumerate(dialogues):
        first = turns_of(messages[0]) if messages[0].role == RENDERED else messages[:1]
        if isinstance(first, str):
            found[place] = Scored(None, first)
        else:
            whole[place] = [*first, *messages[1:]]
    groups = list(_groups(whole, media))
    alone = []
    for (question, places), result in zip(groups, items(question for question, _ in groups), strict=True):
        _put(found, places, result)
        if result.problem is not None and len(places) > 1:
            alone += list(_apart(question, places))
    for (_, places), result in zip(alone, items(question for question, _ in alone), strict=True):
        if not (result.problem or "").startswith("one_reply"):
            _put(found, places, result)
    return found


def _groups(
    dialogues: Mapping[int, Sequence[Message]], media: Sequence[Media]
) -> Iterator[tuple[Question, Sequence[int]]]:
    """A question for each prompt, with the places of the dialogues that are its replies."""
    groups: dict[object, list[int]] = {}
    for place, messages in dialogues.items():
        reply = messages[-1]
        own = place if any(block.type in ("image", "video") for block in reply.content) else None
        groups.setdefault((tuple(messages[:-1]), tuple(media[place]), own), []).append(place)
    for places in groups.values():
        first = places[0]
        replies = tuple((dialogues[place][-1],) for place in places)
        yield Question(str(first), tuple(dialogues[first][:-1]), replies, tuple(media[first])), places


def _apart(question: Question, places: Sequence[int]) -> Iterator[tuple[Question, Sequence[int]]]:
    for place, reply in zip(places, question.replies, strict=True):
        yield question._replace(item=str(place), replies=(reply,)), [place]


def _put(found: list[Scored], places: Sequence[int], result: Found) -> None:
    scores = result.scores if result.problem is None else [None] * len(places)
    for place, score in zip(places, scores, strict=True):
        found[place] = Scored(score, result.problem)
