"""What rows that nobody has described would become: the manifests that fit them, with the first pairs of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.engines.local import Local
from curate.errors import ConfigError, SkipRow
from curate.hashing import Hashes, fingerprint
from curate.inputs import Inputs
from curate.inspect.artefacts import Pairs, pairs_at
from curate.inspect.sample_rows import Sample, holds_rows, sample
from curate.pairs.normalize import locate, normalize_all
from curate.rawfiles.column_use import matters
from curate.sources import generic
from curate.sources.base import Draft, Row, Source
from curate.sources.generic.guess import Reading, readings
from curate.workspace import Workspace, atomic

LEAST = 0.5
"""A reading must make pairs of this share of the sampled rows; whether files are there is not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One way to read rows.

    manifest  the values of the manifest, as they would be written
    says      what tells it from the other ways
    drafts    what the sampled rows become
    skipped   how many of them become nothing, by reason
    missing   how many of the media that they name are not there
    """

    manifest: dict[str, Any]
    says: str
    drafts: tuple[Draft, ...]
    skipped: Counter[str]
    missing: int


def looks(rows: Sequence[Row], base: Mapping[str, Any], root: Path | None, name: str) -> list[Look]:
    """The ways to read the rows that give pairs, each with other pairs; the first are the likelier ones.

    `base` has the values of the manifest that do not depend on the reading. Raises ConfigError where there is
    none.
    """
    found: list[Look] = []
    for reading in readings(rows):
        look = _look(reading, rows, base, root, name)
        if not any(_same(look, other) for other in found):
            found.append(look)
    fitting = [look for look in found if len(look.drafts) and _share(look, rows) >= LEAST]
    if not fitting:
        reasons = found[0].skipped.most_common(3)
        lost = ", ".join(f"{reason} {count}" for reason, count in reasons) or "no reason"
        raise ConfigError(
            name, f"read as {found[0].manifest['adapter']} ({found[0].says}), rows give no pairs: {lost}"
        )
    return fitting


def _share(look: Look, rows: Sequence[Row]) -> float:
    return 1 - look.skipped.total() / len(rows)


def _same(one: Look, other: Look) -> bool:
    return one.drafts == other.drafts and one.skipped == other.skipped


def _look(reading: Reading, rows: Sequence[Row], base: Mapping[str, Any], root: Path | None, name: str) -> Look:
    unread = sorted({key for row in rows for key in row if key not in reading.used and matters(key)})
    more = dict(reading.more)
    # what the adapter reads by its own names needs no mapping
    columns = {"columns": reading.columns} if reading.columns else {}
    manifest: dict[str, Any] = {"adapter": reading.adapter, **base, **columns, **more}
    source = _source(manifest, name)
    reads = set(source.reads or ())
    ignored = [key for key in unread if key not in reads]
    if ignored:
        manifest["ignore"] = ignored
    drafts, skipped = _drafts(_source(manifest, name), rows)
    media = sorted({item.path for draft in drafts for item in draft.media if item.path})
    folders, missing = _media_folders(root, media)
    if folders:
        manifest["media"] = folders
    return Look(manifest=manifest, says=reading.says, drafts=tuple(drafts), skipped=skipped, missing=missing)


def _source(manifest: Mapping[str, Any], name: str) -> Source:
    return generic.from_table(dict(manifest), Path(f"{name}.yaml"))


def _drafts(source: Source, rows: Sequence[Row]) -> tuple[list[Draft], Counter[str]]:
    drafts: list[Draft] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        try:
            drafts += source.to_pairs(row)
        except SkipRow as skip:
            skipped[skip.reason] += 1
    return drafts, skipped


def _media_folders(root: Path | None, paths: Sequence[str]) -> tuple[list[str], int]:
    """Where the media of the paths are, as patterns in the root, and how many of the paths are nowhere."""
    if root is None or not paths:
        return [], len(paths)
    there = [path for path in paths if not Path(path).is_absolute() and (root / path).exists()]
    folders = sorted({path.lstrip("./").split("/")[0] if "/" in path.lstrip("./") else "." for path in there})
    return (["."] if "." in folders else folders), len(paths) - len(there)


# ------------------------------------------------------------------------------------------ bare files


def slug(text: str) -> str:
    """A source's name from the name of a file or folder."""
    stem = text.split(".")[0] if not text.startswith(".") else text.lstrip(".")
    name = "".join(one if one.isascii() and one.isalnum() else "_" for one in stem.lower()).strip("_")
    return name or "mine"


def look_at(path: Path, name: str | None = None) -> tuple[Sample, list[Look]]:
    """First rows of a file or folder, and the ways to read them. Raises ConfigError for what holds no pairs."""
    found = sample(path)
    label = name or slug(path.resolve().name)
    return found, looks(found.rows, {"files": list(found.files)}, found.root, label)


def which(found: Sequence[Look], where: str, hint: str) -> Look:
    """The only way to read rows. Raises ConfigError that lists the ways where there are several."""
    if len(found) == 1:
        return found[0]
    listed = "; ".join(f"{number}: {look.says}" for number, look in enumerate(found, 1))
    raise ConfigError(where, f"{len(found)} readings fit: {listed}", "one of them", hint)


def is_bare(path: Path) -> bool:
    """Whether a path is a file or folder of rows, and nothing that curate wrote."""
    if path.is_dir():
        return not any((path / name).exists() for name in ("lock.json", "manifest.json", "ablation.json"))
    return path.is_file() and holds_rows(path.parent, path)


def bare_pairs(path: Path, workspace: Workspace) -> Pairs:
    """The pairs of a file or folder that has no manifest, normalized into the workspace.

    Raises ConfigError where its rows could be read in several ways.
    """
    found, ways = look_at(path)
    look = which(ways, str(path), f"curate init {path} asks which, and writes it down")
    name = slug(path.resolve().name)
    raw = workspace.cache / "bare" / fingerprint([str(path.resolve()), look.manifest])
    manifests = raw / "manifests"
    link(raw / name, found.root)
    write_manifest(manifests / f"{name}.yaml", look.manifest)
    inputs = Inputs(workspace=workspace, manifests=manifests, raw=raw)
    artefact = locate(inputs.job(name, {}, 1.0, str(path)), workspace, Hashes(workspace.cache))
    if not artefact.manifest:
        with workspace.hold(), Local(1) as engine:
            (artefact,) = normalize_all([artefact], workspace, engine)
    return pairs_at(artefact.directory)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest of the user's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(generic.to_yaml(manifest), encoding="utf-8")


def link(at: Path, to: Path) -> None:
    """Make `at` a link to a folder. Raises ConfigError where something else is there already."""
    at.parent.mkdir(parents=True, exist_ok=True)
    if at.is_symlink() and at.resolve() == to.resolve():
        return
    if at.is_symlink() or at.exists():
        raise ConfigError(str(at), "is there already", f"a link to {to}", "choose another --name, or remove it")
    at.symlink_to(to.resolve(), target_is_directory=True)
