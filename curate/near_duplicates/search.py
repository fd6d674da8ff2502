"""What both answers about near-duplicates begin with: pairs that are equal, and pairs that may be nearly so."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from curate.arrays import B8, I64, U16, U32, U64
from curate.engines.base import Engine
from curate.near_duplicates import sketch_format
from curate.near_duplicates.banding import Banding
from curate.near_duplicates.buckets import among, buckets, joined
from curate.near_duplicates.minhash import MinHash
from curate.near_duplicates.shingle_sets import PairsOfFile, Sets, sets
from curate.near_duplicates.sketch_format import SLOTS
from curate.text.buffers import Side

if TYPE_CHECKING:
    from curate.near_duplicates.bucket_kernels import Members

NONE = -1
BLOCK = 1 << 20

WIDE = 50_000_000
"""Beyond so many pairs band keys have 64 bits: of 32 bits, one in 70 would be in a bucket by chance, and more."""

KEY_BYTES = 1 << 28
"""Memory for band keys; where it does not hold all bands, sketches are read again for every few bands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedFile:
    """Pairs of one pairs file, its positions ascending, and their ranks among all pairs: 0 is the best.

    `sketch` is of the sides `on`, in this order.
    """

    pairs: Path
    sketch: Path
    on: tuple[Side, ...]
    positions: U32
    ranks: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Pairs to look for near-duplicates among, and what counts as one.

    `protected` says by rank which pairs are kept whatever they repeat. All sketches have as many sides as
    `sketch`.
    """

    files: Sequence[RankedFile]
    protected: B8
    sketch: MinHash
    banding: Banding
    same_media: bool

    def first_of_equals(self) -> U32:
        """Return for each rank the best rank that has the same shingles, as often, and the same media."""
        first = np.arange(len(self.protected), dtype=np.uint32)
        same = self._column("same")
        ordered = np.sort(same)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered  # and no table of all is made: those with an equal are few
        several = np.flatnonzero(_is_in(same, repeated))
        frame = pl.DataFrame({"rank": several, "same": same[several]})
        del same
        frame = frame.with_columns(media=self.media()[several])
        first[several] = frame.select(pl.col("rank").min().over("same", "media")).to_series().to_numpy()
        return first

    def media(self) -> U64:
        """Return by rank what near-duplicates must have equal beside their texts."""
        return self._column("media") if self.same_media else np.zeros(len(self.protected), np.uint64)

    def _column(self, name: str) -> U64:
        """A column of the sketches, by rank."""
        values = np.zeros(len(self.protected), np.uint64)
        for file in self.files:
            values[file.ranks] = sketch_format.read(file.sketch)[name][file.positions]
        return values

    def suspects(self, distinct: B8) -> "Suspects":
        """Return the distinct pairs that agree with another one in a band, and in slots enough."""
        from curate.near_duplicates.bucket_kernels import with_equal_slots  # numba

        members, starts = joined(buckets(keys) for keys in self._keys(distinct))
        ranks = np.flatnonzero(distinct)
        bucketed = np.zeros(len(ranks), np.bool_)
        bucketed[members] = True
        members, starts = among(members, starts, bucketed)
        ranks = ranks[bucketed]
        slots = self._slots(ranks)
        suspected = with_equal_slots(members, starts, slots, self.banding.least_equal)
        members, starts = among(members, starts, suspected)
        return Suspects(ranks[suspected], slots[suspected], members, starts)

    def _keys(self, distinct: B8) -> Iterator[U32 | U64]:
        """The band keys of the distinct pairs in the order of their ranks, of as many bands as KEY_BYTES hold."""
        from curate.near_duplicates.bucket_kernels import band_keys  # numba

        count = int(distinct.sum())
        kind = np.dtype(np.uint64 if count > WIDE else np.uint32)
        numbers = np.cumsum(distinct, dtype=np.uint32) - np.uint32(1)
        many = max(1, KEY_BYTES // max(1, count * kind.itemsize))
        for first in range(0, self.banding.bands, many):
            keys: U32 | U64 = np.empty((min(many, self.banding.bands - first), count), kind)
            for file in self.files:
                some = distinct[file.ranks]
                rows = sketch_format.read(file.sketch)[file.positions[some]]
                media = rows["media"] if self.same_media else np.zeros(len(rows), np.uint64)
                slots, at = np.ascontiguousarray(rows["slots"]), numbers[file.ranks[some]].astype(np.int64)
                shift = 64 - 8 * keys.itemsize
                band_keys(slots, np.ascontiguousarray(media), self.banding.rows, first, shift, keys, at)
            yield keys

    def _slots(self, ranks: I64) -> U16:
        """The slots of these (ascending) ranks."""
        slots = np.empty((len(ranks), SLOTS), np.uint16)
        for file, positions, numbers in self._chosen(ranks):
            slots[numbers] = sketch_format.read(file.sketch)["slots"][positions]
        return slots

    @contextmanager
    def sets_of(self, ranks: I64, engine: Engine, scratch: Path) -> Iterator[Sets]:
        """Yield the shingles of the pairs of these (ascending) ranks, in a temporary file below `scratch`."""
        wanted = [
            PairsOfFile(pairs=file.pairs, on=file.on, positions=positions, numbers=numbers)
            for file, positions, numbers in self._chosen(ranks)
        ]
        with sets(wanted, self.sketch.shingle, engine, scratch) as found:
            yield found

    def _chosen(self, ranks: I64) -> list[tuple[RankedFile, I64, I64]]:
        """For each file that holds some of these ranks: (file, their positions in it, their places in `ranks`)."""
        chosen = np.zeros(len(self.protected), np.bool_)
        chosen[ranks] = True
        found = []
        for file in self.files:
            some = chosen[file.ranks]
            if some.any():
                positions = file.positions[some].astype(np.int64)
                found.append((file, positions, np.searchsorted(ranks, file.ranks[some])))
        return found

    def members(self, suspects: "Suspects", found: Sets) -> "Members":
        """Return what kernels compare suspects by."""
        from curate.near_duplicates.bucket_kernels import Members  # numba

        return Members(
            suspects.slots, self.media()[suspects.ranks], found.shingles, found.begins, found.ends,
            self.banding.least_equal, self.banding.jaccard,
        )  # fmt: skip


def _is_in(values: U64, ordered: U64) -> B8:
    """Whether each value is one of `ordered`; a block at a time, so that it takes no memory for all."""
    found = np.zeros(len(values), np.bool_)
    if len(ordered):
        for first in range(0, len(values), BLOCK):
            block = values[first : first + BLOCK]
            place = np.minimum(np.searchsorted(ordered, block), len(ordered) - 1)
            found[first : first + BLOCK] = ordered[place] == block
    return found


class Suspects(NamedTuple):
    """Pairs that may have a near-duplicate: ranks, slots, and the buckets of their numbers (see `buckets`)."""

    ranks: I64
    slots: U16
    members: U32
    starts: I64
