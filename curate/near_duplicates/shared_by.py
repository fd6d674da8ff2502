"""Which sets share near-duplicates: for every pair the sets that hold one, and no list of pairs of pairs."""

from pathlib import Path

import numpy as np

from curate.arrays import U64
from curate.engines.base import Engine
from curate.near_duplicates.search import Search

MOST = 64
"""Sets are bits of a number."""


def shared_by(search: Search, owners: U64, engine: Engine, scratch: Path) -> U64:
    """Return by rank the bits of the sets that hold an equal pair or a verified near-duplicate, and of its own.

    `owners` has by rank the one bit of the set that the pair is of. `scratch` is a directory for temporary files.
    """
    first = search.first_of_equals()
    held = np.zeros(len(first), np.uint64)
    np.bitwise_or.at(held, first, owners)
    found = held.copy()
    suspects = search.suspects(first == np.arange(len(first)))
    if len(ranks := suspects.ranks):
        from curate.near_duplicates.bucket_kernels import Buckets, spread  # numba

        own, gained = held[ranks], held[ranks]
        with search.sets_of(ranks, engine, scratch) as sets:
            sides, buckets = np.empty(len(search.sketch.on)), Buckets(suspects.members, suspects.starts)
            spread(search.members(suspects, sets), buckets, sides, own, gained)
        found[ranks] = gained
    return found[first]
