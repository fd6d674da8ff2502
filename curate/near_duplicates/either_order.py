"""Which pairs compare nearly the same two replies, whichever of them is preferred.

Every pair is searched for twice, as it is and with its replies exchanged: pair i has the ranks i and n + i. In the
order of their ranks, a pair is led by the best pair before it that leads itself and is near to it in either order,
or else leads itself; no pair is led by way of another one.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.arrays import B8, I64
from curate.engines.base import Engine
from curate.near_duplicates.buckets import by_member
from curate.near_duplicates.search import NONE, Search, Suspects
from curate.near_duplicates.shingle_sets import Sets


class Led(NamedTuple):
    """By rank: the rank of the leading pair, its own where it leads; and whether it has the replies exchanged."""

    leader: I64
    exchanged: B8


def led(search: Search, engine: Engine, scratch: Path) -> Led:
    """Return which pairs lead which. `search` has 2 n ranks: n pairs, then each with its replies exchanged."""
    pairs = len(search.protected) // 2
    same, turned = search.first_of_equals().reshape(2, pairs)
    numbers = np.arange(pairs)
    # equal texts need no comparison; an exchanged pair that is equal to a later one is the later one's concern
    alike, reversed_ = same < numbers, (same == numbers) & (turned < numbers)
    alone = ~(alike | reversed_)
    leader, exchanged = _of_distinct(search, alone, engine, scratch)
    of = np.where(alike, same, np.where(reversed_, turned, numbers))
    # an equal pair before it may itself be the reverse of one before that
    again = of[of]
    exchanged_by_equal = reversed_ ^ reversed_[of]
    return Led(leader[again], exchanged_by_equal ^ exchanged[again])


def _of_distinct(search: Search, alone: B8, engine: Engine, scratch: Path) -> tuple[I64, B8]:
    """(leader, exchanged) by rank, of pairs that no better one is equal to in either order."""
    suspects = search.suspects(np.tile(alone, 2))
    leader, exchanged = np.arange(len(alone)), np.zeros(len(alone), np.bool_)
    if len(suspects.ranks):
        with search.sets_of(suspects.ranks, engine, scratch) as found:
            ranks, by, turned = _of_suspects(search, suspects, found, len(alone))
        leader[ranks], exchanged[ranks] = by, turned
    return leader, exchanged


def _of_suspects(search: Search, suspects: Suspects, found: Sets, pairs: int) -> tuple[I64, I64, B8]:
    """(ranks, leader, exchanged) of the pairs that are suspects in one of the two orders."""
    from curate.near_duplicates import bucket_kernels as kernels  # numba

    place = np.full(2 * pairs, NONE, np.int64)
    place[suspects.ranks] = np.arange(len(suspects.ranks))
    ranks = np.unique(suspects.ranks % pairs)
    pair_of = np.searchsorted(ranks, suspects.ranks % pairs)
    orders = np.stack([place[ranks], place[pairs + ranks]], axis=1)
    buckets = kernels.Buckets(suspects.members, suspects.starts)
    owned = kernels.Buckets(*by_member(*buckets, len(suspects.ranks)))
    leader, exchanged = kernels.lead(
        orders, pair_of, search.members(suspects, found), buckets, owned, len(search.sketch.on)
    )
    return ranks, ranks[leader], exchanged
