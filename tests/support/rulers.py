"""Pairs for rulers, as numbers alone."""

from collections.abc import Sequence

import polars as pl

from curate.analysis.traits import TRAITS


def lengths(chosen: Sequence[int], rejected: Sequence[int]) -> pl.DataFrame:
    """Pairs whose replies differ in length alone."""
    columns = {name: pl.repeat(0, len(chosen), dtype=pl.Int64, eager=True) for name in TRAITS if name != "images"}
    columns |= {
        "chosen_chars": pl.Series(chosen, dtype=pl.Int64),
        "rejected_chars": pl.Series(rejected, dtype=pl.Int64),
    }
    return pl.DataFrame(columns).with_columns(chosen_first=pl.lit(None, pl.Boolean))
