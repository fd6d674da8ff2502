"""Pinned files into the workspace: what is needed, what is there, what the disk takes; then the transfer.

Files lie under `<workspace>/raw/<source>/<commit>/` as published; the receipt (`curate.hub.receipts`) is written
last.
"""

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from curate.errors import HubError, WorkspaceError
from curate.hub import client as hub
from curate.hub import manifests as pins
from curate.hub.manifests import File, Manifest
from curate.hub.pinning import blank, observe, with_rows
from curate.hub.receipts import Receipt, receipt, there
from curate.hub.retry import Patience, Unreachable
from curate.hub.transfer import Parcel, Watch, transfer
from curate.workspace import Workspace, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to fetch, and how."""

    names: tuple[str, ...]
    manifests: Path
    max_rows: int | None = None
    unpinned: bool = False
    workers: int = 4
    wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The files of one source to have, and those of them to bring."""

    manifest: Manifest
    pinned: bool
    files: tuple[File, ...]
    parcels: tuple[Parcel, ...]

    @property
    def bytes(self) -> int:
        """Size of all files to bring."""
        return sum(parcel.file.bytes for parcel in self.parcels)


class Display(Watch, Protocol):
    """Who is told how a fetch goes."""

    @contextmanager
    def source(self, order: Order) -> Iterator[None]:
        """The files of one source, while they come in."""
        ...


def fetch(wish: Wish, workspace: Workspace, patience: Patience, show: Display) -> dict[str, Receipt]:
    """Bring the files of all sources; one that fails does not keep the others from coming.

    Raises HubError, WorkspaceError (disk too small, before anything is brought), ConfigError.
    """
    done: dict[str, Receipt] = {}
    failures: list[HubError] = []
    orders = [order for name in wish.names if (order := _tried(wish, workspace, patience, name, failures))]
    _check_space(orders, workspace)
    for order in orders:
        try:
            done[order.manifest.source] = _bring(order, wish, workspace, patience, show)
        except Unreachable:
            raise
        except HubError as error:
            failures.append(error)
    for failure in failures[:-1]:
        show.say(f"error: {failure}; hint: {failure.hint}" if failure.hint else f"error: {failure}")
    if failures:
        raise failures[-1]
    return done


def _tried(
    wish: Wish, workspace: Workspace, patience: Patience, name: str, failures: list[HubError]
) -> Order | None:
    try:
        return _order(wish, workspace, patience, name)
    except Unreachable:
        raise
    except HubError as error:
        failures.append(error)
        return None


def _order(wish: Wish, workspace: Workspace, patience: Patience, name: str) -> Order:
    manifest = pins.read(name, wish.manifests)
    pinned = manifest.commit is not None
    if not pinned:
        if not wish.unpinned:
            raise HubError(name, "not pinned", "a commit in its manifest", f"curate pin {name}, or add --unpinned")
        hub.reachable(patience)
        manifest = observe(blank(name, wish.manifests), manifest.revision, wish.workers, patience)
    files, commit = manifest.files, str(manifest.commit)
    if wish.max_rows is not None:
        files = with_rows(manifest, commit, files, wish.workers, patience, {})
        files = pins.enough(files, manifest.patterns, wish.max_rows)
    before = receipt(workspace, name)
    folder = workspace.raw(name) / commit
    missing = [file for file in files if not there(folder / file.path, file)]
    parcels = tuple(_parcel(manifest, file, workspace, before) for file in missing)
    return Order(manifest=manifest, pinned=pinned, files=files, parcels=parcels)


def _parcel(manifest: Manifest, file: File, workspace: Workspace, before: Receipt | None) -> Parcel:
    """A file that an older commit or the Hub cache has need not travel."""
    folder, commit = workspace.raw(manifest.source), str(manifest.commit)
    near = [folder / before.commit / old.path for old in before.files if old.hash == file.hash] if before else []
    in_cache = hub.cached(manifest.repo, commit, file.path)
    candidates = [*near, in_cache] if in_cache is not None else near
    return Parcel(
        repo=manifest.repo,
        commit=commit,
        file=file,
        target=folder / commit / file.path,
        near=tuple(path for path in candidates if there(path, file)),
    )


def _check_space(orders: Sequence[Order], workspace: Workspace) -> None:
    need = sum(parcel.missing for order in orders for parcel in order.parcels)
    folder = workspace.root.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if need > free:
        hint = "free some space, choose another --workspace, or fetch less with --max-rows"
        raise WorkspaceError(str(workspace.root), f"{free:,} bytes free", f"{need:,} bytes for the fetch", hint)


def _bring(order: Order, wish: Wish, workspace: Workspace, patience: Patience, show: Display) -> Receipt:
    """Transfer one source and write its receipt."""
    manifest = order.manifest
    folder = workspace.raw(manifest.source)
    with Workspace(folder).hold(wait=wish.wait):  # one fetch of a source at a time; a build may go on beside it
        if order.parcels:
            if any(not parcel.near for parcel in order.parcels):
                hub.reachable(patience)
            with show.source(order):
                transfer(order.parcels, wish.workers, patience, show)
        have = _have(order, receipt(workspace, manifest.source), folder)
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
            write_json(folder / "fetched.json", _plain(done))
    return done


def _have(order: Order, before: Receipt | None, folder: Path) -> tuple[File, ...]:
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
