"""What judges of two replies say in both orders, counted: accuracy by order, consistency, position bias, ties."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Verdicts = tuple[int | None, ...]
"""Verdicts on two replies in one order: 1 for the one shown first, 2 for the other, 0 for a tie, None where
unreadable."""

WORTH = {0: 0, 1: 1, 2: -1}


class Order(NamedTuple):
    """The verdicts on two replies of an item, by their positions in the item, one shown `first`."""

    first: int
    second: int
    verdicts: Verdicts


def vote(verdicts: Sequence[int | None]) -> float:
    """Compute the mean of verdicts, 1 for the first reply, -1 for the second; 0 without a readable one."""
    read = [verdict for verdict in verdicts if verdict is not None]
    return sum(WORTH[verdict] for verdict in read) / len(read) if read else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCounts:
    """Counts over pairs of a right and a wrong reply, judged in one order or both.

    pairs         pairs, of which `both` were judged in both orders
    right         pairs for which the votes of both orders together name the right reply
    right_first   of pairs in both orders, those judged right by most verdicts while the right reply was first
    right_second  the same while it was shown second
    consistent    of pairs in both orders, those for which both name the same reply
    ties          pairs without a winner: the orders' votes cancel out, or none can be read
    verdicts      verdicts in all, of which `first` name the reply shown first, `tied` say that
                  neither is better, and `unread` cannot be read
    """

    pairs: int = 0
    both: int = 0
    right: int = 0
    right_first: int = 0
    right_second: int = 0
    consistent: int = 0
    ties: int = 0
    verdicts: int = 0
    first: int = 0
    tied: int = 0
    unread: int = 0

    @property
    def bias(self) -> float | None:
        """How much the reply shown first is preferred: its share of the verdicts for one reply, less one half."""
        read = self.verdicts - self.unread - self.tied
        return self.first / read - 0.5 if read else None

    def row(self) -> dict[str, Any]:
        """The shares of pairs, as evaluations print and record them; None of nothing.

        `accuracy` counts ties as wrong, `accuracy_without_ties` leaves them out.
        """
        orders = {name: getattr(self, name) for name in ("right_first", "right_second", "consistent")}
        return {
            "pairs": self.pairs,
            "accuracy": _share(self.right, self.pairs),
            "accuracy_without_ties": _share(self.right, self.pairs - self.ties),
            **{name: _share(count, self.both) for name, count in orders.items()},
            "ties": _share(self.ties, self.pairs),
            "position_bias": self.bias,
            "verdicts": self.verdicts,
            "unread": self.unread,
        }


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def count_orders(pairs: Iterable[tuple[Verdicts, Verdicts]]) -> OrderCounts:
    """Count pairs, each given by the verdicts with its right reply first, and those with its wrong reply first.

    One of the two may be empty: that order was not judged.
    """
    total = dict.fromkeys(OrderCounts.__slots__, 0)
    for forward, backward in pairs:
        votes = vote(forward), -vote(backward)  # above 0: for the right reply
        both = [*forward, *backward]
        judged = bool(forward and backward)
        found = {
            "pairs": 1, "both": judged, "right": sum(votes) > 0, "right_first": judged and votes[0] > 0,
            "right_second": judged and votes[1] > 0, "consistent": votes[0] * votes[1] > 0,
            "ties": sum(votes) == 0, "verdicts": len(both), "first": both.count(1), "tied": both.count(0),
            "unread": both.count(None),
        }  # fmt: skip
        total = {name: value + int(found[name]) for name, value in total.items()}
    return OrderCounts(**total)
