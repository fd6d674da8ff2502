"""How often sources agree about the same two replies to the same prompt, from key columns and margins alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from curate.analysis.intervals import share

AGREEMENT = {
    "left": pl.String,
    "right": pl.String,
    "shared": pl.UInt32,
    "agreeing": pl.UInt32,
    "opposed": pl.UInt32,
    "share": pl.Float64,
    "prompts": pl.UInt32,
    "low": pl.Float64,
    "high": pl.Float64,
}
"""Two sources and the comparisons (two replies to one prompt with its media) that both have labels of.

A source votes as most of its labels of a comparison do, and not at all where these are even, so `agreeing` plus
`opposed` may be fewer than `shared`. A tie is no label; equal pairs of one source with equal margins are copies of
one label. `share` is agreeing / (agreeing + opposed), of comparisons of so many `prompts`, with its 95 %
interval that counts prompts (intervals.share), or null. Where left and right are one source: comparisons of which
it has several labels, and whether all of these prefer the same reply; `share` is null where it has no margins, as
copies cannot be told from second labels there.
"""

COMPARISON = ["prompt_key", "low_key", "high_key"]


def is_labelled() -> pl.Expr:
    """Return whether a pair prefers a reply: a tie, of margin 0, does not, and its order means nothing."""
    return pl.col("margin").ne_missing(0.0)


def agreement(sources: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return AGREEMENT of every two sources that share comparisons, in the order given.

    Each source is a frame with the columns prompt_key, chosen_key, rejected_key and margin; others are ignored.
    """
    votes = _votes(sources)
    one, other = votes.rename({"source": "left"}), votes.rename({"source": "right"})
    shared = one.join(other, on=COMPARISON, suffix="_right").filter(pl.col("left") < pl.col("right"))
    product = pl.col("vote") * pl.col("vote_right")
    alone = votes.filter(pl.col("labels") > 1)
    lasting = pl.col("net").abs() == pl.col("labels")
    counted = pl.concat(
        [
            shared.select("left", "right", "prompt_key", same=product == 1, apart=product == -1, known=True),
            alone.select(
                "prompt_key", left="source", right="source", same=lasting, apart=~lasting, known="margins"
            ),
        ],
        how="diagonal",
    )
    return pl.DataFrame(list(_rows(counted, list(sources))), schema=AGREEMENT, orient="row")


def _votes(sources: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """For each source and comparison the number of labels, those for the lower key less others, and the sign.

    `margins` says whether the source has any margin at all.
    """
    chosen, rejected = pl.col("chosen_key"), pl.col("rejected_key")
    frames = [
        frame.filter(is_labelled() & (chosen != rejected)).select(
            pl.lit(number, pl.UInt16).alias("source"),
            "prompt_key",
            low_key=pl.min_horizontal(chosen, rejected),
            high_key=pl.max_horizontal(chosen, rejected),
            vote=pl.when(chosen < rejected).then(1).otherwise(-1).cast(pl.Int32),
            margin=pl.col("margin").cast(pl.Float64),
            margins=pl.col("margin").is_not_null().any(),
        )
        for number, frame in enumerate(sources.values())
    ]
    schema = {
        "source": pl.UInt16, **dict.fromkeys(COMPARISON, pl.UInt64), "vote": pl.Int32, "margin": pl.Float64,
        "margins": pl.Boolean,
    }  # fmt: skip
    votes = pl.concat([pl.DataFrame(schema=schema), *frames])
    return (
        votes.filter(pl.col("prompt_key").is_duplicated())
        .unique()
        .group_by("source", *COMPARISON)
        .agg(pl.first("margins"), labels=pl.len(), net=pl.sum("vote"))
        .with_columns(vote=pl.col("net").sign())
    )


def _rows(counted: pl.DataFrame, names: list[str]) -> Iterator[tuple[Any, ...]]:
    by_prompt = counted.group_by("left", "right", "prompt_key", maintain_order=True).agg(
        pl.len().alias("shared"), pl.sum("same"), pl.sum("apart"), pl.first("known")
    )
    for (left, right), prompts in by_prompt.sort("left", "right", "prompt_key").group_by(
        ["left", "right"], maintain_order=True
    ):
        same, apart = (prompts[name].cast(pl.Float64).to_numpy() for name in ("same", "apart"))
        found = share(same, same + apart)
        ends = (found.value, found.clusters, found.low, found.high)
        counts = (prompts["shared"].sum(), int(same.sum()), int(apart.sum()))
        yield names[left], names[right], *counts, *(ends if prompts["known"][0] else (None, ends[1], None, None))
