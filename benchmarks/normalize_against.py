"""normalize at this commit against another: the same pairs and skips, and CPU a pair, source by source.

    git worktree add /tmp/before COMMIT
    python benchmarks/normalize_against.py /tmp/before --made 100000    made-up files, for the time
    python benchmarks/normalize_against.py /tmp/before --raw samples    files that are there, for the content
    python benchmarks/normalize_against.py /tmp/before --raw tests/rows

Each commit normalizes a source in a process of its own, with one worker, `--rounds` times; the last counts (CPU
seconds of `normalize_all` alone: no start, and from the second round on no imports). Contents are compared by
column, pair by pair, and the lists of skipped rows row by row. With `--save` the table is written to
results/normalize_against.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
import normalize
import pyarrow.parquet as pq

CHILD = """
import json, shutil, sys, time
from pathlib import Path
from curate import sources
from curate.engines.local import Local
from curate.hashing import Hashes
from curate.pairs.normalize import Job, locate, normalize_all
from curate.workspace import Workspace

name, raw, home, rounds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
source = sources.get(name)
options = source.options() if source.options else None
for _ in range(rounds):
    shutil.rmtree(home, ignore_errors=True)
    space = Workspace(home)
    job = Job(name=name, source=source, raw=raw, options=options, max_skip=1.0)
    located = locate(job, space, Hashes(space.cache))
    started = time.process_time()
    (made,) = normalize_all([located], space, Local())
    took = time.process_time() - started
print(json.dumps({"cpu": took, "directory": str(made.directory), "manifest": made.manifest}))
"""


def _path(code: Path) -> str:
    """Where modules are looked for: first in the checkout, then where this process looks too."""
    return os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])


def run(code: Path, name: str, raw: Path, home: Path, rounds: int = 2) -> dict[str, Any]:
    """What one commit makes of a source, and the CPU seconds that it takes."""
    environment = {**os.environ, "PYTHONPATH": _path(code), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, name, str(raw), str(home), str(rounds)]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} at {code}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What differs between two artefacts: files, columns of pairs, skips, the account of rows and columns."""
    found = [
        name
        for name in ("rows", "pairs", "gave", "skipped", "columns")
        if ours["manifest"].get(name) != theirs["manifest"].get(name)
    ]
    left, right = (Path(one["directory"]) for one in (ours, theirs))
    names = [sorted(path.name for path in place.glob("*.parquet")) for place in (left, right)]
    if names[0] != names[1]:
        return [*found, f"files {sorted(set(names[0]) ^ set(names[1]))}"]
    for name in names[0]:
        if (left / name).read_bytes() != (right / name).read_bytes():
            one, other = pq.read_table(left / name), pq.read_table(right / name)
            apart = [column for column in one.column_names if not one[column].equals(other[column])]
            found.append(f"{name}: {', '.join(apart) or 'bytes only'}")
    return found


def table_of(before: Path, raw: Path, names: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """A row for each source."""
    rows = []
    with tempfile.TemporaryDirectory(
        dir=raw.parent if raw.parent.name.startswith("curate-bench") else None
    ) as home:
        for name in names:
            theirs = run(before, name, raw / name, Path(home) / "before", rounds)
            ours = run(Path(__file__).parent.parent, name, raw / name, Path(home) / "now", rounds)
            pairs = ours["manifest"]["pairs"]
            cost = [round(1e6 * one["cpu"] / max(pairs, 1), 1) for one in (theirs, ours)]
            found = differences(ours, theirs)
            rows.append(
                {"source": name, "pairs": pairs, "before": cost[0], "now": cost[1],
                 "times": round(cost[0] / cost[1], 2), "differs": found}
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Compare, print a table; exit with 1 where contents differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of the other commit")
    parser.add_argument("--raw", type=Path, help="raw files, one folder a source")
    parser.add_argument("--made", type=int, default=0, help="make so many pairs (and a hundredth with images)")
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--sources", nargs="*")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write the results file")
    given = parser.parse_args()

    def work(root: Path) -> dict[str, Any]:
        raw = (given.raw or root / "raw").absolute()
        if given.made:
            normalize.make(raw, given.made, given.made // 100)
        known = {path.stem for path in (Path(__file__).parent.parent / "curate/sources").glob("*.py")}
        names = given.sources or sorted(
            path.name for path in raw.iterdir() if path.is_dir() and path.name in known
        )
        return {"sources": table_of(given.before.absolute(), raw, names, given.rounds)}

    found = normalize.scratch(given.dir, work)
    head = ("source", "pairs", "us a pair before", "now", "times")
    print(
        measure.table(
            [[row[name] for name in ("source", "pairs", "before", "now", "times")] for row in found["sources"]],
            head,
        )
    )
    if given.save:
        before = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=given.before, capture_output=True, text=True
        )
        print(measure.save("normalize_against", {**measure.facts(), "before": before.stdout.strip(), **found}))
    sys.exit(any(row["differs"] for row in found["sources"]))


if __name__ == "__main__":
    main()
