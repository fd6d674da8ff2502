"""Kernels over buckets: band keys, which members may have a near-duplicate, which have one.

A *member* is a pair by its number, the best first, and a *bucket* the members that agree in one band and in their
media.
"""

from typing import NamedTuple

import numpy as np

from curate.arrays import B8, F64, I64, U16, U32, U64
from curate.compiled import compiled
from curate.near_duplicates.sketch_format import SLOTS
from curate.text.shingle_kernels import jaccard
from curate.text.word_kernels import mix

STEP = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)


class Buckets(NamedTuple):
    """Bucket i has members[starts[i]:starts[i + 1]], ascending."""

    members: U32
    starts: I64


class Members(NamedTuple):
    """What members are compared by, and what makes two of them near-duplicates.

    slots, media    of each member
    shingles        member i has shingles[begins[i]:ends[i]], ascending, none twice
    least_equal     slots that must be equal before texts are compared
    similarity      least Jaccard similarity
    """

    slots: U16
    media: U64
    shingles: U64
    begins: I64
    ends: I64
    least_equal: int
    similarity: float


@compiled
def band_keys(slots: U16, media: U64, rows: int, first: int, shift: int, keys: U32 | U64, at: I64) -> None:
    """Put into keys[b, at[i]] a hash of row i's `rows` min-hashes of the band first + b and of its media.

    The hash is shifted to the right by `shift` bits: by 32 for keys of 32 bits.
    """
    for i in range(len(slots)):
        for band in range(len(keys)):
            value = media[i]
            for slot in range((first + band) * rows, (first + band + 1) * rows):
                value = (value ^ np.uint64(slots[i, slot])) * STEP
                value ^= value >> HALF
            keys[band, at[i]] = mix(value) >> np.uint64(shift)


@compiled
def equal_slots(left: U16, right: U16) -> int:
    """Return how many slots are equal."""
    count = np.uint16(0)
    for slot in range(SLOTS):
        count += np.uint16(left[slot] == right[slot])
    return int(count)


@compiled
def with_equal_slots(members: U32, starts: I64, slots: U16, least_equal: int) -> B8:
    """Return which rows of `slots` have another one in one of their buckets with `least_equal` equal slots."""
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


@compiled
def near(one: int, other: int, members: Members, sides: F64) -> bool:
    """Return whether two members of a bucket are near-duplicates; `sides` then has the similarity of each side.

    Media are compared here: the key of a bucket covers them too, but proves nothing.
    """
    if members.media[one] != members.media[other]:
        return False
    if equal_slots(members.slots[one], members.slots[other]) < members.least_equal:
        return False
    mine = members.shingles[members.begins[one] : members.ends[one]]
    others = members.shingles[members.begins[other] : members.ends[other]]
    return bool(jaccard(mine, others, sides) >= members.similarity)


class Decided(NamedTuple):
    """The decisions so far, and what the next ones need.

    winner    of each member the best kept near-duplicate, else -1
    shares    of each member with a winner the similarity of each side
    kept      of each bucket how many members were kept; they are moved to its beginning
    compared  of each member the last one that it was compared with, else -1
    """

    winner: I64
    shares: F64
    kept: I64
    compared: I64


@compiled
def decide(
    first: int, last: int, members: Members, protected: B8, buckets: Buckets, owned: Buckets, decided: Decided
) -> None:
    """Decide about the members `first` to `last`, in their order; `owned` has the buckets of each member."""
    winner, shares, kept, compared = decided
    sides = np.empty(shares.shape[1], np.float64)
    for one in range(first, last):
        best = len(winner)
        for at in range(owned.starts[one], owned.starts[one + 1]):
            if protected[one]:
                break
            bucket = owned.members[at]
            for i in range(buckets.starts[bucket], buckets.starts[bucket] + kept[bucket]):
                other = int(buckets.members[i])
                if other >= best:
                    break
                if compared[other] == one:
                    continue
                compared[other] = one
                if near(one, other, members, sides):
                    best = other
                    shares[one] = sides
        if best < len(winner):
            winner[one] = best
            continue
        for at in range(owned.starts[one], owned.starts[one + 1]):
            bucket = owned.members[at]
            buckets.members[buckets.starts[bucket] + kept[bucket]] = one
            kept[bucket] += 1


@compiled
def spread(members: Members, buckets: Buckets, sides: F64, own: U64, found: U64) -> None:
    """Add to the bits `found` of each member the bits `own` of its near-duplicates.

    Two members are compared only where either could gain a bit.
    """
    for bucket in range(len(buckets.starts) - 1):
        for i in range(buckets.starts[bucket], buckets.starts[bucket + 1]):
            one = buckets.members[i]
            for j in range(i + 1, buckets.starts[bucket + 1]):
                other = buckets.members[j]
                if own[other] & ~found[one] == 0 and own[one] & ~found[other] == 0:
                    continue
                if near(one, other, members, sides):
                    found[one] |= own[other]
                    found[other] |= own[one]


@compiled
def lead(
    orders: I64, pair_of: I64, members: Members, buckets: Buckets, owned: Buckets, sides: int
) -> tuple[I64, B8]:
    """Return for each pair the one that leads it (see `either_order`), and whether its replies are exchanged.

    `orders` [pairs, 2] has the members that the pair is, as it is and exchanged, or -1; `pair_of` is the inverse.
    Where both orders are near to the leader, the one with the greater sum of similarities counts.
    """
    leader, exchanged = np.arange(len(orders)), np.zeros(len(orders), np.bool_)
    kept = np.zeros(len(buckets.starts) - 1, np.int64)
    shares = np.empty(sides, np.float64)
    for pair in range(len(orders)):
        best, most = len(orders), 0.0
        for order in range(2):
            one = orders[pair, order]
            for at in range(owned.starts[one], owned.starts[one + 1]) if one >= 0 else range(0):
                bucket = owned.members[at]
                for i in range(buckets.starts[bucket], buckets.starts[bucket] + kept[bucket]):
                    other = int(buckets.members[i])
                    by = pair_of[other]
                    if by > best:
                        break
                    if near(one, other, members, shares) and (by < best or shares.sum() > most):
                        best, most = by, shares.sum()
                        leader[pair], exchanged[pair] = by, order == 1
        one = orders[pair, 0]
        if best == len(orders) and one >= 0:
            for at in range(owned.starts[one], owned.starts[one + 1]):
                bucket = owned.members[at]
                buckets.members[buckets.starts[bucket] + kept[bucket]] = one
                kept[bucket] += 1
    return leader, exchanged
