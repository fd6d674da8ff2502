"""The decision: which of ranked pairs are near-duplicates of one that is kept, by their shingles.

In the order of their ranks, a pair is dropped if it is near enough to a pair that was kept; the best of these is
its winner. So it would be if all were compared with all; no pair is dropped because of one that is itself dropped.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curate.arrays import B8, F64, I64, U32
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
    distinct = first == np.arange(len(first), dtype=np.uint32)
    suspects, lost_to, shares = _decide_distinct(search, distinct, engine, scratch)
    winner = np.full(len(first), NONE, np.int64)
    winner[suspects] = np.where(lost_to >= 0, suspects[lost_to], NONE)
    # a pair equal to a dropped one lost to the same winner; a pair equal to a kept one lost to that
    of_first = winner[first]
    winner = np.where((of_first < 0) & ~distinct, first, of_first)
    ranks = np.flatnonzero((winner >= 0) & ~search.protected)
    return Dropped(ranks=ranks, winners=winner[ranks], shares=_shares_of(first[ranks], suspects, shares))


def _shares_of(ranks: U32, suspects: I64, shares: F64) -> F64:
    """The shares of these ranks: 1 where a rank is no suspect, which equals its winner."""
    found = np.ones((len(ranks), shares.shape[1]))
    if len(suspects):
        place = np.minimum(np.searchsorted(suspects, ranks), len(suspects) - 1)
        known = suspects[place] == ranks
        found[known] = shares[place[known]]
    return found


def _decide_distinct(search: Search, distinct: B8, engine: Engine, scratch: Path) -> tuple[I64, I64, F64]:
    """(ranks, the winner's place among them or NONE, the shares) of the suspects no better pair is equal to."""
    suspects = search.suspects(distinct)
    if not len(suspects.ranks):
        return suspects.ranks, suspects.ranks, np.ones((0, len(search.sketch.on)))
    with search.sets_of(suspects.ranks, engine, scratch) as found:
        return suspects.ranks, *_decide_suspects(search, suspects, found)


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
