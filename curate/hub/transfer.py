"""Files from the Hub, in parallel: received into a hidden part file, verified by hash, then moved to their names.

A part file outlives its process: the next one hashes what is there and asks the Hub for the rest.
"""

import hashlib
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from curate.errors import HubError
from curate.hub import client as hub
from curate.hub.manifests import File
from curate.hub.retry import Patience, Tries, Trouble

CHUNK = 1 << 20
WRONG = 3  # so many wrong files are received before we say that the Hub has no right one
POLL = 0.1  # seconds between looks at the workers


class Watch(Protocol):
    """Who is told how files come in; always in the thread that called."""

    def say(self, text: str) -> None:
        """One line for people."""
        ...

    def moved(self, path: str, done: int) -> None:
        """So many bytes of a file are there."""
        ...

    def finished(self, path: str) -> None:
        """A file is there, verified."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One file to bring to `target`; `near` are files on this machine that may have its bytes already."""

    repo: str
    commit: str
    file: File
    target: Path
    near: tuple[Path, ...] = ()

    @property
    def part(self) -> Path:
        """Where its bytes gather."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def missing(self) -> int:
        """Bytes that the disk has yet to take."""
        if any(_same_disk(near, self.target) for near in self.near):
            return 0
        return max(self.file.bytes - (self.part.stat().st_size if self.part.exists() else 0), 0)


def _same_disk(near: Path, target: Path) -> bool:
    folder = next(parent for parent in target.parents if parent.exists())
    return near.stat().st_dev == folder.stat().st_dev


class _Stopped(Exception):  # noqa: N818 - not an error: another file failed, or Ctrl-C
    """The transfer ends; part files stay."""


Event = tuple[str, str, int]


def transfer(parcels: Sequence[Parcel], workers: int, patience: Patience, watch: Watch) -> None:
    """Bring all parcels to their targets. The first failure, or Ctrl-C, stops the rest; part files stay.

    Raises HubError, OSError (a full disk).
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_Carrier(parcel, patience, stop, events).carry) for parcel in parcels]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, POLL, FIRST_EXCEPTION)
                _tell(events, watch)
                for future in done:
                    future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()


def _tell(events: queue.SimpleQueue[Event], watch: Watch) -> None:
    while not events.empty():
        kind, text, done = events.get()
        if kind == "say":
            watch.say(text)
        elif kind == "moved":
            watch.moved(text, done)
        else:
            watch.finished(text)


class _Carrier:
    """Brings one parcel, in a thread of its own."""

    def __init__(
        self, parcel: Parcel, patience: Patience, stop: threading.Event, events: queue.SimpleQueue[Event]
    ) -> None:
        self._parcel, self._patience, self._stop, self._events = parcel, patience, stop, events
        self._file, self._part = parcel.file, parcel.part
        self._where = f"{parcel.repo}/{parcel.file.path}"

    def carry(self) -> None:
        """Link, or receive and verify. Raises HubError when the bytes are wrong time and again."""
        target = self._parcel.target
        target.parent.mkdir(parents=True, exist_ok=True)
        brought = target.is_file() and target.stat().st_size == self._file.bytes  # by a fetch that we waited for
        if not brought and not self._linked():
            self._fetch()
        self._events.put(("finished", self._file.path, 0))

    def _linked(self) -> bool:
        for near in self._parcel.near:
            if hash_of(near, self._file, self._check_stop) != self._file.hash:
                self._events.put(("say", f"{near}: not the bytes of {self._where}; left alone", 0))
                continue
            self._part.unlink(missing_ok=True)
            try:
                os.link(near, self._part)
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(near, self._part)
            self._publish()
            return True
        return False

    def _fetch(self) -> None:
        for attempt in range(1, WRONG + 1):
            found = self._receive()
            if found == self._file.hash:
                self._publish()
                return
            self._part.unlink()
            if attempt < WRONG:
                self._events.put(("say", f"{self._where}: wrong bytes ({found[:17]}...); fetching it again", 0))
        raise HubError(
            self._where,
            f"the bytes received {WRONG} times have {found}",
            self._file.hash,
            "something between here and the Hub alters or mixes up files; try another network or HF_ENDPOINT",
        )

    def _publish(self) -> None:
        _sync(self._part)
        self._part.replace(self._parcel.target)
        _sync(self._parcel.target.parent)

    def _receive(self) -> str:
        """Fill the part file up to its size, continuing what is there; the hash of all of it."""
        if self._part.exists() and self._part.stat().st_size > self._file.bytes:
            self._part.unlink()
        tries = Tries(self._patience, self._where, self._sleep)
        try:
            with open(self._part, "a+b") as out:
                out.seek(0)
                digest = Digest(self._file)
                while chunk := out.read(CHUNK):
                    self._check_stop()
                    digest.update(chunk)
                while digest.bytes < self._file.bytes:
                    try:
                        digest = self._continue(out, digest, tries)
                    except Trouble as trouble:
                        tries.after(trouble, self._where)
                return digest.value
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._part)) from None

    def _continue(self, out: BinaryIO, digest: "Digest", tries: Tries) -> "Digest":
        """One request for the bytes that are missing."""
        parcel = self._parcel
        with hub.reading(parcel.repo, parcel.commit, self._file.path, digest.bytes) as body:
            if body.start not in (0, digest.bytes):
                raise Trouble(f"the answer begins at byte {body.start:,}, not {digest.bytes:,}")
            if body.start != digest.bytes:  # the Hub does not know ranges, and begins anew
                out.truncate(0)
                digest = Digest(self._file)
            for chunk in body.chunks:
                self._check_stop()
                room = self._file.bytes - digest.bytes
                out.write(chunk[:room])
                out.flush()  # what came in must outlive a kill
                digest.update(chunk[:room])
                tries.progress(digest.bytes)
                self._events.put(("moved", self._file.path, digest.bytes))
                if len(chunk) > room:
                    raise HubError(self._where, "longer than listed", f"{self._file.bytes:,} bytes")
        if digest.bytes < self._file.bytes:
            raise Trouble(f"the answer ended at byte {digest.bytes:,} of {self._file.bytes:,}")
        return digest

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped


class Digest:
    """The hash that a file is known by upstream, of the bytes so far."""

    def __init__(self, file: File) -> None:
        self._kind = "sha256" if file.sha256 else "git"
        self._digest = hashlib.sha256() if file.sha256 else hashlib.sha1(usedforsecurity=False)
        if not file.sha256:
            self._digest.update(b"blob %d\0" % file.bytes)
        self.bytes = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(data)
        self.bytes += len(data)

    @property
    def value(self) -> str:
        """As File.hash says it."""
        return f"{self._kind} {self._digest.hexdigest()}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_of(path: Path, file: File, check: Callable[[], None] = lambda: None) -> str:
    """The hash of the bytes at `path`, of the kind that `file` has."""
    digest = Digest(file)
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            check()
            digest.update(chunk)
    return digest.value
