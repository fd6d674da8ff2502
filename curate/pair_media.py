"""Which images the pairs of pairs files show, and the part of `prompt_key` that comes from them. Reads no text."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import xxhash

SHOWN = {"index": pl.UInt32, "entry": pl.UInt32, "kind": pl.String, "key": pl.String}
"""One row for each image of a pair, in its order: the pair, which of its media it belongs to, and its key."""


def shown(keys: pl.DataFrame, files: Sequence[Sequence[Path]]) -> pl.DataFrame:
    """SHOWN of pairs with the columns index, pool, part and position, which lie in files[pool][part]."""
    found = [pl.DataFrame(schema=SHOWN)]
    for (pool, part), some in keys.group_by("pool", "part", maintain_order=True):
        path = files[int(str(pool))][int(str(part))]
        media = pl.read_parquet(path, columns=["media"]).with_row_index("position")
        entries = (
            media.filter(pl.col("media").list.len() > 0)
            .join(some.select("index", "position"), on="position")
            .sort("position")
            .select("index", "media", entry=pl.int_ranges(pl.col("media").list.len(), dtype=pl.UInt32))
            .explode("media", "entry")
            .unnest("media")
            .explode("keys")
        )
        found.append(entries.select("index", "entry", "kind", key="keys"))
    return pl.concat(found)


def media_keys(images: pl.DataFrame) -> pl.DataFrame:
    """Columns index and media_key: what `schema.media_digest` of each pair's media puts into its prompt_key."""
    entries = images.group_by("index", "entry", maintain_order=True).agg(
        said=pl.format("{}:{}", pl.first("kind"), pl.col("key").str.join(","))
    )
    texts = entries.group_by("index", maintain_order=True).agg(text=pl.col("said").str.join(";"))
    unique = texts["text"].unique()
    hashed = [int.from_bytes(xxhash.xxh3_128_digest(text.encode())[:8], "little") for text in unique]
    known = pl.DataFrame({"text": unique, "media_key": hashed}, schema_overrides={"media_key": pl.UInt64})
    return texts.join(known, on="text", maintain_order="left").select("index", "media_key")
