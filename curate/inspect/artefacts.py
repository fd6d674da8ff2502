"""Find finished work in a workspace by name: mixes, pairs artefacts, and rows of their files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from curate import bundled
from curate.errors import ConfigError, WorkspaceError
from curate.pairs.files import column, places
from curate.workspace import Workspace, read_json

SHORT = 8  # digits of a fingerprint in names and tables
ID_DIGITS = 32
LEAST_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A pairs artefact on disk; `manifest` is empty while it is unfinished, `parts` are those finished."""

    directory: Path
    manifest: dict[str, Any]
    parts: tuple[Path, ...]

    @property
    def source(self) -> str:
        """The source's name."""
        return self.directory.parent.name

    @property
    def title(self) -> str:
        """`source@fingerprint`, as `find_pairs` takes it."""
        return f"{self.source}@{self.directory.name[:SHORT]}"

    @property
    def skips(self) -> list[Path]:
        """The files that list skipped rows."""
        return sorted(self.directory.glob("skips-*.parquet"))


class MixPool(NamedTuple):
    """One pairs artefact that a lock names."""

    label: str
    source: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A finished mix."""

    directory: Path
    lock: dict[str, Any]

    @property
    def title(self) -> str:
        """`name@fingerprint`, as `find_mix` takes it."""
        return f"{self.lock['name']}@{self.lock['fingerprint'][:SHORT]}"

    @property
    def pools(self) -> list[MixPool]:
        """The pairs artefacts it was made from, in the order of the recipe."""
        return [MixPool(x, facts["source"], facts["fingerprint"]) for x, facts in self.lock["sources"].items()]

    def files(self, kind: str) -> list[Path]:
        """Its files of one kind: `shard` or `holdout`."""
        return [self.directory / file["name"] for file in self.lock["files"] if file["name"].startswith(kind)]

    @property
    def review(self) -> Path:
        """The decisions and flags with evidence (curate.screening.screen.review); older mixes lack this file."""
        return self.directory / "review.parquet"

    def decisions(self, label: str) -> Path:
        """Why pairs of a pool were dropped (columns curate.screening.screen.DECISIONS)."""
        return self.directory / "decisions" / f"{label}.parquet"


def mixes(workspace: Workspace) -> list[Mix]:
    """Every finished mix, the newest first."""
    locks = _newest((workspace.root / "mixes").glob("*/*/lock.json"))
    return [Mix(directory=path.parent, lock=read_json(path)) for path in locks]


def artefacts(workspace: Workspace, source: str = "*") -> list[Pairs]:
    """Every pairs artefact with a finished part or a list of skipped rows, the newest first."""
    folders = {path.parent for path in (workspace.root / "pairs").glob(f"{source}/*/*") if _is_output(path)}
    return [pairs_at(path) for path in _newest(folders)]


def _is_output(path: Path) -> bool:
    return path.name == "manifest.json" or path.name.startswith(("part-", "skips-"))


def _newest(paths: Iterable[Path]) -> list[Path]:
    def age(path: Path) -> tuple[int, str]:
        made = path / "manifest.json"
        return -(made if made.exists() else path).stat().st_mtime_ns, str(path)

    return sorted(paths, key=age)


def pairs_at(directory: Path) -> Pairs:
    """The pairs artefact in a directory, finished or not."""
    path = directory / "manifest.json"
    manifest = read_json(path) if path.exists() else {}
    receipts = manifest["parts"] if manifest else [read_json(x) for x in sorted(directory.glob("part-*.json"))]
    parts = tuple(directory / receipt["file"] for receipt in receipts)
    return Pairs(directory=directory, manifest=manifest, parts=parts)


def pools(mix: Mix, workspace: Workspace) -> dict[str, Pairs]:
    """The pairs artefacts of a mix by label. Raises WorkspaceError if one is missing."""
    out = {}
    for pool in mix.pools:
        directory = workspace.pairs(pool.source, pool.fingerprint)
        if not (directory / "manifest.json").exists():
            found = f"the pairs of {pool.label}, which {mix.title} was made from, are missing"
            raise WorkspaceError(str(directory), found, "a pairs artefact", "give their --workspace, or mix again")
        out[pool.label] = pairs_at(directory)
    return out


def find_mix(text: str, workspace: Workspace) -> Mix:
    """The mix that `text` names: a directory with a lock, `name` (its newest) or `name@fingerprint`.

    Raises ConfigError that lists what is there.
    """
    if (lock := Path(text) / "lock.json").exists():
        return Mix(directory=lock.parent, lock=read_json(lock))
    there = mixes(workspace)
    name, _, fingerprint = text.partition("@")
    for mix in there:
        if mix.lock["name"] == name and mix.lock["fingerprint"].startswith(fingerprint):
            return mix
    recipe = name if name in bundled.named("recipe") else "RECIPE"
    raise _unknown("mix", text, workspace.root / "mixes", [mix.title for mix in there], f"curate mix {recipe}")


def find_pairs(text: str, workspace: Workspace) -> Pairs:
    """The pairs artefact that `text` names: a directory, `source` (its newest) or `source@fingerprint`.

    Raises ConfigError that lists what is there.
    """
    if any(Path(text).glob("part-*")) or any(Path(text).glob("skips-*")):
        return pairs_at(Path(text))
    source, _, fingerprint = text.partition("@")
    there = artefacts(workspace)
    for pairs in there:
        if pairs.source == source and pairs.directory.name.startswith(fingerprint):
            return pairs
    titles = [pairs.title for pairs in there]
    raise _unknown("source", text, workspace.root / "pairs", titles, "curate normalize SOURCE")


def _unknown(what: str, text: str, folder: Path, there: Sequence[str], make: str) -> ConfigError:
    expected = f"one of {', '.join(there)}" if there else f"a {what}, but there is none yet"
    return ConfigError(text, f"no {what} of that name in {folder}", expected, f"{make} makes one")


# ------------------------------------------------------------------------------------------ rows of their files


class Location(NamedTuple):
    """The location of a pair: the artefact, the part, and the row of the part from 0."""

    pairs: Pairs
    part: Path
    position: int


def find_pair(text: str, among: Sequence[Pairs]) -> tuple[str, list[Location]]:
    """The pair id that begins with `text` (6 digits or more), and all its locations.

    An id belongs to one source, so a search for a whole id ends with the first source that has it. Reads only the
    column pair_id. Raises ConfigError if no pair or more than one matches.
    """
    digits = text.lower()
    if not LEAST_DIGITS <= len(digits) <= ID_DIGITS or digits.strip("0123456789abcdef"):
        expected = f"a pair id: {ID_DIGITS} hex digits, or the first {LEAST_DIGITS} or more"
        raise ConfigError("pair", f"found {text[:60]!r}", expected, "curate show prints the ids of pairs")
    found: dict[str, list[Location]] = {}
    for pairs in among:
        if len(digits) == ID_DIGITS and found and next(iter(found.values()))[0].pairs.source != pairs.source:
            continue
        for part in pairs.parts:
            for position in places(part, "pair_id", digits, prefix=True):
                found.setdefault(id_at(part, position), []).append(Location(pairs, part, position))
    if len(found) == 1:
        return found.popitem()
    ids = sorted(found)[:10]
    if ids:
        listed = ", ".join(ids) + (", ..." if len(found) > len(ids) else "")
        raise ConfigError("pair", f"{len(found)} pairs begin with {digits}: {listed}", "one", "give more digits")
    searched = ", ".join(dict.fromkeys(pairs.source for pairs in among)) or "none"
    raise ConfigError("pair", f"no pair begins with {digits}", f"a pair of the sources here: {searched}")


def id_at(part: Path, position: int) -> str:
    """The pair id of one row of a file."""
    pair_id: str = column(part, "pair_id")["pair_id"][position].as_py()
    return pair_id
