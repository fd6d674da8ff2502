"""Which images of the store are images of the index: the same bytes, or copies, encoded or scaled anew."""

import polars as pl

from curate.engines.base import Engine
from curate.image_match import near_keys
from curate.packs import Packs


def copies(known: Packs, store: Packs, engine: Engine) -> pl.DataFrame:
    """Which images of the store are which known ones: columns key, of, exact; by key, of."""
    here, there = (packs.facts()["key"].to_pylist() for packs in (store, known))
    found = near_keys(here, store, there, known, engine)
    return found.select("key", "of", exact=pl.col("key") == pl.col("of"))
