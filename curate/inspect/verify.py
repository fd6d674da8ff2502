"""Compare the files of a workspace with their manifests and locks. Every hash is computed again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import WorkspaceError
from curate.hashing import Hashes, differing, hash_file
from curate.hub.receipts import receipt
from curate.inspect.artefacts import Mix, pairs_at
from curate.inspect.text import count
from curate.workspace import Workspace, read_json


@dataclass(slots=True, kw_only=True)
class Report:
    """The result: a line for each file that differs, a line for what could not be checked, and counts of files."""

    differing: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    fetched: int = 0
    raw: int = 0
    parts: int = 0
    shards: int = 0
    decisions: int = 0
    reviews: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)

    @property
    def summary(self) -> str:
        """The counts in one line."""
        kinds = {"raw": "raw file", "parts": "part", "shards": "shard", "decisions": "decisions file",
                 "reviews": "review sheet"}  # fmt: skip
        kinds = {"fetched": "fetched file", **kinds} if self.fetched else kinds
        counts = [count(getattr(self, name), what) for name, what in kinds.items()]
        bad = f"{count(len(self.differing), 'fault')} found" if self.differing else "all as recorded"
        return f"checked {', '.join(counts)}: {bad}"


def verify_files(
    workspace: Workspace, mix: Mix | None, raw: Path | None, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Compare files with what is recorded: those of a mix and of all it was made from, or the whole workspace.

    Raw files are in `raw`, one folder per source, by default in the workspace; they are checked if that folder
    exists. `say` receives a line about what is being read.
    """
    run = _Run(workspace, raw, say)
    if mix is not None:
        run.mix(mix)
        for pool in mix.pools:
            run.pairs_of(workspace.pairs(pool.source, pool.fingerprint), mix.lock["sources"][pool.label])
        return run.report
    for path in sorted((workspace.root / "raw").glob("*/fetched.json")):
        run.fetched(path.parent.name)
    for directory in sorted(path for path in (workspace.root / "pairs").glob("*/*") if path.is_dir()):
        run.pairs_of(directory, None)
    for directory in sorted(path for path in (workspace.root / "mixes").glob("*/*") if path.is_dir()):
        run.mix_at(directory)
    return run.report


class _Run:
    def __init__(self, workspace: Workspace, raw: Path | None, say: Callable[[str], None]) -> None:
        self.workspace, self.raw, self.say = workspace, raw, say
        self.report = Report()
        self.hashes = Hashes(workspace.cache / "never-remembered.json")  # within one run a file is read once
        self.seen: set[tuple[str, str]] = set()

    def mix_at(self, directory: Path) -> None:
        path = directory / "lock.json"
        if not path.exists():
            self.report.unchecked.append(f"{directory}: unfinished, it has no lock")
            return
        try:
            lock = read_json(path)
        except WorkspaceError as error:
            self.report.differing.append(str(error))
            return
        self.mix(Mix(directory=directory, lock=lock))

    def mix(self, mix: Mix) -> None:
        self.say(f"reading {mix.title}")
        files, decisions = mix.lock["files"], mix.lock["decisions"]
        self.files(mix.directory, files, ("shard-*.parquet", "holdout-*.parquet"))
        self.files(mix.directory, decisions, ("decisions/*.parquet",))
        self.report.shards += len(files)
        self.report.decisions += len(decisions)
        if "review" in mix.lock:
            self.files(mix.directory, [mix.lock["review"]], ())
            self.report.reviews += 1
        elif mix.review.exists():
            self.report.unchecked.append(f"{mix.review}: not in the lock, which is of an earlier version")

    def pairs_of(self, directory: Path, locked: dict[str, Any] | None) -> None:
        """A pairs artefact, and its raw files by its manifest or, without one, by what a lock says of it."""
        facts = locked
        if not (directory / "manifest.json").exists():
            state = "unfinished, they have no manifest" if directory.exists() else "these pairs are not here"
            self.report.unchecked.append(f"{directory}: {state}")
        else:
            try:
                pairs = pairs_at(directory)
            except WorkspaceError as error:
                self.report.differing.append(str(error))
            else:
                facts = pairs.manifest
                self.say(f"reading {pairs.title}")
                self.files(directory, facts["parts"], ("part-*.parquet",))
                self.report.parts += len(pairs.parts)
        if facts:
            self.inputs(str(facts["source"]), facts["revision"] or "", facts["inputs"])
            if self.raw is None and facts["revision"]:
                self.fetched(str(facts["source"]))

    def fetched(self, source: str) -> None:
        """Fetched files against the hashes that the Hub gave for them."""
        from curate.hub.transfer import hash_of  # brings the Hub's client with it

        found = receipt(self.workspace, source)
        if found is None or (source, found.commit) in self.seen:
            return
        self.seen.add((source, found.commit))
        self.say(f"reading {count(len(found.files), 'fetched file')} of {source}")
        for file in found.files:
            path = self.workspace.raw(source) / found.commit / file.path
            if not path.is_file():
                self.report.differing.append(f"{path}: missing; expected {file.hash}")
            elif (value := hash_of(path, file)) != file.hash:
                self.report.differing.append(f"{path}: {value}; expected {file.hash}, as the Hub has it")
            self.report.fetched += 1

    def inputs(self, source: str, revision: str, recorded: Sequence[dict[str, Any]]) -> None:
        raw = self.raw / source if self.raw is not None else self.workspace.raw(source) / revision
        fresh = [entry for entry in recorded if (str(raw / entry["path"]), str(entry)) not in self.seen]
        self.seen |= {(str(raw / entry["path"]), str(entry)) for entry in fresh}
        if not raw.is_dir():
            if fresh:
                self.report.unchecked.append(f"{raw}: missing, so {count(len(fresh), 'raw file')} of {source}")
            return
        if fresh:
            size = sum(entry["bytes"] for entry in fresh)
            self.say(f"reading {count(len(fresh), 'raw file')} of {source}, {size / 1e6:,.1f} MB")
        self.report.raw += len(fresh)
        self.report.differing += differing(raw, fresh, self.hashes)

    def files(self, directory: Path, recorded: Sequence[dict[str, Any]], patterns: Iterable[str]) -> None:
        """Recorded files ({name or file, xxh3}) against those there; one without a record differs too."""
        names = {str(entry.get("name") or entry["file"]): entry for entry in recorded}
        for name, entry in names.items():
            fault = _fault(directory / name, entry)
            if fault:
                self.report.differing.append(f"{directory / name}: {fault}")
        for pattern in patterns:
            for path in sorted(directory.glob(pattern)):
                if path.relative_to(directory).as_posix() not in names:
                    self.report.differing.append(f"{path}: not recorded; expected no such file")


def _fault(path: Path, recorded: dict[str, Any]) -> str:
    if not path.is_file():
        return f"missing; expected xxh3 {recorded['xxh3']}"
    size = path.stat().st_size
    if size != recorded.get("bytes", size):
        return f"{size:,} bytes; expected {recorded['bytes']:,}"
    found = hash_file(path)
    return "" if found == recorded["xxh3"] else f"xxh3 {found}; expected {recorded['xxh3']}"
