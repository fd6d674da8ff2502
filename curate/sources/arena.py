"""Battles of two models about one dialogue: the vote, and what both sides share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.base import Row


class Vote(NamedTuple):
    """Which side won, `a` or `b`, and which lost; in a tie `a` stands for the winner."""

    best: str
    worst: str
    tie: bool


def read_vote(row: Row, ties: Sequence[str]) -> Vote:
    """The vote in the column `winner`: model_a, model_b or a word for a tie. Skips: `winner_unreadable`."""
    winner = row["winner"]
    if winner not in ("model_a", "model_b", *ties):
        raise SkipRow("winner_unreadable", repr(winner)[:80])
    best, worst = ("b", "a") if winner == "model_b" else ("a", "b")
    return Vote(best, worst, winner in ties)


def share(left: list[Message], right: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """(prompt, one side's rest, the other's) of two dialogues whose user turns are the same.

    Skips: `no_reply`, `prompts_differ`.
    """
    for side in (left, right):
        if not side or side[-1].role != "assistant":
            raise SkipRow("no_reply")
    questions = [[turn for turn in side if turn.role != "assistant"] for side in (left, right)]
    if questions[0] != questions[1]:
        raise SkipRow("prompts_differ")
    shorter = min(len(left), len(right)) - 1
    start = next((i for i in range(shorter) if left[i] != right[i]), shorter)
    if left[start].role != "assistant" or right[start].role != "assistant":
        raise SkipRow("prompts_differ")
    return left[:start], left[start:], right[start:]


def facts(row: Row, names: Sequence[str], vote: Vote) -> dict[str, Any]:
    """What `extra` keeps: these columns where they are not null, the two models, and the word for a tie."""
    found = {name: row[name] for name in names if row.get(name) is not None}
    found |= {"chosen_model": row[f"model_{vote.best}"], "rejected_model": row[f"model_{vote.worst}"]}
    return found | ({"winner": row["winner"]} if vote.tie else {})
