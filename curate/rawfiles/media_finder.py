"""Media found by the paths that upstream writes.

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
import xxhash

from curate.checksums import usable
from curate.errors import RawError, SkipRow
from curate.rawfiles.archives import Member, entries, read_whole
from curate.rawfiles.path_index import (
    Arrays,
    PathIndex,
    group_by_folder,
    index_names,
    load_arrays,
    natural,
    save_arrays,
)
from curate.rawfiles.row_files import matching
from curate.rawfiles.split_files import SplitFile, split_parts

INDEX_VERSION = 2
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
    if not usable(path):
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

    def __init__(self, path: Path, allowed: Sequence[Path]) -> None:
        self._path, self._allowed = path, allowed
        if not _is_inside(path.resolve(), allowed):
            raise RawError(str(path), "a link that leaves the raw directory", "a directory in it", "move it there")

    @cached_property
    def listing(self) -> _Listing:
        """All its files at the first lookup."""
        return _listing(_arrays(list(_walk(self._path, self._allowed)))[0])

    def read(self, number: int) -> bytes:
        """The file with this number."""
        name = os.fsdecode(self.listing.files.name(number))
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            raise SkipRow("image_missing", name) from None


def link_targets(raw: Path) -> list[Path]:
    """The folders that links in a raw directory may lead into: the directory itself, and the caches of the Hub.

    A snapshot in such a cache (.../snapshots/COMMIT) is made of links into the folder blobs beside it.
    """
    here = raw.resolve()
    own = [here.parent.parent] if here.parent.name == "snapshots" else []
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return [here, *own, cache.expanduser().resolve()]


def _is_inside(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _walk(top: Path, allowed: Sequence[Path]) -> Iterator[bytes]:
    """Files under `top`, relative to it. Links into `allowed` are followed, but none to what is walked anyway."""
    waiting, linked = [str(top)], set[Path]()
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for item in sorted(found, key=lambda item: item.name):
                if item.name.startswith("."):
                    continue
                if item.is_symlink():
                    target = Path(item.path).resolve()
                    if not _is_inside(target, allowed) or (item.is_dir() and _walked(target, top, linked)):
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
        found = {pattern: matching(raw, pattern) for pattern in patterns}
        self._unmatched = [pattern for pattern, paths in found.items() if not paths]
        self._declared = bool(patterns)
        for path in sorted({path for paths in found.values() for path in paths}):
            if path.is_dir():
                folders.append(path)
            else:
                parts = split_parts(path)
                archives[parts[0]] = parts
        outer = [path for path in folders if not any(other in path.parents for other in folders)]
        self._containers: list[_Container] = [_Folder(path, link_targets(raw)) for path in outer]
        self._containers += [_Archive(parts, cache) for parts in archives.values()]

    def find(self, path: str) -> bytes:
        """The bytes of the one file that the path means.

        Skips: image_missing, image_ambiguous (several files fit), image_damaged, unsafe_path (absolute, or `..`).
        """
        container, number = self._only("files", path)
        return container.read(number)

    def frames(self, path: str) -> list[bytes]:
        """The files directly in the one directory that the path means, frame_2 before frame_10.

        Skips as `find`.
        """
        container, folder = self._only("folders", path)
        listing = container.listing
        numbers = range(int(listing.starts[folder]), int(listing.starts[folder + 1]))
        return [container.read(n) for n in sorted(numbers, key=lambda n: natural(listing.files.name(n)))]

    def _only(self, kind: Literal["files", "folders"], path: str) -> tuple[_Container, int]:
        found = self._agreeing(path, kind)
        if not found:
            raise SkipRow("image_missing", path[:200] + self._why())
        if len(found) > 1:
            raise SkipRow("image_ambiguous", path[:200])
        return found[0]

    def _why(self) -> str:
        """Why nothing can be found, where that is so whatever the path."""
        if not self._declared:
            return ": the source declares no media, which are the archives and directories to look in"
        return f": nothing matches media {', '.join(self._unmatched)}" if self._unmatched else ""

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
            way = "; media_match: name looks for its file name" if absolute and b".." not in parts else ""
            raise SkipRow("unsafe_path", path[:200] + way)
        if not parts:
            raise SkipRow("image_missing", "empty path")
        whole = [] if absolute else [parts]
        return [*whole, parts[-1:]] if self._match == "name" else whole
