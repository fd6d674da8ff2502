"""Labels of sources with keys that are equal where comparisons are nearly the same, for `agreement`."""

from collections.abc import Sequence

import polars as pl

from curate.inspect.targets import Target
from curate.pairs.keys import load_labels
from curate.steps.corpus import Corpus
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import KEYS, near_keys


def near_labels(targets: Sequence[Target], near: NearDedup, corpus: Corpus) -> dict[str, pl.DataFrame]:
    """Return for each target its pairs, each once: KEYS as `near_keys` makes them over all targets, and margin.

    The corpus has the targets' pools in this order, and the sketches of `either_order_sketches`.
    """
    frames = []
    for number, target in enumerate(targets):
        frame = load_labels(target.pool.directory, target.pool.parts)
        frame = frame if target.rows is None else frame[target.rows.unique().sort()]
        frames.append(frame.with_columns(pool=pl.lit(number, pl.UInt16), priority=pl.lit(number, pl.UInt16)))
    whole = pl.concat(frames).with_row_index("index").with_columns(order=pl.lit(0, pl.UInt64))
    found = near_keys(whole, near, corpus).sort("index")
    return {
        target.label: found.filter(pl.col("pool") == number).select(*KEYS, "margin")
        for number, target in enumerate(targets)
    }
