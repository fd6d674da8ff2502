"""Pairs that another pair, of any source, repeats or contradicts."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch

LOST = {name: DECISION[name] for name in ("index", "reason", "winner")}
Sameness = Literal["pair", "unordered", "prompt_chosen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactDuplicates:
    """Of pairs that are the same, one stays.

    It is the one that knows more (of margin, scores and critiques), then the one with the smallest priority
    number, then the one with the larger order, then the first.

    on: pair           same prompt and media, chosen and rejected: `duplicate_pair`
    on: unordered      also with the replies swapped; a pair that prefers the reply which the winner rejects is a
                       `label_conflict`, its other repeats are `duplicate_pair`
    on: prompt_chosen  same prompt and media and chosen, whatever was rejected: `duplicate_prompt_chosen`; decided
                       among those that the other two leave, so a pair dropped here may have won before
    """

    version: ClassVar[int] = 2
    apart: ClassVar[bool] = True
    on: tuple[Sameness, ...] = ("pair", "unordered")

    def __post_init__(self) -> None:
        if not self.on:
            raise ValueError("on is empty; name pair, unordered or prompt_chosen")

    def sketches(self) -> tuple[Sketch, ...]:
        """None: key columns are enough."""
        return ()

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:  # noqa: ARG002 - key columns are enough
        """Return decisions about the pairs that repeat another."""
        decided = [pl.DataFrame(schema=LOST)]
        if "unordered" in self.on or "pair" in self.on:
            decided.append(_by_pair(keys, swapped="unordered" in self.on))
        if "prompt_chosen" in self.on:
            left = keys.join(decided[-1], on="index", how="anti")
            decided.append(repeats(left, [pl.col("chosen_key")], pl.lit("duplicate_prompt_chosen")))
        return pl.concat(decided)


def _by_pair(keys: pl.DataFrame, *, swapped: bool) -> pl.DataFrame:
    chosen, rejected = pl.col("chosen_key"), pl.col("rejected_key")
    if not swapped:
        return repeats(keys, [chosen, rejected], pl.lit("duplicate_pair"))
    replies = [pl.min_horizontal(chosen, rejected).alias("low"), pl.max_horizontal(chosen, rejected).alias("high")]
    opposed = pl.when(chosen != pl.col("winner_chosen")).then(pl.lit("label_conflict"))
    return repeats(keys, replies, opposed.otherwise(pl.lit("duplicate_pair")))


def repeats(keys: pl.DataFrame, same: list[pl.Expr], reason: pl.Expr) -> pl.DataFrame:
    """Return all but the winner of every set of pairs that agree on prompt and `same`.

    One sort makes each set a run whose first is its winner: nothing is compared pair by pair, however large the
    set.
    """
    names = ["prompt_key", *(expr.meta.output_name() for expr in same)]
    repeated = keys.filter(pl.col("prompt_key").is_duplicated()).with_columns(same)
    ranked = repeated.sort(
        *names,
        "known",
        "priority",
        "order",
        "index",
        descending=[False] * len(names) + [True, False, True, False],
    )
    first = pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in names).fill_null(True)
    marked = ranked.with_columns(
        winner=pl.when(first).then("index").forward_fill(),
        winner_chosen=pl.when(first).then("chosen_key").forward_fill(),
    )
    repeated = marked.filter(pl.col("winner") != pl.col("index"))
    return repeated.select("index", reason.alias("reason"), "winner")
