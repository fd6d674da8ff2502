"""Pairs that lack what a recipe asks for with `require: [critiques]`, such as a critic paradigm needs."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from curate.steps.base import Scorer, drop_if

Wanted = Literal["critiques"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Reasons `no_critiques`, `no_chosen_critique` and `no_rejected_critique`; white space is no critique."""

    version: ClassVar[int] = 1
    what: tuple[Wanted, ...] = ("critiques",)

    def __post_init__(self) -> None:
        if not self.what or len(set(self.what)) < len(self.what):
            raise ValueError("what: name critiques, once")

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`no_critiques`, `no_chosen_critique`, `no_rejected_critique`."""
        chosen, rejected = (_missing(f"{side}_critique") for side in ("chosen", "rejected"))
        return pl.coalesce(
            drop_if(chosen & rejected, "no_critiques"),
            drop_if(chosen, "no_chosen_critique"),
            drop_if(rejected, "no_rejected_critique"),
        )


def _missing(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars() == ""
