"""A user's manifest: strict YAML in, a Source out."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from curate.config import build, check_key, closest, read_yaml
from curate.errors import ConfigError
from curate.hashing import fingerprint
from curate.sources.base import Source
from curate.sources.generic.adapters import Preference, Ranking, Scored
from curate.sources.generic.columns import (
    Columns,
    PreferenceColumns,
    RankingColumns,
    Reader,
    ScoredColumns,
    mapped,
    reads,
)
from curate.sources.generic.dialogue import Replies
from curate.sources.generic.verdicts import KNOWN, Meaning, VoteTable
from curate.sources.ranking import Pairing

MACHINE_MADE = "# Written by `curate pin`.\n"  # first line of a manifest that is nobody's own
VERSION = 2  # goes up when an adapter's output changes
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a user may say about a source, whatever its adapter; the fields are those of a Source."""

    files: tuple[str, ...]
    optional: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    media_match: Literal["path", "name"] = "path"
    replies: Replies = "text"
    modality: Literal["text", "image", "video"] | None = None
    license: str | None = None
    annotator: str | None = None
    languages: tuple[str, ...] = ("en",)
    paper: str = ""
    repo: str = ""
    max_skip: float = 0.05

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("files is empty; give at least one pattern")
        if not 0.0 <= self.max_skip <= 1.0:
            raise ValueError(f"max_skip is {self.max_skip:g}; it is a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceManifest(Manifest):
    """Pairs whose sides are known."""

    adapter: Literal["preference"]
    columns: PreferenceColumns = field(default_factory=PreferenceColumns)

    def to_pairs(self) -> Preference:
        """The adapter, bound to the column map."""
        return Preference(reader=_reader(self), replies=self.replies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Manifest):
    """What manifests with verdicts share: `verdicts` translates values of the columns `preference`, or `threshold`
    says from which number on the second reply is the better one."""

    lower_is_better: bool = False
    verdicts: dict[str, Meaning] | None = None
    threshold: float | None = None

    def judge(self) -> VoteTable:
        """How the values are read."""
        table = (
            KNOWN if self.verdicts is None else {key.strip().lower(): item for key, item in self.verdicts.items()}
        )
        return VoteTable(table=tuple(table.items()), threshold=self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredManifest(Judged):
    """Two responses a row."""

    adapter: Literal["scored"]
    columns: ScoredColumns = field(default_factory=ScoredColumns)

    def to_pairs(self) -> Scored:
        """The adapter, bound to the column map."""
        return Scored(
            reader=_reader(self),
            by_verdict=self.columns.preference is not None,
            verdicts=self.judge(),
            lower_is_better=self.lower_is_better,
            replies=self.replies,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingManifest(Judged):
    """A list of responses a row."""

    adapter: Literal["ranking"]
    columns: RankingColumns = field(default_factory=RankingColumns)
    pairing: Pairing = "best_vs_worst"

    def to_pairs(self) -> Ranking:
        """The adapter, bound to the column map."""
        return Ranking(
            reader=_reader(self),
            pairing=self.pairing,
            lower_is_better=self.lower_is_better,
            verdicts=self.judge() if self.columns.preference is not None else None,
            replies=self.replies,
        )


AnyManifest = PreferenceManifest | ScoredManifest | RankingManifest
KINDS: dict[str, type[AnyManifest]] = {
    "preference": PreferenceManifest,
    "scored": ScoredManifest,
    "ranking": RankingManifest,
}


def _reader(manifest: AnyManifest) -> Reader:
    return Reader(columns=manifest.columns, optional=manifest.optional, json=manifest.json)


def load(path: Path) -> Source:
    """The source that a user's manifest describes. Raises ConfigError with the path of the fault in the file."""
    where = f"{path}: $"
    if not NAME.fullmatch(path.stem):
        raise ConfigError(str(path), "the file's name is the source's name", "lower-case letters, digits, - and _")
    return from_table(build(read_yaml(path), dict[str, Any], where), path)


def from_table(table: dict[str, Any], path: Path) -> Source:
    """The source of a manifest's values; `path` is where they are, or will be. Raises ConfigError for a fault in
    them."""
    where = f"{path}: $"
    if "adapter" not in table:
        close = closest("adapter", table)
        hint = f"{close[0]} is unknown; did you mean adapter?" if close else ""
        raise ConfigError(where, "adapter not given", " or ".join(KINDS), hint)
    kind = build(table["adapter"], Literal["preference", "scored", "ranking"], f"{where}.adapter")
    manifest: AnyManifest = build(table, KINDS[kind], where)
    _check(manifest, where)
    # the version enters every fingerprint: a changed column map must not meet the old pairs
    facts = {name: value for name, value in asdict(manifest).items() if name != "ignore"}  # it changes no pair
    version = int(fingerprint({"generic": VERSION, **facts})[:12], 16)
    return Source(
        repo=manifest.repo or path.stem,
        to_pairs=manifest.to_pairs(),
        files=manifest.files,
        media=manifest.media,
        media_match=manifest.media_match,
        reads=reads(manifest.columns),
        ignores=manifest.ignore,
        manifest=str(path),
        license=manifest.license,
        annotator=manifest.annotator,
        languages=manifest.languages,
        modality=manifest.modality or _modality(manifest.columns),
        paper=manifest.paper,
        max_skip=manifest.max_skip,
        version=version,
    )


def _check(manifest: AnyManifest, where: str) -> None:
    names = [*type(manifest.columns).__dataclass_fields__]
    for i, name in enumerate(manifest.optional):
        check_key(name, names, f"{where}.optional[{i}]")
        if name not in mapped(manifest.columns):
            hint = "map it under columns, or leave it out here"
            raise ConfigError(f"{where}.optional[{i}]", f"{name} is not mapped", "a name under columns", hint)
    for i, name in enumerate(manifest.json):
        check_key(name, names, f"{where}.json[{i}]")
    for name, patterns in (("files", manifest.files), ("media", manifest.media)):
        for i, pattern in enumerate(patterns):
            _check_pattern(pattern, f"{where}.{name}[{i}]")
    if isinstance(manifest, Judged):
        _check_judged(manifest, manifest.columns, where)


def _check_pattern(pattern: str, where: str) -> None:
    """Raise ConfigError for a pattern of files that is none, or that leads out of the raw directory."""
    parts = [part for half in pattern.split("!") for part in half.split("/")]
    if any("**" in part and part != "**" for part in parts):
        raise ConfigError(
            where, f"the pattern {pattern!r} has ** beside other characters", "** between slashes", "**/*.jsonl"
        )
    if pattern.startswith("/") or ".." in parts or "\0" in pattern:
        hint = "--raw says where the raw directory is"
        raise ConfigError(where, f"the pattern {pattern!r} leaves the raw directory", "a path below it", hint)


def _check_judged(manifest: Judged, columns: ScoredColumns | RankingColumns, where: str) -> None:
    if columns.preference is None:
        for name in ("verdicts", "threshold"):
            if getattr(manifest, name) is not None:
                raise ConfigError(
                    f"{where}.{name}", "columns.preference not given", "the column with the verdicts"
                )
        return
    if manifest.lower_is_better:
        raise ConfigError(f"{where}.lower_is_better", "the column preference decides", "scores without a verdict")
    if manifest.verdicts is not None and manifest.threshold is not None:
        raise ConfigError(f"{where}.threshold", "verdicts given too", "one of the two")
    for value, meaning in (manifest.verdicts or {}).items():
        if isinstance(meaning, dict) and (
            len(meaning) != 1 or not {"a", "b"} >= set(meaning) or min(meaning.values()) <= 0
        ):
            raise ConfigError(
                f"{where}.verdicts.{value}", "no margin", "a, b, tie, skip, or {a: 2.0} with a margin"
            )
    for name in ("score_a", "score_b", "scores"):
        if getattr(columns, name, None) is not None:
            raise ConfigError(f"{where}.columns.{name}", "the column preference decides", "one of the two")


def _modality(columns: Columns) -> Literal["text", "image", "video"]:
    return "video" if columns.videos else "image" if columns.images else "text"


def discover(directory: Path) -> dict[str, Path]:
    """The users' manifests in a directory, by source name; none if there is no such directory.

    A YAML file is one of them if it has a key like adapter, or columns: other files may be beside them. A file
    that is not YAML counts too: only a command that names its source fails on it.
    """
    found = {path.stem: path for path in sorted(directory.glob("*.yaml")) if not _is_machine_made(path)}
    return {name: path for name, path in found.items() if _is_manifest(path)}


def _is_manifest(path: Path) -> bool:
    try:
        return _is_ours(read_yaml(path))
    except ConfigError:
        return True


def _is_machine_made(path: Path) -> bool:
    """Known by its first line: pinned manifests may list thousands of files, and every command looks here."""
    with open(path, "rb") as stream:
        return stream.read(len(MACHINE_MADE)) == MACHINE_MADE.encode()


def _is_ours(value: Any) -> bool:
    keys = [str(key) for key in value] if isinstance(value, dict) else []
    return "columns" in keys or bool(closest("adapter", keys, cutoff=0.8))


def to_yaml(table: Mapping[str, Any]) -> str:
    """A manifest as text, short lists and maps on one line."""
    text: str = yaml.safe_dump(
        dict(table), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text
