"""Pairs that agree in a band, and those among them whose slots let a near-duplicate be hoped for.

Here a *member* is a pair by its rank, the best first, and a *bucket* the members that agree in one band and in
their media. No list of candidate pairs is ever made: all that grows with the square of a bucket is the comparison
of 256 bytes with 256 bytes, and that only between members that are not near-duplicates of each other.
"""

import numpy as np

from curate.arrays import B8, I64, U16, U32, U64
from curate.compiled import compiled
from curate.near_duplicates.banding import Banding
from curate.near_duplicates.sketch_format import SLOTS
from curate.text.words import mix

STEP = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)


def band_keys(slots: U16, media: U64, banding: Banding, keys: U32, at: I64) -> None:
    """Put into keys[band, at[i]] a hash of row i's min-hashes of each band and of its media."""
    _band_keys(slots, media, banding.rows, keys, at)


@compiled
def _band_keys(slots: U16, media: U64, rows: int, keys: U32, at: I64) -> None:
    for i in range(len(slots)):
        for band in range(len(keys)):
            value = media[i]
            for slot in range(band * rows, (band + 1) * rows):
                value = (value ^ np.uint64(slots[i, slot])) * STEP
                value ^= value >> HALF
            keys[band, at[i]] = np.uint32(mix(value) >> HALF)


def buckets(keys: U32) -> tuple[U32, I64]:
    """(members, starts) of all buckets with two members or more; those of a bucket are ascending.

    Bucket i has members[starts[i]:starts[i + 1]].
    """
    members, sizes = [np.empty(0, np.uint32)], [np.zeros(1, np.int64)]
    numbers = np.arange(keys.shape[1], dtype=np.uint64)
    for band in keys if len(numbers) > 1 else keys[:0]:
        ordered = (band.astype(np.uint64) << HALF) | numbers
        ordered.sort()
        key = ordered >> HALF
        follows = np.concatenate([[False], key[1:] == key[:-1], [False]])
        inside = follows[:-1] | follows[1:]
        firsts = np.flatnonzero(inside & ~follows[:-1])
        lasts = np.flatnonzero(inside & ~follows[1:])
        members.append((ordered[inside] & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        sizes.append(lasts - firsts + 1)
    return np.concatenate(members), np.cumsum(np.concatenate(sizes))


@compiled
def equal_slots(left: U16, right: U16) -> int:
    """How many slots are equal."""
    count = np.uint16(0)
    for slot in range(SLOTS):
        count += np.uint16(left[slot] == right[slot])
    return int(count)


@compiled
def hopeful(one: int, other: int, media: U64, slots: U16, least_equal: int) -> bool:
    """Whether two members of a bucket may be near-duplicates: its 32 bits cover media too, but are no proof."""
    return bool(media[one] == media[other] and equal_slots(slots[one], slots[other]) >= least_equal)


@compiled
def promising(members: U32, starts: I64, slots: U16, least_equal: int) -> B8:
    """Which rows of `slots` have another one in one of their buckets with `least_equal` equal slots."""
    found = np.zeros(len(slots), np.bool_)
    for bucket in range(len(starts) - 1):
        for i in range(starts[bucket], starts[bucket + 1]):
            one = members[i]
            if found[one]:
                continue
            for j in range(starts[bucket], starts[bucket + 1]):
                other = members[j]
                if other != one and equal_slots(slots[one], slots[other]) >= least_equal:
                    found[one] = found[other] = True
                    break
    return found


def among(members: U32, starts: I64, chosen: B8) -> tuple[U32, I64]:
    """The buckets with the chosen members alone, renumbered; some may be left with one or none."""
    kept = chosen[members]
    numbers = np.cumsum(chosen, dtype=np.int64) - 1
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return numbers[members[kept]].astype(np.uint32), before[starts]


def by_member(members: U32, starts: I64, count: int) -> tuple[U32, I64]:
    """(buckets, starts): the buckets of each of `count` members, in the form that `buckets` has."""
    of = np.repeat(np.arange(len(starts) - 1, dtype=np.uint32), np.diff(starts))
    order = np.argsort(members, kind="stable")
    return of[order], np.concatenate([[0], np.cumsum(np.bincount(members, minlength=count))])
