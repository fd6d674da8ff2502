"""Which images may be copies of each other, and how two differ: kernels over grids of grey values.

A *grid* is an image as n x n mean grey values, whatever its shape. Copies, encoded or scaled anew, differ in all
places alike, by little or by much; look-alikes (a chart with another value, a page with another word) agree in
nearly all places and differ in one. So grids are compared block by block, and the worst block is held against the
others. All arithmetic before the final quotients is in integers: the outcome is the same on every machine.
"""

from typing import Any

import numpy as np

from curate.arrays import I64
from curate.compiled import compiled

BLOCK, STRIDE = 8, 4
NOISE = 1000.0
"""Variance (of 64 values, of both blocks) that encoding may put into a flat block: some 3 grey values a cell."""

SMALL = 300.0
"""Residual of a block, of 64 values, that a copy may have anywhere: some 2 grey values each."""

APART = 2.0
"""What `unlike` gives where a block exceeds what is allowed."""

MEAN, SLOPE = 4, 2
"""Grey values by which copies may differ in mean brightness, and in that of either half against the whole.

Measured over 1,200 copies of quality 30 to 95 and scale 1/4 to 2: at most 2.7 and 1.4.
"""


@compiled
def shrunk(grey: Any, rows: int, columns: int) -> Any:
    """The grid, rows x columns, of an image [height, width]; pixels count by the area shared with a cell."""
    height, width = grey.shape
    out = np.empty((rows, columns), np.uint8)
    column = np.empty(width, np.int64)
    first, end = np.arange(columns) * width // columns, (np.arange(1, columns + 1) * width - 1) // columns + 1
    for row in range(rows):
        column[:] = 0
        for y in range(row * height // rows, ((row + 1) * height - 1) // rows + 1):
            weight = min((y + 1) * rows, (row + 1) * height) - max(y * rows, row * height)
            for x in range(width):
                column[x] += weight * np.int64(grey[y, x])
        for cell in range(columns):
            total = np.int64(0)
            for x in range(first[cell], end[cell]):
                weight = min((x + 1) * columns, (cell + 1) * width) - max(x * columns, cell * width)
                total += weight * column[x]
            out[row, cell] = int((2 * total + grey.size) / (2 * grey.size))  # exact below 2**44 pixels, and fast
    return out


@compiled
def _blur(grid: Any, y: int, out: Any) -> None:
    """Row y under a 3 x 3 binomial filter: what is finer depends on the filter that a copy was scaled with."""
    height, width = grid.shape
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    column = np.empty(width + 2, np.int32)
    for x in range(width):
        column[x + 1] = np.int32(grid[above, x]) + 2 * np.int32(grid[y, x]) + np.int32(grid[below, x])
    column[0], column[width + 1] = column[1], column[width]
    for x in range(width):
        out[y, x] = (column[x] + 2 * column[x + 1] + column[x + 2] + 8) >> 4


@compiled
def _sum_cells(one: Any, other: Any, top: int, out: Any) -> None:
    """Sums of values, of squares and of products over each cell, STRIDE x STRIDE, from row `top` on."""
    for cell in range(out.shape[1]):
        a = b = aa = bb = ab = np.int32(0)
        for y in range(top, top + STRIDE):
            for x in range(cell * STRIDE, (cell + 1) * STRIDE):
                a += one[y, x]
                b += other[y, x]
                aa += one[y, x] * one[y, x]
                bb += other[y, x] * other[y, x]
                ab += one[y, x] * other[y, x]
        out[0, cell], out[1, cell], out[2, cell], out[3, cell], out[4, cell] = a, b, aa, bb, ab


@compiled
def _block(above: Any, here: Any, cell: int) -> Any:
    return above[cell - 1] + above[cell] + here[cell - 1] + here[cell]


@compiled
def unlike(left: Any, right: Any, most: float, shift: float) -> float:
    """How two grids of one size differ in the 8 x 8 block where they differ most, from 0; APART above `most`.

    Of the variance of both blocks, the share that is not common: sum (a - b)^2 / (sum a^2 + sum b^2 + NOISE) of
    values less their block's mean: about 1 less the correlation. APART too where means differ by more than
    `shift`. Grids are blurred a little, row by row as they are needed: most look-alikes differ near the top.
    """
    side, worst, size = len(left), 0.0, BLOCK * BLOCK
    cells = side // STRIDE
    one, other = np.empty((side, side), np.int32), np.empty((side, side), np.int32)
    above, here = np.zeros((5, cells), np.int32), np.zeros((5, cells), np.int32)
    for row in range(cells):
        for y in range(row * STRIDE, (row + 1) * STRIDE):
            _blur(left, y, one)
            _blur(right, y, other)
        above, here = here, above
        _sum_cells(one, other, row * STRIDE, here)
        for cell in range(1 if row else cells, cells):
            a, b = _block(above[0], here[0], cell), _block(above[1], here[1], cell)
            aa, bb, ab = (
                _block(above[2], here[2], cell),
                _block(above[3], here[3], cell),
                _block(above[4], here[4], cell),
            )
            both = size * (aa + bb) - a * a - b * b
            apart = both - 2 * (size * ab - a * b)
            worst = max(worst, apart / (both + size * NOISE))
            if worst > most or abs(a - b) > size * shift:
                return APART
    return worst


MOST, COARSENED = 16000.0, 12.0
"""A larger residual of a block is in no copy of a page; fewer colours make the worst block at most so much worse
than the typical one."""
ACTIVE, FEWEST = 2000.0, 32
"""A block shows something from this variance on, of 64 values; where fewer blocks do, all are looked at."""
TYPICAL = 0.98
"""The part of the blocks whose residual is what encoding and scaling did to the copy."""


@compiled
def difference(one: Any, other: Any, most: float) -> Any:
    """How two grids of one shape differ, block by block: six numbers; all APART once a residual exceeds `most`.

    unlike    where they differ most, the share of the variance of both blocks that is not common, 0 to about 1;
              what blocks typically differ by is added to the variance
    worst     the largest residual of a block: the variance of the difference, of 64 values
    typical   the residual that TYPICAL of the blocks do not exceed
    contrast  the mean variance of the active blocks, or of all where fewer than FEWEST are active
    active    how many blocks have a variance above ACTIVE
    shift     the largest difference of a block's mean
    """
    (height, width), size = one.shape, BLOCK * BLOCK
    columns = width // STRIDE
    blurred, others = np.empty((height, width), np.int32), np.empty((height, width), np.int32)
    above, here = np.zeros((5, columns), np.int32), np.zeros((5, columns), np.int32)
    count = (height // STRIDE - 1) * (columns - 1)
    residual, variance = np.empty(count), np.empty(count)
    at, shift = 0, np.int64(0)
    for row in range(height // STRIDE):
        for y in range(row * STRIDE, (row + 1) * STRIDE):
            _blur(one, y, blurred)
            _blur(other, y, others)
        above, here = here, above
        _sum_cells(blurred, others, row * STRIDE, here)
        for cell in range(1 if row else columns, columns):
            a, b = np.int64(_block(above[0], here[0], cell)), np.int64(_block(above[1], here[1], cell))
            aa, bb, ab = (
                np.int64(_block(above[2], here[2], cell)),
                np.int64(_block(above[3], here[3], cell)),
                np.int64(_block(above[4], here[4], cell)),
            )
            both = size * (aa + bb) - a * a - b * b
            residual[at] = (both - 2 * (size * ab - a * b)) / size
            variance[at] = both / (2 * size)
            if residual[at] > most:
                return np.full(6, APART)
            shift = max(shift, abs(a - b))
            at += 1
    active = variance > ACTIVE
    measured = active if active.sum() >= FEWEST else variance >= 0
    ordered = np.sort(residual[measured])
    typical = ordered[int(TYPICAL * (len(ordered) - 1))]
    unlike = (residual / (2 * variance + NOISE + 2 * typical)).max()
    return np.array((unlike, residual.max(), typical, variance[measured].mean(), active.sum(), shift / size))


FLAT, PLAIN = 300.0, 0.36
BUSY, FINE = 0.5, 0.85
"""What text has: on PLAIN of its blocks variance below FLAT, and on the others squared steps from value to value
of BUSY of their variance or more, or of FINE of it on a quarter of them."""


@compiled
def is_text(grid: Any) -> bool:
    """Whether a grid has fine figures on an even ground, as pages, charts and screenshots have."""
    height, width = grid.shape
    blurred = np.empty((height, width), np.int32)
    for y in range(height):
        _blur(grid, y, blurred)
    flat, count, textured, fine, variance, steps = 0, 0, 0, 0, 0.0, 0.0
    for top in range(0, height - BLOCK + 1, BLOCK):
        for left in range(0, width - BLOCK + 1, BLOCK):
            a: Any = np.int64(0)
            aa: Any = np.int64(0)
            step: Any = np.int64(0)
            for y in range(top, top + BLOCK):
                for x in range(left, left + BLOCK):
                    value = np.int64(blurred[y, x])
                    a += value
                    aa += value * value
                    step += (value - blurred[y, max(x - 1, 0)]) ** 2 + (value - blurred[max(y - 1, 0), x]) ** 2
            spread = aa - a * a / (BLOCK * BLOCK)
            count += 1
            flat += 1 if spread < FLAT else 0
            if spread > ACTIVE:
                variance += spread
                steps += step
                textured += 1
                fine += 1 if step >= FINE * spread else 0
    busy = steps >= BUSY * variance or 4 * fine >= textured
    return bool(textured > 0 and busy and flat >= PLAIN * count)


@compiled
def features(grids: Any) -> tuple[Any, Any]:
    """(means, cells): of each 32 x 32 grid 8 x 8 means, and three numbers that copies nearly share, in cells.

    The numbers are mean brightness, left against right and top against bottom. Copies are in the same cell of
    the three, or in a neighbour of it.
    """
    means, cells = np.empty((len(grids), 8, 8), np.int32), np.empty((len(grids), 3), np.int64)
    for i in range(len(grids)):
        means[i] = 0
        for y in range(32):
            for x in range(32):
                means[i, y // 4, x // 4] += grids[i, y, x]
        whole = means[i].sum()
        left, top = means[i, :, :4].sum(), means[i, :4].sum()
        cells[i, 0] = whole // (1024 * MEAN)
        cells[i, 1] = (2 * left - whole + (1 << 20)) // (2048 * SLOPE)
        cells[i, 2] = (2 * top - whole + (1 << 20)) // (2048 * SLOPE)
    return means, cells


def cell_numbers(cells: I64) -> I64:
    """One number for each cell; those of neighbours differ by -1, 0 or 1 in each of three digits."""
    return (cells[:, 0] << 32) | (cells[:, 1] << 16) | cells[:, 2]


@compiled
def _near_means(left: Any, right: Any, most: int) -> bool:
    for y in range(8):
        for x in range(8):
            if abs(left[y, x] - right[y, x]) > most:
                return False
    return True


@compiled
def _one_shape(left: Any, right: Any) -> bool:
    """Whether both (width, height) may be one image scaled: each side rounded, up or down, to whole pixels."""
    return bool(abs(left[0] * right[1] - right[0] * left[1]) <= max(left[0] + left[1], right[0] + right[1]))


@compiled
def _near_shape(left: Any, right: Any) -> bool:
    """Whether one (width, height) is the other squeezed, at most 3 times more one way than the other."""
    one, other = left[0] * right[1], right[0] * left[1]
    return bool(max(one, other) <= 3 * min(one, other))


@compiled
def candidates(
    grids: Any, sizes: Any, means: Any, numbers: Any, order: Any, some: Any, limits: Any
) -> tuple[Any, Any]:
    """(left, right): images, left < right, whose grids are alike as far as 32 x 32 values show.

    numbers   the cells of all images
    order     only pairs with a right image of these, which are in the order of their cells
    some      only pairs with a left image of these
    limits    most difference of an 8 x 8 mean; `most` and `shift` of `unlike`
    """
    lefts, rights = [np.int32(0)][:0], [np.int32(0)][:0]
    ordered = numbers[order]
    for i in some:
        for dx in range(-1, 2):
            for dy in range(-1, 2):
                low = numbers[i] + (dx << 32) + (dy << 16) - 1
                begin, end = np.searchsorted(ordered, low), np.searchsorted(ordered, low + 3)
                for other in range(begin, end):
                    j = order[other]
                    if i >= j or not _near_shape(sizes[i], sizes[j]):
                        continue
                    if not _near_means(means[i], means[j], int(16 * limits[0])):
                        continue
                    if unlike(grids[i], grids[j], limits[1], limits[2]) < APART:
                        lefts.append(np.int32(i))
                        rights.append(np.int32(j))
    return np.array(lefts, np.int32), np.array(rights, np.int32)


@compiled
def _first(of: Any, i: int) -> int:
    while of[i] != i:
        of[i] = of[of[i]]
        i = of[i]
    return i


@compiled
def components(count: int, left: Any, right: Any) -> Any:
    """For each of so many images the first of those that pairs connect it with (union-find, paths halved)."""
    of = np.arange(count)
    for at in range(len(left)):
        i, j = _first(of, left[at]), _first(of, right[at])
        of[max(i, j)] = min(i, j)
    for i in range(count):
        of[i] = of[of[i]]  # that one's is final: it comes before
    return of


@compiled
def _distance(left: Any, right: Any) -> float:
    """Mean squared difference of two grids of one size, blurred."""
    side, total = len(left), np.int64(0)
    one, other = np.empty((side, side), np.int32), np.empty((side, side), np.int32)
    for y in range(side):
        _blur(left, y, one)
        _blur(right, y, other)
        for x in range(side):
            total += (one[y, x] - other[y, x]) ** 2
    return total / (side * side)


@compiled
def _one_colour(left: Any, right: Any, most: int) -> bool:
    for at in range(len(left)):  # noqa: SIM110 - all() of a generator is no machine code
        if abs(np.int32(left[at]) - np.int32(right[at])) > most:
            return False
    return True


@compiled
def _is_grey(colours: Any) -> bool:
    size = len(colours) // 3
    for at in range(size):
        for other in (colours[size + at], colours[2 * size + at]):
            if abs(np.int32(colours[at]) - np.int32(other)) > 4:
                return False
    return True


@compiled
def within(found: Any, limits: Any) -> bool:
    """Whether a `difference` is at most: `unlike`, the worst residual against the typical one, the typical one
    against contrast, and shift."""
    unlike, worst, typical, contrast, _, shift = found
    return bool(
        unlike <= limits[0]
        and worst <= limits[1] * (typical + SMALL)
        and typical <= limits[2] * (contrast + NOISE)
        and shift <= limits[3]
    )


@compiled
def compared(
    grids: Any,
    sides: Any,
    colours: Any,
    texts: Any,
    sizes: Any,
    left: Any,
    right: Any,
    limits: Any,
    tolerant: bool,
) -> Any:
    """(alike, unlike, distance) of each pair of fine grids; alike is 0 or 1, unlike APART where it is 0.

    alike is -1 where not both are text, and one may be the other in few colours.

    grids    row r begins with the sides[r] ** 2 values of a grid; pairs are compared at the smaller side
    colours  row r has mean colours of parts of the image
    limits   those of `within`; the most difference of colours; the fewest active blocks of a squeezed image
    tolerant whether colours do not matter where one image has none
    """
    out = np.full((3, len(left)), APART, np.float32)
    out[0] = 0
    for at in range(len(left)):
        i, j = left[at], right[at]
        side = min(sides[i], sides[j])
        one = grids[i, : sides[i] * sides[i]].reshape(sides[i], sides[i])
        other = grids[j, : sides[j] * sides[j]].reshape(sides[j], sides[j])
        if sides[i] > side:
            one = shrunk(one, side, side)
        if sides[j] > side:
            other = shrunk(other, side, side)
        grey = tolerant and (_is_grey(colours[i]) or _is_grey(colours[j]))
        tinted = not grey and not _one_colour(colours[i], colours[j], int(limits[4]))
        if tinted and texts[i] and texts[j]:
            continue
        text = texts[i] and texts[j]
        found = difference(one, other, MOST if text else np.inf)
        squeezed = not _one_shape(sizes[i], sizes[j])
        if not tinted and within(found, limits) and not (squeezed and found[4] < limits[5]):
            out[0, at], out[1, at], out[2, at] = 1, min(found[0], 0.999), _distance(one, other)
        elif not text and found[1] <= COARSENED * (found[2] + SMALL):
            out[0, at] = -1
    return out
