"""Facts about artefacts: content hashes, fingerprints, what was read and what came out of it.

A fingerprint is made of literals (names, options, versions, content hashes). Paths, machines, engines and
worker counts never enter it.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from curate.checksums import digests, record, stamp, upstream_hasher, write_record
from curate.engines.base import cpus
from curate.errors import RawError

LONG_LISTING = 64  # a directory of more files is known by its listing (names and sizes), not by its bytes


def fingerprint(facts: Any) -> str:
    """16 hex digits that identify plain data (dicts, lists, text, numbers), whatever the order of its keys."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(text.encode(errors="surrogatepass"))


class Hashes:
    """Content hashes of files, cached in `hashes.json` of a folder by path, size and modification time.

    A file that is `ours` is known also by the time of change that nobody can set back.
    With `reread` none of the cached ones counts: each file is read once more, and its hash cached anew.
    """

    def __init__(self, cache: Path, *, reread: bool = False) -> None:
        self._path = cache / "hashes.json"
        self._known: dict[str, str] = record(self._path) or {}
        self._new = False
        self._trusted: set[str] | None = set() if reread else None

    def of(
        self,
        path: Path,
        *,
        ours: bool = False,
        upstream: str = "",
        hint: str = "",
        stopped: Callable[[], bool] = lambda: False,
    ) -> str:
        """The file's xxh3-128; computed only when the file is new or changed. Raises RawError while it changes.

        `upstream` is the hash that upstream has of the file (`sha256 9f86...`, `git 1a2b...`), where it is known:
        the same reading compares it. Raises RawError with the hint where it differs, and InterruptedError once
        `stopped` says so.
        """
        key = _key(path, ours)
        if key in (self._known if self._trusted is None else self._trusted):
            return self._known[key]
        kind, _, expected = upstream.partition(" ")
        also = [upstream_hasher(kind, path.stat().st_size)] if upstream else []
        found, *others = digests(path, xxhash.xxh3_128(), *also, stopped=stopped)
        if _key(path, ours) != key:
            raise RawError(str(path), "it is being written", "a file that does not change", "run it again then")
        if others not in ([], [expected]):
            raise RawError(str(path), f"{kind} {others[0]}", f"{upstream}, as the Hub has it", hint)
        self._remember(key, found)
        return found

    def remember(self, path: Path, found: str) -> None:
        """Take the hash of a file of ours that was just written."""
        self._remember(_key(path, ours=True), found)

    def _remember(self, key: str, found: str) -> None:
        self._known[key] = found
        self._new = True
        if self._trusted is not None:
            self._trusted.add(key)

    def save(self) -> None:
        """Write what was computed to the cache."""
        if self._new:
            last = {key.rsplit("|", 2)[0]: key for key in self._known}  # a file has one hash: the newest
            write_record(self._path, {key: self._known[key] for key in last.values()})


def _key(path: Path, ours: bool) -> str:
    size, *times = stamp(path)
    return f"{path.absolute()}|{size}|{'/'.join(map(str, times if ours else times[:1]))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What upstream has of raw files: each one's hash by its path (`sha256 9f86...`); the command that fetches."""

    hashes: Mapping[str, str]
    command: str


def input_facts(
    raw: Path, paths: Iterable[Path], hashes: Hashes, upstream: Upstream | None = None
) -> list[dict[str, Any]]:
    """Return an entry per input, sorted by path: {path, bytes, xxh3}.

    A directory is replaced by the files under it; a long one is known by its names and sizes alone (`listing`),
    since the images themselves are hashed when they enter the store. Raises RawError for a name that is not UTF-8,
    and for a new or changed file that is not what upstream has.
    """
    files, out = [], []
    for path in sorted(set(paths)):
        if path.is_dir():
            short, listed = _directory(raw, path)
            files += short
            out += listed
        else:
            files.append(path)
    stop = threading.Event()
    with ThreadPoolExecutor(cpus()) as pool:
        try:
            out += pool.map(lambda path: _file(raw, path, hashes, upstream, stop.is_set), files)
        finally:
            stop.set()  # after Ctrl-C, or an error, threads end in the middle of a file
    return sorted(out, key=lambda entry: str(entry["path"]))


def _file(
    raw: Path, path: Path, hashes: Hashes, upstream: Upstream | None, stopped: Callable[[], bool]
) -> dict[str, Any]:
    name = _name(raw, path)
    if upstream is None or name not in upstream.hashes:
        found = hashes.of(path, stopped=stopped)
    else:
        hint = f"delete {path}, then {upstream.command} gets it again"
        found = hashes.of(path, upstream=upstream.hashes[name], hint=hint, stopped=stopped)
    return {"path": name, "bytes": path.stat().st_size, "xxh3": found}


def _name(raw: Path, path: Path) -> str:
    """The path as facts record it. Raises RawError where it is not UTF-8, as facts are."""
    name = path.relative_to(raw).as_posix()
    if name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name):
        return name
    raise RawError(
        str(raw), f"the name of the file {os.fsencode(name)!r} is not UTF-8", "UTF-8", "rename the file"
    )


def _directory(raw: Path, path: Path) -> tuple[list[Path], list[dict[str, Any]]]:
    """(the files of a short directory, the entry of a long one)."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if len(files) <= LONG_LISTING:
        return files, []
    sizes = [(_name(raw, file), file.stat().st_size) for file in files]
    total = sum(size for _, size in sizes)
    return [], [{"path": path.relative_to(raw).as_posix() + "/", "bytes": total, "listing": fingerprint(sizes)}]


def listings(raw: Path, recorded: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Fingerprints of the names, sizes and times in directories that facts know by a listing, by their path."""
    return {entry["path"]: fingerprint(_times(raw / entry["path"])) for entry in recorded if "listing" in entry}


def _times(directory: Path) -> list[tuple[str, int, int]]:
    """(name, size, time) of every file under a directory; empty where there is none."""
    stats = ((str(path), path.stat()) for path in sorted(directory.rglob("*")) if path.is_file())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def differing(raw: Path, recorded: Sequence[dict[str, Any]], hashes: Hashes) -> list[str]:
    """Return a line for each recorded input that has changed since."""
    faults = []
    for entry in recorded:
        path = raw / entry["path"]
        if not path.exists():
            faults.append(f"{path}: missing; expected {entry['bytes']:,} bytes")
            continue
        now = next(iter(input_facts(raw, [path], hashes)), {"bytes": 0})  # a directory may be empty by now
        if now["bytes"] != entry["bytes"]:
            faults.append(f"{path}: {now['bytes']:,} bytes; expected {entry['bytes']:,}")
        elif now != entry:
            faults.append(f"{path}: same size, other content")
    return faults
