"""Fetch pinned files into the workspace: choose them, skip those present, check the disk space, then transfer.

Files are stored as published under `<workspace>/raw/<source>/<commit>/`; the receipt (`curate.hub.receipts`) is
written last.
"""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from curate.checksums import write_record
from curate.errors import HubError, WorkspaceError
from curate.hub import client, manifests
from curate.hub.manifests import File, Manifest
from curate.hub.pinning import blank, observe, with_rows
from curate.hub.receipts import Receipt, receipt, there
from curate.hub.retry import RetryPolicy, Unreachable
from curate.hub.transfer import Download, ProgressListener, transfer
from curate.tables import count
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to fetch, and how."""

    names: tuple[str, ...]
    manifests: Path
    max_rows: int | None = None
    unpinned: bool = False
    workers: int = 4
    wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDownloads:
    """The files of one source that are needed, and the downloads of those that are missing."""

    manifest: Manifest
    pinned: bool
    files: tuple[File, ...]
    downloads: tuple[Download, ...]


class Display(ProgressListener, Protocol):
    """Shows the progress of a fetch."""

    @contextmanager
    def files(self, name: str, sizes: Mapping[str, int]) -> Iterator[None]:
        """Show files, path -> bytes, while they are transferred."""
        ...


def fetch_all(
    request: FetchRequest, workspace: Workspace, policy: RetryPolicy, show: Display
) -> dict[str, Receipt]:
    """Fetch the files of all sources; if one source fails, the others are still fetched.

    Raises HubError, ConfigError, and before any transfer WorkspaceError if the disk is too small.
    """
    done: dict[str, Receipt] = {}
    failures: list[HubError] = []
    attempted = (_order_or_failure(request, workspace, policy, name, failures) for name in request.names)
    orders = [order for order in attempted if order is not None]
    _check_space(orders, workspace)
    for order in orders:
        if request.max_rows is not None:
            show.say(_limited(order, request.max_rows))
        try:
            done[order.manifest.source] = _fetch_source(order, request, workspace, policy, show)
        except Unreachable:
            raise
        except HubError as error:
            failures.append(error)
    for failure in failures[:-1]:
        show.say(f"error: {failure}; hint: {failure.hint}" if failure.hint else f"error: {failure}")
    if failures:
        raise failures[-1]
    return done


def _order_or_failure(
    request: FetchRequest, workspace: Workspace, policy: RetryPolicy, name: str, failures: list[HubError]
) -> SourceDownloads | None:
    try:
        return _order(request, workspace, policy, name)
    except Unreachable:
        raise
    except HubError as error:
        failures.append(error)
        return None


def _order(request: FetchRequest, workspace: Workspace, policy: RetryPolicy, name: str) -> SourceDownloads:
    manifest = manifests.read(name, request.manifests)
    if "/" not in manifest.repo:
        raise HubError(name, "its manifest names no repo", "", manifests.own_files(name))
    pinned = manifest.commit is not None
    if not pinned:
        if not request.unpinned:
            raise HubError(name, "not pinned", "a commit in its manifest", f"curate pin {name}, or add --unpinned")
        client.reachable(policy)
        manifest = observe(blank(name, request.manifests), manifest.revision, request.workers, policy)
    files, commit = manifest.files, str(manifest.commit)
    if request.max_rows is not None:
        files = with_rows(manifest, commit, files, request.workers, policy, {})
        files = manifests.enough(files, manifest.patterns, request.max_rows)
    before = receipt(workspace, name)
    folder = workspace.raw(name) / commit
    missing = [file for file in files if not there(folder / file.path, file)]
    downloads = tuple(_download(manifest, file, workspace, before) for file in missing)
    return SourceDownloads(manifest=manifest, pinned=pinned, files=files, downloads=downloads)


def _limited(order: SourceDownloads, rows: int) -> str:
    """What --max-rows leaves of a source, and the files that it cannot choose among."""
    whole, left = (sum(file.bytes for file in files) for files in (order.manifest.files, order.files))
    media, unknown = [], []
    for file in order.files:
        if not manifests.is_row_file(file.path, order.manifest.patterns):
            media.append(file)
        elif file.rows is None:
            unknown.append(file)
    because = [
        f"{count(len(some), what)} ({sum(file.bytes for file in some):,} bytes), {why}"
        for some, what, why in (
            (unknown, "row file", "whose number of rows is not known"),
            (media, "media file", "since which of them rows name is not known before"),
        )
        if some
    ]
    all_of = f"; all of {' and '.join(because)}" if because else ""
    return f"{order.manifest.source}: --max-rows {rows} needs {left:,} of {whole:,} bytes{all_of}"


def _download(manifest: Manifest, file: File, workspace: Workspace, before: Receipt | None) -> Download:
    """The download of a file, with the local copies of an older commit or of the Hub cache that may replace it."""
    folder, commit = workspace.raw(manifest.source), str(manifest.commit)
    copies = [folder / before.commit / old.path for old in before.files if old.hash == file.hash] if before else []
    in_cache = client.cached(manifest.repo, commit, file.path)
    candidates = [*copies, in_cache] if in_cache is not None else copies
    return Download(
        repo=manifest.repo,
        commit=commit,
        file=file,
        target=folder / commit / file.path,
        copies=tuple(path for path in candidates if there(path, file)),
    )


def _check_space(orders: Sequence[SourceDownloads], workspace: Workspace) -> None:
    need = sum(download.missing for order in orders for download in order.downloads)
    folder = workspace.root.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if need > free:
        hint = "free some space, choose another --workspace, or fetch less with --max-rows"
        raise WorkspaceError(str(workspace.root), f"{free:,} bytes free", f"{need:,} bytes for the fetch", hint)


def _fetch_source(
    order: SourceDownloads, request: FetchRequest, workspace: Workspace, policy: RetryPolicy, show: Display
) -> Receipt:
    """Transfer one source and write its receipt."""
    manifest = order.manifest
    folder = workspace.raw(manifest.source)
    with Workspace(folder).hold(wait=request.wait):  # one fetch of a source at a time; a build may go on beside it
        if order.downloads:
            if any(not download.copies for download in order.downloads):
                client.reachable(policy)
            sizes = {download.file.path: download.file.bytes for download in order.downloads}
            with show.files(manifest.source, sizes):
                transfer(order.downloads, request.workers, policy, show)
        have = _present(order, receipt(workspace, manifest.source), folder)
        done = Receipt(
            source=manifest.source,
            repo=manifest.repo,
            commit=str(manifest.commit),
            revision=manifest.revision,
            pinned=order.pinned,
            license=manifest.license,
            complete={file.path for file in manifest.files} <= {file.path for file in have},
            files=have,
        )
        if receipt(workspace, manifest.source) != done:
            write_record(folder / "fetched.json", _plain(done))
    return done


def _present(order: SourceDownloads, before: Receipt | None, folder: Path) -> tuple[File, ...]:
    """The files of this fetch and those of an earlier one of the same commit, sorted by path."""
    files = {file.path: dataclasses.replace(file, rows=None) for file in order.files}
    if before is not None and before.commit == order.manifest.commit:
        for file in before.files:
            if there(folder / before.commit / file.path, file):
                files.setdefault(file.path, file)
    return tuple(files[path] for path in sorted(files))


def _plain(done: Receipt) -> dict[str, object]:
    files = [{key: value for key, value in asdict(file).items() if value is not None} for file in done.files]
    return {**asdict(done), "files": files}
