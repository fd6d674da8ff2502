"""The decision: which of ranked pairs are near-duplicates of one that is kept, by their shingles.

In the order of their ranks, a pair is dropped if it is near enough to a pair that was kept; the best of these is
its winner. So it would be if all were compared with all; no pair is dropped because of one that is itself dropped.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.arrays import B8, F64, I64
from curate.engines.base import Engine
from curate.near_duplicates.buckets import by_member
from curate.near_duplicates.search import NONE, Search, Suspects
from curate.near_duplicates.shingle_sets import Sets

CHUNK = 1 << 16  # pairs decided between two chances to give mapped memory back


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Ranks of the dropped pairs and of their winners, and the Jaccard similarity of each side, a row per pair."""

    ranks: I64
    winners: I64
    shares: F64


def decide(search: Search, engine: Engine, scratch: Path) -> Dropped:
    """Return the dropped pairs, by ascending rank. `scratch` is a directory for files that workers share."""
    first = search.first_of_equals()
    distinct = first == np.arange(len(first))
    winner, shares = _decide_distinct(search, distinct, engine, scratch)
    # a pair equal to a dropped one lost to the same winner; a pair equal to a kept one lost to that
    winner = np.where(winner[first] >= 0, winner[first], np.where(distinct, NONE, first))
    ranks = np.flatnonzero((winner >= 0) & ~search.protected)
    return Dropped(ranks=ranks, winners=winner[ranks], shares=shares[first[ranks]])


def _decide_distinct(search: Search, distinct: B8, engine: Engine, scratch: Path) -> tuple[I64, F64]:
    """(the winner's rank or NONE, the shares) by rank, of pairs that no better one is equal to."""
    suspects = search.suspects(distinct)
    ranks = suspects.ranks
    winner = np.full(len(distinct), NONE, np.int64)
    shares = np.ones((len(distinct), len(search.sketch.on)))
    if len(ranks):
        with search.sets_of(ranks, engine, scratch) as found:
            lost_to, shares[ranks] = _decide_suspects(search, suspects, found)
        winner[ranks] = np.where(lost_to >= 0, ranks[lost_to], NONE)
    return winner, shares


def _decide_suspects(search: Search, suspects: Suspects, found: Sets) -> tuple[I64, F64]:
    """(the winner's number or NONE, the shares) of each suspect."""
    from curate.near_duplicates import bucket_kernels as kernels  # numba

    count = len(suspects.ranks)
    buckets = kernels.Buckets(suspects.members, suspects.starts)
    owned = kernels.Buckets(*by_member(*buckets, count))
    decided = kernels.Decided(
        winner=np.full(count, NONE, np.int64),
        shares=np.ones((count, len(search.sketch.on))),
        kept=np.zeros(len(suspects.starts) - 1, np.int64),
        compared=np.full(count, NONE, np.int64),
    )
    members, protected = search.members(suspects, found), search.protected[suspects.ranks]
    for first in range(0, count, CHUNK):
        kernels.decide(first, min(first + CHUNK, count), members, protected, buckets, owned, decided)
        found.forget()
    return decided.winner, decided.shares
