"""Whether pairs of images are copies: decoded to at most 256 x 256 values, they are compared block by block.

Images that pairs connect are decoded once, in one task, which compares their pairs; where they are too many for a
worker's memory, tasks are tiles of the square of their pairs. Nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.arrays import F32, I32, I64, U8
from curate.engines.base import Engine, tick
from curate.images import decode
from curate.images.packs import Packs

FINE, PALETTE = 256, 8
"""Sides of the largest fine grid, and of the grids of colours."""

SIDES = (256, 192, 128)
LEAST = 16
"""The fine grid of an image has the largest of SIDES that its width and height reach, else just as many values as
the smaller of them, but LEAST at the least."""

TIERS = np.array([[256, 0.56, 0.54], [192, 0.52, 0.41], [128, 0.44, 0.18], [0, 0.4, 0.18]])
LIMITS = np.array([20.0, 24.0])
"""See `verified`. Of 2,000 copies, 99 in 100 were within; of 3,000 look-alikes of one template, the least unlike
were at .67, .45 and .20 where they had at least 256, 192 and 128 pixels each way. In smaller images (a page at
a quarter) other figures cannot be told from other pixels: there 1 look-alike in 30 is within."""

HELD = 1900
"""Most images of a share: a task holds the grids of two at the most, 250 MB."""

FEW = 200  # images worth a task of their own


class Stored(NamedTuple):
    """Images of one store."""

    root: Path
    keys: Sequence[str]


class Copies(NamedTuple):
    """Pairs of copies: images, left < right; how they differ where most, and on the whole (mean square)."""

    left: I32
    right: I32
    unlike: F32
    distance: F32


def compare(stored: Sequence[Stored], sizes: I64, left: I32, right: I32, engine: Engine) -> Copies:
    """Those of the pairs, left < right, that are copies.

    stored  the images, numbered through the stores
    sizes   their (width, height)
    """
    if not len(left):
        return Copies(left, right, np.zeros(0, np.float32), np.zeros(0, np.float32))
    left, right, ends = _tiled(len(sizes), left, right, engine.workers)
    pairs = zip(np.split(left, ends), np.split(right, ends), strict=True)
    compared = engine.map(_compare_task, [_task(stored, sizes, *some) for some in pairs])
    found = [(begin + at, how) for begin, (at, how) in zip([0, *ends.tolist()], compared, strict=True)]
    good = np.concatenate([at for at, _ in found])
    unlike, distance = np.concatenate([how for _, how in found], axis=1)
    return Copies(left[good], right[good], unlike, distance)


def _tiled(count: int, left: I32, right: I32, workers: int) -> tuple[I32, I32, I64]:
    """The pairs, those of two blocks together, and where others begin."""
    block = _blocks(count, left, right, workers)
    tile = block[left].astype(np.int64) * count + block[right]
    order = np.argsort(tile, kind="stable")
    return left[order], right[order], np.flatnonzero(np.diff(tile[order])) + 1


def _blocks(count: int, left: I32, right: I32, workers: int) -> I32:
    """The block of each image: of some whole components, or of a part of one that is larger than a share."""
    from curate.images.kernels import components  # numba

    root = components(count, left, right)
    size = np.bincount(root, minlength=count)[root]
    order = np.argsort(root, kind="stable")
    place = np.empty(count, np.int64)
    place[order] = np.cumsum(size[order] > 1)  # images without a pair take none
    begin = place[root]
    share = min(max(int(place[order[-1]]) // (4 * workers), FEW), HELD)
    part = (place - begin) * -(-size // share) // size
    return np.unique(begin // share * count + part, return_inverse=True)[1].astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CompareTask:
    """Pairs of images, which are numbered through the stores."""

    stored: tuple[Stored, ...]
    sizes: I64
    left: I32
    right: I32

    def __str__(self) -> str:
        return f"comparing {len(self.left):,} pairs of {len(self.sizes):,} images"


def _task(stored: Sequence[Stored], sizes: I64, left: I32, right: I32) -> _CompareTask:
    images = np.unique(np.concatenate([np.unique(left), np.unique(right)]))
    some, first = [], 0
    for root, keys in stored:
        mine = images[(images >= first) & (images < first + len(keys))] - first
        some.append(Stored(root, tuple(keys[i] for i in mine.tolist())))
        first += len(keys)
    numbers = [np.searchsorted(images, side).astype(np.int32) for side in (left, right)]
    return _CompareTask(stored=tuple(some), sizes=sizes[images], left=numbers[0], right=numbers[1])


def _compare_task(task: _CompareTask) -> tuple[I64, F32]:
    """Which of the pairs are copies, and of these `unlike` and distance."""
    from curate.images.kernels import verified  # numba

    sides = _sides(task.sizes)
    grids, colours = _decoded(task.stored, sides)
    how: F32 = verified(grids, sides, colours, task.sizes, task.left, task.right, TIERS, LIMITS)
    good = np.flatnonzero(how[0] < 1)
    return good, how[:, good]


def _sides(sizes: I64) -> I64:
    smaller = sizes.min(axis=1, initial=FINE)
    return np.select([smaller >= side for side in SIDES], SIDES, np.maximum(smaller, LEAST))


def _decoded(stored: Sequence[Stored], sides: I64) -> tuple[U8, U8]:
    """Grids and colours as `verified` takes them."""
    from curate.images.kernels import shrunk  # numba

    grids = np.empty((len(sides), FINE * FINE), np.uint8)
    colours = np.empty((len(sides), 3 * PALETTE * PALETTE), np.uint8)
    first = 0
    for root, keys in stored:
        store, rows = Packs(root), {key: row for row, key in enumerate(keys, first)}
        for key in store.in_order(keys):
            row, side = rows[key], int(sides[rows[key]])
            planes = decode.planes(store.read(key), 2 * side)
            grids[row, : side * side] = shrunk(next(planes), side).ravel()
            # by map, which lets go of a plane before the next one is made
            colours[row] = np.concatenate([*map(shrunk, planes, repeat(PALETTE))]).ravel()
            tick(rows=1)
        first += len(keys)
    return grids, colours
