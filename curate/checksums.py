"""Checksums beside files: a file is hashed before it is trusted, once in each process.

    part-00000.parquet         the file
    part-00000.parquet.xxh3    xxh3-128 of its bytes, 32 hex digits, written after it

A file that lacks its checksum was not finished, or is of an earlier version. What can be made again counts as
missing then (`usable`); what cannot is read as it is, and `curate verify` says that it was not checked.
"""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import xxhash

from curate.errors import WorkspaceError
from curate.text.inert import json_text
from curate.workspace import atomic, read_json

SUFFIX = ".xxh3"
CHUNK = 4 << 20
STEP = 16 << 20
"""So many bytes at least are brought to the disk at a time, but for the last."""
LOG = logging.getLogger("curate")
"""Lines about files that are made again; the command line prints them, workers write them to stderr."""

State = Literal["whole", "damaged", "unknown", "missing"]
"""`unknown`: there is no checksum to compare with."""

Stamp = tuple[int, int, int, int]
_hashed: dict[str, tuple[Stamp, str]] = {}


class Hasher(Protocol):
    """What hashlib and xxhash have in common."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        ...

    def hexdigest(self) -> str:
        """The digest of all that was taken."""
        ...


def digests(path: Path, *hashers: Hasher, stopped: Callable[[], bool] = lambda: False) -> list[str]:
    """The file's digests by each hasher, in one reading. Raises InterruptedError once `stopped` says so."""
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            if stopped():
                raise InterruptedError(str(path))
            for hasher in hashers:
                hasher.update(chunk)
    return [hasher.hexdigest() for hasher in hashers]


def upstream_hasher(kind: str, size: int) -> Hasher:
    """A hasher of the kind that upstream knows a file of `size` bytes by: `sha256`, or `git` for a blob's id."""
    if kind == "sha256":
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class Following:
    """Hashes a file while it is being written and brings it to the disk, in a thread, beside what is written next.

    Use as a context manager around the writing. `digests` gives the digests by each hasher when all is written;
    little is then left to sync.
    """

    def __init__(self, path: Path, *hashers: Hasher) -> None:
        self._path, self._hashers, self._hashed = path, hashers, 0
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] = self._pool.submit(lambda: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def go_on(self) -> None:
        """Begin with what was written since; a later call does where that is little, or the thread still busy."""
        if self._last.done() and self._path.stat().st_size - self._hashed >= STEP:
            self._begin()

    def _begin(self) -> None:
        self._last.result()
        self._last = self._pool.submit(self._catch_up)

    def _catch_up(self) -> None:
        with open(self._path, "rb") as stream:
            stream.seek(self._hashed)
            while chunk := stream.read(CHUNK):
                for hasher in self._hashers:
                    hasher.update(chunk)
            self._hashed = stream.tell()
            os.fsync(stream.fileno())

    def digests(self) -> list[str]:
        """The digests of the whole file, which is closed."""
        self._begin()
        self._last.result()
        return [hasher.hexdigest() for hasher in self._hashers]


def hash_file(path: Path) -> str:
    """xxh3-128 of the file's bytes, 32 hex digits."""
    return digests(path, xxhash.xxh3_128())[0]


def checksum_of(path: Path) -> Path:
    """The path of the file's checksum."""
    return path.with_name(path.name + SUFFIX)


def stamp(path: Path) -> Stamp:
    """What tells that a file was written since: its size, its two times of change, and its inode."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


def hash_once(path: Path) -> str:
    """The file's xxh3-128; read only once in a process, unless the file is written to."""
    key, now = str(path.absolute()), stamp(path)
    if key not in _hashed or _hashed[key][0] != now:
        _hashed[key] = now, hash_file(path)
    return _hashed[key][1]


@contextmanager
def published(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """As `workspace.atomic`, and with a checksum beside the file."""
    with atomic(path, synced=synced) as temporary:
        yield temporary
        found = hash_file(temporary)
    target = checksum_of(path)
    # not synced: without it, or with half of it, the file is made again
    half = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")
    half.write_text(f"{found}\n", encoding="ascii")
    half.replace(target)


def state(path: Path) -> State:
    """Whether a file has the bytes that were published."""
    if not path.is_file():
        return "missing"
    try:
        recorded = checksum_of(path).read_bytes()
    except FileNotFoundError:
        return "unknown"
    return "whole" if recorded == f"{hash_once(path)}\n".encode() else "damaged"


def usable(path: Path, *, unknown: bool = False) -> bool:
    """Whether a file that can be made again is there as it was published; a line says so where it is damaged.

    `unknown` is what to say of one without a checksum.
    """
    found = state(path)
    if found == "damaged":
        made_again(path)
    return found == "whole" or (unknown and found == "unknown")


def made_again(path: Path, found: str = "damaged") -> None:
    """Say that a file is not used as it is."""
    LOG.warning("%s: %s, so it is made again", path, found)


def check(path: Path, expected: str, hint: str) -> None:
    """Raise WorkspaceError where a file differs from its checksum; one without a checksum passes."""
    if state(path) == "damaged":
        raise WorkspaceError(str(path), "damaged (it differs from its checksum)", expected, hint)


def check_file(path: Path, xxh3: str, expected: str, hint: str) -> None:
    """Raise WorkspaceError where a file is missing, or is not what was recorded of it."""
    if not path.is_file():
        raise WorkspaceError(str(path), "no such file", expected, hint)
    if hash_once(path) != xxh3:
        raise WorkspaceError(str(path), "damaged (it differs from its record)", expected, hint)


# ------------------------------------------------------------------------------------------------ facts in JSON


def write_record(path: Path, value: Any) -> None:
    """Publish facts as JSON, with their checksum."""
    with published(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")


def read_record(path: Path, expected: str, hint: str) -> dict[str, Any]:
    """The facts. Raises WorkspaceError where they are damaged, or are not an object."""
    check(path, expected, hint)
    try:
        value = read_json(path)
    except WorkspaceError as error:
        raise WorkspaceError(error.where, error.found, expected, hint) from None
    if not isinstance(value, dict):
        raise WorkspaceError(str(path), f"found {json.dumps(value)[:40]}", expected, hint)
    return value


def record(path: Path) -> dict[str, Any] | None:
    """Facts that can be made again: None where they are missing or damaged, which a line says."""
    if not path.exists():
        return None
    try:
        return read_record(path, "facts", "")
    except WorkspaceError as error:
        made_again(path, error.found)
        return None
