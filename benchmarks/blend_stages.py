"""Runs a curate command and measures each of its stages, told apart by its lines on stderr."""

import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure

INTERVAL = 0.2  # seconds between two looks at the processes
IO_NAMES = ("rchar", "wchar", "read_bytes", "write_bytes")

STAGES = (
    (re.compile(r"screen: \d"), None),  # progress
    (re.compile(r"screen: "), "row steps"),
    (re.compile(r"sketches: "), "sketches"),
    (re.compile(r"images: decoding"), "image decoding"),
    (re.compile(r"(\w+): among [\d,]+ pairs"), r"\1"),
    (re.compile(r"shards: [\d,]+ pairs"), "shards"),
)
"""A line that matches begins the stage; the first that matches counts."""


@dataclass
class Stage:
    """What one stage took: seconds, peaks of the sums over all processes (bytes), and their IO since it began."""

    name: str
    seconds: float = 0.0
    resident: int = 0
    private: int = 0
    io: dict[str, int] = field(default_factory=lambda: dict.fromkeys(IO_NAMES, 0))

    def figures(self) -> dict[str, Any]:
        """As plain figures, memory and IO in MB."""
        mb = {name: round(value / 1e6, 1) for name, value in self.io.items()}
        memory = {"resident_mb": round(self.resident / 1e6), "private_mb": round(self.private / 1e6)}
        return {"seconds": round(self.seconds, 2), **memory, **mb}


@dataclass(frozen=True)
class Run:
    """A finished command and its stages."""

    done: measure.Finished
    stages: list[Stage]

    @property
    def resident(self) -> int:
        """The peak of the sum over all processes, in bytes; shared pages count once for each of them."""
        return max(stage.resident for stage in self.stages)

    @property
    def private(self) -> int:
        """The same without mapped files."""
        return max(stage.private for stage in self.stages)


class _Stages:
    """The observer that tells stages apart."""

    def __init__(self) -> None:
        self.stages = [Stage("normalize")]
        self._seen = dict.fromkeys(IO_NAMES, 0)
        self._begun = time.perf_counter()
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Begin the stage that the line announces, if it announces one."""
        for pattern, name in STAGES:
            found = pattern.match(text)
            if found is None:
                continue
            if name is not None:
                self.close()
                with self._lock:
                    self.stages.append(Stage(found.expand(name)))
            return

    def close(self) -> None:
        """End the last stage."""
        with self._lock:
            now = time.perf_counter()
            self.stages[-1].seconds = now - self._begun
            self._begun = now

    def look(self, pids: Sequence[int]) -> None:
        """Add a sample to the last stage."""
        found = [measure.memory(pid) for pid in pids]
        used = [_io(pid) for pid in pids]
        with self._lock:
            stage = self.stages[-1]
            stage.resident = max(stage.resident, sum(total for total, _ in found))
            stage.private = max(stage.private, sum(own for _, own in found))
            for name in IO_NAMES:
                # what a child has done becomes its parent's when it ends: the sum over all only grows
                now = sum(one.get(name, 0) for one in used)
                stage.io[name] += max(0, now - self._seen[name])
                self._seen[name] = max(now, self._seen[name])


def _io(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split(": ") for line in lines)
    return {name: int(values[name]) for name in IO_NAMES}


def curate(command: str, *words: str | Path) -> Run:
    """Run a command of curate. Raises RuntimeError with its last lines when it fails."""
    stages = _Stages()
    whole = [sys.executable, "-m", "curate", command, *words]
    done = measure.follow(whole, stages, {"PYTHONUNBUFFERED": "1"}, INTERVAL)
    stages.close()
    return Run(done, stages.stages)
