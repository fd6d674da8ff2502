"""Names of files found by their last components, in arrays that can be mapped from disk.

Two paths agree when they are equal component by component from the end until one of them is used up. Every name is
entered once for each of its endings, as a 64-bit hash; a hit is compared with the name itself. Names are compared
in NFC, and kept as they are.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from curate.checksums import published
from curate.rawfiles.archives import composed

SLASH = ord("/")

Arrays = dict[str, npt.NDArray[np.generic]]


class PathIndex:
    """Names (UTF-8, components joined by "/", no empty ones) by their endings.

    Arrays: `text` u8 and `ends` u64 hold the names, `hashes` u64 (sorted) and `ids` u32 their endings; a name as a
    whole is entered once more with a "/" before it. About 60 bytes a name of four components, plus the name.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> None:
        self._text, self._ends = arrays[f"{prefix}text"], arrays[f"{prefix}ends"]
        self._hashes, self._ids = arrays[f"{prefix}hashes"], arrays[f"{prefix}ids"]

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, number: int) -> bytes:
        """The name with this number."""
        start = int(self._ends[number - 1]) if number else 0
        return self._text[start : int(self._ends[number])].tobytes()

    def find(self, parts: Sequence[bytes]) -> Iterator[int]:
        """Numbers of all names that agree with the path that has these components."""
        whole = _composed(b"/".join(parts))
        parts = whole.split(b"/")
        endings = [whole, *(b"/" + b"/".join(parts[i:]) for i in range(1, len(parts)))]
        hashes = np.array([xxhash.xxh3_64_intdigest(ending) for ending in endings], np.uint64)
        left, right = (np.searchsorted(self._hashes, hashes, side=side) for side in ("left", "right"))
        for first, last in zip(left.tolist(), right.tolist(), strict=True):
            for number in self._ids[first:last].tolist():
                if _agree(whole, _composed(self.name(number))):
                    yield number


def _agree(left: bytes, right: bytes) -> bool:
    return (b"/" + left).endswith(b"/" + right) or (b"/" + right).endswith(b"/" + left)


def _composed(name: bytes) -> bytes:
    """The name in NFC, so that a name in NFD is the same."""
    return (
        name
        if name.isascii()
        else composed(name.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    )


def index_names(names: Sequence[bytes], prefix: str) -> Arrays:
    """The arrays of a PathIndex over the names, which keep their numbers."""
    hashes, ids = array("Q"), array("I")
    for number, name in enumerate(names):
        ending = b"/" + _composed(name)
        while ending:
            hashes.append(xxhash.xxh3_64_intdigest(ending))
            ids.append(number)
            ending = ending[1:] if ending[0] == SLASH else ending.partition(b"/")[2]
    joined = np.array(hashes, np.uint64)
    order = np.argsort(joined, kind="stable")
    return {
        f"{prefix}text": np.frombuffer(b"".join(names), np.uint8),
        f"{prefix}ends": np.cumsum([len(name) for name in names], dtype=np.uint64),
        f"{prefix}hashes": joined[order],
        f"{prefix}ids": np.array(ids, np.uint32)[order],
    }


def natural(name: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """A sort key by which frame_2 comes before frame_10."""
    pieces = re.split(rb"(\d+)", name)
    numbers = (piece.lstrip(b"0") if piece.isdigit() else None for piece in pieces)
    return [(-1, piece) if n is None else (len(n), n) for n, piece in zip(numbers, pieces, strict=True)], name


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Publish the arrays as one file that `load_arrays` maps."""
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), pa.array(array))
        for name, array in arrays.items()
    }
    table = pa.table(columns)
    with (
        published(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as out,
    ):
        out.write_table(table)


def load_arrays(path: Path) -> Arrays:
    """The arrays, mapped into memory and shared by all processes."""
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return {name: table[name].chunk(0).values.to_numpy() for name in table.column_names}


def group_by_folder(names: Iterable[bytes]) -> tuple[list[int], list[bytes], list[int]]:
    """(an order of the names that keeps each folder together, the folders, where each begins in that order)."""
    folders: dict[bytes, list[int]] = {}
    for number, name in enumerate(names):
        folders.setdefault(name.rpartition(b"/")[0], []).append(number)
    starts = np.cumsum([0, *(len(numbers) for numbers in folders.values())]).tolist()
    return [number for numbers in folders.values() for number in numbers], list(folders), starts
