"""The sets of shingles of chosen pairs, read again from their texts and kept in a temporary file."""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curate.arrays import I64, U64
from curate.engines.base import Engine
from curate.text import shingles
from curate.text.buffers import Side, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsOfFile:
    """Pairs of one pairs file by their ascending positions, and their numbers among all that are wanted.

    `on` has the sides in the order in which their shingles count as those of the first side, the second, ...
    """

    pairs: Path
    on: tuple[Side, ...]
    positions: I64
    numbers: I64


@dataclass(frozen=True, slots=True)
class Sets:
    """Pair i has shingles[begins[i]:ends[i]], ascending, none twice."""

    shingles: U64
    begins: I64
    ends: I64
    mapped: mmap.mmap

    def forget(self) -> None:
        """Release the memory that reading took; what is needed again is read from the file."""
        self.mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    wanted: PairsOfFile
    shingle: int
    out: Path


@contextmanager
def sets(wanted: Sequence[PairsOfFile], shingle: int, engine: Engine, scratch: Path) -> Iterator[Sets]:
    """Yield the shingles of the wanted pairs; until the block ends they are in a temporary file in `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    begins = np.zeros(sum(len(one.positions) for one in wanted), np.int64)
    ends = np.zeros_like(begins)
    # a name that a workspace sweeps away after a kill
    with tempfile.NamedTemporaryFile(prefix=".shingles-", suffix=".tmp", dir=scratch) as file:
        tasks = [_Task(wanted=one, shingle=shingle, out=Path(file.name)) for one in wanted]
        for task, (first, last) in zip(tasks, engine.map(_write, tasks, threads=True), strict=True):
            begins[task.wanted.numbers], ends[task.wanted.numbers] = first, last
        with open(file.name, "rb") as whole:  # opened anew, to see what other machines wrote
            mapped = mmap.mmap(whole.fileno(), 0, prot=mmap.PROT_READ)
        yield Sets(np.frombuffer(mapped, np.uint64), begins, ends, mapped)


def _write(task: _Task) -> tuple[I64, I64]:
    """Append the sets of one file's pairs to what all tasks share; where each begins and ends there."""
    positions, on = task.wanted.positions, task.wanted.on
    begins, counts = np.zeros(len(positions), np.int64), np.zeros(len(positions), np.int64)
    with open(task.out, "r+b") as out:
        for batch in batches(task.wanted.pairs, on):
            first, last = np.searchsorted(positions, [batch.position, batch.position + batch.rows])
            if first < last:
                pairs = positions[first:last] - batch.position
                found, sizes = shingles.sets(batch.texts, len(on), task.shingle, pairs)
                begins[first:last] = _append(out, found) + np.cumsum(sizes) - sizes
                counts[first:last] = sizes
    return begins, begins + counts


def _append(out: BinaryIO, values: U64) -> int:
    """Write the values at the end of a file that others append to as well; their place among its numbers."""
    fcntl.flock(out, fcntl.LOCK_EX)
    try:
        # a task that was killed may have left half a number
        place = -(-out.seek(0, os.SEEK_END) // values.itemsize)
        out.seek(place * values.itemsize)
        out.write(values.data)
        out.flush()
    finally:
        fcntl.flock(out, fcntl.LOCK_UN)
    return place
