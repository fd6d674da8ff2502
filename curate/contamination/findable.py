"""Counts which items of the protected sets can be found in pairs at all: by words, by picture, by neither."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from curate.checksums import record, write_record
from curate.contamination.collected import REPLY
from curate.contamination.decisions import identifying
from curate.contamination.index import Index, in_memory, is_built, load
from curate.contamination.protected import ProtectedSets
from curate.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Findable:
    """How many items of a set there are, and how many can be found; one item may count in several.

    by_words          by the words of its prompt, or of a text that may be either
    by_picture        by a picture that is here
    by_neither        by none of these two: a pair that has its prompt is not found
    by_reply          by the words of one of its replies, which find a pair that has this reply
    pictures_missing  items that have a picture which is not here
    """

    items: int
    by_words: int
    by_picture: int
    by_neither: int
    by_reply: int
    pictures_missing: int

    def to_dict(self) -> dict[str, int]:
        """Itself as JSON values."""
        return asdict(self)


def findable(protected: ProtectedSets) -> dict[str, Findable]:
    """Return the counts by set, of the index where it is built, else of the items, whose counts are then kept.

    Raises what reading the items raises.
    """
    if is_built(protected):
        return count(load(protected))
    kept = protected.directory.with_suffix(".json")
    facts: Any = record(kept)
    if facts is None:
        facts = {name: one.to_dict() for name, one in count(in_memory(protected)).items()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_record(kept, facts)
        facts = record(kept)
    return {one.name: Findable(**facts[one.name]) for one in protected.sets if one.name in facts}


def count(index: Index) -> dict[str, Findable]:
    """Return the counts by set; what the pairs repeat so often that it finds nothing is not known here."""
    of = np.repeat(np.arange(index.documents.height), np.diff(index.packed.firsts))
    total = np.bincount(of, index.rarity[index.own], index.documents.height).astype(np.float64)
    identifies = pl.Series(identifying(np.arange(index.documents.height), total, index))
    reply = pl.col("kind") == REPLY
    holders = index.documents.select(
        "entries", by_words=identifies & ~reply, by_reply=identifies & reply & ~pl.col("stock")
    )
    found = holders.explode("entries").group_by("entries").agg(pl.col("by_words", "by_reply").any())
    entries = index.entries.with_row_index("entries").join(found, on="entries", how="left").fill_null(value=False)
    counted = entries.group_by("of", maintain_order=True).agg(
        pl.len().alias("items"),
        pl.col("by_words").sum(),
        (pl.col("images") > 0).sum().alias("by_picture"),
        (~pl.col("by_words") & (pl.col("images") == 0)).sum().alias("by_neither"),
        pl.col("by_reply").sum(),
        (pl.col("images") < pl.col("pictures")).sum().alias("pictures_missing"),
    )
    return {row.pop("of"): Findable(**row) for row in counted.iter_rows(named=True)}


def findable_table(step: str, found: Mapping[str, Findable]) -> Table:
    """A line for each set that the step compares pairs with."""
    rows = [(name, *one.to_dict().values()) for name, one in found.items()]
    names = ("eval set", "items", "by words", "by picture", "by neither", "by a reply", "pictures missing")
    return Table(f"{step}: items that can be found, and by what", names, rows)
