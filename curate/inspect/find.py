"""What is finished in a workspace, by the names people use: mixes, pairs artefacts, and rows of their files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import ConfigError, WorkspaceError
from curate.workspace import Workspace, read_json

SHORT = 8  # digits of a fingerprint that people see
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


class Pool(NamedTuple):
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
    def pools(self) -> list[Pool]:
        """The pairs artefacts it was made from, in the order of the recipe."""
        return [Pool(x, facts["source"], facts["fingerprint"]) for x, facts in self.lock["sources"].items()]

    def files(self, kind: str) -> list[Path]:
        """Its files of one kind: `shard` or `holdout`."""
        return [self.directory / file["name"] for file in self.lock["files"] if file["name"].startswith(kind)]

    @property
    def review(self) -> Path:
        """What steps found with evidence (curate.screen.review); older mixes have none."""
        return self.directory / "review.parquet"

    def decisions(self, label: str) -> Path:
        """Why pairs of a pool were dropped (columns curate.screen.DECISIONS)."""
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
    """The pairs artefacts of a mix by label. Raises WorkspaceError where one is gone."""
    out = {}
    for pool in mix.pools:
        directory = workspace.pairs(pool.source, pool.fingerprint)
        if not (directory / "manifest.json").exists():
            found = f"the pairs of {pool.label}, which {mix.title} was made from, are not here"
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
    raise _unknown("mix", text, workspace.root / "mixes", [mix.title for mix in there], "curate mix RECIPE")


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


def column(path: Path, *names: str) -> pa.Table:
    """Some columns of a Parquet file. Raises WorkspaceError where it is missing or damaged."""
    with _Reading(path):
        return pq.read_table(path, columns=list(names))


def places(path: Path, name: str, value: str, *, prefix: bool = False) -> list[int]:
    """The rows, from 0, whose column `name` is the value, or begins with it."""
    values = column(path, name)[name]
    hits = pc.starts_with(values, value) if prefix else pc.equal(values, value)
    found: list[int] = pc.indices_nonzero(hits).to_pylist()
    return found


def rows_at(path: Path, positions: Sequence[int], names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows in the order of the positions: the columns named, or all but image bytes. Reads few row groups."""
    found: dict[int, dict[str, Any]] = {}
    if not positions:
        return []
    with _Reading(path), pq.ParquetFile(path) as file:
        names = names or [name for name in file.schema_arrow.names if name != "images"]
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            inside = [x for x in positions if start <= x < end]
            if inside:
                rows = (
                    file.read_row_group(group, columns=list(names)).take([x - start for x in inside]).to_pylist()
                )
                found |= dict(zip(inside, rows, strict=True))
            start = end
    return [found[x] for x in positions]


class _Reading:
    """Says of a file that it is missing or damaged, if reading it inside the block shows that."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        hint = "curate verify names every file that differs"
        if isinstance(error, FileNotFoundError):
            raise WorkspaceError(str(self.path), "no such file", "a Parquet file", hint) from None
        if isinstance(error, pa.ArrowInvalid | KeyError) or (isinstance(error, OSError) and error.errno is None):
            said = str(error).split("\n", 1)[0][:120]
            raise WorkspaceError(str(self.path), f"damaged ({said})", "a Parquet file", hint) from None


class Standing(NamedTuple):
    """Where a pair stands: the artefact, the part, and the row of the part from 0."""

    pairs: Pairs
    part: Path
    position: int


def find_pair(text: str, among: Sequence[Pairs]) -> tuple[str, list[Standing]]:
    """The pair id that `text` begins (6 digits or more), and every place where it stands.

    A whole id is looked for until a source has it, since an id belongs to one source. Reads the column pair_id
    only. Raises ConfigError where nothing or more than one pair matches.
    """
    digits = text.lower()
    if not LEAST_DIGITS <= len(digits) <= ID_DIGITS or digits.strip("0123456789abcdef"):
        expected = f"a pair id: {ID_DIGITS} hex digits, or the first {LEAST_DIGITS} or more"
        raise ConfigError("pair", f"found {text[:60]!r}", expected, "curate show prints the ids of pairs")
    found: dict[str, list[Standing]] = {}
    for pairs in among:
        if len(digits) == ID_DIGITS and found and next(iter(found.values()))[0].pairs.source != pairs.source:
            continue
        for part in pairs.parts:
            for position in places(part, "pair_id", digits, prefix=True):
                found.setdefault(id_at(part, position), []).append(Standing(pairs, part, position))
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


def question(pair: dict[str, Any]) -> str:
    """The text of the last user turn of a pair's prompt."""
    turns = [turn for turn in pair["prompt"] if turn["role"] == "user"] or pair["prompt"]
    return said(turns[-1:])


def said(turns: Iterable[dict[str, Any]]) -> str:
    """The text blocks of turns, joined by line breaks."""
    return "\n".join(block["text"] for turn in turns for block in turn["content"] if block["text"] is not None)


def beginning(pair: dict[str, Any]) -> str:
    """The pair in one line of at most 68 characters: how its question and its chosen reply begin."""
    return f"{shorten(question(pair), 36)} -> {shorten(said(pair['chosen']), 28)}"


def count(number: int, what: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shorten(text: str, most: int) -> str:
    """The text in one line of at most `most` characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


# a terminal would obey these: control characters, and those that turn the direction of text
_VISIBLE = {n: 0x2400 + n for n in range(32) if n not in (9, 10)} | {127: 0x2421} | {
    n: f"\\u{n:04x}" for n in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}  # fmt: skip


def visible(text: str) -> str:
    """The text with a visible sign for each character that a terminal would obey."""
    return text.translate(_VISIBLE)
