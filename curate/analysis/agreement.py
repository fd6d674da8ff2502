"""How often sources agree about the same two replies to the same prompt, from key columns alone."""

from collections.abc import Mapping

import polars as pl

from curate.statistics import wilson

AGREEMENT = {
    "left": pl.String,
    "right": pl.String,
    "shared": pl.UInt32,
    "agreeing": pl.UInt32,
    "opposed": pl.UInt32,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
"""Two sources and the comparisons (two replies to one prompt with its media) that both have.

A source votes as most of its pairs of a comparison do, and not at all where these are even, so `agreeing` plus
`opposed` may be fewer than `shared`. `share` is agreeing / (agreeing + opposed) with its 95 % Wilson interval, or
null. Where left and right are one source: comparisons that it has more than once, and whether all its pairs
prefer the same reply.
"""

COMPARISON = ["prompt_key", "low_key", "high_key"]


def agreement(sources: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return AGREEMENT of every two sources that share comparisons, in the order given.

    Each source is a frame with the columns prompt_key, chosen_key and rejected_key; others are ignored.
    """
    votes = _votes(sources)
    one, other = votes.rename({"source": "left"}), votes.rename({"source": "right"})
    shared = one.join(other, on=COMPARISON, suffix="_right").filter(pl.col("left") < pl.col("right"))
    product = pl.col("vote") * pl.col("vote_right")
    alone = votes.filter(pl.col("pairs") > 1)
    lasting = pl.col("net").abs() == pl.col("pairs")
    counted = pl.concat(
        [
            _counted(shared.select("left", "right", same=product == 1, apart=product == -1)),
            _counted(alone.select(left="source", right="source", same=lasting, apart=~lasting)),
        ]
    ).sort("left", "right")
    names = list(sources)
    rows = [
        (names[left], names[right], total, same, apart, *_share(same, apart))
        for left, right, total, same, apart in counted.iter_rows()
    ]
    return pl.DataFrame(rows, schema=AGREEMENT, orient="row")


def _votes(sources: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """For each source and comparison the number of pairs, votes for the lower key less others, and the sign."""
    chosen, rejected = pl.col("chosen_key"), pl.col("rejected_key")
    frames = [
        frame.filter(chosen != rejected).select(
            pl.lit(number, pl.UInt16).alias("source"),
            "prompt_key",
            low_key=pl.min_horizontal(chosen, rejected),
            high_key=pl.max_horizontal(chosen, rejected),
            vote=pl.when(chosen < rejected).then(1).otherwise(-1).cast(pl.Int32),
        )
        for number, frame in enumerate(sources.values())
    ]
    schema = {"source": pl.UInt16, **dict.fromkeys(COMPARISON, pl.UInt64), "vote": pl.Int32}
    votes = pl.concat([pl.DataFrame(schema=schema), *frames])
    return (
        votes.filter(pl.col("prompt_key").is_duplicated())
        .group_by("source", *COMPARISON)
        .agg(pairs=pl.len(), net=pl.sum("vote"))
        .with_columns(vote=pl.col("net").sign())
    )


def _counted(compared: pl.DataFrame) -> pl.DataFrame:
    return compared.group_by("left", "right").agg(pl.len().alias("shared"), pl.sum("same"), pl.sum("apart"))


def _share(same: int, apart: int) -> tuple[float | None, float | None, float | None]:
    if not same + apart:
        return None, None, None
    return same / (same + apart), *wilson(same, same + apart)
