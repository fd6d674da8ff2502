"""The sets of shingles of chosen pairs, read again from their texts and kept in a temporary file."""

import mmap
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from curate.engines.base import Engine
from curate.sketches import shingles
from curate.sketches.minhash import MinHash
from curate.sketches.texts import batches

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Pairs of one file by their ascending positions, and their numbers among all that are wanted."""

    pairs: Path
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
        """Let go of the memory that reading took; it is read anew from the file."""
        self.mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    wanted: Wanted
    sketch: MinHash
    out: Path


@contextmanager
def sets(wanted: Sequence[Wanted], sketch: MinHash, engine: Engine, scratch: Path) -> Iterator[Sets]:
    """The shingles of the wanted pairs, until the block ends; temporary files lie in `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    # a name that a workspace sweeps away after a kill
    tasks = [
        _Task(wanted=one, sketch=sketch, out=scratch / f".shingles-{number:05d}.tmp")
        for number, one in enumerate(wanted)
    ]
    sizes = np.zeros(sum(len(one.positions) for one in wanted), np.int64)
    begins, total = np.zeros_like(sizes), 0
    with tempfile.TemporaryFile(dir=scratch) as file:
        for task, counts in zip(tasks, engine.map(_write, tasks, threads=True), strict=True):
            _append(task.out, file)
            sizes[task.wanted.numbers] = counts
            begins[task.wanted.numbers] = total + np.cumsum(counts) - counts
            total += int(counts.sum())
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        yield Sets(np.frombuffer(mapped, np.uint64), begins, begins + sizes, mapped)


def _append(path: Path, file: BinaryIO) -> None:
    with open(path, "rb") as part:
        shutil.copyfileobj(part, file, 1 << 20)
    path.unlink()


def _write(task: _Task) -> I64:
    """Write the sets of one file's pairs, one after another; how large each is."""
    positions, on = task.wanted.positions, task.sketch.on
    counts = np.zeros(len(positions), np.int64)
    with open(task.out, "wb") as out:
        for batch in batches(task.wanted.pairs, on):
            first, last = np.searchsorted(positions, [batch.position, batch.position + batch.rows])
            if first < last:
                pairs = positions[first:last] - batch.position
                found, counts[first:last] = shingles.sets(batch.texts, len(on), task.sketch.shingle, pairs)
                out.write(found.data)
    return counts
