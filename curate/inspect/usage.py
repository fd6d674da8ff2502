"""What is in a workspace, how large it is, and what refers to it; and the removal of what nothing refers to.

Mixes, runs, scores and features are kept always. They refer to arms, arms and mixes to pairs, and pairs and mixes
to images and raw files. Caches are made again when they are needed, so they are removed only on demand.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from curate import export_receipt, parquet
from curate.checksums import checksum_of
from curate.errors import WorkspaceError
from curate.images.packs import Packs
from curate.inspect.artefacts import Mix, mix_at, pairs_at
from curate.lock_file import read_lock
from curate.pairs.intact import keys_of, media_keys
from curate.pairs.scores import names
from curate.tables import Table
from curate.workspace import Workspace, read_json

State = Literal["kept", "cache", "unused"]
CACHES = ("steps", "scores", "sketches")
"""The folders of a pairs artefact that are made again."""

COMMIT_DIGITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Part of a workspace: its paths, their size, and why it is kept, or what can be said of it."""

    name: str
    paths: tuple[Path, ...]
    files: int
    bytes: int
    state: State
    why: str


def entries(workspace: Workspace) -> list[Entry]:
    """Everything in a workspace. Raises WorkspaceError where a lock or a manifest is damaged."""
    return list(_Usage(workspace).entries())


def removable(found: Iterable[Entry], *, caches: bool) -> list[Entry]:
    """What nothing refers to, and the caches if they are wanted."""
    return [entry for entry in found if entry.state == "unused" or (caches and entry.state == "cache")]


def remove(chosen: Iterable[Entry]) -> None:
    """Remove entries. The caller holds the workspace."""
    for path in (path for entry in chosen for path in entry.paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def usage_table(found: Sequence[Entry]) -> Table:
    """One line for each part."""
    rows = [(entry.name, entry.files, entry.bytes, entry.state, entry.why) for entry in found]
    total = ("all", sum(entry.files for entry in found), sum(entry.bytes for entry in found), "", "")
    return Table("workspace", ("what", "files", "bytes", "state", "why"), rows, total)


class _Usage:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.root = workspace, workspace.root
        self.mixes = [mix_at(path.parent) for path in sorted(self.root.glob("mixes/*/*/lock.json"))]
        named = self._named_by_runs()
        self.arms = {path.parent: read_lock(path) for path in sorted(self.root.glob("arms/*/*/lock.json"))}
        self.used_arms = {path: runs for path in self.arms if (runs := named.get(path.name))}
        locks = [(mix.title, mix.lock) for mix in self.mixes]
        locks += [(f"an arm of {runs[0]}", self.arms[path]) for path, runs in self.used_arms.items()]
        self.pairs: dict[Path, str] = {}
        for title, lock in locks:
            for facts in lock["sources"].values():
                self.pairs.setdefault(workspace.pairs(facts["source"], facts["fingerprint"]), title)

    def _named_by_runs(self) -> dict[str, list[str]]:
        """The names of the arms' folders that a study or the settings of a run mention, with who does."""
        found: dict[str, list[str]] = {}
        folders = [path.name for path in self.root.glob("arms/*/*")]
        for path in sorted([*self.root.glob("runs/**/ablation.json"), *self.root.glob("runs/**/config.yaml")]):
            text = path.read_text(encoding="utf-8", errors="replace")
            for name in folders:
                if name in text:
                    found.setdefault(name, []).append(path.relative_to(self.root / "runs").parts[0])
        return found

    def entries(self) -> Iterator[Entry]:
        for source in _folders(self.root / "raw"):
            yield from self.raw(source)
        for directory in sorted(self.root.glob("pairs/*/*")):
            yield from self.of_pairs(directory)
        yield from self.images()
        for directory in sorted(self.root.glob("mixes/*/*")):
            finished = (directory / "lock.json").exists()
            yield self.entry([directory], "kept" if finished else "unused", "a mix" if finished else "unfinished")
        for directory in sorted(self.root.glob("arms/*/*")):
            runs = self.used_arms.get(directory)
            why = f"an arm of {runs[0]}" if runs else "of no study" if directory in self.arms else "unfinished"
            yield self.entry([directory], "kept" if runs else "unused", why)
        for name in ("runs", "scores", "features", "publish", "audits"):
            for directory in _folders(self.root / name):
                yield self.entry([directory], "kept", f"the {name} themselves")
        for directory in _folders(self.workspace.exports):
            finished = (directory / export_receipt.NAME).exists()
            why = "an export" if finished else "unfinished"
            yield self.entry([directory], "kept" if finished else "unused", why)
        if self.workspace.cache.is_dir():
            yield self.entry([self.workspace.cache], "cache", "made again when it is needed")

    def raw(self, source: Path) -> Iterator[Entry]:
        """The commits of a source; files that a person put there are kept."""
        if source.is_symlink():
            yield self.entry([], "kept", f"a link to {source.resolve()}", f"raw/{source.name}")
            return
        receipt = source / "fetched.json"
        last = str(read_json(receipt)["commit"]) if receipt.exists() else ""
        commits = [path for path in _folders(source) if len(path.name) == COMMIT_DIGITS]
        others = [path for path in source.iterdir() if path not in commits]
        if others:
            yield self.entry(others, "kept", "not fetched, or the receipt of a fetch", f"raw/{source.name}")
        for commit in commits:
            users = [
                title
                for directory, title in self.pairs.items()
                if directory.parent.name == source.name and _revision(directory) == commit.name
            ]
            why = "fetched last" if commit.name == last else f"pairs of {users[0]}" if users else "an older commit"
            yield self.entry([commit], "kept" if commit.name == last or users else "unused", why)

    def of_pairs(self, directory: Path) -> Iterator[Entry]:
        """A pairs artefact, and its caches apart where it is kept."""
        user = self.pairs.get(directory)
        if user is None:
            finished = (directory / "manifest.json").exists()
            with_scores = (
                f"in no mix, with scores: {', '.join(there)}" if (there := names(directory)) else "in no mix"
            )
            yield self.entry([directory], "unused", with_scores if finished else "unfinished")
            return
        caches = [directory / name for name in CACHES if (directory / name).exists()]
        own = [path for path in directory.iterdir() if path not in caches]
        name = directory.relative_to(self.root).as_posix()
        yield self.entry(own, "kept", f"pairs of {user}", name)
        if caches:
            yield self.entry(caches, "cache", "made again when it is needed", f"{name}, caches")

    def images(self) -> Iterator[Entry]:
        """Packs by whether a pair shows one of their images, the grids of images and the verdicts about them."""
        folder = self.workspace.images / "packs"
        used = self._used_packs()
        for name, state, why in (("used", "kept", "images of pairs"), ("unused", "unused", "images of no pair")):
            packs = [path for path in sorted(folder.glob("*.parquet")) if (path.stem in used) == (name == "used")]
            paths = [one for path in packs for one in (path, checksum_of(path), path.with_suffix(".pack"))]
            if packs:
                kept: State = "kept" if state == "kept" else "unused"
                yield self.entry(paths, kept, why, f"images/packs, {len(packs)} {name}")
        for made in (self.workspace.images / name for name in ("grids", "verdicts")):
            if made.is_dir():
                yield self.entry([made], "cache", "made again when it is needed")

    def _used_packs(self) -> set[str]:
        """The packs that hold an image of kept pairs, or of a mix that refers to its images."""
        store = Packs(self.workspace.images)
        return {pack for keys in self._used_keys() for pack in store.packs_of(keys)}

    def _used_keys(self) -> Iterator[pa.Array]:
        """The keys of images, file by file."""
        for directory in self.pairs:
            if (directory / "manifest.json").exists():
                yield from map(media_keys, pairs_at(directory).parts)
        arms = [Mix(directory=path, lock=self.arms[path]) for path in self.used_arms]
        for mix in [*self.mixes, *arms]:
            if mix.lock["recipe"]["shards"]["media"] == "reference":
                for path in [*mix.files("shard"), *mix.files("holdout")]:
                    with parquet.opened(path, "a Parquet file") as file:
                        yield keys_of(file.read(columns=["media"])["media"])

    def entry(self, paths: Sequence[Path], state: State, why: str, name: str = "") -> Entry:
        files = [
            file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
        ]
        return Entry(
            name=name or paths[0].relative_to(self.root).as_posix(),
            paths=tuple(paths),
            files=len(files),
            bytes=sum(file.stat().st_size for file in files),
            state=state,
            why=why,
        )


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir())


def _revision(directory: Path) -> Any:
    """The commit that pairs were made from; of damaged ones an error, since nothing may be removed then."""
    if not (directory / "manifest.json").exists():
        return None
    found = pairs_at(directory).manifest
    if "revision" not in found:
        raise WorkspaceError(str(directory / "manifest.json"), "it has no revision", "the manifest of pairs")
    return found["revision"]
