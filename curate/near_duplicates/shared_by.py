"""Whose pairs are near-duplicates of whose: for every pair the sets that hold one, and no list of such pairs."""

from pathlib import Path

import numpy as np

from curate.arrays import F64, I64, U16, U32, U64
from curate.compiled import compiled
from curate.engines.base import Engine
from curate.near_duplicates.buckets import hopeful
from curate.near_duplicates.decide import Task, first_of_equals, media_of, suspects, wanted
from curate.near_duplicates.shingle_sets import sets
from curate.text.shingles import jaccard

MOST = 64
"""Sets are bits of a number."""


def meetings(task: Task, owners: U64, engine: Engine, scratch: Path) -> U64:
    """By rank, the bits of the sets with a pair that is equal or a verified near-duplicate; its own among them.

    `owners` has by rank the one bit of the set that the pair is of. `scratch` is a directory for temporary files.
    """
    first = first_of_equals(task)
    held = np.zeros(len(first), np.uint64)
    np.bitwise_or.at(held, first, owners)
    found = held.copy()
    ranks, slots, members, starts = suspects(task, first == np.arange(len(first)))
    if len(ranks):
        own, met = held[ranks], held[ranks]
        with sets(wanted(task, ranks), task.sketch, engine, scratch) as some:
            _meet(
                members, starts, slots, task.banding.least_equal, media_of(task)[ranks], some.shingles,
                some.begins, some.ends, task.banding.jaccard, np.empty(len(task.sketch.on)), own, met,
            )  # fmt: skip
        found[ranks] = met
    return found[first]


@compiled
def _meet(
    members: U32, starts: I64, slots: U16, least_equal: int, media: U64, shingles: U64, begins: I64,
    ends: I64, similarity: float, sides: F64, own: U64, met: U64,
) -> None:  # fmt: skip
    """Compare the members of each bucket from whose meeting something new would be known of either."""
    for bucket in range(len(starts) - 1):
        for i in range(starts[bucket], starts[bucket + 1]):
            one = members[i]
            for j in range(i + 1, starts[bucket + 1]):
                other = members[j]
                if own[other] & ~met[one] == 0 and own[one] & ~met[other] == 0:
                    continue
                if not hopeful(one, other, media, slots, least_equal):
                    continue
                mine, others = shingles[begins[one] : ends[one]], shingles[begins[other] : ends[other]]
                if jaccard(mine, others, sides) >= similarity:
                    met[one] |= own[other]
                    met[other] |= own[one]
