"""One flipped byte in each file of a finished workspace, in three places each: what do the next runs give?

    python benchmarks/corruption.py [--files N] [--out benchmarks/results/corruption.json]

The workspace is that of four sample sources, one of them as `curate fetch` leaves it, with row steps, near_dedup,
image_duplicates and decontaminate. After each flip:

verify   must name the file
mix      the mix is up to date: its bytes must be those of the undisturbed run, or the run ends with one line
rebuild  the mix was deleted, so that every stage reads what is cached: the same
hint     where a run ended with one line, its hint is followed, and the next run must give the bytes
"""

import argparse
import filecmp
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash
from typer.testing import CliRunner

from curate import bundled, checksums
from curate.cli import app
from curate.contamination import index
from curate.errors import CurateError
from curate.hub import manifests
from curate.pairs import resolver

PLACES = (0.02, 0.5, 0.98)
SEED = 7
FETCHED = "helpsteer3"
RECIPE = """
name: blend
seed: 7
raw: samples
sources:
  povid: all
  mm_rlhf: {rows: 15}
  wildvision_battle: all
  helpsteer3: {all: true, cap: 20}
holdout: {rows_per_source: 3}
steps:
  - ties
  - identical
  - length: {max_prompt: 4000, max_reply: 4000}
  - language: {keep: [en]}
  - exact_duplicates
  - near_dedup
  - image_duplicates
  - decontaminate: {text: [protected.txt], images: [protected]}
shards: {max_mb: 0.1, media: embed}
"""
Run = tuple[str, str]
"""How a command ended (`done`, `line` or `traceback`), and its error with the hint."""


def prepare(root: Path) -> None:
    """The recipe, the raw files, the protected texts and images, and the finished workspace in `root`."""
    (root / "blend.yaml").write_text(RECIPE, encoding="utf-8")
    shutil.copytree(bundled.folder("samples"), root / "samples")
    _fetch(root / "samples" / FETCHED, root / "data/raw" / FETCHED)
    (root / "protected.txt").write_text("How many moons does the planet Mars have in our solar system?\n")
    (root / "protected").mkdir()
    for path in sorted((root / "samples").rglob("*.jpg"))[:2]:
        shutil.copy(path, root / "protected" / path.name)
    os.chdir(root)  # the recipe names its protected files from here
    how, error = curate("mix", root / "data", None, root / "blend.yaml")
    if how != "done":
        sys.exit(f"the undisturbed run: {error}")


def _fetch(raw: Path, to: Path) -> None:
    """Move the raw files of a source into the workspace, with the receipt that `curate fetch` writes."""
    commit = manifests.read(FETCHED, Path("manifests")).commit or "0" * 40
    shutil.move(raw, to / commit)
    files = [
        {"path": path.relative_to(to / commit).as_posix(), "bytes": path.stat().st_size,
         "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted((to / commit).rglob("*")) if path.is_file()
    ]  # fmt: skip
    facts = {"source": FETCHED, "repo": "nvidia/HelpSteer3", "commit": commit, "revision": "main", "pinned": True,
             "license": "cc-by-4.0", "complete": True, "files": files}  # fmt: skip
    checksums.write_record(to / "fetched.json", facts)


def curate(command: str, workspace: Path, raw: Path | None, *arguments: Path) -> Run:
    """Run a command as a new process would: nothing that this one remembers counts."""
    checksums._hashed.clear()
    index._checked.clear()
    index._load.cache_clear()
    resolver._STORES.clear()
    resolver._FINDERS.clear()
    workers = ["--workers", "1"] if command == "mix" else []
    places = ["--workspace", str(workspace.absolute()), *(["--raw", str(raw.absolute())] if raw else [])]
    done = CliRunner().invoke(app, [command, *map(str, arguments), *workers, *places])
    if isinstance(done.exception, CurateError):
        return "line", f"{done.exception}\n{done.exception.hint}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return "traceback", repr(done.exception)
    return "done", done.stdout


def flip(path: Path, share: float) -> None:
    """Turn all bits of one byte."""
    data = bytearray(path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 0xFF
    path.write_bytes(data)


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): xxhash.xxh3_128_hexdigest(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def kind(name: str) -> str:
    """What a file is: its folders without names and fingerprints, and its suffix."""
    parts = name.split("/")
    place = {"pairs": 3, "mixes": 3, "raw": 3, "cache": 1, "images": 1}.get(parts[0], 0)
    folder = parts[place] if len(parts) > place + 1 else ""
    folder = re.sub(r"-[0-9a-f]{16}$", "", folder)
    end = re.sub(r"[0-9a-f]{16,}|\d{5}", "*", parts[-1])
    end = (
        f"*.{end.split('.', 1)[1]}"
        if folder in ("steps", "scores", "decisions", "plots", "contamination")
        else end
    )
    return "/".join(filter(None, (parts[0], folder, end)))


class Sweep:
    """The trials on one workspace."""

    def __init__(self, root: Path, recipe: Path, raw: Path | None) -> None:
        self.recipe, self.raw = recipe, raw
        self.data, self.kept = root / "data", root / "kept"
        shutil.copytree(self.data, self.kept)
        self.whole = contents(self.data / "mixes")
        self.counts: dict[str, Counter[str]] = {}
        self.faults: list[str] = []

    def restore(self) -> None:
        """Put the undisturbed workspace back: the files that were written to or removed since."""
        for folder, other in ((self.data, self.kept), (self.kept, self.data)):
            for path in [path for path in folder.rglob("*") if path.is_file()]:
                twin = other / path.relative_to(folder)
                if folder == self.data and not twin.exists():
                    path.unlink()
                elif folder == self.kept and not (twin.exists() and filecmp.cmp(path, twin)):
                    twin.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, twin)

    def same(self) -> bool:
        """Whether the mix is that of the undisturbed run, byte by byte."""
        return contents(self.data / "mixes") == self.whole

    def trial(self, name: str, share: float) -> None:
        """Flip one byte and look at what follows."""
        found = self.counts.setdefault(kind(name), Counter(trials=0))
        found["trials"] += 1
        flip(self.data / name, share)
        how, text = curate("verify", self.data, self.raw)
        owner = str(self.data / name).removesuffix(checksums.SUFFIX)
        self.count(found, "verify", "named" if how == "done" and owner in text else "missed", name, share, text)
        self.count(found, "mix", *self.run(name, share))
        self.restore()
        flip(self.data / name, share)
        shutil.rmtree(self.data / "mixes")
        self.count(found, "rebuild", *self.run(name, share))
        self.restore()

    def run(self, name: str, share: float) -> tuple[str, str, float, str]:
        """How `mix` ended; where it ended with a line, the hint is followed."""
        how, text = curate("mix", self.data, self.raw, self.recipe)
        if how == "done":
            return ("same" if self.same() else "other bytes"), name, share, text
        if how == "line":
            path = re.search(r"\ndelete (\S+), then", text)
            if path is None:
                return "line without a hint", name, share, text
            self.follow(Path(path[1]))
            again, text = curate("mix", self.data, self.raw, self.recipe)
            return ("line, mended" if again == "done" and self.same() else "line, hint failed"), name, share, text
        return how, name, share, text

    def follow(self, path: Path) -> None:
        """Delete a file; one that was fetched comes again, with its checksum, if it has one."""
        path.unlink()
        if path.is_relative_to(self.data / "raw"):
            whole = self.kept / path.relative_to(self.data)
            for again in whole.parent.glob(f"{whole.name}*"):
                shutil.copy(again, path.with_name(again.name))

    def count(self, found: Counter[str], what: str, result: str, name: str, share: float, text: str) -> None:
        """Add an outcome to the counts, and to the faults where it is one."""
        found[f"{what}: {result}"] += 1
        if result not in ("named", "same", "line, mended"):
            self.faults.append(f"{name} at {share:g}, {what}: {result}: {text.strip()[:300]}")


def in_turn(names: Iterable[str]) -> list[str]:
    """One file of each kind, then a second of each that has two, and so on; which is first depends on its name."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: xxhash.xxh3_64_intdigest(name.encode(), SEED)):
        kinds.setdefault(kind(name), []).append(name)
    turns = itertools.zip_longest(*(kinds[one] for one in sorted(kinds)))
    return [name for turn in turns for name in turn if name is not None]


def summary(sweep: Sweep, files: int, every: int, seconds: float) -> dict[str, Any]:
    """The table of counts, of `files` of `every` file of the workspace."""
    return {
        "files": files,
        "files_of_the_workspace": every,
        "seconds": round(seconds),
        "total": dict(sorted(sum(sweep.counts.values(), Counter()).items())),
        "kinds": {name: dict(sorted(counts.items())) for name, counts in sorted(sweep.counts.items())},
        "faults": sweep.faults,
    }


def main() -> None:
    """Sweep; the table of counts is written after every file, so that a run that is stopped leaves its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--files", type=int, default=1 << 30, metavar="N", help="only N files, of each kind in turn"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "corruption.json")
    parser.add_argument("--memory", type=Path, help="where the workspace is: a file system in memory is faster")
    options = parser.parse_args()
    start, out = time.monotonic(), options.out.absolute()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.memory) as folder:
        prepare(Path(folder))
        sweep = Sweep(Path(folder), Path(folder, "blend.yaml"), None)
        names = in_turn(name for name in contents(sweep.kept) if name != ".lock")
        for number, name in enumerate(names[: options.files], 1):
            for share in PLACES:
                sweep.trial(name, share)
            report = summary(sweep, number, len(names), time.monotonic() - start)
            out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            if number % 20 == 0:
                print(
                    f"{number:,} of {len(names):,} files, {len(sweep.faults)} faults", file=sys.stderr, flush=True
                )
    print(json.dumps({name: value for name, value in report.items() if name != "kinds"}, indent=2))


if __name__ == "__main__":
    main()
