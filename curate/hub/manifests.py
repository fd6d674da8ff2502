"""The manifest of a source: the files of its repository at one commit, written by `curate pin`.

A manifest without a commit states what would be pinned. The manifests directory has it as `<source>.yaml`, beside
users' own manifests, which have a key `adapter`. The pinned facts of such a source are in `<source>.pin.yaml`,
those of an eval set in `evalsets/<name>.yaml`. Without a file there, the bundled manifest is read.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from curate import bundled, config, evalsets, sources
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet
from curate.hub.expected_rows import CHOICES, ORIGINS, UNKNOWN
from curate.sources.base import Source
from curate.sources.generic.manifest import MACHINE_MADE
from curate.workspace import atomic

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME_BYTES = 255  # of one file or folder, on the usual file systems
EVALSETS = "evalsets"
"""The folder of the eval sets' manifests in the manifests directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a repository, identified by sha256 if it is an LFS file, else by its git blob id."""

    path: str
    bytes: int
    sha256: str | None = None
    git_oid: str | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if "\\" in self.path or "\0" in self.path or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"the path {self.path!r} leaves the raw directory")
        if any("\ud800" <= char <= "\udfff" for char in self.path):
            raise ValueError(f"the path {self.path!r} has half of a character")
        longest = max(len(part.encode()) for part in parts)
        if longest > NAME_BYTES:
            raise ValueError(f"a name in {self.path[:60]}... has {longest} bytes, and a disk holds {NAME_BYTES}")
        if self.bytes < 0:
            raise ValueError(f"{self.path} has {self.bytes} bytes")
        if (self.sha256 is None) == (self.git_oid is None):
            raise ValueError(f"{self.path} needs either sha256 or git_oid")
        if not (SHA256.fullmatch(self.sha256 or "0" * 64) and COMMIT.fullmatch(self.git_oid or "0" * 40)):
            raise ValueError(f"{self.path} has a hash of the wrong form")

    @property
    def hash(self) -> str:
        """The hash after its kind, such as `sha256 9f86...`."""
        return f"sha256 {self.sha256}" if self.sha256 else f"git {self.git_oid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that the adapter expects and the origin of that number; the rows counted at the commit, and how."""

    expected: int | None = None
    origin: str = UNKNOWN
    counted: int | None = None
    counted_by: Literal["parquet footers", "dataset card"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Which files of the repository are needed: files of rows; archives and directories of media."""

    files: tuple[str, ...]
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Pinned facts of one source; `revision` is the branch or tag that pointed to `commit`."""

    source: str
    repo: str
    type: Literal["dataset"] = "dataset"
    revision: str = "main"
    commit: str | None = None
    license: str | None = None
    gated: Literal["auto", "manual"] | bool | None = None
    citation: str = ""
    rows: Rows = Rows()
    patterns: Patterns
    files: tuple[File, ...] = ()

    def __post_init__(self) -> None:
        if self.commit is not None and not COMMIT.fullmatch(self.commit):
            raise ValueError(f"commit is {self.commit!r}; it is 40 hex digits")
        if (self.commit is None) != (not self.files):
            raise ValueError("commit and files belong together: give both or neither")
        if len({file.path for file in self.files}) < len(self.files):
            raise ValueError("a file is listed twice")


def subject(name: str, directory: Path) -> Source | EvalSet:
    """The source or eval set of that name. Raises ConfigError with the closest names."""
    own = evalsets.own(directory)
    if name in evalsets.names() or name in own:
        return evalsets.get(name, manifests=directory)
    known = [*sources.names(), *sources.own(directory)]
    if name in known:
        return sources.get(name, directory)
    listed = "curate sources lists them, also with --evalsets"
    hint = config.did_you_mean(name, [*known, *evalsets.names(), *own], listed, most=3)
    raise ConfigError("source", f"no source or eval set is called {name!r}", "a bundled one or a manifest", hint)


def own_files(name: str) -> str:
    """The hint where a user's own source or eval set has no repository, and so nothing to pin or fetch."""
    return f"files of your own need no fetch: put them into {name}/ among the raw files, data/raw or --raw DIR"


def blank(name: str, about: Source | EvalSet) -> Manifest:
    """The manifest of a source or eval set before it is pinned."""
    if isinstance(about, EvalSet):
        files = tuple(pattern for layouts in about.layouts.values() for pattern in layouts)
        rows: int | None = (about.rows + sum(about.rows_of.values())) or None
    else:
        files, rows = about.files or CHOICES.get(name, ()), about.rows
    return Manifest(
        source=name,
        repo=about.repo,
        citation=about.paper,
        rows=Rows(expected=rows, origin=ORIGINS.get(name, UNKNOWN)),
        patterns=Patterns(files=files, media=about.media),
    )


def path_of(name: str, directory: Path) -> Path:
    """The path of the manifest of a source or eval set."""
    if name in evalsets.names():
        return directory / EVALSETS / f"{name}.yaml"
    if name in evalsets.own(directory):
        return directory / EVALSETS / f"{name}.pin.yaml"
    own = name in sources.own(directory)
    return directory / (f"{name}.pin.yaml" if own else f"{name}.yaml")


def read(name: str, directory: Path) -> Manifest:
    """The manifest of a source or eval set, the bundled one if the directory has none, else a blank one.

    Raises ConfigError for an unknown name, an invalid file, or a manifest pinned for files of another adapter.
    """
    facts = blank(name, subject(name, directory))
    path = path_of(name, directory)
    path = bundled.own_or_bundled(path, f"manifests/{path.parent.relative_to(directory)}")
    if not path.exists():
        return facts
    manifest = config.load(path, Manifest)
    again = f"curate pin {name}"
    for what, found, expected in (
        ("source", manifest.source, name),
        ("repo", manifest.repo, facts.repo),
        ("patterns", manifest.patterns, facts.patterns),
    ):
        if found != expected:
            difference = f"not those of the adapter of {name}" if what == "patterns" else f"found {found!r}"
            raise ConfigError(f"{path}: $.{what}", difference, "" if what == "patterns" else repr(expected), again)
    return manifest


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes text which curate.config would read as a number: a hash may look like 12e45."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


BREAKS = frozenset("\x85\u2028\u2029")  # line breaks to YAML, which only double quotes keep


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if BREAKS & set(value) else None)


_Dumper.add_representer(str, _string)


def text(manifest: Manifest) -> str:
    """The manifest as YAML: keys in a fixed order, one line per file."""
    head = asdict(manifest)
    files = head.pop("files")
    out = MACHINE_MADE + _dump(head)
    if not files:
        return out + "files: []\n"
    lines = [_flow({key: value for key, value in file.items() if value is not None}) for file in files]
    return out + "files:\n" + "".join(f"- {line}\n" for line in lines)


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)


def _flow(value: dict[str, Any]) -> str:
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30, default_flow_style=True
    ).rstrip("\n")


def write(manifest: Manifest, directory: Path) -> Path:
    """Write the manifest into the directory; an equal file is not rewritten."""
    path = path_of(manifest.source, directory)
    content = text(manifest)
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        with atomic(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return path


def archive(pattern: str) -> str:
    """The file that a pattern names: for `archive.zip!member`, the archive."""
    return pattern.partition("!")[0]


def matches(path: str, pattern: str) -> bool:
    """Whether Path.glob would find the file at `path` with this pattern."""
    return _match(_components(path), _components(archive(pattern)))


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _match(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":  # any number of directories, also none
        return any(_match(path[i:], pattern[1:]) for i in range(len(path)))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _match(path[1:], pattern[1:])


def is_row_file(path: str, patterns: Patterns) -> bool:
    """Whether the file holds rows."""
    return any(matches(path, pattern) for pattern in patterns.files)


def needed(files: Iterable[File], patterns: Patterns) -> tuple[File, ...]:
    """The files that the source reads, sorted by path; a media pattern may name a whole directory."""

    def wanted(path: str) -> bool:
        if is_row_file(path, patterns):
            return True
        parts = path.split("/")
        heads = ["/".join(parts[:i]) for i in range(len(parts) + 1)]
        return any(matches(head, pattern) for pattern in patterns.media for head in heads)

    return tuple(sorted((file for file in files if wanted(file.path)), key=lambda file: file.path))


def enough(files: Sequence[File], patterns: Patterns, rows: int) -> tuple[File, ...]:
    """The fewest files that give that many rows, sorted by path; files with unknown rows and media are all kept.

    Every pattern of row files that matches at all keeps one of its files, since the adapter asks for it.
    """
    counted = [file for file in files if file.rows is not None and is_row_file(file.path, patterns)]
    kept = [file for file in files if file not in counted]
    if len(patterns.files) > 1:
        for pattern in patterns.files:
            if not any(matches(file.path, pattern) for file in kept):
                theirs = [file for file in counted if matches(file.path, pattern)]
                kept += sorted(theirs, key=lambda file: (file.bytes, file.path))[:1]
    left = rows - sum(file.rows or 0 for file in kept)
    for file in _fewest([file for file in counted if file not in kept], left):
        kept.append(file)
    return tuple(sorted(kept, key=lambda file: file.path))


def _fewest(files: Sequence[File], rows: int) -> list[File]:
    """The largest files first; the last of them is the smallest that is large enough."""
    pool = sorted(files, key=lambda file: (-(file.rows or 0), file.bytes, file.path))
    out: list[File] = []
    while rows > 0 and pool:
        enough_alone = [file for file in pool if (file.rows or 0) >= rows]
        best = min(enough_alone, key=lambda file: (file.bytes, file.path)) if enough_alone else pool[0]
        pool.remove(best)
        out.append(best)
        rows -= best.rows or 0
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One fact that differs upstream from what was pinned."""

    source: str
    what: str
    pinned: str
    upstream: str


def compare(pinned: Manifest, now: Manifest) -> list[Drift]:
    """The differences between a manifest and the same source upstream now."""
    facts = [
        ("commit", (pinned.commit or "")[:10], (now.commit or "")[:10]),
        ("license", pinned.license, now.license),
        ("gated", pinned.gated, now.gated),
    ]
    out = [
        Drift(source=pinned.source, what=what, pinned=_word(was), upstream=_word(new))
        for what, was, new in facts
        if was != new
    ]
    return out + _rows_drift(pinned, now) + _file_drift(pinned, now)


def _rows_drift(pinned: Manifest, now: Manifest) -> list[Drift]:
    was, new = pinned.rows.counted, now.rows.counted
    if was == new:
        return []
    change = f" ({new - was:+,})" if was is not None and new is not None else ""
    by = now.rows.counted_by or pinned.rows.counted_by
    return [Drift(source=pinned.source, what=f"rows, {by}", pinned=_count(was), upstream=f"{_count(new)}{change}")]


def _file_drift(pinned: Manifest, now: Manifest) -> list[Drift]:
    was, new = ({file.path: file for file in manifest.files} for manifest in (pinned, now))
    out = []
    for path in sorted({*was, *new}):
        old, fresh = was.get(path), new.get(path)
        if old is None or fresh is None or old.hash != fresh.hash:
            out.append(Drift(source=pinned.source, what=path, pinned=_size(old), upstream=_size(fresh, old)))
    return out


def _size(file: File | None, before: File | None = None) -> str:
    """Its size and, where rows are known, its rows; the change against `before`."""
    if file is None:
        return "absent"
    size = f"{file.bytes:,} bytes"
    if before is not None:
        size += f" ({file.bytes - before.bytes:+,})" if file.bytes != before.bytes else ", other content"
    if file.rows is None:
        return size
    change = ""
    if before is not None and before.rows is not None and before.rows != file.rows:
        change = f" ({file.rows - before.rows:+,})"
    return f"{size}, {file.rows:,} rows{change}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value)


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
