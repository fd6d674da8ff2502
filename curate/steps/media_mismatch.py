"""Dialogues whose media blocks and media do not belong together."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.steps.base import Scorer, drop_if

PLACEHOLDER = r"<(?:image|video)(?:[_ ]\d+)?>"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaMismatch:
    """Reasons `placeholder_left` and `count`.

    placeholder_left  a literal `<image>`, `<image_2>` or `<video>` is in the text of a pair that has media
    count             the dialogue has more or fewer media blocks than the pair has media
    """

    version: ClassVar[int] = 1

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`placeholder_left`, `count`."""
        left = pl.any_horizontal(
            pl.col(f"{side}_text").str.contains(PLACEHOLDER) for side in ("prompt", "chosen", "rejected")
        )
        return pl.coalesce(
            drop_if((pl.col("media") > 0) & left, "placeholder_left"),
            drop_if(pl.col("media_blocks") != pl.col("media"), "count"),
        )
