"""The images of the pairs in pairs files, and the part of `prompt_key` that comes from them. Reads no text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from curate.arrays import integer

KIND = pl.Enum(["image", "video"])
IMAGE_REFS: dict[str, Any] = {
    "index": pl.UInt32, "entry": pl.UInt32, "kind": KIND, "key": pl.String, "reply": pl.Boolean,
}  # fmt: skip
"""One row for each image of a pair, in its order: the pair, which of its media it belongs to, its key, and whether
a reply shows it."""

PLACE = ("pool", "part", "position")


def image_refs(keys: pl.DataFrame, files: Sequence[Sequence[Path]]) -> pl.DataFrame:
    """IMAGE_REFS of pairs with the columns index, pool, part and position, which are rows of files[pool][part]."""
    found, places = [pl.DataFrame(schema=IMAGE_REFS)], keys.select("index", *PLACE)  # not a copy of all columns
    for (pool, part), some in places.group_by("pool", "part", maintain_order=True):
        path = files[integer(pool)][integer(part)]
        media = pl.read_parquet(path, columns=["media", "reply_media"]).with_row_index("position")
        entries = (
            media.filter(pl.col("media").list.len() > 0)
            .join(some, on="position")
            .sort("position")
            .with_columns(entry=pl.int_ranges(pl.col("media").list.len(), dtype=pl.UInt32))
            .with_columns(of_prompt=pl.col("media").list.len() - pl.col("reply_media"))
            .select("index", "media", "entry", "of_prompt")
            .explode("media", "entry")
            .unnest("media")
            .explode("keys")
        )
        reply = pl.col("entry") >= pl.col("of_prompt")
        found.append(entries.select("index", "entry", pl.col("kind").cast(KIND), key="keys", reply=reply))
    return pl.concat(found)


def media_keys(images: pl.DataFrame) -> pl.DataFrame:
    """Columns index and media_key, by index: what `schema.media_digest` of a pair's media puts into prompt_key."""
    several = images["index"].is_duplicated()
    entry_text = pl.format("{}:{}", pl.col("kind").first(), pl.col("key").str.join(",")).alias("text")
    entries = images.filter(several).group_by("index", "entry", maintain_order=True).agg(entry_text)
    texts = entries.group_by("index", maintain_order=True).agg(text=pl.col("text").str.join(";"))
    # most pairs show one image, many of them the same: their texts are made once for each image
    alone = images.filter(~several).select("index", "kind", "key")
    made = alone.select("kind", "key").unique().with_columns(text=pl.format("{}:{}", "kind", "key"))
    made = made.select("kind", "key", _hashes(made["text"]))
    single = alone.join(made, on=["kind", "key"], maintain_order="left")
    return pl.concat([texts.select("index", _hashes(texts["text"])), single.select("index", "media_key")]).sort(
        "index"
    )


def _hashes(texts: pl.Series) -> pl.Series:
    """The first half of each text's hash."""
    digests = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
    return pl.Series("media_key", np.frombuffer(digests, "<u8")[::2], dtype=pl.UInt64)
