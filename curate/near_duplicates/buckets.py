"""Buckets of pairs that agree in a band: how they are formed, narrowed, and turned round.

Here a *member* is a pair by its rank, the best first, and a *bucket* the members that agree in one band and in
their media. No list of candidate pairs is ever made: all that grows with the square of a bucket is the comparison
of 256 bytes with 256 bytes, and that only between members that are not near-duplicates of each other.
"""

from collections.abc import Callable, Iterable

import numpy as np

from curate.arrays import B8, I64, U32, U64

HALF = np.uint64(32)


def buckets(keys: U32 | U64) -> tuple[U32, I64]:
    """Return (members, starts) of all buckets with two members or more, from keys [bands, members].

    Bucket i has members[starts[i]:starts[i + 1]], ascending.
    """
    members, sizes = [np.empty(0, np.uint32)], [np.zeros(1, np.int64)]
    for band in keys if keys.shape[1] > 1 else keys[:0]:
        same, number = _sorted(band)
        follows = np.concatenate([[False], same, [False]])
        inside = follows[:-1] | follows[1:]
        firsts = np.flatnonzero(inside & ~follows[:-1])
        lasts = np.flatnonzero(inside & ~follows[1:])
        members.append(number(inside))
        sizes.append(lasts - firsts + 1)
    return np.concatenate(members), np.cumsum(np.concatenate(sizes))


def _sorted(band: U32 | U64) -> tuple[B8, Callable[[B8], U32]]:
    """Whether each key but the first is that before it in their order, and the numbers of some in that order."""
    if band.dtype == np.uint64:
        order = np.argsort(band, kind="stable").astype(np.uint32)
        key = band[order]
        return key[1:] == key[:-1], lambda some: order[some]
    packed = band.astype(np.uint64)
    packed <<= HALF
    packed += np.arange(len(band), dtype=np.uint32)
    packed.sort()
    key = (packed >> HALF).astype(np.uint32)
    return key[1:] == key[:-1], lambda some: packed[some].astype(np.uint32)


def joined(groups: Iterable[tuple[U32, I64]]) -> tuple[U32, I64]:
    """Return the buckets of several groups of bands, of which there is one at least, as one."""
    members, starts = zip(*groups, strict=True)
    sizes = np.concatenate([np.diff(some) for some in starts])
    return np.concatenate(members), np.concatenate([[0], np.cumsum(sizes)])


def among(members: U32, starts: I64, chosen: B8) -> tuple[U32, I64]:
    """Return the buckets with the chosen members alone, renumbered; some may be left with one or none."""
    kept = chosen[members]
    numbers = np.cumsum(chosen, dtype=np.int64) - 1
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return numbers[members[kept]].astype(np.uint32), before[starts]


def by_member(members: U32, starts: I64, count: int) -> tuple[U32, I64]:
    """Return (buckets, starts): the buckets of each of `count` members, in the form that `buckets` has."""
    of = np.repeat(np.arange(len(starts) - 1, dtype=np.uint32), np.diff(starts))
    order = np.argsort(members, kind="stable")
    return of[order], np.concatenate([[0], np.cumsum(np.bincount(members, minlength=count))])
