"""Runs one stage of a benchmark as processes of its own and measures its cost.

The measuring process stays small on purpose: Linux counts the peak memory of a new process from its parent's.
"""

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Protocol

RESULTS = Path(__file__).parent / "results"
INTERVAL = 0.05  # seconds between two looks at the memory of the process tree
PACKAGES = ("curate-preferences", "datasets", "pyarrow", "polars", "orjson", "xxhash", "zstandard", "simplejpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one stage took, start of the interpreter included; memory in MB (10**6 bytes).

    wall, cpu    seconds; CPU of all its processes
    process_mb   peak resident memory of its largest process (from the kernel)
    tree_mb      peak of the sum over all its processes (sampled; shared pages count once for each of them)
    private_mb   the same without mapped files: what cannot be given back under pressure
    written_mb   all that its processes wrote, temporary files included
    output       what the stage printed, if it printed JSON
    """

    wall: float
    cpu: float
    process_mb: float
    tree_mb: float
    private_mb: float
    written_mb: float
    output: Any = field(default=None, compare=False)

    def figures(self) -> dict[str, float]:
        """The costs without the output, rounded to what is meaningful."""
        return {name: round(value, 2) for name, value in asdict(self).items() if name != "output"}


class Observer(Protocol):
    """What follows a running command."""

    def line(self, text: str) -> None:
        """Take a line that the command wrote to stderr."""
        ...

    def look(self, pids: Sequence[int]) -> None:
        """Take a sample of the command's processes, `pids`."""
        ...


class Memory:
    """Peaks of the sums over all processes, in bytes: resident memory, and that without mapped files."""

    def __init__(self) -> None:
        self.resident = self.private = 0

    def line(self, text: str) -> None:
        """Ignore it."""

    def look(self, pids: Sequence[int]) -> None:
        """Raise the peaks to what the processes have now."""
        found = [memory(pid) for pid in pids]
        self.resident = max(self.resident, sum(total for total, _ in found))
        self.private = max(self.private, sum(own for _, own in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished command: wall and CPU seconds, peak memory of its largest process and IO in bytes, its output."""

    wall: float
    cpu: float
    largest: int
    read: int
    written: int
    output: str


def follow(
    command: Sequence[str | Path],
    observer: Observer,
    environment: Mapping[str, str] | None = None,
    interval: float = INTERVAL,
) -> Finished:
    """Run the command to its end; the observer looks every `interval` seconds, from a thread of its own.

    Raises RuntimeError with the command's last lines when it fails.
    """
    os.sync()  # what earlier stages wrote must not be written at this one's expense
    started = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    over, lines = threading.Event(), deque[str](maxlen=30)

    def listen(stream: IO[str]) -> None:
        for line in stream:
            lines.append(line.rstrip())
            observer.line(line)

    def watch() -> None:
        while not over.wait(interval):
            observer.look(_tree(child.pid))

    threads = [threading.Thread(target=listen, args=(child.stderr,), daemon=True)]
    threads.append(threading.Thread(target=watch, daemon=True))
    for thread in threads:
        thread.start()
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    for thread in threads:
        thread.join()
    if child.returncode:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words} ended with {child.returncode}:\n" + "\n".join(lines))
    return Finished(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        largest=usage.ru_maxrss * 1024,
        read=usage.ru_inblock * 512,
        written=usage.ru_oublock * 512,
        output=output,
    )


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run the command to its end and measure it. Raises RuntimeError with its last lines when it fails."""
    peaks = Memory()
    done = follow(command, peaks, environment)
    return Cost(
        wall=done.wall,
        cpu=done.cpu,
        process_mb=done.largest / 1e6,
        tree_mb=peaks.resident / 1e6,
        private_mb=peaks.private / 1e6,
        written_mb=done.written / 1e6,
        output=_json(done.output),
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _tree(root: int) -> list[int]:
    """The process and all its descendants that still run."""
    pids, found = [root], [root]
    while pids:
        pid = pids.pop()
        try:
            children = [
                int(child)
                for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except (FileNotFoundError, ProcessLookupError):
            continue
        pids += children
        found += children
    return found


def memory(pid: int) -> tuple[int, int]:
    """(resident, anonymous) bytes of a process now; zeros once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "RssAnon")))
    resident, private = (int(sizes.get(name, "0 kB").split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))
    return resident, private


def machine() -> dict[str, Any]:
    """Where this runs."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown")
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = os.getloadavg()[0]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "ram_gb": round(ram / 1e9, 1),
        "system": platform.platform(terse=True),
        "load_at_start": round(load, 2),
    }


def facts() -> dict[str, Any]:
    """Date, versions and machine, for the head of a results file."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in PACKAGES},
        "machine": machine(),
    }


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=RESULTS, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def save(name: str, results: Mapping[str, Any]) -> Path:
    """Write results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """The rows as a Markdown table, numbers to the right."""
    texts = [[f"{cell:,.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in texts
    ]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
