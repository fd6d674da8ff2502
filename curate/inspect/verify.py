"""Compare the files of a workspace with what is recorded of them. Every hash is computed again."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from curate import export_receipt
from curate.checksums import SUFFIX, checksum_of, hash_file
from curate.contamination.index import PICTURES
from curate.errors import ConfigError, CurateError, WorkspaceError
from curate.hashing import Hashes, differing
from curate.hub.receipts import receipt
from curate.images.packs import Packs
from curate.inspect.artefacts import Mix, mix_at, pairs_at
from curate.lock_file import recorded
from curate.pairs import intact
from curate.pairs.normalize import raw_folders
from curate.tables import count
from curate.workspace import Workspace

FOLDERS = (
    "pairs", "images", "mixes", "arms", "cache", "scores", "runs", "features", "publish", "exports", "audits",
)  # fmt: skip
"""What `verify` without a mix looks at, beside raw files."""

KINDS = {
    "fetched": "fetched file", "raw": "raw file", "parts": "part", "skips": "list of skipped rows",
    "shards": "shard",
    "decisions": "decisions file", "reviews": "review sheet", "cards": "file of cards", "packs": "pack of images",
    "exported": "exported file", "checksums": "file with a checksum",
}  # fmt: skip
PLURALS = {"skips": "lists of skipped rows", "cards": "files of cards", "packs": "packs of images",
           "checksums": "files with a checksum"}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Report:
    """The result: a line for each file that differs, a line for what could not be checked, and counts of files."""

    differing: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        plain = asdict(self)
        return {name: plain[name] for name in ("differing", "unchecked")} | {x: self.counts[x] for x in KINDS}

    @property
    def summary(self) -> str:
        """The counts in one line."""
        counts = [
            f"{self.counts[name]:,} {PLURALS[name]}"
            if name in PLURALS and self.counts[name] != 1
            else count(self.counts[name], what)
            for name, what in KINDS.items()
            if self.counts[name]
        ]
        bad = f"{count(len(self.differing), 'fault')} found" if self.differing else "all as recorded"
        return f"checked {', '.join(counts) or 'nothing'}: {bad}"


def verify_files(
    workspace: Workspace, mix: Mix | None, raw: Path | None, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Compare files with what is recorded: those of a mix and of all it was made from, or the whole workspace.

    Raw files are in `raw`, one folder per source; by default in the workspace, or where they were when they were
    normalized. `say` receives a line about what is being read.
    """
    run = _Run(workspace, raw, say)
    if mix is not None:
        run.mix(mix)
        for pool in mix.pools:
            run.pairs_of(workspace.pairs(pool.source, pool.fingerprint), mix.lock["sources"][pool.label])
        return run.finished()
    for path in sorted((workspace.root / "raw").glob("*/fetched.json")):
        run.fetched(path.parent.name)
    for directory in _folders(workspace.root / "pairs"):
        run.pairs_of(directory, None)
    for place in ("mixes", "arms"):
        for directory in _folders(workspace.root / place):
            run.mix_in(directory)
    run.packs(workspace.images)
    for index in sorted((workspace.cache / "contamination").glob("*")):
        run.packs(index / PICTURES)
    for directory in sorted(path for path in workspace.exports.glob("*") if path.is_dir()):
        run.export(directory)
    run.rest()
    return run.finished()


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*/*") if path.is_dir())


class _Run:
    def __init__(self, workspace: Workspace, raw: Path | None, say: Callable[[str], None]) -> None:
        self.workspace, self.given, self.say = workspace, raw, say
        self.report = Report()
        self.hashes = Hashes(workspace.cache / "never-remembered")  # within one run a file is read once
        self.raw_folders = raw_folders(workspace)
        self.seen: set[tuple[str, str]] = set()
        self.covered: set[Path] = set()
        self.absent: dict[Path, tuple[str, int]] = {}

    def finished(self) -> Report:
        """The report, with one line about all raw files that are not there."""
        if self.absent:
            sources = sorted({source for source, _ in self.absent.values()})
            files = count(sum(files for _, files in self.absent.values()), "raw file")
            there = ", ".join(sorted(map(str, self.absent)))
            line = f"{files} of {', '.join(sources)}: not in {there}; --raw DIR says where they are"
            self.report.unchecked.append(line)
        return self.report

    def differs(self, line: str) -> None:
        if line not in self.report.differing:
            self.report.differing.append(line)

    def mix_in(self, directory: Path) -> None:
        path = directory / "lock.json"
        if not path.exists():
            self.report.unchecked.append(f"{directory}: unfinished, it has no lock")
            self.covered |= {path for path in directory.rglob("*") if path.is_file()}
            return
        try:
            self.mix(mix_at(directory))
        except WorkspaceError as error:
            self.differs(str(error))
            self.covered.add(path)

    def mix(self, mix: Mix) -> None:
        self.say(f"reading {mix.title}")
        self.checksum(mix.directory / "lock.json")
        patterns = ("shard-*.parquet", "holdout-*.parquet", "decisions/*.parquet", "plots/*.svg")
        self.files(mix.directory, recorded(mix.lock), patterns if "card" in mix.lock else patterns[:3])
        for kind, entries in (("shards", "files"), ("decisions", "decisions"), ("cards", "card")):
            self.report.counts[kind] += len(mix.lock.get(entries, ()))
        self.report.counts["reviews"] += "review" in mix.lock
        old = [mix.review] if "review" not in mix.lock else []
        old += [mix.directory / "README.md"] if "card" not in mix.lock else []
        for path in old:
            if path.exists():
                self.report.unchecked.append(f"{path}: not in the lock, which is of an earlier version")
                self.covered.add(path)

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
                self.differs(str(error))
                self.covered.add(directory / "manifest.json")
            else:
                facts = pairs.manifest
                self.say(f"reading {pairs.title}")
                self.parts(directory, facts["parts"])
        if facts:
            self.inputs(directory, facts)
            if self.given is None and facts["revision"]:
                self.fetched(str(facts["source"]))

    def parts(self, directory: Path, receipts: Iterable[Mapping[str, Any]]) -> None:
        known = [entry for receipt in receipts for entry in intact.recorded(receipt)]
        self.checksum(directory / "manifest.json")
        self.files(directory, {name: {"xxh3": xxh3} for name, xxh3 in known}, ("part-*.parquet",))
        parts = sum(name.startswith("part-") for name, _ in known)
        self.report.counts["parts"] += parts
        self.report.counts["skips"] += len(known) - parts

    def fetched(self, source: str) -> None:
        """Fetched files against the hashes that the Hub gave for them."""
        from curate.hub.transfer import hash_of  # brings the Hub's client with it

        try:
            found = receipt(self.workspace, source)
        except (ConfigError, WorkspaceError) as error:
            self.differs(str(error))
            return
        if found is None or (source, found.commit) in self.seen:
            return
        self.seen.add((source, found.commit))
        self.say(f"reading {count(len(found.files), 'fetched file')} of {source}")
        for file in found.files:
            path = self.workspace.raw(source) / found.commit / file.path
            if not path.is_file():
                self.differs(f"{path}: missing; expected {file.hash}")
            elif (value := hash_of(path, file)) != file.hash:
                self.differs(f"{path}: {value}; expected {file.hash}, as the Hub has it")
            self.report.counts["fetched"] += 1

    def inputs(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """The raw files of pairs."""
        source = str(facts["source"])
        raw = self.folder(directory, source, facts["revision"] or "")
        fresh = [entry for entry in facts["inputs"] if (str(raw / entry["path"]), str(entry)) not in self.seen]
        self.seen |= {(str(raw / entry["path"]), str(entry)) for entry in fresh}
        if not fresh:
            return
        if not raw.is_dir():
            self.absent[raw] = source, self.absent.get(raw, (source, 0))[1] + len(fresh)
            return
        size = sum(entry["bytes"] for entry in fresh)
        self.say(f"reading {count(len(fresh), 'raw file')} of {source}, {size / 1e6:,.1f} MB")
        self.report.counts["raw"] += len(fresh)
        for line in differing(raw, fresh, self.hashes):
            self.differs(line)
        if self.given is not None or not facts["revision"]:  # fetched files are checked one by one
            self.report.unchecked += [
                f"{raw / entry['path']}: its files are known by names and sizes, the images made of them by hash"
                for entry in fresh
                if "listing" in entry
            ]

    def folder(self, directory: Path, source: str, revision: str) -> Path:
        """Where the raw files of pairs are."""
        if self.given is not None:
            return self.given / source
        default = self.workspace.raw(source) / revision
        remembered = self.raw_folders.get(f"{source}/{directory.name}")
        return default if default.is_dir() or remembered is None else remembered

    def packs(self, root: Path) -> None:
        """Every image of a store."""
        names = sorted(path.stem for path in (root / "packs").glob("*.parquet"))
        if names:
            self.say(f"reading {count(len(names), 'pack')} of images in {root}")
        for name in names:
            index = root / "packs" / f"{name}.parquet"
            self.checksum(index)
            self.covered.add(index.with_suffix(".pack"))
            self.report.counts["packs"] += 1
            try:
                fault = Packs.fault(root / "packs", name)
            except CurateError as error:
                fault = "" if any(line.startswith(f"{index}:") for line in self.report.differing) else str(error)
            if fault:
                self.differs(fault)

    def export(self, directory: Path) -> None:
        """An export of a mix, against its receipt."""
        there = {path for path in directory.rglob("*") if path.is_file()}
        try:
            facts = export_receipt.read(directory)
        except WorkspaceError as error:
            self.differs(str(error))
            self.covered |= there
            return
        if facts is None:
            self.report.unchecked.append(f"{directory}: unfinished, it has no receipt")
        else:
            self.say(f"reading {directory.name}")
            self.checksum(directory / export_receipt.NAME)
            self.report.counts["exported"] += len(facts["files"]) + facts["images"]["files"]
            for line in export_receipt.differing(directory, facts):
                self.differs(line)
        self.covered |= there

    def files(self, directory: Path, known: Mapping[str, Mapping[str, Any]], patterns: Iterable[str]) -> None:
        """Recorded files (name: {xxh3}) against those there; one without a record differs too."""
        for name, entry in known.items():
            self.covered.add(directory / name)
            if fault := _fault(directory / name, entry):
                self.differs(f"{directory / name}: {fault}")
        for pattern in patterns:
            for path in sorted(directory.glob(pattern)):
                if path.relative_to(directory).as_posix() not in known:
                    self.covered.add(path)
                    self.differs(f"{path}: not recorded; expected no such file")

    def checksum(self, path: Path) -> None:
        """A file against the checksum beside it."""
        beside = checksum_of(path)
        if path in self.covered or not beside.exists():
            return
        self.covered |= {path, beside}
        self.report.counts["checksums"] += 1
        found, record = hash_file(path), beside.read_bytes()
        if record != f"{found}\n".encode():
            text = record.decode(errors="replace").strip()[:40]
            self.differs(f"{path}: xxh3 {found}; expected {text}, as {beside.name} beside it says")

    def rest(self) -> None:
        """All that has a checksum, and how many files have no record at all."""
        unknown: Counter[str] = Counter()
        for name in FOLDERS:
            for path in sorted((self.workspace.root / name).rglob("*")):
                if path.name.startswith(".") or not path.is_file() or path in self.covered:
                    continue
                if path.name.endswith(
                    SUFFIX
                ):  # looked at with its file; without one, it is left of what was deleted
                    continue
                if checksum_of(path).exists():
                    self.checksum(path)
                else:
                    unknown[name] += 1
        for name, files in unknown.items():
            self.report.unchecked.append(
                f"{self.workspace.root / name}: nothing is recorded of {count(files, 'file')}"
            )


def _fault(path: Path, recorded: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f"missing; expected xxh3 {recorded['xxh3']}"
    size = path.stat().st_size
    if size != recorded.get("bytes", size):
        return f"{size:,} bytes; expected {recorded['bytes']:,}"
    found = hash_file(path)
    return "" if found == recorded["xxh3"] else f"xxh3 {found}; expected {recorded['xxh3']}"
