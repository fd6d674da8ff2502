"""Which images of the store are copies of each other: the same pixels, or the same picture encoded or scaled anew.

Scaled also means squeezed, by 3 times at the most. Crops, flips and borders make another picture; grey and
another gamma do so too, but where one is `tolerant`.

Every image is decoded once to a coarse grid of 32 x 32 grey values, kept beside the packs. Images whose coarse
grids agree are decoded again to at most 256 x 256 and compared block by block: that decides. The difference hash
of the store's index takes no part: at the distance that finds 99 of 100 copies, 3 of 100 pairs of unrelated
drawings are as near, so nearly every image must be decoded anyway.

    <images>/grids/<pack>-<version>.npy        GRID of each image in the order of the pack's index
    <images>/grids/<pack>-<version>-tolerant.npy
    <images>/grids/copies-<fingerprint>.parquet
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from curate.arrays import I32, I64, U8
from curate.checksums import published, usable
from curate.engines.base import Engine, tick
from curate.images import decode, pixels
from curate.images.closer import Stored
from curate.images.compare import Copies, compare
from curate.images.groups import Groups, either
from curate.images.packs import Packs

VERSION = 4
"""Goes up when the same images give other copies, or another grid."""


COARSE = 32
"""Side of the grids that find candidates."""

GRID = np.dtype([("size", np.uint32, 2), ("values", np.uint8, (COARSE, COARSE))])
"""Upright width and height, and the coarse grid. Older indexes of packs have sizes as stored."""

COARSE_LIMITS = np.array([14.0, 0.3, 12.0])
"""Most difference of 8 x 8 means and, of coarse grids, most and shift of `unlike`; 998 in 1,000 copies were within
11, .13 and 8."""

SLICE = 2000  # pairs a task

NONE: tuple[I32, I32] = (np.zeros(0, np.int32), np.zeros(0, np.int32))

COPIES: dict[str, Any] = {"key": pl.String, "of": pl.String, "how": pl.String, "unlike": pl.Float32}
"""An image and the larger one (by pixels, then by key) it is a copy of, which is a copy of no other.

`how` is `pixels` (the same, in another file) or `near`; `unlike` is 0 for equal grids, below 1. A row with
`look_alike` is about an image that is no copy: of all that cannot be told from it or from its copies, or theirs,
the one that is most like it and is itself a copy of no other.
"""
LOOK_ALIKE = "look_alike"


def find_copies(keys: Iterable[str], store: Packs, engine: Engine, *, tolerant: bool = False) -> pl.DataFrame:
    """COPIES among these images, by key. Depends on nothing else that the store holds."""
    wanted = sorted(set(keys))
    path = _folder(store) / f"copies-{_fingerprint(wanted, tolerant)}.parquet"
    if not usable(path):
        found = _copies(wanted, store, engine, tolerant)
        with published(path) as temporary:
            found.write_parquet(temporary)
    return pl.read_parquet(path)


COPIES_OF: dict[str, Any] = {"key": pl.String, "of": pl.String, "unlike": pl.Float32, "sure": pl.Boolean}
"""An image and another that it is a copy of, or, where not `sure`, a look-alike of."""


def find_copies_of(
    keys: Iterable[str],
    store: Packs,
    others: Iterable[str],
    there: Packs,
    engine: Engine,
    *,
    tolerant: bool = False,
) -> pl.DataFrame:
    """Which of these images of the store are copies of which others, there: COPIES_OF, by key and of.

    The same bytes are copies with unlike 0. In memory are the grids of all others, and of one pack of the store.
    """
    wanted, known = sorted(set(keys)), sorted(set(others))
    found = _copies_of(wanted, store, known, there, engine, tolerant=False)
    if tolerant:
        found = pl.concat([found, _copies_of(wanted, store, known, there, engine, tolerant=True)])
    best = found.sort("key", "of", "sure", "unlike", descending=[False, False, True, False])
    return best.unique(["key", "of"], keep="first", maintain_order=True)


def grid(data: bytes, side: int, *, tolerant: bool = False) -> U8:
    """The grid, side x side, of an image that `decode.check` passes."""
    from curate.images.kernels import shrunk  # numba

    values = next(pixels.planes(data, 2 * side, tolerant=True)) if tolerant else pixels.grey(data, 2 * side)
    small: U8 = shrunk(values, side, side)
    return small


# ------------------------------------------------------------------------------------------------ coarse grids


class _Grids(NamedTuple):
    """Images: keys, sizes [n, 2] (width, height), coarse grids [n, 32, 32]."""

    keys: list[str]
    sizes: I64
    grids: U8


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackTask:
    root: Path
    pack: str
    out: Path
    tolerant: bool


def _folder(store: Packs) -> Path:
    return store.root / "grids"


def _named(tolerant: bool) -> str:
    return f"{VERSION}-tolerant" if tolerant else str(VERSION)


def _fingerprint(keys: Sequence[str], tolerant: bool) -> str:
    return xxhash.xxh3_64_hexdigest("".join([f"{_named(tolerant)}:", *keys]).encode())


def _joined(left: _Grids, right: _Grids) -> _Grids:
    sizes = np.concatenate([left.sizes, right.sizes])
    return _Grids(left.keys + right.keys, sizes, np.concatenate([left.grids, right.grids]))


def _pictures(keys: Sequence[str], store: Packs, engine: Engine, tolerant: bool) -> _Grids:
    """The images of these distinct keys, in their order."""
    sizes = np.zeros((len(keys), 2), np.int64)
    grids: U8 = np.zeros((len(keys), COARSE, COARSE), np.uint8)
    rows = {key: row for row, key in enumerate(keys)}
    for some in _packs(keys, store, engine, tolerant):
        at = [rows[key] for key in some.keys]
        sizes[at], grids[at] = some.sizes, some.grids
    return _Grids(list(keys), sizes, grids)


def _packs(keys: Sequence[str], store: Packs, engine: Engine, tolerant: bool) -> Iterator[_Grids]:
    """Those of each pack; packs without grids get them first. Raises WorkspaceError for an image not there."""
    wanted = pl.DataFrame({"key": keys}, schema={"key": pl.String})
    tasks, held = [], {}
    for path in sorted(store.folder.glob("*.parquet")):
        index = pl.read_parquet(path, columns=["key"]).with_row_index("at")
        found = index.join(wanted, on="key")
        if found.height:
            wanted = wanted.join(found, on="key", how="anti", maintain_order="left")
            out = _folder(store) / f"{path.stem}-{_named(tolerant)}.npy"
            task = _PackTask(root=store.root, pack=path.stem, out=out, tolerant=tolerant)
            held[task.out] = found
            tasks += [] if usable(task.out) else [task]
    if wanted.height:
        store.size(wanted["key"][0])  # raises, naming the image
    for _ in engine.map(_make_grids, tasks):
        pass
    for path, found in held.items():
        grids = np.load(path, mmap_mode="r")[found["at"].to_numpy()]
        yield _Grids(found["key"].to_list(), grids["size"].astype(np.int64), grids["values"])


def _make_grids(task: _PackTask) -> None:
    store = Packs(task.root)
    keys = pl.read_parquet(store.folder / f"{task.pack}.parquet", columns=["key"])["key"].to_list()
    grids = np.empty(len(keys), GRID)
    for row, key in enumerate(keys):
        data = store.read(key)
        grids[row] = decode.upright_size(data), grid(data, COARSE, tolerant=task.tolerant)
        tick(rows=1)
    with published(task.out) as temporary, temporary.open("wb") as file:
        np.save(file, grids)


# ------------------------------------------------------------------------------------------------ pairs


def _candidates(pictures: _Grids, split: int, threads: int) -> tuple[I32, I32]:
    """(left, right), left < right: of all pairs those that may be copies, or of those with one before `split`."""
    from curate.images import kernels  # numba

    means, cells = kernels.features(pictures.grids)
    numbers = kernels.cell_numbers(cells)
    order = split + np.argsort(numbers[split:], kind="stable")
    lefts = np.argsort(numbers[:split], kind="stable") if split else order  # neighbours look at the same images

    def some(left: npt.NDArray[np.intp]) -> tuple[I32, I32]:
        found: tuple[I32, I32] = kernels.candidates(
            pictures.grids, pictures.sizes, means, numbers, order, left, COARSE_LIMITS
        )
        return found

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(some, np.array_split(lefts, 8 * threads)))
    return np.concatenate([left for left, _ in found]), np.concatenate([right for _, right in found])


def _copies_of(
    keys: Sequence[str], store: Packs, others: Sequence[str], there: Packs, engine: Engine, *, tolerant: bool
) -> pl.DataFrame:
    """COPIES_OF, in one of the two ways to look at images."""
    known = _pictures(others, there, engine, tolerant)
    near: set[str] = set()
    for some in _packs(keys, store, engine, tolerant) if known.keys else ():
        left, _ = _candidates(_joined(some, known), len(some.keys), engine.workers)
        near.update(some.keys[i] for i in np.unique(left).tolist())
    here = _pictures(sorted(near), store, engine, tolerant)
    both = _joined(here, known)
    left, right = _candidates(both, len(here.keys), engine.workers) if near else NONE
    stored = [Stored(store.root, here.keys), Stored(there.root, known.keys)]
    pairs = compare(stored, both.sizes, left, right, engine, tolerant=tolerant)
    found = {
        "key": [both.keys[i] for i in pairs.left.tolist()],
        "of": [both.keys[i] for i in pairs.right.tolist()],
        "unlike": pairs.unlike,
        "sure": pairs.sure,
    }
    return pl.DataFrame(found, schema=COPIES_OF)


# ------------------------------------------------------------------------------------------------ classes


def _pairs(keys: Sequence[str], store: Packs, engine: Engine, *, tolerant: bool) -> tuple[_Grids, Copies]:
    """The images, the largest first, and which of them are alike, in one of the two ways to look at them."""
    pictures = _pictures(keys, store, engine, tolerant)
    ranked = np.lexsort((np.arange(len(keys)), -pictures.sizes.prod(axis=1)))
    names = [pictures.keys[i] for i in ranked.tolist()]
    best_first = _Grids(names, pictures.sizes[ranked], pictures.grids[ranked])
    left, right = _candidates(best_first, 0, engine.workers)
    stored = [Stored(store.root, names)]
    return best_first, compare(stored, best_first.sizes, left, right, engine, tolerant=tolerant)


def _copies(keys: Sequence[str], store: Packs, engine: Engine, tolerant: bool) -> pl.DataFrame:
    best_first, alike = _pairs(keys, store, engine, tolerant=False)
    if tolerant:
        alike = either(alike, _pairs(keys, store, engine, tolerant=True)[1])
    groups = Groups(alike)
    found = groups.copies()
    pairs = [(best_first.keys[copy], best_first.keys[of]) for copy, of, _ in found]
    one_size = [(best_first.sizes[copy] == best_first.sizes[of]).all() for copy, of, _ in found]
    same = _same_pixels([pair for pair, one in zip(pairs, one_size, strict=True) if one], store, engine)
    rows = [
        (copy, of, "pixels" if (copy, of) in same else "near", unlike)
        for (copy, of), (_, _, unlike) in zip(pairs, found, strict=True)
    ]
    rows += [(best_first.keys[i], best_first.keys[j], LOOK_ALIKE, unlike) for i, j, unlike in groups.look_alikes()]
    return pl.DataFrame(rows, schema=COPIES, orient="row").sort("key")


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
        return pixels.pixels_digest(store.read(key))

    return [(copy, of) for copy, of in task.pairs if digest(copy) == digest(of)]
