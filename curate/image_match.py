"""Which images of the store are copies of each other: the same pixels, or the same picture encoded or scaled anew.

Every image is decoded once to a coarse grid of 32 x 32 grey values, kept beside the packs. Images whose coarse
grids agree are decoded again to at most 256 x 256 and compared block by block: that decides. The difference hash
of the store's index takes no part: at the distance that finds 99 of 100 copies, 3 of 100 pairs of unrelated
drawings are as near, so nearly every image must be decoded anyway.

    <images>/grids/<pack>-<version>.npy        coarse grids in the order of the pack's index
    <images>/grids/copies-<fingerprint>.parquet
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from curate import media
from curate.engines.base import Engine, tick
from curate.packs import Packs
from curate.workspace import atomic

VERSION = 1
"""Goes up when another verdict, or another grid, is made of the same images."""

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

COARSE, FINE, PALETTE = 32, 256, 8
"""Sides of the grids that find candidates and decide, and of the grids of colours."""

SIDES = (256, 192, 128)
LEAST = 16
"""The fine grid of an image has the largest of SIDES that its width and height reach, else just as many values as
the smaller of them, but LEAST at the least."""

COARSE_LIMITS = np.array([14.0, 0.3, 12.0])
"""Most difference of 8 x 8 means and, of coarse grids, most and shift of `unlike`; 998 in 1,000 copies were within
11, .13 and 8."""

TIERS = np.array([[256, 0.56, 0.54], [192, 0.52, 0.41], [128, 0.44, 0.18], [0, 0.4, 0.18]])
LIMITS = np.array([20.0, 24.0])
"""See `verified`. Of 2,000 copies, 99 in 100 were within; of 3,000 look-alikes of one template, the least unlike
were at .67, .45 and .20 where they had at least 256, 192 and 128 pixels each way. In smaller images (a page at
a quarter) other figures cannot be told from other pixels: there 1 look-alike in 30 is within."""

SLICE = 2000  # images a task

COPIES: dict[str, Any] = {"key": pl.String, "of": pl.String, "how": pl.String, "unlike": pl.Float32}
"""An image and the larger one (by pixels, then by key) it is a copy of, which is a copy of no other.

`how` is `pixels` (the same, in another file) or `near`; `unlike` is 0 for equal grids, below 1.
"""


def copies(keys: Iterable[str], store: Packs, engine: Engine) -> pl.DataFrame:
    """COPIES among these images, by key. Depends on nothing else that the store holds."""
    wanted = sorted(set(keys))
    path = _folder(store) / f"copies-{_fingerprint(wanted)}.parquet"
    if not path.exists():
        found = _copies(_pictures(wanted, store, engine), store, engine)
        with atomic(path) as temporary:
            found.write_parquet(temporary)
    return pl.read_parquet(path)


def near_keys(
    keys: Iterable[str], store: Packs, others: Iterable[str], there: Packs, engine: Engine
) -> pl.DataFrame:
    """Which of these images of the store are copies of which others, there: columns key, of, unlike; by key, of.

    The same bytes are copies with unlike 0. In memory are the grids of all others, and of one pack of the store.
    """
    known = _pictures(sorted(set(others)), there, engine)
    near: set[str] = set()
    for some in _packs(sorted(set(keys)), store, engine) if known.keys else ():
        left, _ = _candidates(_joined(some, known), len(some.keys), engine.workers)
        near.update(some.keys[i] for i in np.unique(left).tolist())
    here = _pictures(sorted(near), store, engine)
    both = _joined(here, known)
    left, right, unlike = _alike(both, store, engine, len(here.keys), there)
    order = np.lexsort((right, left))
    found = {
        "key": [both.keys[i] for i in left[order].tolist()],
        "of": [both.keys[i] for i in right[order].tolist()],
        "unlike": unlike[order],
    }
    return pl.DataFrame(found, schema={"key": pl.String, "of": pl.String, "unlike": pl.Float32})


def grid(data: bytes, side: int) -> U8:
    """The grid, side x side, of an image that `media.check` lets pass."""
    from curate.image_alike import shrunk  # numba

    small: U8 = shrunk(media.grey(data, 2 * side), side)
    return small


# ------------------------------------------------------------------------------------------------ coarse grids


class _Pictures(NamedTuple):
    """Images: keys, sizes [n, 2] (width, height), coarse grids [n, 32, 32]."""

    keys: list[str]
    sizes: I64
    grids: U8


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackTask:
    root: Path
    pack: str
    out: Path


def _folder(store: Packs) -> Path:
    return store.root / "grids"


def _fingerprint(keys: Sequence[str]) -> str:
    return xxhash.xxh3_64_hexdigest("".join([f"{VERSION}:", *keys]).encode())


def _joined(left: _Pictures, right: _Pictures) -> _Pictures:
    sizes = np.concatenate([left.sizes, right.sizes])
    return _Pictures(left.keys + right.keys, sizes, np.concatenate([left.grids, right.grids]))


def _pictures(keys: Sequence[str], store: Packs, engine: Engine) -> _Pictures:
    """The images of these distinct keys, in their order."""
    sizes = np.zeros((len(keys), 2), np.int64)
    grids: U8 = np.zeros((len(keys), COARSE, COARSE), np.uint8)
    rows = {key: row for row, key in enumerate(keys)}
    for some in _packs(keys, store, engine):
        at = [rows[key] for key in some.keys]
        sizes[at], grids[at] = some.sizes, some.grids
    return _Pictures(list(keys), sizes, grids)


def _packs(keys: Sequence[str], store: Packs, engine: Engine) -> Iterator[_Pictures]:
    """Those of each pack; packs without grids get them first. Raises WorkspaceError for an image not there."""
    wanted = pl.DataFrame({"key": keys}, schema={"key": pl.String})
    tasks, held = [], {}
    for path in sorted(store.folder.glob("*.parquet")):
        index = pl.read_parquet(path, columns=["key", "width", "height"]).with_row_index("at")
        found = index.join(wanted, on="key")
        if found.height:
            wanted = wanted.join(found, on="key", how="anti", maintain_order="left")
            task = _PackTask(root=store.root, pack=path.stem, out=_folder(store) / f"{path.stem}-{VERSION}.npy")
            held[task.out] = found
            tasks += [] if task.out.exists() else [task]
    if wanted.height:
        store.size(wanted["key"][0])  # says which image is not there
    for _ in engine.map(_make_grids, tasks):
        pass
    for path, found in held.items():
        sizes = found.select("width", "height").to_numpy().astype(np.int64)
        yield _Pictures(found["key"].to_list(), sizes, np.load(path, mmap_mode="r")[found["at"].to_numpy()])


def _make_grids(task: _PackTask) -> None:
    store = Packs(task.root)
    keys = pl.read_parquet(store.folder / f"{task.pack}.parquet", columns=["key"])["key"].to_list()
    grids = np.empty((len(keys), COARSE, COARSE), np.uint8)
    for row, key in enumerate(keys):
        grids[row] = grid(store.read(key), COARSE)
        tick(rows=1)
    with atomic(task.out) as temporary, temporary.open("wb") as file:
        np.save(file, grids)


# ------------------------------------------------------------------------------------------------ fine grids


class _Fine(NamedTuple):
    """Fine grids in one file: sides [m], grids [m, 256 * 256] (see `verified`), colours [m, 3 * 8 * 8]."""

    sides: I64
    grids: U8
    colours: U8

    def put(self, row: int, data: bytes) -> None:
        from curate.image_alike import shrunk  # numba

        side = int(self.sides[row])
        colours = media.colours(data, 2 * side)
        self.grids[row, : side * side] = shrunk(media.brightness(colours), side).ravel()
        self.colours[row] = np.concatenate([shrunk(colour, PALETTE).ravel() for colour in colours])


ROW = FINE * FINE + 3 * PALETTE * PALETTE


def _rows(sides: I64, values: U8) -> _Fine:
    return _Fine(sides, values[:, : FINE * FINE], values[:, FINE * FINE :])


def _open(path: Path, sides: I64) -> _Fine:
    return _rows(sides, np.memmap(path, np.uint8, "r+", shape=(max(len(sides), 1), ROW)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _FineTask:
    """Images, with the sides of their fine grids, which are the rows from `first` on of the file `out`."""

    root: Path
    keys: tuple[str, ...]
    sides: I64
    out: Path
    first: int

    def __str__(self) -> str:
        return f"comparing images {self.first:,} to {self.first + len(self.keys):,}"


def _alike(
    pictures: _Pictures, store: Packs, engine: Engine, split: int | None = None, there: Packs | None = None
) -> tuple[I64, I64, F32]:
    """(left, right, unlike) of all pairs of copies, left < right.

    The pictures from `split` on are those of the store `there`, if there is one; then only pairs of one before and
    one from there are looked for.
    """
    stored = len(pictures.keys) if split is None else split
    if not stored:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    left, right = _candidates(pictures, split or 0, engine.workers)
    rows = np.unique(np.concatenate([left, right]))
    sides = _sides(pictures.sizes[rows])
    with _scratch(store) as path:
        os.truncate(path, max(len(sides), 1) * ROW)
        for where, of in ((store, rows < stored), (there, rows >= stored)):
            if where is not None:
                first = int(np.argmax(of)) if of.any() else 0
                _make_fine([pictures.keys[i] for i in rows[of].tolist()], sides[of], where, engine, path, first)
        fine = _open(path, sides)
        at_left, at_right = np.searchsorted(rows, left), np.searchsorted(rows, right)
        unlike = _verified(fine, pictures.sizes[rows], at_left, at_right, engine.workers)
    good = unlike < 1
    return left[good], right[good], unlike[good]


@contextmanager
def _scratch(store: Packs) -> Iterator[Path]:
    """A file for fine grids, which take more room than the memory may hold; the store sweeps it after a kill."""
    _folder(store).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".", suffix=".tmp", dir=_folder(store)) as file:
        yield Path(file.name)


def _sides(sizes: I64) -> I64:
    smaller = sizes.min(axis=1, initial=FINE)
    return np.select([smaller >= side for side in SIDES], SIDES, np.maximum(smaller, LEAST))


def _candidates(pictures: _Pictures, split: int, threads: int) -> tuple[I64, I64]:
    from curate import image_alike as kernels  # numba

    means, cells = kernels.features(pictures.grids)
    numbers = kernels.cell_numbers(cells)
    order = split + np.argsort(numbers[split:], kind="stable")
    lefts = np.argsort(numbers[:split], kind="stable") if split else order  # neighbours look at the same images

    def some(left: npt.NDArray[np.intp]) -> tuple[I64, I64]:
        found: tuple[I64, I64] = kernels.candidates(
            pictures.grids, pictures.sizes, means, numbers, order, left, COARSE_LIMITS
        )
        return found

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(some, np.array_split(lefts, 8 * threads)))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])


def _make_fine(keys: Sequence[str], sides: I64, store: Packs, engine: Engine, out: Path, start: int) -> None:
    """Write the fine grids of these images as the rows from `start` on."""
    tasks = [
        _FineTask(
            root=store.root,
            keys=tuple(keys[first : first + SLICE]),
            sides=sides[first : first + SLICE],
            out=out,
            first=start + first,
        )
        for first in range(0, len(keys), SLICE)
    ]
    for _ in engine.map(_fill, tasks):
        pass


def _fill(task: _FineTask) -> None:
    store, values = Packs(task.root), np.zeros((len(task.keys), ROW), np.uint8)
    fine = _rows(task.sides, values)
    for row, key in enumerate(task.keys):
        fine.put(row, store.read(key))
        tick(rows=1)
    with open(task.out, "r+b") as file:  # written, not mapped: workers on other machines may share its pages
        file.seek(task.first * ROW)
        file.write(values.data)


def _verified(fine: _Fine, sizes: I64, left: I64, right: I64, threads: int) -> F32:
    from curate.image_alike import verified  # numba

    def some(at: npt.NDArray[np.intp]) -> F32:
        grids, sides, colours = fine.grids, fine.sides, fine.colours
        found: F32 = verified(grids, sides, colours, sizes, left[at], right[at], TIERS, LIMITS)
        return found

    with ThreadPoolExecutor(threads) as pool:
        chunks = np.array_split(np.arange(len(left)), max(threads, len(left) // 10_000))
        return np.concatenate([np.zeros(0, np.float32), *pool.map(some, chunks)])


# ------------------------------------------------------------------------------------------------ classes


def _copies(pictures: _Pictures, store: Packs, engine: Engine) -> pl.DataFrame:
    ranked = np.lexsort((np.arange(len(pictures.keys)), -pictures.sizes.prod(axis=1)))
    best_first = _Pictures(
        [pictures.keys[i] for i in ranked.tolist()], pictures.sizes[ranked], pictures.grids[ranked]
    )
    found = _to_leaders(*_alike(best_first, store, engine))
    pairs = [(best_first.keys[copy], best_first.keys[of]) for copy, of, _ in found]
    one_size = [(best_first.sizes[copy] == best_first.sizes[of]).all() for copy, of, _ in found]
    same = _same_pixels([pair for pair, one in zip(pairs, one_size, strict=True) if one], store, engine)
    rows = [
        (copy, of, "pixels" if (copy, of) in same else "near", unlike)
        for (copy, of), (_, _, unlike) in zip(pairs, found, strict=True)
    ]
    return pl.DataFrame(rows, schema=COPIES, orient="row").sort("key")


def _to_leaders(left: I64, right: I64, unlike: F32) -> list[tuple[int, int, float]]:
    """(copy, leader, unlike): in their order, an image joins the leader that it is most like, or becomes one."""
    order = np.lexsort((left, unlike, right))
    found: dict[int, tuple[int, int, float]] = {}
    for at in order.tolist():
        copy, of = int(right[at]), int(left[at])
        if copy not in found and of not in found:
            found[copy] = (copy, of, float(unlike[at]))
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _PixelTask:
    root: Path
    pairs: tuple[tuple[str, str], ...]


def _same_pixels(pairs: Sequence[tuple[str, str]], store: Packs, engine: Engine) -> set[tuple[str, str]]:
    tasks = [
        _PixelTask(root=store.root, pairs=tuple(pairs[first : first + SLICE]))
        for first in range(0, len(pairs), SLICE)
    ]
    return {pair for same in engine.map(_compare_pixels, tasks) for pair in same}


def _compare_pixels(task: _PixelTask) -> list[tuple[str, str]]:
    store = Packs(task.root)

    def digest(key: str) -> bytes:
        return media.pixels_digest(store.read(key))

    return [(copy, of) for copy, of in task.pairs if digest(copy) == digest(of)]
