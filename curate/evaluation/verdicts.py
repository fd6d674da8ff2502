"""Verdicts of a judge on every two replies of items, in both orders: counted, or as scores by a published rule.

The scorer writes it into the column `judged` of its score file: for the reply that was shown first a list of
{"second": position, "verdicts": [1, 2, 0 for a tie or null, ...], "published": [1 or 2, ...], "texts": [...]}.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from curate.errors import ConfigError, RawError
from curate.evalsets.base import Item
from curate.evalsets.orders import OrderCounts, Verdicts, count_orders
from curate.evaluation.items import KeyedItems
from curate.evaluation.metrics import percent
from curate.tables import Table

Rule = Literal["strict", "r1_reward"]
"""How texts are read: by their form, or as R1-Reward's code does, for which every text says 1 or 2."""


class PairVerdicts(NamedTuple):
    """The verdicts on two replies in one order, by the strict rule and by R1-Reward's."""

    verdicts: Verdicts
    published: Verdicts


Judged = Mapping[tuple[int, int], PairVerdicts]
"""By (first, second), the positions of two replies of an item."""


def read_cell(value: Any, first: int, replies: int, where: str) -> dict[tuple[int, int], PairVerdicts]:
    """Read the column `judged` of the line of one reply; what is no list is another program's column.

    Raises RawError for a list that is not what the scorer writes.
    """
    if not isinstance(value, list):
        return {}
    out = {}
    for one in value:
        second = one.get("second") if isinstance(one, dict) else None
        if not isinstance(second, int) or not 0 <= second < replies or second == first or (first, second) in out:
            raise RawError(where, f"judged {str(one)[:80]!r}", "one entry for each other candidate")
        judgments = PairVerdicts(tuple(one.get("verdicts") or ()), tuple(one.get("published") or ()))
        if not {*judgments.verdicts} <= {0, 1, 2, None} or not {*judgments.published} <= {1, 2}:
            raise RawError(where, f"judged {str(one)[:80]!r}", "verdicts that are 1, 2, 0 for a tie, or null")
        out[first, second] = judgments
    return out


def counts(items: KeyedItems, judged: Mapping[int, Judged]) -> OrderCounts | None:
    """Count the pairs of a right and a wrong reply; None if nothing was judged."""
    nothing = PairVerdicts((), ())
    found = [
        (judgments.get((right, wrong), nothing).verdicts, judgments.get((wrong, right), nothing).verdicts)
        for at, judgments in judged.items()
        for right, wrong in _sides(items.items[at])
        if (right, wrong) in judgments or (wrong, right) in judgments
    ]
    return count_orders(found) if found else None


def _sides(item: Item) -> Iterator[tuple[int, int]]:
    return ((right, wrong) for right in item.correct for wrong in item.wrong)


def published_scores(
    name: str, items: KeyedItems, judged: Mapping[int, Judged], scores: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Score items as R1-Reward's evaluation does: the right reply is shown first, and wins if most verdicts are 1.

    Its figures so contain the judge's preference for what is shown first. Items that were not judged keep their
    `scores`. Raises ConfigError for an eval set of more than two replies, for which that code has no rule.
    """
    if not judged:
        raise ConfigError("--rule", f"no verdicts on {name}", "a generative model, or its score file")
    out = [list(line) for line in scores]
    for at, judgments in judged.items():
        item = items.items[at]
        if len(item.replies) != 2 or len(item.correct) != 1:
            found = f"{name} has items of {len(item.replies)} replies"
            raise ConfigError("--rule", f"r1_reward, and {found}", "eval sets of pairs", "leave --rule out")
        [(right, wrong)] = _sides(item)
        published = judgments[right, wrong].published
        won = 2 * published.count(1) > len(published)
        out[at] = [float((position == right) == won) for position in range(2)]
    return out


def orders_tables(named: Iterable[tuple[str, OrderCounts]]) -> list[Table]:
    """One table with a line for each title, in percent; none without any."""
    rows = [
        (
            title, found.pairs, *(percent(found.row()[name]) for name in SHARES), _bias(found.bias),
            found.verdicts, found.unread,
        )
        for title, found in named
    ]  # fmt: skip
    columns = (
        "eval set", "pairs", "right %", "right without ties %", "ties %", "right reply first %", "second %",
        "consistent %", "first preferred by", "verdicts", "unread",
    )  # fmt: skip
    return [Table("Verdicts in both orders", columns, rows)] if rows else []


SHARES = ("accuracy", "accuracy_without_ties", "ties", "right_first", "right_second", "consistent")


def _bias(bias: float | None) -> str | None:
    return None if bias is None else f"{100 * bias:+.2f}"
