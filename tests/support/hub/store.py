"""Repos on disk: immutable commits named by their content, branches, tags, objects, settings.

One directory per repo: `objects/<oid>` (git blobs by sha1, large files by sha256), `commits/<id>.json`,
`refs.json`, `settings.json`. Every file is written under a temporary name and renamed, so a killed server leaves a
whole store.
"""

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import yaml

TYPES = ("model", "dataset", "space")
FIRST_DAY = datetime(
    2026, 1, 1, tzinfo=UTC
)  # commits carry a date by their place in history: same content, same id
COMMIT_ID = re.compile(r"[0-9a-f]{40}")
LARGE = 10 * 1024 * 1024
_SUFFIXES = """
7z arrow avi bin bz2 ckpt gz h5 jpeg jpg mp3 mp4 npy npz onnx parquet pkl png pt pth safetensors tar tgz tiff
wav webm webp xz zip zst
"""
LARGE_SUFFIXES = tuple(_SUFFIXES.split())
GITATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES)


class Refusal(Exception):  # noqa: N818 - it is an answer of the Hub, and only sometimes an error of ours
    """The Hub says no: HTTP status, the code that the client knows it by, a message, more headers."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree. `oid` is what git calls it; `sha256` is set when it is a large file."""

    size: int
    oid: str
    sha256: str | None = None

    @property
    def object(self) -> str:
        """The name of the object that holds the bytes."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """Bytes of the LFS pointer that git holds in the file's place."""
        return len(pointer(self.sha256 or "", self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One revision, whole: `tree` names every file."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: Mapping[str, Entry] = field(repr=False)


def blob_oid(data: bytes) -> str:
    """What git calls these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The LFS pointer file of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def large_entry(sha256: str, size: int) -> Entry:
    """The tree entry of a large file."""
    return Entry(size=size, oid=blob_oid(pointer(sha256, size)), sha256=sha256)


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub keeps this file in LFS: by suffix, by size, or because it is no text. Empty files never."""
    return size > 0 and (path.rsplit(".", 1)[-1].lower() in LARGE_SUFFIXES or size > LARGE or b"\0" in sample)


def folder_oid(tree: Mapping[str, Entry], folder: str) -> str:
    """One id for what a folder holds."""
    inside = [f"{path}\0{entry.oid}" for path, entry in sorted(tree.items()) if path.startswith(folder)]
    return hashlib.sha1("\n".join(inside).encode()).hexdigest()


def front_matter(text: str) -> dict[str, Any]:
    """The YAML block that opens a README; {} if there is none. Raises yaml.YAMLError."""
    match = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", text, flags=re.DOTALL)
    found = yaml.safe_load(match[1]) if match else None
    return found if isinstance(found, dict) else {}


class Repo:
    """One repo. Its methods are atomic among the threads of one server."""

    def __init__(self, directory: Path, kind: str, repo_id: str, lock: threading.RLock):
        self.directory, self.type, self.id, self._lock = directory, kind, repo_id, lock

    # settings

    @property
    def settings(self) -> dict[str, Any]:
        """`private`, `gated` (False, "auto" or "manual"), `granted` (users let in)."""
        return dict(json.loads((self.directory / "settings.json").read_text()))

    def set(self, **changes: Any) -> None:
        """Change settings."""
        with self._lock:
            _write(self.directory / "settings.json", json.dumps({**self.settings, **changes}).encode())

    # objects

    def object(self, oid: str) -> Path:
        """Where an object is, or would be."""
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", oid):
            raise Refusal(400, f"Invalid oid: {oid!r}")
        return self.directory / "objects" / oid

    def add(self, path: str, data: bytes) -> Entry:
        """Store the bytes the way the Hub would, and return the tree entry that names them."""
        if is_large(path, len(data), data[:512]):
            entry = large_entry(hashlib.sha256(data).hexdigest(), len(data))
        else:
            entry = Entry(size=len(data), oid=blob_oid(data))
        if not self.object(entry.object).exists():
            _write(self.object(entry.object), data)
        return entry

    def receive(self, oid: str, data: IO[bytes]) -> None:
        """Store an object from a stream."""
        _write(self.object(oid), data)

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file."""
        return self.object(entry.object).read_bytes()

    # refs and commits

    @property
    def refs(self) -> dict[str, dict[str, str]]:
        """`branches` and `tags`: name -> commit id."""
        return dict(json.loads((self.directory / "refs.json").read_text()))

    def point(self, kind: str, name: str, commit_id: str | None) -> None:
        """Let a branch or tag name a commit; None removes it."""
        with self._lock:
            refs = self.refs
            refs[kind].pop(name, None)
            if commit_id is not None:
                refs[kind][name] = commit_id
            _write(self.directory / "refs.json", json.dumps(refs).encode())

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, tag, `refs/heads/x` or commit id names; else Refusal 404 RevisionNotFound."""
        refs = self.refs
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        found = refs["branches"].get(name) or refs["tags"].get(name)
        if found is None and COMMIT_ID.fullmatch(revision):
            found = revision
        if found is None or not self._commit_file(found).exists():
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self._load(found)

    def history(self, revision: str) -> Iterator[Commit]:
        """Newest first, down to the first commit."""
        commit: Commit | None = self.resolve(revision)
        while commit is not None:
            yield commit
            commit = self._load(commit.parent) if commit.parent else None

    def commit(
        self,
        branch: str,
        changes: Mapping[str, Entry | None],
        *,
        title: str,
        message: str = "",
        author: str = "owner",
        parent: str | None = None,
    ) -> Commit:
        """Put one commit on a branch; None deletes a file. `parent`, if given, must be the head (else 412)."""
        with self._lock:
            head = self.refs["branches"].get(branch)
            if parent is not None and (head is None or not head.startswith(parent)):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            before = self._load(head) if head else None
            tree = {**(before.tree if before else {}), **{p: e for p, e in changes.items() if e is not None}}
            kept = {path: tree[path] for path in sorted(tree) if changes.get(path, ...) is not None}
            facts = {"parent": head, "title": title, "message": message, "author": author, "date": _after(before)}
            body = json.dumps({**facts, "tree": {p: asdict(e) for p, e in kept.items()}}, sort_keys=True).encode()
            commit_id = hashlib.sha1(b"commit %d\0" % len(body) + body).hexdigest()
            _write(self._commit_file(commit_id), body)
            self.point("branches", branch, commit_id)
            return self._load(commit_id)

    def _commit_file(self, commit_id: str) -> Path:
        return self.directory / "commits" / f"{commit_id}.json"

    def _load(self, commit_id: str) -> Commit:
        facts = json.loads(self._commit_file(commit_id).read_text())
        tree = {path: Entry(**entry) for path, entry in facts.pop("tree").items()}
        return Commit(id=commit_id, tree=tree, **facts)


class Store:
    """All repos under one root."""

    def __init__(self, root: Path):
        self.root, self._lock = root, threading.RLock()

    def create(self, kind: str, repo_id: str, *, private: bool = False, gated: bool | str = False) -> Repo:
        """A new repo without commits; Refusal 409 if the name is taken."""
        with self._lock:
            directory = self._directory(kind, repo_id)
            if (directory / "settings.json").exists():
                raise Refusal(409, "You already created this repo")
            _write(directory / "refs.json", b'{"branches": {}, "tags": {}}')
            gate = "auto" if gated is True else gated
            _write(
                directory / "settings.json",
                json.dumps({"private": private, "gated": gate, "granted": []}).encode(),
            )
            return self.repo(kind, repo_id)

    def repo(self, kind: str, repo_id: str) -> Repo:
        """The repo, or Refusal 404 RepoNotFound."""
        directory = self._directory(kind, repo_id)
        if not (directory / "settings.json").exists():
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return Repo(directory, kind, repo_id, self._lock)

    def delete(self, kind: str, repo_id: str) -> None:
        """Remove a repo and all it holds."""
        with self._lock:
            shutil.rmtree(self.repo(kind, repo_id).directory)

    def _directory(self, kind: str, repo_id: str) -> Path:
        if kind not in TYPES or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id) or ".." in repo_id:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.root / f"{kind}s" / repo_id


def safe_path(path: str) -> str:
    """The path if a repo may hold it; else Refusal 400."""
    parts = path.split("/")
    if not path or "" in parts or "." in parts or ".." in parts or ".git" in parts or "\\" in path:
        raise Refusal(400, f"Invalid path in repo: {path!r}")
    return path


def _after(commit: Commit | None) -> str:
    moment = FIRST_DAY if commit is None else datetime.fromisoformat(commit.date) + timedelta(minutes=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _write(path: Path, data: bytes | IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with open(temporary, "wb") as file:
        if isinstance(data, bytes):
            file.write(data)
        else:
            shutil.copyfileobj(data, file)
    temporary.replace(path)
