"""Download files from the Hub in parallel: into a hidden part file, verified by hash, then renamed.

A part file outlives its process: the next one hashes what it holds and requests the rest.
"""

import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from curate.checksums import upstream_hasher
from curate.errors import HubError
from curate.hub import client
from curate.hub.manifests import NAME_BYTES, File
from curate.hub.retry import Attempts, RetryPolicy, TransientError
from curate.workspace import sync

CHUNK = 1 << 20
WRONG = 3  # downloads of one file with the wrong hash before it is an error
POLL = 0.1  # seconds between looks at the workers


class ProgressListener(Protocol):
    """Receives the progress of a transfer, always in the thread that called `transfer`."""

    def say(self, text: str) -> None:
        """Print one line."""
        ...

    def moved(self, path: str, done: int) -> None:
        """The first `done` bytes of a file have arrived."""
        ...

    def finished(self, path: str) -> None:
        """A file is complete and verified."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to download to `target`; `copies` are local files that may have the same bytes."""

    repo: str
    commit: str
    file: File
    target: Path
    copies: tuple[Path, ...] = ()

    @property
    def part(self) -> Path:
        """The hidden file that receives the bytes; a name that is too long for the addition is hashed."""
        name = self.target.name
        if len(name.encode()) > NAME_BYTES - len("..part"):
            name = xxhash.xxh3_128_hexdigest(name.encode())
        return self.target.with_name(f".{name}.part")

    @property
    def missing(self) -> int:
        """Bytes that will still be written to the disk."""
        if any(_same_disk(copy, self.target) for copy in self.copies):
            return 0
        return max(self.file.bytes - (self.part.stat().st_size if self.part.exists() else 0), 0)


def _same_disk(copy: Path, target: Path) -> bool:
    folder = next(parent for parent in target.parents if parent.exists())
    return copy.stat().st_dev == folder.stat().st_dev


class _Stopped(Exception):  # noqa: N818 - not an error: another file failed, or Ctrl-C
    """The transfer ends; part files are kept."""


Event = tuple[str, str, int]


def transfer(downloads: Sequence[Download], workers: int, policy: RetryPolicy, listener: ProgressListener) -> None:
    """Carry out all downloads. The first failure, or Ctrl-C, stops the rest; part files are kept.

    Raises HubError, OSError (a full disk).
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_Downloader(download, policy, stop, events).run) for download in downloads]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, POLL, FIRST_EXCEPTION)
                _forward(events, listener)
                for future in done:
                    future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()


def _forward(events: queue.SimpleQueue[Event], listener: ProgressListener) -> None:
    while not events.empty():
        kind, text, done = events.get()
        if kind == "say":
            listener.say(text)
        elif kind == "moved":
            listener.moved(text, done)
        else:
            listener.finished(text)


class _Downloader:
    """Carries out one download, in a thread of its own."""

    def __init__(
        self, download: Download, policy: RetryPolicy, stop: threading.Event, events: queue.SimpleQueue[Event]
    ) -> None:
        self._download, self._policy, self._stop, self._events = download, policy, stop, events
        self._file, self._part = download.file, download.part
        self._where = f"{download.repo}/{download.file.path}"

    def run(self) -> None:
        """Link a local copy, or download and verify. Raises HubError if the hash is wrong WRONG times."""
        target = self._download.target
        target.parent.mkdir(parents=True, exist_ok=True)
        present = (
            target.is_file() and target.stat().st_size == self._file.bytes
        )  # made by a fetch that we waited for
        if not present and not self._linked():
            self._fetch()
        self._events.put(("finished", self._file.path, 0))

    def _linked(self) -> bool:
        for copy in self._download.copies:
            if hash_of(copy, self._file, self._check_stop) != self._file.hash:
                self._events.put(("say", f"{copy}: not the bytes of {self._where}; not used", 0))
                continue
            self._part.unlink(missing_ok=True)
            try:
                os.link(copy, self._part)
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(copy, self._part)
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
            "something between this machine and the Hub alters files; try another network or HF_ENDPOINT",
        )

    def _publish(self) -> None:
        sync(self._part)
        self._part.replace(self._download.target)
        sync(self._download.target.parent)

    def _receive(self) -> str:
        """Fill the part file up to its size, continuing what is there; the hash of all of it."""
        if self._part.exists() and self._part.stat().st_size > self._file.bytes:
            self._part.unlink()
        attempts = Attempts(self._policy, self._where, self._sleep)
        try:
            with open(self._part, "a+b") as out:
                out.seek(0)
                digest = Digest(self._file)
                while chunk := out.read(CHUNK):
                    self._check_stop()
                    digest.update(chunk)
                while digest.bytes < self._file.bytes:
                    try:
                        self._continue(out, digest, attempts)
                    except TransientError as error:
                        attempts.sleep_after(error, self._where)
                return digest.value
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._part)) from None

    def _continue(self, out: BinaryIO, digest: "Digest", attempts: Attempts) -> None:
        """One request for the bytes that are missing; `digest` is of what the part file has, also if it fails."""
        download = self._download
        with client.reading(download.repo, download.commit, self._file.path, digest.bytes) as body:
            if body.start not in (0, digest.bytes):
                raise TransientError(f"the answer begins at byte {body.start:,}, not {digest.bytes:,}")
            if body.start != digest.bytes:  # the Hub does not know ranges, and begins anew
                out.truncate(0)
                digest.restart()
            for chunk in body.chunks:
                self._check_stop()
                room = self._file.bytes - digest.bytes
                out.write(chunk[:room])
                out.flush()  # what came in must outlive a kill
                digest.update(chunk[:room])
                attempts.progress(digest.bytes)
                self._events.put(("moved", self._file.path, digest.bytes))
                if len(chunk) > room:
                    raise HubError(self._where, "longer than listed", f"{self._file.bytes:,} bytes")
        if digest.bytes < self._file.bytes:
            raise TransientError(f"the answer ended at byte {digest.bytes:,} of {self._file.bytes:,}")

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped


class Digest:
    """The hash that a file is known by upstream, of the bytes so far."""

    def __init__(self, file: File) -> None:
        self._file, self._kind = file, file.hash.split()[0]
        self.restart()

    def restart(self) -> None:
        """Forget all bytes."""
        self._digest = upstream_hasher(self._kind, self._file.bytes)
        self.bytes = 0

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        self._digest.update(data)
        self.bytes += len(data)

    @property
    def value(self) -> str:
        """The hash as `File.hash` writes it."""
        return f"{self._kind} {self._digest.hexdigest()}"


def hash_of(path: Path, file: File, check: Callable[[], None] = lambda: None) -> str:
    """The hash of the bytes at `path`, of the kind that `file` has."""
    digest = Digest(file)
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            check()
            digest.update(chunk)
    return digest.value
