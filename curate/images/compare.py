"""Whether pairs of images are copies: decoded to at most 256 x 256 values, they are compared block by block.

Those of pages, charts and the like, and those of which one has few colours, are looked at once more, by `closer`.

Images that pairs connect are decoded once, in one task, which compares their pairs; where they are too many for a
worker's memory, tasks are tiles of the square of their pairs. Nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np

from curate.arrays import B8, F32, I32, I64, U8
from curate.engines.base import Engine, tick
from curate.images import closer, pixels
from curate.images.closer import Stored
from curate.images.packs import Packs

FINE, PALETTE = 256, 8
"""Sides of the largest fine grid, and of the grids of colours."""

SIDES = (256, 192, 128)
LEAST = 16
"""The fine grid of an image has the largest of SIDES that its width and height reach, else just as many values as
the smaller of them, but LEAST at the least."""

LIMITS = np.array([0.45, 5.0, 0.35, 20.0, 24.0, 24.0])
"""See `compared`. Of 2,500 copies (JPEG of quality 10 to 90, WebP 10 to 80, scale 1/4 to 2, sides rounded to
multiples of 28, squeezed to 224 x 224) all but those scaled by nearest neighbour were within."""

HELD = 1900
"""Most images of a share: a task holds the grids of two at the most, 250 MB."""

FEW = 200  # images worth a task of their own


class Copies(NamedTuple):
    """Pairs of copies: images, left < right; how they differ where most, and on the whole (mean square).

    `sure` is false of look-alikes: in them other figures could not be told from other pixels.
    """

    left: I32
    right: I32
    unlike: F32
    distance: F32
    sure: B8


def compare(
    stored: Sequence[Stored], sizes: I64, left: I32, right: I32, engine: Engine, *, tolerant: bool = False
) -> Copies:
    """Those of the pairs, left < right, that are copies or look-alikes.

    stored  the images, numbered through the stores
    sizes   their (width, height)
    """
    if not len(left):
        return Copies(left, right, np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.bool_))
    left, right, ends = _tiled(len(sizes), left, right, engine.workers)
    pairs = zip(np.split(left, ends), np.split(right, ends), strict=True)
    compared = engine.map(_compare_task, [_task(stored, sizes, *some, tolerant) for some in pairs])
    found = [(begin + at, how) for begin, (at, how) in zip([0, *ends.tolist()], compared, strict=True)]
    good = np.concatenate([at for at, _ in found])
    alike, unlike, distance = np.concatenate([how for _, how in found], axis=1)
    return Copies(left[good], right[good], unlike, distance, alike == closer.COPY)


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
    tolerant: bool

    def __str__(self) -> str:
        return f"comparing {len(self.left):,} pairs of {len(self.sizes):,} images"


def _task(stored: Sequence[Stored], sizes: I64, left: I32, right: I32, tolerant: bool) -> _CompareTask:
    images = np.unique(np.concatenate([np.unique(left), np.unique(right)]))
    some, first = [], 0
    for root, keys in stored:
        mine = images[(images >= first) & (images < first + len(keys))] - first
        some.append(Stored(root, tuple(keys[i] for i in mine.tolist())))
        first += len(keys)
    one, other = (np.searchsorted(images, side).astype(np.int32) for side in (left, right))
    return _CompareTask(stored=tuple(some), sizes=sizes[images], left=one, right=other, tolerant=tolerant)


def _compare_task(task: _CompareTask) -> tuple[I64, F32]:
    """Which of the pairs are alike, and of these how (COPY or LOOK_ALIKE), `unlike` and distance."""
    from curate.images.kernels import compared  # numba

    sides = _sides(task.sizes)
    made = _decoded(task.stored, sides, task.tolerant)
    pairs = task.sizes, task.left, task.right
    how: F32 = compared(made.grids, sides, made.colours, made.texts, *pairs, LIMITS, task.tolerant)
    images = closer.Images(task.stored, task.tolerant)
    for at, (i, j) in enumerate(zip(task.left.tolist(), task.right.tolist(), strict=True)):
        if how[0, at] > 0:
            how[0, at] = closer.as_pages(images, i, j) if made.texts[i] or made.texts[j] else closer.COPY
        elif how[0, at] < 0 and closer.keeps_tint(made.colours[i], made.colours[j]):
            how[:, at] = closer.as_few_colours(images, i, j)
    good = np.flatnonzero(how[0] > 0)
    return good, how[:, good]


def _sides(sizes: I64) -> I64:
    smaller = sizes.min(axis=1, initial=FINE)
    return np.select([smaller >= side for side in SIDES], SIDES, np.maximum(smaller, LEAST))


class _Decoded(NamedTuple):
    """Grids and colours as `compared` takes them, and which of the grids are `is_text`."""

    grids: U8
    colours: U8
    texts: B8


def _decoded(stored: Sequence[Stored], sides: I64, tolerant: bool) -> _Decoded:
    from curate.images.kernels import is_text, shrunk  # numba

    grids = np.empty((len(sides), FINE * FINE), np.uint8)
    colours = np.empty((len(sides), 3 * PALETTE * PALETTE), np.uint8)
    texts = np.empty(len(sides), np.bool_)
    first = 0
    for root, keys in stored:
        store, rows = Packs(root), {key: row for row, key in enumerate(keys, first)}
        for key in store.in_order(keys):
            row, side = rows[key], int(sides[rows[key]])
            planes = pixels.planes(store.read(key), 2 * side, tolerant=tolerant)
            grid = shrunk(next(planes), side, side)
            grids[row, : side * side], texts[row] = grid.ravel(), is_text(grid)
            # by map, which lets go of a plane before the next one is made
            colours[row] = np.concatenate([*map(shrunk, planes, repeat(PALETTE), repeat(PALETTE))]).ravel()
            tick(rows=1)
        first += len(keys)
    return _Decoded(grids, colours, texts)
