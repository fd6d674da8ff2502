"""What the two eval sets of RMB share: rows of scenarios under two goals, and a mean over each.

The authors' repository is on GitHub and on no Hub: `curate fetch` cannot get it. Its README does not say how its
numbers are averaged: `helpfulness`, `harmlessness` and their mean `overall`, each the share of its rows, are the
columns that others print. Its licence is not stated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from curate.errors import SkipRow
from curate.evalsets.base import Formula, Item, Options, answers, mean, name_of, pooled
from curate.schema import Message
from curate.sources.base import Row, text
from curate.sources.messages import read_messages

REPO, PAPER = "Zhou-Zoey/RMB-Reward-Model-Benchmark", "arXiv:2410.09893"
GOALS = ("helpfulness", "harmlessness")


def item_of(row: Row, uid: str, best: str, others: Sequence[Any]) -> Item:
    """The item of a row: the reply in column `best` first. Skips: `no_answer`, `unknown_goal`."""
    name, path = name_of(row, uid), text(row, "category_path").split("/")
    goal = path[1].lower() if len(path) > 2 else ""
    if goal not in GOALS:
        raise SkipRow("unknown_goal", "/".join(path)[:80])
    replies = [_answer(row[best]), *map(_answer, others)]
    return Item(
        id=name, prompt=_prompt(row), replies=answers(*replies), correct=(0,), category="/".join(path[2:]),
        subset=goal, cluster=name,
    )  # fmt: skip


def _prompt(row: Row) -> tuple[Message, ...]:
    return tuple(read_messages(row["conversation_input"], [], "conversation_input"))


def _answer(value: Any) -> str:
    answer = value.get("answer") if isinstance(value, Mapping) else None
    if not isinstance(answer, str):
        raise SkipRow("no_answer", repr(value)[:80])
    return answer


def formulas(_: tuple[str, ...], __: Options) -> tuple[Formula, ...]:
    """Each goal, and the mean of both."""
    return (*(pooled(goal, [goal]) for goal in GOALS), mean("overall", GOALS))
