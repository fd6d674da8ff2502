"""The paths of a workspace, the atomic write of a finished file, and the lock against a second run."""

import errno
import fcntl
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import WorkspaceError
from curate.text.inert import json_text


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory that holds raw files, pairs, images and mixes (design 8)."""

    root: Path

    def raw(self, source: str) -> Path:
        """Raw files of a source, as published."""
        return self.root / "raw" / source

    def pairs(self, source: str, fingerprint: str) -> Path:
        """The pairs artefact of a source; finished once its manifest.json exists."""
        return self.root / "pairs" / source / fingerprint

    @property
    def images(self) -> Path:
        """The image store, shared by all sources."""
        return self.root / "images"

    @property
    def cache(self) -> Path:
        """Files that can be deleted at any time: file hashes, archive indexes."""
        return self.root / "cache"

    @property
    def scores(self) -> Path:
        """Score files of reward models on eval sets, a folder for each model."""
        return self.root / "scores"

    @property
    def exports(self) -> Path:
        """Mixes as trainers load them, where no other directory was named."""
        return self.root / "exports"

    def mix(self, recipe: str, fingerprint: str) -> Path:
        """One build of a recipe; finished once its lock.json exists."""
        return self.root / "mixes" / recipe / fingerprint

    def arm(self, recipe: str, fingerprint: str) -> Path:
        """The mix of an arm of an ablation of a recipe; finished once its lock.json exists."""
        return self.root / "arms" / recipe / fingerprint

    @contextmanager
    def hold(self, *, wait: bool = False) -> Iterator[None]:
        """Lock the workspace against other runs until the block ends or this process is killed.

        Raises WorkspaceError if another run holds the workspace and `wait` is false.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / ".lock"
        with open(path, "a+", encoding="utf-8") as file:
            _lock(file.fileno(), path, wait=wait)
            file.truncate(0)
            file.write(f"pid {os.getpid()}, {' '.join(sys.argv[:1])}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            file.flush()
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove half-written files of a killed run; only the holder of the lock may do so."""
        for name in ("pairs", "mixes", "arms", "cache"):
            for path in (self.root / name).rglob(".*.tmp"):
                path.unlink()


def _lock(handle: int, path: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = path.read_text(encoding="utf-8") or "another run"
        raise WorkspaceError(
            str(path.parent),
            f"in use by {holder}",
            "a workspace that no other run uses",
            "add --wait, or --workspace DIR",
        ) from None


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The numbers of errors that say that the disk is full."""


@contextmanager
def atomic(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; if the block succeeds, it is synced and renamed to `path`.

    A reader sees either the whole old file or the whole new one; after an error or a kill, the old one. Not
    `synced`, the file may have lost its bytes after the machine itself went down.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # no process id: two machines that share the workspace may both have it
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        if synced:
            sync(temporary)
        temporary.replace(path)
        if synced:
            sync(path.parent)
    except BaseException as error:
        try:
            if isinstance(error, Exception) and getattr(error, "errno", None) is None:
                _check_room(temporary)
        finally:
            temporary.unlink(missing_ok=True)
        raise


def _check_room(path: Path) -> None:
    """Raise OSError where the disk is full; numpy and polars raise something else then."""
    try:
        with open(path, "ab") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in FULL:
            raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the order given."""
    with atomic(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")


def read_json(path: Path, hint: str = "delete it and run again") -> Any:
    """The value of a JSON file. Raises WorkspaceError, with the hint, if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "JSON", hint) from None
