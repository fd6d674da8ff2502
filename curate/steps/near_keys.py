"""Key columns in which pairs that compare nearly the same replies have equal keys."""

from dataclasses import replace

import numpy as np
import polars as pl

from curate.near_duplicates.either_order import led
from curate.near_duplicates.minhash import MinHash
from curate.near_duplicates.search import Search
from curate.steps.corpus import Corpus
from curate.steps.near_dedup import NearDedup
from curate.text.buffers import Side

OTHER: dict[Side, Side] = {"chosen": "rejected", "rejected": "chosen"}
KEYS = ("prompt_key", "chosen_key", "rejected_key")


def either_order_sketches(near: NearDedup) -> tuple[MinHash, MinHash]:
    """Return the sketches that `near_keys` needs: of pairs as they are, and with their replies exchanged."""
    return near.minhash, _exchanged(near).minhash


def either_order_search(ranked: pl.DataFrame, near: NearDedup, corpus: Corpus) -> Search:
    """Return the search among n ranked pairs, each as it is and, at rank + n, with its replies exchanged.

    `ranked` has the columns rank, pool, part and position.
    """
    places = ranked.select("rank", "pool", "part", "position", protected=pl.lit(value=False))
    as_is, exchanged = near.search(places, corpus), _exchanged(near).search(places, corpus)
    turned = [replace(file, ranks=file.ranks + ranked.height) for file in exchanged.files]
    return replace(as_is, files=[*as_is.files, *turned], protected=np.tile(as_is.protected, 2))


def near_keys(keys: pl.DataFrame, near: NearDedup, corpus: Corpus) -> pl.DataFrame:
    """Return the pairs with the keys of the best pair that compares the same replies, nearly, in either order.

    A pair that prefers the other reply gets them exchanged. The best is that of the smallest priority number, then
    of the larger order (see `curate.near_duplicates.either_order`). `keys` has the columns index, pool, part,
    position, priority, order and KEYS.
    """
    ranked = keys.sort("priority", "order", "index", descending=[False, True, False]).with_row_index("rank")
    if not ranked.height:
        return keys
    search = either_order_search(ranked, near, corpus)
    found = led(search, corpus.engine, search.files[0].sketch.parent)
    leaders = ranked.select(KEYS)[found.leader]
    chosen = pl.Series(found.exchanged)
    equal = leaders.select(
        "prompt_key",
        chosen_key=pl.when(chosen).then("rejected_key").otherwise("chosen_key"),
        rejected_key=pl.when(chosen).then("chosen_key").otherwise("rejected_key"),
    )
    return ranked.drop("rank", *KEYS).hstack(equal)


def _exchanged(near: NearDedup) -> NearDedup:
    return replace(near, on=tuple(OTHER.get(side, side) for side in near.on))
