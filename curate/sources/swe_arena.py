"""SWE-Arena preference 5k: people let two models write code, ran it, and voted; a member of BaseReward's "Others".

Columns by the card of its re-release bigcode/bigcodearena-preference-5k and of a public copy made from the same
JSONL (hub: Bruce-Jin/BigCodeArena): `feedback.vote_type`, `models.model_A/B`, and `states.model_A/B.messages` as
[role, text] couples. `human_vote` belongs to bigcode/bigcodereward and is not read here. There is one
vote for a whole battle, and optional votes on five aspects. About 5.1k rows.

A vote is about whole dialogues. After the first answer the two histories part, so the prompt is what both share
and a reply is all that follows, user turns included; those must be the same on both sides. No licence is recorded
for this repository; the re-release has bigcode-openrail-m.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.arena import share
from curate.sources.base import Draft, Row, Source
from curate.sources.messages import turns

VOTES = {"vote_model_A": "A", "vote_model_B": "B", "vote_tie": "tie", "vote_both_bad": "both_bad"}
ASPECTS = ("correctness", "efficiency", "explainability", "maintainability", "ui_ux_design")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; a tie, also of two bad replies, is a pair with margin 0.

    Skips: `vote_unknown`, `feedback_not_readable`, `dialogue_not_readable`, `no_reply`, `prompts_differ`, and
    those of `turns`.
    """
    feedback = _struct(row["feedback"], "feedback")
    vote = VOTES.get(str(feedback["vote_type"]))
    if vote is None:
        raise SkipRow("vote_unknown", repr(feedback["vote_type"])[:80])
    best, worst = ("B", "A") if vote == "B" else ("A", "B")
    states = _struct(row["states"], "dialogue")
    prompt, chosen, rejected = share(_dialogue(states, best), _dialogue(states, worst))
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=0.0 if vote in ("tie", "both_bad") else None,
        extra=_extra(row, feedback, best, worst),
    )


def _struct(value: Any, what: str) -> Row:
    if not isinstance(value, dict):
        raise SkipRow(f"{what}_not_readable", f"a {type(value).__name__} instead of a struct")
    return Row(value)


def _dialogue(states: Row, side: str) -> list[Message]:
    state = _struct(states[f"model_{side}"], "dialogue")
    return turns([_named(entry) for entry in _list(state["messages"])])


def _list(messages: Any) -> list[Any]:
    if not isinstance(messages, list):
        raise SkipRow("messages_not_a_list", type(messages).__name__)
    return messages


def _named(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise SkipRow("dialogue_not_readable", "a message is not a [role, text] couple")
    return {"role": entry[0], "content": entry[1]}


def _extra(row: Row, feedback: Row, best: str, worst: str) -> dict[str, Any]:
    models = row.get("models")
    names: Mapping[str, Any] = models if isinstance(models, dict) else {}
    aspects = {name: feedback[name] for name in ASPECTS if feedback.get(name) is not None}
    facts = {
        "chat_session_id": row.get("chat_session_id"),
        "chosen_model": names.get(f"model_{best}"),
        "rejected_model": names.get(f"model_{worst}"),
        "vote": feedback["vote_type"],
        "aspects": aspects or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


SOURCE = Source(
    repo="bigcode/swe-arena-preference-5k",
    files=("data/train-*.parquet",),
    annotator="human",
    paper="arXiv:2510.08697",
    version=2,
    reads=("feedback", "models", "states", "chat_session_id"),
    to_pairs=to_pairs,
)
