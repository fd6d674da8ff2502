"""A closer look at two images: at pages as fine as the smaller one is, and at one whose colours were reduced."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.arrays import F64, U8
from curate.images import pixels
from curate.images.packs import Packs

DIFFERENT, LOOK_ALIKE, COPY = 0, 1, 2

LONGEST = 640
"""Pages are compared as large as the smaller one is, up to this longer side."""
PAGE = np.array([0.45, 1.6, 0.35, 20.0])
UNCLEAR = np.array([0.45, 3.0, 0.35, 24.0])
"""Limits of `within` for copies of pages, and for look-alikes. On 40 bills, scaled by .45 to .6 in three ways, the
worst block of a copy was at most 1.5 to 2.4 times the typical one; with one figure changed it was so in 0 to 10 of
100."""
LEGIBLE, UNTOUCHED = 180, 150.0
"""Smaller pages (the shorter side) are copies where no block has a larger residual, else look-alikes: one figure
changed on a bill of 105 x 140 gave 187 and more."""

FEW_COLOURS = np.array([0.6, 6.0, 0.5, 22.0])
"""Limits of `within` for an image with few colours and another that was reduced to them."""
FEWEST = 24
"""The fewest active blocks there."""
TINT, GREY = 0.3, 4.0
"""A copy in few colours keeps so much of the other's mean difference of colours, where that is above GREY."""

KEPT = 8  # images of a task that stay decoded


class Stored(NamedTuple):
    """Images of one store."""

    root: Path
    keys: Sequence[str]


class Images:
    """Images by number through some stores, decoded on first use; the last few stay in memory."""

    def __init__(self, stored: Sequence[Stored], tolerant: bool) -> None:
        self._keys = [(root, key) for root, keys in stored for key in keys]
        self._stores = {root: Packs(root) for root, _ in stored}
        self._tolerant = tolerant
        self._kept: OrderedDict[int, U8] = OrderedDict()
        self._palettes: dict[int, bytes] = {}

    def read(self, number: int) -> bytes:
        """The bytes of an image."""
        root, key = self._keys[number]
        return self._stores[root].read(key)

    def brightness(self, number: int) -> U8:
        """Brightness [height, width] of an image, at reduced scale above LONGEST."""
        if number not in self._kept:
            self._kept[number] = next(pixels.planes(self.read(number), LONGEST, tolerant=self._tolerant))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]

    def palette(self, number: int) -> bytes:
        """The colours of an image of few, else nothing."""
        if number not in self._palettes:
            self._palettes[number] = pixels.palette(self.read(number))
        return self._palettes[number]


def as_pages(images: Images, left: int, right: int) -> int:
    """COPY, LOOK_ALIKE or DIFFERENT: two pages at the size of the smaller one."""
    from curate.images.kernels import within  # numba

    found, shorter = _difference(images.brightness(left), images.brightness(right))
    if within(found, PAGE) and (shorter >= LEGIBLE or found[1] <= UNTOUCHED):
        return COPY
    return LOOK_ALIKE if within(found, UNCLEAR) else DIFFERENT


def as_few_colours(images: Images, left: int, right: int) -> tuple[float, float, float]:
    """(COPY, unlike, distance) where one image has few colours and the other, in these, is like it; else zeros.

    Of two with few colours it is the one with fewer.
    """
    from curate.images.kernels import within  # numba

    palettes = images.palette(left), images.palette(right)
    sizes = [len(colours) or np.inf for colours in palettes]
    if sizes[0] == sizes[1]:
        return DIFFERENT, 0, 0
    few, other = (left, right) if sizes[0] < sizes[1] else (right, left)
    small = images.brightness(few)
    size = small.shape[1], small.shape[0]
    reduced = pixels.in_colours(images.read(other), palettes[few == right], size)
    found, _ = _difference(small, reduced)
    if found[4] < FEWEST or not within(found, FEW_COLOURS):
        return DIFFERENT, 0, 0
    return COPY, min(float(found[0]), 0.999), float(found[2]) / 64


def keeps_tint(one: U8, other: U8) -> bool:
    """Whether neither of two images, by mean colours (red, green, blue of their parts), is a grey one of it."""
    tints = sorted(
        float(np.ptp(colours.reshape(3, -1).astype(np.int64), axis=0).mean()) for colours in (one, other)
    )
    return tints[1] <= GREY or tints[0] >= TINT * tints[1]


def _difference(one: U8, other: U8) -> tuple[F64, int]:
    """The `difference` of two images at the size of the smaller one, and the shorter side of that."""
    from curate.images.kernels import difference, shrunk  # numba

    height, width = (min(sides) for sides in zip(one.shape, other.shape, strict=True))
    times = min(1.0, LONGEST / max(height, width))
    height, width = (max(round(side * times), 16) for side in (height, width))
    found: F64 = difference(shrunk(one, height, width), shrunk(other, height, width), np.inf)
    return found, min(height, width)
