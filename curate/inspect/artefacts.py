"""Find finished work in a workspace by name: mixes, pairs artefacts, and rows of their files."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from curate import bundled
from curate import recipe as recipes
from curate.checksums import LOG, check_file, read_record, record
from curate.config import did_you_mean
from curate.errors import ConfigError, WorkspaceError
from curate.lock_file import AGAIN, read_lock, recorded
from curate.pairs import intact
from curate.pairs.files import column, places
from curate.workspace import Workspace

SHORT = 8  # digits of a fingerprint in names and tables
ID_DIGITS = 32
LEAST_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A pairs artefact on disk; `manifest` is empty while it is unfinished, `receipts` are of finished parts."""

    directory: Path
    manifest: dict[str, Any]
    receipts: tuple[dict[str, Any], ...]

    @property
    def parts(self) -> tuple[Path, ...]:
        """The finished parts."""
        return tuple(self.directory / receipt["file"] for receipt in self.receipts)

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

    def check(self, files: Iterable[Path] | None = None) -> None:
        """Raise WorkspaceError where a part or a list of skipped rows, by default each, is not as recorded.

        A file is read once in a process.
        """
        names = None if files is None else {path.name for path in files}
        for name, xxh3 in (entry for receipt in self.receipts for entry in intact.recorded(receipt)):
            if names is None or name in names:
                check_file(self.directory / name, xxh3, "what was written", intact.again(self.source))


class MixPool(NamedTuple):
    """One pairs artefact that a lock names."""

    label: str
    source: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A finished mix; `arm` is the STUDY/ARM that it was found by, if it was."""

    directory: Path
    lock: dict[str, Any]
    arm: str = ""

    @property
    def title(self) -> str:
        """`name@fingerprint` or `STUDY/ARM`, as `find_mix` takes it."""
        if self.arm:
            return self.arm
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
        """The decisions and flags with evidence (curate.screening.screened.review); older mixes lack this file."""
        return self.directory / "review.parquet"

    def check(self, *kinds: str) -> None:
        """Raise WorkspaceError where a file of these kinds is not as the lock records it.

        The kinds are beginnings of names: shard, holdout, decisions, review. A file is read once in a process.
        """
        for name, entry in recorded(self.lock).items():
            if name.startswith(kinds):
                check_file(self.directory / name, entry["xxh3"], "the file that its lock records", AGAIN)

    def decisions(self, label: str) -> Path:
        """Why pairs of a pool were dropped (columns curate.screening.screened.DECISIONS)."""
        return self.directory / "decisions" / f"{label}.parquet"


def mixes(workspace: Workspace) -> list[Mix]:
    """Every finished mix of a recipe, the last built first; a line says of a damaged lock that it is left out."""
    found, faults = _read(_newest((workspace.root / "mixes").glob("*/*/lock.json")))
    for fault in faults:
        LOG.warning("%s, so this mix is left out", fault)
    return found


def arm_mixes(workspace: Workspace) -> list[Mix]:
    """Every finished mix of an arm of an ablation, by study and arm; of arms with the same mix the first one."""
    names: dict[str, str] = {}
    for name, digits in arms(workspace).items():
        names.setdefault(digits, name)
    found, faults = _read(sorted((workspace.root / "arms").glob("*/*/lock.json")))
    for fault in faults:
        LOG.warning("%s, so this mix is left out", fault)
    named = [dataclasses.replace(mix, arm=names.get(mix.directory.name, "")) for mix in found]
    return sorted(named, key=lambda mix: list(names).index(mix.directory.name) if mix.arm else len(names))


def _read(locks: Iterable[Path]) -> tuple[list[Mix], list[WorkspaceError]]:
    """The mixes of locks, and what is wrong with damaged ones."""
    found, faults = [], []
    for path in locks:
        try:
            found.append(mix_at(path.parent))
        except WorkspaceError as fault:
            faults.append(fault)
    return found, faults


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
    path, hint = directory / "manifest.json", f"curate normalize {directory.parent.name} writes it again"
    manifest = read_record(path, "the manifest of pairs", hint) if path.exists() else {}
    receipts = manifest.get("parts") if manifest else [record(x) for x in sorted(directory.glob("part-*.json"))]
    if receipts is None:
        raise WorkspaceError(str(path), "it lists no parts", "the manifest of pairs", hint)
    return Pairs(directory=directory, manifest=manifest, receipts=tuple(filter(None, receipts)))


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
    """The mix that `text` names.

    a directory with a lock    that mix
    a recipe, by name or file  the mix of the recipe as it reads now; of several, the one that it gave last
    name@fingerprint           that mix, by the first digits or more
    STUDY/ARM                  the mix of an arm of `curate ablate`; a recipe's name never means an arm
    any other name             the mix of that name that was built last

    Where other mixes have the name, a line says which one is taken. Raises ConfigError that lists what is there,
    and WorkspaceError where a lock is damaged.
    """
    if (lock := Path(text) / "lock.json").exists():
        return mix_at(lock.parent)
    if bundled.is_path(text):
        return _of_recipe(text, recipes.load(text), workspace)
    if "/" in text:
        return _arm(text, workspace)
    name, at, digits = text.partition("@")
    if not at and name in bundled.named("recipe"):
        return _of_recipe(text, recipes.load(name), workspace)
    there = _named(name, workspace, digits)
    if not there:
        raise _no_mix(text, workspace)
    if at and len(there) > 1:
        raise ConfigError(text, f"{len(there)} mixes have these digits", f"one of {_titles(there)}", "give more")
    return _taken(text, there[0], there, "the last that was built")


def mix_at(directory: Path) -> Mix:
    """The mix in a directory. Raises WorkspaceError where its lock is damaged, or is none."""
    return Mix(directory=directory, lock=read_lock(directory / "lock.json"))


def _of_recipe(text: str, recipe: recipes.Recipe, workspace: Workspace) -> Mix:
    there = _named(recipe.name, workspace)
    if not there:
        raise _no_mix(text, workspace)
    same = [mix for mix in there if recipes.material(mix.lock["recipe"]) == recipe.material()]
    if same:
        return _taken(text, same[0], there, "the last that was built of the recipe as it reads now")
    found = f"the recipe reads otherwise than when {_titles(there)} was built"
    raise ConfigError(
        text, found, "its mix", f"curate mix {text} builds it; or name that mix as it is written here"
    )


def _taken(text: str, taken: Mix, there: Sequence[Mix], why: str) -> Mix:
    """The mix, after a line that says which it is where others have its name too."""
    others = [mix for mix in there if mix.directory != taken.directory]
    if others:
        LOG.warning("%s: taking %s, %s; by their own names: %s", text, taken.title, why, _titles(others))
    return taken


def _titles(found: Iterable[Mix]) -> str:
    return ", ".join(mix.title for mix in found)


def _named(name: str, workspace: Workspace, digits: str = "") -> list[Mix]:
    """The mixes of a recipe's name, the last built first; not those of arms. Raises if all locks are damaged."""
    locks = _newest((workspace.root / "mixes").glob("*/*/lock.json"))
    named = [path for path in locks if (at := path.parent).parent.name == name and at.name.startswith(digits)]
    found, faults = _read(named)
    if faults and not found:
        raise faults[0]
    return found


def _arm(text: str, workspace: Workspace) -> Mix:
    """The mix of `STUDY/ARM`, found by its fingerprint, wherever the workspace was moved to."""
    study, _, name = text.partition("/")
    known = arms(workspace)
    digits = known.get(f"{study}/{name}")
    if digits is None:
        raise _no_mix(text, workspace)
    for place in ("arms", "mixes"):
        for lock in (workspace.root / place).glob(f"*/{digits}/lock.json"):
            return Mix(directory=lock.parent, lock=read_lock(lock), arm=text)
    raise ConfigError(text, f"its mix {digits} is not in {workspace.root}", "the mix of that arm",
                      f"curate ablate of {study} builds it again")  # fmt: skip


def arms(workspace: Workspace) -> dict[str, str]:
    """The fingerprint of the mix of every arm of every study, by STUDY/ARM."""
    found: dict[str, str] = {}
    for path in sorted((workspace.root / "runs").glob("*/ablation.json")) + sorted(
        (workspace.root / "runs").glob("*/probe/ablation.json")
    ):
        study = path.relative_to(workspace.root / "runs").parts[0]
        facts = record(path) or {}
        found |= {f"{study}/{name}": str(arm["fingerprint"]) for name, arm in facts.get("arms", {}).items()}
    return found


def _no_mix(text: str, workspace: Workspace) -> ConfigError:
    name = text.partition("@")[0]
    recipe = text if bundled.is_path(text) else name if name in bundled.named("recipe") else "RECIPE"
    there = [*(mix.title for mix in mixes(workspace)), *arms(workspace)]
    return _unknown("mix", text, workspace.root / "mixes", there, f"curate mix {recipe}")


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
    names = dict.fromkeys(name for title in there for name in (title, title.partition("@")[0]))
    hint = did_you_mean(text, names, f"{make} makes one")
    return ConfigError(text, f"no {what} of that name in {folder}", expected, hint)


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
    for pairs in among:
        pairs.check()  # a damaged part may hide it
    searched = ", ".join(dict.fromkeys(pairs.source for pairs in among)) or "none"
    raise ConfigError("pair", f"no pair begins with {digits}", f"a pair of the sources here: {searched}")


def id_at(part: Path, position: int) -> str:
    """The pair id of one row of a file."""
    pair_id: str = column(part, "pair_id")["pair_id"][position].as_py()
    return pair_id
