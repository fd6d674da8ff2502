"""Pairs that a trainer's length limit would make identical."""

from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if
from curate.steps.tokens import PLACE, token_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """Reason `same_after_truncation`: no difference is left once prompt and reply are cut at `max_length`.

    The replies have what the prompt leaves, max_length - prompt. Where that is nothing, or where they agree that
    far, the pair has no signal. Units are characters, or tokens where `tokenizer` is given (a tokenizer.json, its
    directory, or a model in the local Hub cache). Media, special tokens and the chat template count nothing:
    take what they need off `max_length`. Replies with media are kept, and so are replies that are identical
    before they are cut: those are `identical`'s.
    """

    version: ClassVar[int] = 2
    max_length: int
    tokenizer: str | None = field(default=None, metadata=PLACE)  # the scorer knows its content

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 1")

    def scorer(self) -> Scorer | None:
        """Token counts, where a tokenizer is given."""
        return None if self.tokenizer is None else token_counts(self.tokenizer)

    def reason(self) -> pl.Expr:
        """`same_after_truncation`."""
        same = self._same_characters() if self.tokenizer is None else self._same_tokens()
        differ = (pl.col("chosen_key") != pl.col("rejected_key")) & (pl.col("reply_media") == 0)
        return drop_if(same & differ, "same_after_truncation")

    def _same_characters(self) -> pl.Expr:
        prompt = pl.col("prompt_text").str.len_chars().cast(pl.Int64)
        budget = pl.max_horizontal(pl.lit(self.max_length, pl.Int64) - prompt, pl.lit(0, pl.Int64))
        chosen, rejected = (pl.col(f"{side}_text").str.head(budget) for side in ("chosen", "rejected"))
        return chosen == rejected  # of a budget of nothing, both are ""

    def _same_tokens(self) -> pl.Expr:
        budget = pl.lit(self.max_length, pl.Int64) - pl.col("prompt_tokens").cast(pl.Int64)
        shared, longer = pl.col("shared_tokens"), pl.max_horizontal("chosen_tokens", "rejected_tokens")
        return (shared >= budget) | (shared == longer)
