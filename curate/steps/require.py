"""Pairs that are not what a recipe requires: `require: [critiques]` for a critic, `[no_videos]` for TRL."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from curate.steps.base import Scorer, drop_if

Wanted = Literal["critiques", "no_videos"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Reasons `no_critiques`, `no_chosen_critique`, `no_rejected_critique`, `videos`.

    critiques   each reply has a critique, not of white space alone
    no_videos   none of the pair's media is a video
    """

    version: ClassVar[int] = 1
    what: tuple[Wanted, ...] = ("critiques",)

    def __post_init__(self) -> None:
        if not self.what or len(set(self.what)) < len(self.what):
            raise ValueError("what: name critiques, no_videos or both, each once")

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`no_critiques`, `no_chosen_critique`, `no_rejected_critique`, `videos`."""
        chosen, rejected = (_missing(f"{side}_critique") for side in ("chosen", "rejected"))
        critiques = (
            drop_if(chosen & rejected, "no_critiques"),
            drop_if(chosen, "no_chosen_critique"),
            drop_if(rejected, "no_rejected_critique"),
        )
        videos = drop_if(pl.col("videos") > 0, "videos")
        wanted = critiques if "critiques" in self.what else ()
        return pl.coalesce(*wanted, *((videos,) if "no_videos" in self.what else ()))


def _missing(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars() == ""
