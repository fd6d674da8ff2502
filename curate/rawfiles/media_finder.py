"""Row files inside archives, and media found by the paths that upstream writes.

Archives are zip, tar, or either of them split into parts. Nothing is extracted: an archive is read through once,
strictly, into an index of about 150 bytes a member, which is kept in the cache and mapped into memory by every
process that needs it.
"""

import json
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from curate.errors import RawError, SkipRow
from curate.rawfiles.archives import Member, SplitFile, entries, members, read_member, read_whole, split_parts
from curate.rawfiles.path_index import (
    Arrays,
    PathIndex,
    group_by_folder,
    index_names,
    load_arrays,
    natural,
    save_arrays,
)

__all__ = ["MediaFinder", "MediaSpec", "SplitFile", "members", "read_member", "split_parts"]

INDEX_VERSION = 1
MEMBER_BYTES = 1 << 30
"""The largest media member; a larger one is refused."""
SUSPECT_BYTES, SUSPECT_RATIO = 64 << 20, 200
"""A member of this size that was packed to less than a 200th is refused: no image or video packs like that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSpec:
    """The places of a source's media and how they are found; opens a finder in any process."""

    raw: Path
    patterns: tuple[str, ...]
    match: Literal["path", "name"]
    cache: Path

    def open(self) -> "MediaFinder":
        """A finder; the archive indexes are built on first use, by whoever comes first."""
        return MediaFinder(self.raw, self.patterns, self.match, self.cache)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The files of an archive or directory, numbered folder by folder: folder i has starts[i] to starts[i + 1]."""

    files: PathIndex
    folders: PathIndex
    starts: npt.NDArray[np.generic]


def _arrays(names: list[bytes]) -> tuple[Arrays, list[int]]:
    """(what a _Listing needs, the order that the names have in it)."""
    order, folders, starts = group_by_folder(names)
    arrays = index_names([names[i] for i in order], "file_") | index_names(folders, "folder_")
    return arrays | {"starts": np.array(starts, np.uint32)}, order


def _listing(arrays: Arrays) -> _Listing:
    return _Listing(PathIndex(arrays, "file_"), PathIndex(arrays, "folder_"), arrays["starts"])


class _Archive:
    """An archive that stays open; its index is mapped from the cache."""

    def __init__(self, parts: Sequence[Path], cache: Path) -> None:
        self._where = str(parts[0])
        self._file = SplitFile(parts)
        self._entries = _archive_index(parts, self._file, cache)
        self.listing = _listing(self._entries)

    def read(self, number: int) -> bytes:
        """The file with this number."""
        name = self.listing.files.name(number)
        numbers = (int(self._entries[column][number]) for column in COLUMNS)
        data = read_whole(self._file, Member(name, *numbers))
        if data is None:
            raise SkipRow("image_damaged", f"{self._where}!{name.decode()}")
        return data


COLUMNS = {"offset": np.uint64, "packed": np.uint64, "size": np.uint64, "crc": np.uint32, "method": np.uint8}


def _archive_index(parts: Sequence[Path], file: SplitFile, cache: Path) -> Arrays:
    """The index from the cache, made if need be; it is known by the path, size and time of every part."""
    stats = ((part.resolve(), part.stat()) for part in parts)
    known_by = [INDEX_VERSION, *((str(real), stat.st_size, stat.st_mtime_ns) for real, stat in stats)]
    path = cache / "archives" / f"{xxhash.xxh3_128_hexdigest(json.dumps(known_by).encode())}.arrow"
    try:
        return load_arrays(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        save_arrays(path, _read_through(file, str(parts[0])))
    return load_arrays(path)


def _read_through(file: SplitFile, where: str) -> Arrays:
    names, numbers = [], array("Q")
    for entry in entries(file, where):
        if entry.size > MEMBER_BYTES or entry.size > max(SUSPECT_BYTES, SUSPECT_RATIO * entry.packed):
            raise RawError(
                where,
                f"member {entry.name.decode()!r} would grow from {entry.packed:,} to {entry.size:,} bytes",
                f"at most {MEMBER_BYTES:,}, and no bomb",
                "repack the archive without it",
            )
        if not _hidden(entry.name):
            names.append(entry.name)
            numbers.extend(entry[1:])
    arrays, order = _arrays(names)
    table = np.array(numbers, np.uint64).reshape(-1, len(COLUMNS))[order]
    return arrays | {name: table[:, i].astype(kind) for i, (name, kind) in enumerate(COLUMNS.items())}


def _hidden(name: bytes) -> bool:
    """Whether file managers left it behind; it is never media: .DS_Store, __MACOSX/._x.jpg."""
    return name.startswith(b"__MACOSX/") or name.rpartition(b"/")[2].startswith(b".")


class _Folder:
    """A directory, walked when something is first looked up: unlike an archive it has no time that tells all."""

    def __init__(self, path: Path, raw: Path) -> None:
        self._path, self._raw = path, raw
        if not path.resolve().is_relative_to(raw):
            raise RawError(str(path), "a link that leaves the raw directory", "a directory in it", "move it there")

    @cached_property
    def listing(self) -> _Listing:
        """All its files at the first lookup."""
        return _listing(_arrays(list(_walk(self._path, self._raw)))[0])

    def read(self, number: int) -> bytes:
        """The file with this number."""
        name = os.fsdecode(self.listing.files.name(number))
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            raise SkipRow("image_missing", name) from None


def _walk(top: Path, raw: Path) -> Iterator[bytes]:
    """Files under `top`, relative to it. Links are followed inside `raw`, but none to what is walked anyway."""
    waiting, linked = [str(top)], set[Path]()
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for item in sorted(found, key=lambda item: item.name):
                if item.name.startswith("."):
                    continue
                if item.is_symlink():
                    target = Path(item.path).resolve()
                    if not target.is_relative_to(raw) or (item.is_dir() and _walked(target, top, linked)):
                        continue
                    linked.add(target)
                if item.is_dir():
                    waiting.append(item.path)
                elif item.is_file():
                    yield os.fsencode(item.path[len(str(top)) + 1 :])


def _walked(target: Path, top: Path, linked: set[Path]) -> bool:
    home = top.resolve()
    return target in linked or target.is_relative_to(home) or home.is_relative_to(target)


_Container = _Archive | _Folder


class MediaFinder:
    """Finds media by upstream's paths in every archive and directory that the patterns match under `raw`.

    match="path": the path and the stored path agree component by component from the end until one is used up.
    match="name": so too, and where nothing agrees the file name alone decides.
    Raises RawError where an archive is damaged or not safe, or where a match is neither archive nor directory.
    """

    def __init__(self, raw: Path, patterns: Sequence[str], match: Literal["path", "name"], cache: Path) -> None:
        self._match = match
        folders: list[Path] = []
        archives: dict[Path, list[Path]] = {}
        for path in sorted({path for pattern in patterns for path in raw.glob(pattern)}):
            if path.is_dir():
                folders.append(path)
            elif not path.name.startswith("."):
                parts = split_parts(path)
                archives[parts[0]] = parts
        outer = [path for path in folders if not any(other in path.parents for other in folders)]
        self._containers: list[_Container] = [_Folder(path, raw.resolve()) for path in outer]
        self._containers += [_Archive(parts, cache) for parts in archives.values()]

    def find(self, path: str) -> bytes:
        """The bytes of the one file that the path means.

        Skips: image_missing, image_ambiguous (several files fit), image_damaged, unsafe_path (absolute, or `..`).
        """
        container, number = _only(self._agreeing(path, "files"), path)
        return container.read(number)

    def frames(self, path: str) -> list[bytes]:
        """The files directly in the one directory that the path means, frame_2 before frame_10.

        Skips as `find`.
        """
        container, folder = _only(self._agreeing(path, "folders"), path)
        listing = container.listing
        numbers = range(int(listing.starts[folder]), int(listing.starts[folder + 1]))
        return [container.read(n) for n in sorted(numbers, key=lambda n: natural(listing.files.name(n)))]

    def _agreeing(self, path: str, kind: Literal["files", "folders"]) -> list[tuple[_Container, int]]:
        """Two at most of each container: more are not needed to see that a path is ambiguous."""
        for parts in self._readings(path):
            found = [
                (container, number)
                for container in self._containers
                for number in islice(getattr(container.listing, kind).find(parts), 2)
            ]
            if found:
                return found
        return []

    def _readings(self, path: str) -> list[list[bytes]]:
        """The component lists to look for, one after the other."""
        text = path.replace("\\", "/")
        parts = [part.encode(errors="replace") for part in text.split("/") if part not in ("", ".")]
        absolute = text.startswith("/") or re.match("[A-Za-z]:/", text) is not None
        if b".." in parts or "\0" in path or (absolute and self._match == "path"):
            raise SkipRow("unsafe_path", path[:200])
        if not parts:
            raise SkipRow("image_missing", "empty path")
        whole = [] if absolute else [parts]
        return [*whole, parts[-1:]] if self._match == "name" else whole


def _only(found: Sequence[tuple[_Container, int]], path: str) -> tuple[_Container, int]:
    if not found:
        raise SkipRow("image_missing", path[:200])
    if len(found) > 1:
        raise SkipRow("image_ambiguous", path[:200])
    return found[0]
