"""The files of a mix that are published, checked against its lock, its licences and a scan for secrets."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from curate.cards import mix_card
from curate.cards.recipe_text import recipe_text
from curate.checksums import CHUNK
from curate.errors import CurateError, WorkspaceError
from curate.inspect.artefacts import Mix
from curate.licenses import known_id, terms
from curate.text.inert import json_text

REGULAR = 10_000_000  # bytes of the largest file that the Hub keeps in git itself
PLOTS = ("lengths", "longer", "margins", "sources")
"""The plots that a card may have."""

ROOT = Path("/")
SECRETS = [
    ("what looks like a Hub token", r"\bhf_[A-Za-z0-9]{16,}"),
    ("what looks like a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"),
    ("what looks like an AWS key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A file on disk and the hashes of its bytes; `git_oid` only if git itself may store it."""

    path: str
    bytes: int
    mtime_ns: int
    xxh3: str
    sha256: str
    git_oid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file to publish under `path`: its bytes or where they are, and the hashes that the Hub lists for it."""

    path: str
    size: int
    sha256: str
    git_oid: str | None
    content: Path | bytes


# --------------------------------------------------------------------------------------------------- files


def shared(lock: Mapping[str, Any]) -> dict[str, Any]:
    """The lock as published, without the files that quote items of eval sets.

    The review sheet is never published; the decisions are not if pairs were dropped by decontamination.
    """
    out = {name: value for name, value in lock.items() if name != "review"}
    if any(found["dropped"] for found in lock.get("decontamination", {}).values()):
        out["decisions"] = []
    return out


def items(mix: Mix, texts: Mapping[str, str], known: Iterable[Hashed], say: Callable[[str], None]) -> list[Item]:
    """Every file to publish: shards, holdout and decisions as the lock records them (`shared`), then the texts.

    A file with the size and time of a known one is not read. Raises WorkspaceError that names the first files that
    differ from the lock.
    """
    files, faults = [], []
    seen = {one.path: one for one in known}
    lock = shared(mix.lock)
    if not lock["decisions"] and mix.lock["decisions"]:
        say("decisions are not published: they quote pairs that contain items of eval sets")
    recorded = [*lock["files"], *lock["decisions"]]
    say(f"{mix.title}: checking {len(recorded):,} files against the lock")
    for entry in recorded:
        found = _hashed(mix.directory, entry, seen.get(entry["name"]))
        if fault := _fault(entry, found):
            faults.append(f"{entry['name']} {fault}")
        elif found is not None:
            files.append(_item(mix.directory, found))
    if faults:
        more = f", and {len(faults) - 3:,} more" if len(faults) > 3 else ""
        hint = f"curate verify {mix.title} names each; delete the directory and run curate mix to build it again"
        raise WorkspaceError(str(mix.directory), f"{'; '.join(faults[:3])}{more}", "the files of its lock", hint)
    return [*files, *(text_item(name, text.encode()) for name, text in texts.items())]


def hashed(mix: Mix, sent: Iterable[Item]) -> list[dict[str, Any]]:
    """The hashes of the files sent, as plain values that `items` reads the next time."""
    recorded = {entry["name"]: entry["xxh3"] for entry in (*mix.lock["files"], *mix.lock["decisions"])}
    return [
        asdict(
            Hashed(
                path=item.path,
                bytes=item.size,
                mtime_ns=item.content.stat().st_mtime_ns,
                xxh3=recorded[item.path],
                sha256=item.sha256,
                git_oid=item.git_oid,
            )
        )
        for item in sent
        if isinstance(item.content, Path)
    ]


def _hashed(directory: Path, recorded: Mapping[str, Any], known: Hashed | None) -> Hashed | None:
    """The hashes of a file, read at most once. If its xxh3 is as in the lock, so is its sha256."""
    path = directory / recorded["name"]
    if not path.is_file():
        return None
    stat = path.stat()
    if known is not None and (known.bytes, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return known
    fast = xxhash.xxh3_128()
    strong = None if "sha256" in recorded else hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % stat.st_size, usedforsecurity=False) if stat.st_size <= REGULAR else None
    digests = [digest for digest in (fast, strong, git) if digest is not None]
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            for digest in digests:
                digest.update(chunk)
    return Hashed(
        path=recorded["name"],
        bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        xxh3=fast.hexdigest(),
        sha256=strong.hexdigest() if strong is not None else recorded["sha256"],
        git_oid=git.hexdigest() if git is not None else None,
    )


def _fault(recorded: Mapping[str, Any], found: Hashed | None) -> str:
    if found is None:
        return "is missing"
    if found.bytes != recorded.get("bytes", found.bytes):
        return f"has {found.bytes:,} bytes, not {recorded['bytes']:,}"
    return "" if found.xxh3 == recorded["xxh3"] else f"has xxh3 {found.xxh3}, not {recorded['xxh3']}"


def _item(directory: Path, found: Hashed) -> Item:
    return Item(
        path=found.path,
        size=found.bytes,
        sha256=found.sha256,
        git_oid=found.git_oid,
        content=directory / found.path,
    )


def text_item(name: str, data: bytes) -> Item:
    """A small file that is sent with the commit."""
    return Item(
        path=name,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        git_oid=hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest(),
        content=data,
    )


def texts(mix: Mix) -> dict[str, str]:
    """The texts published with the shards, by name: the card with its plots and Croissant, the recipe, the lock.

    The card is made from the lock again. Raises WorkspaceError if the directory has a different one.
    """
    with tempfile.TemporaryDirectory() as folder:
        mix_card.write(mix.lock, Path(folder))
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        made = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    for name, text in made.items():
        path = mix.directory / name
        if path.exists() and path.read_bytes() != text.encode():
            hint = "delete it: the card is made from the lock again"
            raise WorkspaceError(str(path), "not what the lock gives", "the card of this mix", hint)
    lock = json_text(shared(mix.lock)) + "\n"
    return {**made, "recipe.yaml": recipe_text(mix.lock["recipe"]), "lock.json": lock}


MACHINE_NAMES = re.compile(r"(shard|holdout)-\d+\.parquet|decisions/[^/]+\.parquet")
"""Names of the files that a lock may list; no other file is ever deleted because a lock lists it."""


def listed(lock: object) -> set[str]:
    """The files of an earlier mix by its lock, with its plots; none if `lock` is not a lock of curate."""
    if not (isinstance(lock, dict) and isinstance(lock.get("fingerprint"), str) and "curate" in lock):
        return set()
    entries = [entry for kind in ("files", "decisions") for entry in lock.get(kind) or ()]
    names = {str(entry.get("name")) for entry in entries if isinstance(entry, dict)}
    return {name for name in names if MACHINE_NAMES.fullmatch(name)} | {f"plots/{name}.svg" for name in PLOTS}


# ------------------------------------------------------------------------------------------------ licences


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The licences of a mix that forbid sharing a changed copy, and those of unknown terms: label -> ids."""

    forbidden: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            name: {label: list(ids) for label, ids in found.items()}
            for name, found in (("forbidden", self.forbidden), ("unknown", self.unknown))
        }


def sharing(mix: Mix) -> Sharing:
    """What the licence table of the lock allows. Raises WorkspaceError if the lock has no table."""
    if "licenses" not in mix.lock:
        hint = "delete its directory and build it again with curate mix"
        raise WorkspaceError(str(mix.directory), "its lock has no licences", "a table of licences", hint)
    found: dict[str, dict[str, list[str]]] = {"forbidden": {}, "unknown": {}, "allowed": {}}
    for line in mix.lock["licenses"]["table"]:
        if line["pairs"] + line["held_out"]:
            one = terms(line["license"])
            both = (one.redistribution, one.derivatives)
            worst = next(word for word in ("forbidden", "unknown", "allowed") if word in both)
            found[worst].setdefault(line["label"], []).append(known_id(line["license"]))
    forbidden, unknown = (
        {label: tuple(ids) for label, ids in found[word].items()} for word in ("forbidden", "unknown")
    )
    return Sharing(forbidden=forbidden, unknown=unknown)


def allow(mix: Mix, found: Sharing, *, private: bool) -> None:
    """Raise CurateError if a licence forbids sharing the mix, or has unknown terms and the mix is public."""
    faults = []
    if found.forbidden:
        faults.append(f"forbidden by {named(found.forbidden)}")
    if found.unknown and not private:
        faults.append(f"not known to be allowed by {named(found.unknown)}")
    if not faults:
        return
    ids = {one for group in (found.forbidden, {} if private else found.unknown) for one in sum(group.values(), ())}
    ways = [f"leave them out with `licenses: {{exclude: [{', '.join(sorted(ids))}]}}` in the recipe"]
    ways += ["add --private"] if not found.forbidden else []
    hint = f"{', '.join(ways)}, or, if you have the rights, add --i-have-the-rights"
    wanted = f"a mix that may be shared {'privately' if private else 'in public'}"
    raise CurateError(mix.title, f"sharing a changed copy is {'; and '.join(faults)}", wanted, hint)


def notes(found: Sharing, *, rights: bool) -> list[str]:
    """Lines about what the licences allow."""
    groups = {"forbidden": found.forbidden, "not known to be allowed": found.unknown}
    lines = [
        f"licences: sharing a changed copy is {word} by {named(group)}" for word, group in groups.items() if group
    ]
    if not lines:
        return ["licences: sharing a changed copy is allowed by all sources"]
    return [*lines, "licences: you say that you have the rights"] if rights else lines


def named(found: Mapping[str, tuple[str, ...]]) -> str:
    """`povid (cc-by-nd-4.0), mmpr (unknown)`."""
    return ", ".join(f"{label} ({', '.join(ids)})" for label, ids in found.items())


# ------------------------------------------------------------------------------------------------- secrets


def scan(found: Mapping[str, str], token: str | None, workspace: Path) -> None:
    """Raise CurateError with the file and line of a text that contains a secret or a path of this machine."""
    places = {"this workspace": workspace, "your home directory": Path.home(), "this directory": Path.cwd()}
    wanted = [("the token in use", re.escape(token))] if token else []
    wanted += SECRETS
    for what, place in places.items():
        wanted += [(f"the path of {what}", _path(path)) for path in {place.absolute(), place.resolve()} - {ROOT}]
    for name, text in found.items():
        for what, pattern in wanted:
            if match := re.search(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                hint = "take it out of the recipe or manifest that it comes from, and build the mix again"
                raise CurateError(
                    f"{name}, line {line}", f"contains {what}", "no secret and no path of one machine", hint
                )


def _path(path: Path) -> str:
    """A pattern for the path and everything below it, but no longer name that begins like it."""
    return rf"(?<![\w.]){re.escape(str(path))}(?![\w.-])"
