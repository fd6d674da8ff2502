"""Pairs under a licence that the blend may not, or shall not, contain."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from curate.config import closest
from curate.licenses import CONDITIONED, TERMS, UNKNOWN, known_id
from curate.steps.base import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Licenses:
    """Reasons `not_allowed_<id>` and `excluded_<id>`, the id in lower case, `unknown` where there is none.

    `allow` lists the only ids that stay, `exclude` ids that leave: an id without its condition (`odc-by`)
    excludes the one with it too (`odc-by-parts-nc`), but does not allow it. In a recipe it may be the key
    `licenses` at the top, and is then the first step.
    """

    version: ClassVar[int] = 2
    allow: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.allow is None and not self.exclude:
            raise ValueError("neither allow nor exclude is given; give one as a list of licence ids")
        for name in (*(self.allow or ()), *self.exclude):
            if name != known_id(name):
                raise ValueError(f"found {name!r}; licence ids are in lower case: {known_id(name)!r}")
            close = closest(name, TERMS, cutoff=0.75)
            if name not in TERMS and close:
                raise ValueError(f"no licence has the id {name!r}; did you mean {close[0]!r}?")
        both = sorted({*(self.allow or ())} & {*self.exclude})
        if both:
            raise ValueError(f"{both[0]} is both allowed and excluded")

    def scorer(self) -> Scorer | None:
        """Nothing expensive."""
        return None

    def reason(self) -> pl.Expr:
        """`not_allowed_<id>`, `excluded_<id>`."""
        found = pl.col("license").str.strip_chars().str.to_lowercase().replace("", None).fill_null(UNKNOWN)
        conditioned = [name for name, base in CONDITIONED.items() if base in self.exclude]
        excluded = pl.when(found.is_in([*self.exclude, *conditioned])).then(pl.lit("excluded_") + found)
        if self.allow is None:
            return excluded
        return pl.coalesce(pl.when(~found.is_in(self.allow)).then(pl.lit("not_allowed_") + found), excluded)
