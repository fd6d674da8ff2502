"""VoteTable about two replies in the words of a dataset: what they mean, and how several annotators agree.

A value is looked up without regard to case, 1 and 1.0 alike. `a`, `b` and `tie` name the better reply, `{a: 2}`
gives a margin too, `skip` drops the row with a reason. Without a table the words of KNOWN are understood; whole
numbers and booleans are not, since some sets count from 0 and others from 1.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from curate.errors import SkipRow
from curate.sources.generic.columns import as_number, is_null

Side = Literal["a", "b", "tie"]
Meaning = Side | Literal["skip"] | dict[str, float]

KNOWN: dict[str, Meaning] = {
    "a": "a", "b": "b", "tie": "tie", "same": "tie", "equal": "tie", "draw": "tie",
    "model_a": "a", "model_b": "b", "model a": "a", "model b": "b", "left": "a", "right": "b",
    "response_a": "a", "response_b": "b", "response_1": "a", "response_2": "b",
    "response 1": "a", "response 2": "b",
    "[[a]]": "a", "[[b]]": "b", "[[c]]": "tie",
    "a>>b": {"a": 2.0}, "a>b": {"a": 1.0}, "a=b": "tie", "b>a": {"b": 1.0}, "b>>a": {"b": 2.0},
    "a<b": {"b": 1.0}, "a<<b": {"b": 2.0}, "b=a": "tie",
    "[[a>>b]]": {"a": 2.0}, "[[a>b]]": {"a": 1.0}, "[[a=b]]": "tie",
    "[[b>a]]": {"b": 1.0}, "[[b>>a]]": {"b": 2.0},
    "tie (bothbad)": "tie", "both_bad": "tie", "both_good": "tie", "bothbad": "tie", "both bad": "tie",
    "both good": "tie",
}  # fmt: skip
"""Words that mean one thing wherever they are used."""


class Vote(NamedTuple):
    """The better reply, and by how much where the value says so."""

    side: Side
    margin: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteTable:
    """How the values of a column are read.

    table      from value to meaning
    threshold  the values are numbers instead: below it the first reply is better, above it the second, and the
               margin is the distance
    """

    table: tuple[tuple[str, Meaning], ...]
    threshold: float | None = None

    def read(self, value: Any) -> Vote:
        """One verdict. Skips: `verdict_missing`, `verdict_unknown`, `verdict_skipped`."""
        if is_null(value):
            raise SkipRow("verdict_missing")
        if self.threshold is not None:
            distance = as_number(value, "preference") - self.threshold
            return Vote("tie") if distance == 0 else Vote("a" if distance < 0 else "b", abs(distance))
        meaning = dict(self.table).get(label(value))
        if meaning is None:
            raise SkipRow("verdict_unknown", repr(value)[:80])
        if meaning == "skip":
            raise SkipRow("verdict_skipped", repr(value)[:80])
        if isinstance(meaning, Mapping):
            [(side, margin)] = meaning.items()
            return Vote("a" if side == "a" else "b", margin)
        return Vote("a" if meaning == "a" else "b" if meaning == "b" else "tie")

    def majority(self, values: list[Any]) -> tuple[Vote, dict[str, Any] | None]:
        """The verdict of most annotators, and their votes where they disagree.

        Annotators without a verdict do not count; without one word that more of them say than any other it is a
        tie. The margin is the mean of those who agree with the majority. Skips: `verdict_missing` where none has
        one.
        """
        votes = [self.read(value) for value in values if not is_null(value)]
        if not votes:
            raise SkipRow("verdict_missing")
        (side, most), *others = Counter(vote.side for vote in votes).most_common()
        if others and others[0][1] == most:
            side = "tie"
        margins = [vote.margin for vote in votes if vote.side == side and vote.margin is not None]
        margin = sum(margins) / len(margins) if margins else None
        split = {"votes": [vote.side for vote in votes]} if others else None
        return Vote(side, margin), split


def label(value: Any) -> str:
    """A verdict as it is written in a manifest: 1 and 1.0 are both `1`, true is `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip().lower()
