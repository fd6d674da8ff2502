"""SWE-Arena preference 5k: people let two models write code, ran it, and voted; a member of BaseReward's "Others".

The columns of this very set were never seen [U]; known are its three Parquet files and about 5.1k rows. What is
read is the layout of its sibling bigcode/bigcodereward and of that project's own scripts [T]: `human_vote` in
{vote_model_A, vote_model_B, vote_tie, vote_both_bad}, `states.model_A.messages` as [role, text] couples. A row
of the Chatbot Arena layout (`winner`, `conversation_a`, `conversation_b`) is read too. Anything else is a skip
that names what is missing, so that the first real fetch stops with a clear message instead of with wrong pairs.

A vote is about whole dialogues. After the first answer the two histories part, so the prompt is what both share
and a reply is all that follows, user turns included; those must be the same on both sides. Which licence holds
is unknown (its re-release has bigcode-openrail-m).
"""

from collections.abc import Iterator
from typing import Any

from curate.errors import MissingColumn, SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, Source, turns

VERDICTS = {
    "vote_model_a": "A", "vote_left": "A", "model_a": "A",
    "vote_model_b": "B", "vote_right": "B", "model_b": "B",
    "vote_tie": "tie", "tie": "tie", "vote_both_bad": "tie", "both_bad": "tie", "tie (bothbad)": "tie",
}  # fmt: skip


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; a tie, also of two bad replies, is a pair with margin 0.

    Skips: `verdict_unknown`, `dialogue_not_readable`, `no_reply`, `prompts_differ`, and those of `turns`.
    """
    vote = row["winner" if "winner" in row and "human_vote" not in row else "human_vote"]
    verdict = VERDICTS.get(vote.lower()) if isinstance(vote, str) else None
    if verdict is None:
        raise SkipRow("verdict_unknown", repr(vote)[:80])
    best, worst = ("B", "A") if verdict == "B" else ("A", "B")
    prompt, chosen, rejected = share(_dialogue(row, best), _dialogue(row, worst))
    category = row.get("category_name")
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=0.0 if verdict == "tie" else None,
        category=category if isinstance(category, str) else None,
        extra=_extra(row, best, worst, vote),
    )


def _dialogue(row: Row, side: str) -> list[Message]:
    states = row.get("states")
    if states is None:
        if "conversation_a" not in row:
            raise MissingColumn("states")
        return turns(row[f"conversation_{side.lower()}"])
    state = states.get(f"model_{side}") if isinstance(states, dict) else None
    if not isinstance(state, dict):
        raise SkipRow("dialogue_not_readable", f"states.model_{side} is {type(state).__name__}")
    return turns(_named(state.get("messages")))


def _named(messages: Any) -> Any:
    """[role, text] couples as {role, content}; what is neither a couple nor a mapping is a skip."""
    if not isinstance(messages, list):
        return messages
    for entry in messages:
        if not isinstance(entry, dict) and not (isinstance(entry, list) and len(entry) == 2):
            raise SkipRow("dialogue_not_readable", "a message is not a [role, text] couple")
    return [e if isinstance(e, dict) else {"role": e[0], "content": e[1]} for e in messages]


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


def _extra(row: Row, best: str, worst: str, vote: str) -> dict[str, Any]:
    models = [row.get(f"model_{side}", row.get(f"model_{side.lower()}")) for side in (best, worst)]
    facts = {
        "chat_session_id": row.get("chat_session_id"),
        "chosen_model": models[0],
        "rejected_model": models[1],
        "verdict": vote,
    }
    return {name: value for name, value in facts.items() if value is not None}


SOURCE = Source(
    repo="bigcode/swe-arena-preference-5k",
    files=("data/train-*.parquet",),
    annotator="human",
    paper="arXiv:2510.08697",
    to_pairs=to_pairs,
)
