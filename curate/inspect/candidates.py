"""Candidate manifests of rows that have none, each with the first pairs that it gives."""

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
"""A candidate must make pairs of this share of the sampled rows; missing media files do not count against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A manifest for rows that have none, tried on the sampled rows.

    manifest     the values of the manifest, as they would be written
    description  what distinguishes it from the other candidates
    drafts       the pairs that the sampled rows give
    skipped      how many of the rows give none, by reason
    missing      how many of the media that they name do not exist
    """

    manifest: dict[str, Any]
    description: str
    drafts: tuple[Draft, ...]
    skipped: Counter[str]
    missing: int


def of_rows(rows: Sequence[Row], base: Mapping[str, Any], root: Path | None, name: str) -> list[Candidate]:
    """The manifests that make pairs of the rows, no two the same pairs; the likeliest first.

    `base` has the values of the manifest that do not depend on the reading. Raises ConfigError where there is
    none.
    """
    found: list[Candidate] = []
    for reading in readings(rows):
        candidate = _candidate(reading, rows, base, root, name)
        if not any(_same(candidate, other) for other in found):
            found.append(candidate)
    fitting = [candidate for candidate in found if len(candidate.drafts) and _share(candidate, rows) >= LEAST]
    if not fitting:
        reasons = found[0].skipped.most_common(3)
        skipped = ", ".join(f"{reason} {count}" for reason, count in reasons) or "no reason"
        raise ConfigError(
            name, f"read as {found[0].manifest['adapter']} ({found[0].description}), rows give no pairs: {skipped}"
        )
    return fitting


def _share(candidate: Candidate, rows: Sequence[Row]) -> float:
    return 1 - candidate.skipped.total() / len(rows)


def _same(one: Candidate, other: Candidate) -> bool:
    return one.drafts == other.drafts and one.skipped == other.skipped


def _candidate(
    reading: Reading, rows: Sequence[Row], base: Mapping[str, Any], root: Path | None, name: str
) -> Candidate:
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
    return Candidate(
        manifest=manifest, description=reading.description, drafts=tuple(drafts), skipped=skipped, missing=missing
    )


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


def of_path(path: Path, name: str | None = None) -> tuple[Sample, list[Candidate]]:
    """First rows of a file or folder, and the manifests that fit. Raises ConfigError for rows without pairs."""
    found = sample(path)
    label = name or slug(path.resolve().name)
    return found, of_rows(found.rows, {"files": list(found.files)}, found.root, label)


def only(found: Sequence[Candidate], where: str, hint: str) -> Candidate:
    """The only candidate. Raises ConfigError that lists them where there are several."""
    if len(found) == 1:
        return found[0]
    listed = "; ".join(f"{number}: {candidate.description}" for number, candidate in enumerate(found, 1))
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
    found, ways = of_path(path)
    candidate = only(ways, str(path), f"curate init {path} asks which, and writes it down")
    name = slug(path.resolve().name)
    raw = workspace.cache / "bare" / fingerprint([str(path.resolve()), candidate.manifest])
    manifests = raw / "manifests"
    link(raw / name, found.root)
    write_manifest(manifests / f"{name}.yaml", candidate.manifest)
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
