"""The receipt of a fetch, and the files that it lists.

The receipt, `<workspace>/raw/<source>/fetched.json`, is written last. It names the commit and the hash of each
file. Nothing here needs the Hub.
"""

from dataclasses import dataclass
from pathlib import Path

from curate import config
from curate.checksums import read_record
from curate.errors import WorkspaceError
from curate.hashing import Upstream
from curate.hub.manifests import File
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The facts of a finished fetch; `complete` is False if --max-rows left files out."""

    source: str
    repo: str
    commit: str
    revision: str
    pinned: bool
    license: str | None
    complete: bool
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The raw files of a source, as a build needs to know them."""

    directory: Path
    revision: str
    license: str | None
    pinned: bool
    complete: bool


def receipt(workspace: Workspace, source: str) -> Receipt | None:
    """The receipt of the last finished fetch of a source. Raises ConfigError, WorkspaceError."""
    path = workspace.raw(source) / "fetched.json"
    if not path.exists():
        return None
    hint = f"delete {path}, then curate fetch {source} writes it again"
    facts = read_record(path, "the receipt of a fetch", hint)
    read: Receipt = config.build(facts, Receipt, f"{path}: $")
    return read


def fetched(workspace: Workspace, source: str, commit: str | None = None) -> Fetched | None:
    """The directory, commit and licence of the fetched files of a source; None if they were not fetched.

    Raises WorkspaceError if they are not of the pinned `commit`, or if a file is missing or has another size.
    """
    found = receipt(workspace, source)
    if found is None:
        return None
    if commit is not None and found.commit != commit:
        where = f"{workspace.raw(source) / 'fetched.json'}: $.commit"
        raise WorkspaceError(
            where, f"found {found.commit[:10]}", f"the pinned {commit[:10]}", f"curate fetch {source}"
        )
    directory = workspace.raw(source) / found.commit
    for file in found.files:
        path = directory / file.path
        if not there(path, file):
            size = f"{path.stat().st_size:,} bytes" if path.is_file() else "missing"
            raise WorkspaceError(str(path), size, f"{file.bytes:,} bytes", f"curate fetch {source}")
    return Fetched(
        directory=directory,
        revision=found.commit,
        license=found.license,
        pinned=found.pinned,
        complete=found.complete,
    )


def upstream(workspace: Workspace, source: str, directory: Path) -> Upstream | None:
    """What the Hub has of the raw files in a directory; None if they were not fetched there."""
    found = receipt(workspace, source)
    if found is None or directory != workspace.raw(source) / found.commit:
        return None
    return Upstream(hashes={file.path: file.hash for file in found.files}, command=f"curate fetch {source}")


def there(path: Path, file: File) -> bool:
    """Whether the file is present with its size. Only verified files get their names, so no hash is needed."""
    return path.is_file() and path.stat().st_size == file.bytes
