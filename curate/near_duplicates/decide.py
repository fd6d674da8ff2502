"""The decision: which of ranked pairs are near-duplicates of one that is kept, by their shingles.

In the order of their ranks, a pair is dropped if it is near enough to a pair that was kept; the best of these is
its winner. So it would be if all were compared with all; no pair is dropped because of one that is itself dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.arrays import B8, F64, I64, U16, U32, U64
from curate.compiled import compiled
from curate.engines.base import Engine
from curate.near_duplicates import sketch_format
from curate.near_duplicates.banding import Banding
from curate.near_duplicates.buckets import among, band_keys, buckets, by_member, hopeful, promising
from curate.near_duplicates.minhash import MinHash
from curate.near_duplicates.shingle_sets import Sets, Wanted, sets
from curate.near_duplicates.sketch_format import SLOTS
from curate.text.shingles import jaccard

NOBODY = -1
CHUNK = 1 << 16  # pairs decided between two chances to give mapped memory back


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Pairs of one file, its positions ascending, and their ranks among all pairs: 0 is the best."""

    pairs: Path
    sketch: Path
    positions: I64
    ranks: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class Losers:
    """Ranks of the losers and of their winners, and the Jaccard similarity of each side, one row per loser."""

    ranks: I64
    winners: I64
    shares: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked: `protected` says by rank which pairs are kept whatever they repeat."""

    files: Sequence[Rows]
    protected: B8
    sketch: MinHash
    banding: Banding
    same_media: bool


def decide(task: Task, engine: Engine, scratch: Path) -> Losers:
    """The losers, by ascending rank. `scratch` is a directory for temporary files, shared by all workers."""
    first = first_of_equals(task)
    distinct = first == np.arange(len(first))
    winner, shares = _decide_distinct(task, distinct, engine, scratch)
    # who is equal to a loser lost to the same winner; who is equal to a kept pair lost to it
    winner = np.where(winner[first] >= 0, winner[first], np.where(distinct, NOBODY, first))
    ranks = np.flatnonzero((winner >= 0) & ~task.protected)
    return Losers(ranks=ranks, winners=winner[ranks], shares=shares[first[ranks]])


def first_of_equals(task: Task) -> I64:
    """For each rank the best rank that has the same shingles, as often, and the same media."""
    frame = pl.DataFrame({"same": _column(task, "same"), "media": media_of(task)}).with_row_index("rank")
    return frame.select(pl.col("rank").min().over("same", "media").cast(pl.Int64)).to_series().to_numpy()


def media_of(task: Task) -> U64:
    """By rank what must be equal in near-duplicates beside their texts."""
    return _column(task, "media") if task.same_media else np.zeros(len(task.protected), np.uint64)


def _column(task: Task, name: str) -> U64:
    """A column of the sketches, by rank."""
    values = np.zeros(len(task.protected), np.uint64)
    for file in task.files:
        values[file.ranks] = sketch_format.read(file.sketch)[name][file.positions]
    return values


class Suspects(NamedTuple):
    """Pairs that may have a near-duplicate: ranks, slots, and the buckets of their numbers (see `buckets`)."""

    ranks: I64
    slots: U16
    members: U32
    starts: I64


def suspects(task: Task, distinct: B8) -> Suspects:
    """The distinct pairs that agree in a band with another one, and in slots enough."""
    members, starts = buckets(_keys(task, distinct))
    ranks = np.flatnonzero(distinct)
    bucketed = np.zeros(len(ranks), np.bool_)
    bucketed[members] = True
    members, starts = among(members, starts, bucketed)
    ranks = ranks[bucketed]
    slots = _slots(task, ranks)
    suspected = promising(members, starts, slots, task.banding.least_equal)
    members, starts = among(members, starts, suspected)
    return Suspects(ranks[suspected], slots[suspected], members, starts)


def _decide_distinct(task: Task, distinct: B8, engine: Engine, scratch: Path) -> tuple[I64, F64]:
    """(the winner's rank or NOBODY, the shares) by rank, of pairs that no better one is equal to."""
    ranks, slots, members, starts = suspects(task, distinct)
    winner = np.full(len(distinct), NOBODY, np.int64)
    shares = np.ones((len(distinct), len(task.sketch.on)))
    if len(ranks):
        with sets(wanted(task, ranks), task.sketch, engine, scratch) as found:
            lost_to, shares[ranks] = _decide(members, starts, slots, found, task, ranks)
        winner[ranks] = np.where(lost_to >= 0, ranks[lost_to], NOBODY)
    return winner, shares


def _keys(task: Task, distinct: B8) -> U32:
    """The band keys of the distinct pairs in the order of their ranks."""
    keys = np.empty((task.banding.bands, int(distinct.sum())), np.uint32)
    numbers = np.cumsum(distinct) - 1
    for file in task.files:
        some = distinct[file.ranks]
        rows = sketch_format.read(file.sketch)[file.positions[some]]
        media = rows["media"] if task.same_media else np.zeros(len(rows), np.uint64)
        slots, at = np.ascontiguousarray(rows["slots"]), numbers[file.ranks[some]]
        band_keys(slots, np.ascontiguousarray(media), task.banding, keys, at)
    return keys


def _slots(task: Task, ranks: I64) -> U16:
    """The slots of these (ascending) ranks."""
    slots = np.empty((len(ranks), SLOTS), np.uint16)
    for file, positions, numbers in _chosen(task, ranks):
        slots[numbers] = sketch_format.read(file.sketch)["slots"][positions]
    return slots


def wanted(task: Task, ranks: I64) -> list[Wanted]:
    """Where the pairs of these (ascending) ranks stand."""
    return [
        Wanted(pairs=file.pairs, positions=positions, numbers=numbers)
        for file, positions, numbers in _chosen(task, ranks)
    ]


def _chosen(task: Task, ranks: I64) -> list[tuple[Rows, I64, I64]]:
    """For each file that holds some of these ranks: (file, their positions in it, their places in `ranks`)."""
    number = np.full(len(task.protected), NOBODY, np.int64)
    number[ranks] = np.arange(len(ranks))
    found = []
    for file in task.files:
        some = number[file.ranks] >= 0
        if some.any():
            found.append((file, file.positions[some], number[file.ranks[some]]))
    return found


def _decide(members: U32, starts: I64, slots: U16, found: Sets, task: Task, ranks: I64) -> tuple[I64, F64]:
    owned, owned_starts = by_member(members, starts, len(ranks))
    winner = np.full(len(ranks), NOBODY, np.int64)
    shares = np.ones((len(ranks), len(task.sketch.on)))
    kept, tried = np.zeros(len(starts) - 1, np.int64), np.full(len(ranks), NOBODY, np.int64)
    protected, media, banding = task.protected[ranks], media_of(task)[ranks], task.banding
    for first in range(0, len(ranks), CHUNK):
        _decide_some(
            first, min(first + CHUNK, len(ranks)), protected, owned, owned_starts, members, starts, kept, tried,
            slots, banding.least_equal, media, found.shingles, found.begins, found.ends, banding.jaccard, winner,
            shares,
        )  # fmt: skip
        found.forget()
    return winner, shares


@compiled
def _decide_some(
    first: int, last: int, protected: B8, owned: U32, owned_starts: I64, members: U32, starts: I64, kept: I64,
    tried: I64, slots: U16, least_equal: int, media: U64, shingles: U64, begins: I64, ends: I64, similarity: float,
    winner: I64, shares: F64,
) -> None:  # fmt: skip
    """Decide about the members `first` to `last`; a bucket's first `kept` members are those that were kept."""
    sides = np.empty(shares.shape[1], np.float64)
    for one in range(first, last):
        best = len(winner)
        for at in range(owned_starts[one], owned_starts[one + 1]):
            if protected[one]:
                break
            bucket = owned[at]
            for i in range(starts[bucket], starts[bucket] + kept[bucket]):
                other = int(members[i])
                if other >= best:
                    break
                if tried[other] == one or not hopeful(one, other, media, slots, least_equal):
                    continue
                tried[other] = one
                mine, others = shingles[begins[one] : ends[one]], shingles[begins[other] : ends[other]]
                if jaccard(mine, others, sides) >= similarity:
                    best = other
                    shares[one] = sides
        if best < len(winner):
            winner[one] = best
            continue
        for at in range(owned_starts[one], owned_starts[one + 1]):
            bucket = owned[at]
            members[starts[bucket] + kept[bucket]] = one
            kept[bucket] += 1
