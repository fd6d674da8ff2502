"""Immutable packs of images on disk, found and read by key. No image is decoded here.

`packs/<name>.pack` holds images one after another, `packs/<name>.parquet` is its index, written last: it means
finished. The name is the xxh3-128 of the keys in the order of the pack, so one name can only mean one content,
whoever wrote it and whenever. The bytes of an image are checked by its key, the index by its checksum.
"""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.arrow_compute import pc
from curate.checksums import check
from curate.errors import WorkspaceError

_TYPES = {
    "key": pa.string(),
    "offset": pa.uint64(),
    "length": pa.uint32(),
    "width": pa.uint32(),
    "height": pa.uint32(),
    "format": pa.string(),
    "mode": pa.string(),
}
INDEX = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _TYPES.items()])
"""The columns of a pack's index; the key is 32 hex digits, as in a pair's `media`. More columns do no harm."""


class DamagedImageError(WorkspaceError):
    """The bytes of a stored image are not those that were stored."""


COLUMNS = ("high", "low", "offset", "length", "pack", "pixels")


class _Index:
    """The place of every image: sorted columns, 36 bytes an image."""

    def __init__(self) -> None:
        self.packs: list[str] = []
        self.high = self.low = self.offset = np.zeros(0, np.uint64)
        self.length = self.pack = self.pixels = np.zeros(0, np.uint32)

    def add(self, packs: Sequence[str], indexes: Iterable[pa.Table]) -> None:
        """Merge the indexes of more packs; an image in several packs counts once."""
        columns: dict[str, list[npt.NDArray[np.generic]]] = {name: [getattr(self, name)] for name in COLUMNS}
        for number, index in enumerate(indexes, len(self.packs)):
            keys = _halves(index["key"])
            columns["high"].append(keys[:, 0])
            columns["low"].append(keys[:, 1])
            columns["offset"].append(index["offset"].to_numpy())
            columns["length"].append(index["length"].to_numpy())
            columns["pixels"].append(index["width"].to_numpy() * index["height"].to_numpy())
            columns["pack"].append(np.full(len(index), number, np.uint32))
        self.packs += packs
        high, low = (np.concatenate(columns[name]) for name in ("high", "low"))
        order = np.lexsort((low, high)).astype(np.uint32)
        high, low = high[order], low[order]
        order = order[np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))[: len(order)]]
        del high, low
        for name in COLUMNS:
            setattr(self, name, np.concatenate(columns.pop(name))[order])

    def rows(self, keys: pa.Array) -> npt.NDArray[np.int64]:
        """The row of each key, -1 where it is unknown."""
        halves = _halves(keys)
        at = np.minimum(np.searchsorted(self.high, halves[:, 0]), max(len(self.high) - 1, 0)).astype(np.int64)
        if not len(self.high):
            return np.full(len(keys), -1)
        other = np.flatnonzero((self.high[at] != halves[:, 0]) | (self.low[at] != halves[:, 1]))
        for i in other.tolist():  # unknown, or one of two keys with one upper half
            row = self.find(keys[i].as_py())
            at[i] = -1 if row is None else row
        return at

    def find(self, key: str) -> int | None:
        """The row of the key."""
        high, low = divmod(int(key, 16), 1 << 64)
        row = int(np.searchsorted(self.high, np.uint64(high)))
        while row < len(self.high) and self.high[row] == high:
            if self.low[row] == low:
                return row
            row += 1
        return None


def _halves(keys: pa.Array) -> npt.NDArray[np.uint64]:
    """The upper and the lower 64 bits of keys [n, 2]. Raises ValueError for a key that is not 32 hex digits."""
    digits = bytes.fromhex("".join(keys.to_pylist()))
    return np.frombuffer(digits, ">u8").reshape(len(keys), 2).astype(np.uint64)


LOST = "curate mix of the recipe, or curate normalize of the source, makes its images again from the raw files"


def again(index: Path) -> str:
    """The hint for a damaged pack."""
    return f"delete {index}, then {LOST}"


class Packs:
    """Images by key, over all packs that were published when it was opened or last refreshed.

    Safe for threads; a copy sent to another process opens the store anew.
    """

    OPEN_PACKS = 128

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "packs"
        self._lock = threading.Lock()
        self._handles: OrderedDict[int, int] = OrderedDict()
        self._closed = weakref.finalize(self, _close_all, self._handles)
        self._index = _Index()
        self.refresh()

    def __reduce__(self) -> tuple[type["Packs"], tuple[Path]]:
        return type(self), (self.root,)

    def __len__(self) -> int:
        return len(self._index.high)

    def refresh(self) -> None:
        """See the packs that were published or deleted since. Raises WorkspaceError where an index is damaged."""
        there = {path.stem for path in self.folder.glob("*.parquet")}
        if not there.issuperset(self._index.packs):
            self.close()
            self._index = _Index()
        fresh = sorted(there.difference(self._index.packs))
        columns = ["key", "offset", "length", "width", "height"]
        if fresh:
            self._index.add(fresh, (_table(self.folder, name, columns) for name in fresh))

    @property
    def names(self) -> list[str]:
        """The names of the packs."""
        return list(self._index.packs)

    @staticmethod
    def fault(folder: Path, pack: str) -> str:
        """What is wrong with a pack; reads all of its images. Raises WorkspaceError where its index is damaged."""
        path, end = folder / f"{pack}.pack", 0
        index = _table(folder, pack, ["key", "offset", "length"])
        if not path.is_file():
            return f"{path}: missing"
        with path.open("rb") as file:
            for key, offset, length in zip(*(index[name].to_pylist() for name in index.column_names), strict=True):
                if offset != end or xxhash.xxh3_128_hexdigest(file.read(length)) != key:
                    return f"{path}: image {key} is damaged"
                end = offset + length
            rest = len(file.read())
        return f"{path}: {rest:,} bytes after the last image" if rest else ""

    def known(self, key: str) -> bool:
        """Whether the image can be read."""
        return self._index.find(key) is not None

    def missing(self, keys: pa.Array) -> int:
        """How many of the distinct keys cannot be read."""
        return int((self._index.rows(pc.unique(keys)) < 0).sum())

    def packs_of(self, keys: pa.Array) -> set[str]:
        """The packs that hold some of the keys."""
        rows = self._index.rows(pc.unique(keys))
        return {self._index.packs[pack] for pack in np.unique(self._index.pack[rows[rows >= 0]]).tolist()}

    def size(self, key: str) -> int:
        """The image's size in bytes. Raises WorkspaceError where it is unknown."""
        return int(self._index.length[self._row(key)])

    def read(self, key: str) -> bytes:
        """The image as received. Raises WorkspaceError where it is unknown, missing or damaged."""
        return self._read(key, self._row(key))

    def read_many(self, keys: Sequence[str]) -> list[bytes]:
        """The images in the order of the keys, read in the order of the disk."""
        found = {key: self.read(key) for key in self.in_order(set(keys))}
        return [found[key] for key in keys]

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """The keys in the order of the disk. Raises WorkspaceError where one is unknown."""
        rows = {key: self._row(key) for key in keys}
        pack, offset = self._index.pack, self._index.offset
        return sorted(rows, key=lambda key: (pack[rows[key]], offset[rows[key]]))

    def facts(self) -> pa.Table:
        """All images, each once, columns INDEX, by key."""
        tables = [_table(self.folder, name, INDEX.names) for name in self._index.packs]
        table = pa.concat_tables([INDEX.empty_table(), *tables]).sort_by("key")
        keys = table["key"].combine_chunks()
        if not len(keys):
            return table
        repeated = pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1))
        return table.filter(pa.concat_arrays([pa.array([True]), pc.invert(repeated)]))

    def sweep(self) -> None:
        """Remove what killed runs have left. Only for who holds the workspace: it would take a writer's work."""
        left = [*self.folder.glob("*.pack"), *self.folder.glob("*.parquet.xxh3")]
        alone = [path for path in left if not (self.folder / f"{path.name.split('.')[0]}.parquet").exists()]
        for path in [*self.root.glob("*/.*.tmp"), *alone]:
            path.unlink()

    def close(self) -> None:
        """Close the packs; reading opens them again."""
        with self._lock:
            _close_all(self._handles)

    def pixels(self, key: str) -> int | None:
        """Width times height, None where the image is unknown."""
        row = self._index.find(key)
        return None if row is None else int(self._index.pixels[row])

    def _row(self, key: str) -> int:
        row = self._index.find(key)
        if row is None:
            raise WorkspaceError(str(self.root), f"no image {key}", hint=LOST)
        return row

    def _read(self, key: str, row: int) -> bytes:
        pack = int(self._index.pack[row])
        path = self.folder / f"{self._index.packs[pack]}.pack"
        hint = again(path.with_suffix(".parquet"))
        with self._lock:
            try:
                data = os.pread(self._handle(pack, path), self._index.length[row], self._index.offset[row])
            except FileNotFoundError:
                raise WorkspaceError(str(path), f"no such file, so image {key} is lost", hint=hint) from None
        if xxhash.xxh3_128_hexdigest(data) != key:
            raise DamagedImageError(str(path), f"image {key} is damaged", "the bytes that were stored", hint)
        return data

    def _handle(self, pack: int, path: Path) -> int:
        if pack not in self._handles:
            self._handles[pack] = os.open(path, os.O_RDONLY)
            if len(self._handles) > self.OPEN_PACKS:
                os.close(self._handles.popitem(last=False)[1])
        self._handles.move_to_end(pack)
        return self._handles[pack]


def _table(folder: Path, pack: str, columns: list[str]) -> pa.Table:
    """Columns of the index of a pack. Raises WorkspaceError where it is damaged."""
    path = folder / f"{pack}.parquet"
    check(path, "the index of a pack of images", again(path))
    try:
        return pq.read_table(path, columns=columns, schema=INDEX, memory_map=False)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the bytes
            raise
        found = f"damaged ({str(error).splitlines()[0][:80]})"
        raise WorkspaceError(str(path), found, "the index of a pack of images", again(path)) from None


def _close_all(handles: OrderedDict[int, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])
