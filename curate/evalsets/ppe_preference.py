"""PPE, preference: pairs of replies from an arena with people's votes; the share decided as they voted.

Votes without a winner are no items: the published rows contain them. Columns, and that ties are left out, are as
other programs read and count this set: its own code could not be read.
"""

from curate.errors import SkipRow
from curate.evalsets.base import EvalSet, Formula, Item, Options, answers, name_of, pair_trials, pooled, question
from curate.schema import Message
from curate.sources.base import Row, text
from curate.sources.messages import read_messages

WINNERS = {"model_a": 0, "model_b": 1}


def to_item(row: Row) -> Item:
    """The item of a row; model A's reply is the first. Skip `tie` for every other word than a winner's."""
    winner = row["winner"]
    if winner not in WINNERS:
        raise SkipRow("tie", repr(winner)[:80])
    name, language = name_of(row, "question_id"), row.get("language")
    return Item(
        id=name, prompt=_prompt(row), replies=answers(text(row, "response_1"), text(row, "response_2")),
        correct=(WINNERS[winner],), category=str(language or "unknown"), subset="all", cluster=name,
    )  # fmt: skip


def _prompt(row: Row) -> tuple[Message, ...]:
    if isinstance(row["prompt"], str):
        return question(row, "prompt")
    return tuple(read_messages(row["prompt"], [], "prompt"))


def formulas(_: tuple[str, ...], __: Options) -> tuple[Formula, ...]:
    """The share over all votes with a winner."""
    return (pooled("overall", ["all"]),)


EVALSET = EvalSet(
    name="ppe_preference",
    repo="lmarena-ai/PPE-Human-Preference-V1",
    files=("data/test-*.parquet", "*.parquet"),
    license=None,
    paper="arXiv:2410.14872",
    rows=16038,
    to_item=to_item,
    trials=pair_trials,
    formulas=formulas,
    core=False,
)
