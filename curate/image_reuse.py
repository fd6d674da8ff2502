"""How many unrelated prompts one image stands under: a join gone wrong shows there. Nothing is dropped for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from curate.pair_media import media_keys, shown
from curate.report import Table

REUSE = {
    "image": pl.String,
    "files": pl.UInt32,
    "pairs": pl.UInt32,
    "prompts": pl.UInt32,
    "sources": pl.List(pl.String),
    "flagged": pl.Boolean,
}
"""An image, how many files of it are shown, by how many pairs with how many prompt texts; whose they are."""

MANY = 20
"""Prompt texts that are worth a look; question sets ask 5 to 15 questions about a picture."""


def reuse(
    sources: Mapping[str, tuple[pl.DataFrame, Sequence[Path]]],
    copies: pl.DataFrame | None = None,
    many: int = MANY,
) -> pl.DataFrame:
    """REUSE of all images that are shown, the most prompts first; those with `many` or more are flagged.

    A source is its key columns (part, position, prompt_key) and its pairs files. `copies` (image_match.COPIES)
    makes one image of all its copies.
    """
    keys = pl.concat(
        [pl.DataFrame(schema=PLACED)]
        + [
            frame.select(pl.lit(number, pl.UInt16).alias("pool"), "part", "position", "prompt_key")
            for number, (frame, _) in enumerate(sources.values())
        ]
    ).with_row_index("index")
    images = shown(keys, [files for _, files in sources.values()])
    texts = keys.join(media_keys(images), on="index").select(
        "index", "pool", text=pl.col("prompt_key") ^ pl.col("media_key")
    )
    known = pl.DataFrame(schema={"key": pl.String, "of": pl.String}) if copies is None else copies
    labels = pl.DataFrame({"pool": range(len(sources)), "label": list(sources)}, schema=LABELS)
    return (
        images.join(known.select("key", "of"), on="key", how="left")
        .join(texts, on="index")
        .join(labels, on="pool")
        .group_by(pl.coalesce("of", "key").alias("image"))
        .agg(
            pl.col("key").n_unique().alias("files"),
            pl.col("index").n_unique().alias("pairs"),
            pl.col("text").n_unique().alias("prompts"),
            pl.col("label").unique().sort().alias("sources"),
        )
        .with_columns(flagged=pl.col("prompts") >= many)
        .sort("prompts", "pairs", "image", descending=[True, True, False])
        .cast(REUSE)  # type: ignore[arg-type]
    )


PLACED = {"pool": pl.UInt16, "part": pl.UInt32, "position": pl.UInt32, "prompt_key": pl.UInt64}
LABELS = {"pool": pl.UInt16, "label": pl.String}


def reuse_table(found: pl.DataFrame, most: int = 20) -> Table:
    """The images with the most prompts as a table; below it the totals of all."""
    rows = [
        (row["image"], row["files"], row["pairs"], row["prompts"], " ".join(row["sources"]))
        for row in found.head(most).iter_rows(named=True)
    ]
    flagged = int(found["flagged"].sum())
    footer = (f"{found.height} images, {flagged} flagged", found["files"].sum(), found["pairs"].sum(), "", "")
    return Table("image reuse", ("image", "files", "pairs", "prompts", "sources"), rows, footer)
