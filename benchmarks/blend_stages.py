"""Runs a curate command and says what each of its stages took, by what it says on stderr."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import measure

INTERVAL = 0.2  # seconds between two looks at the processes
IO_NAMES = ("rchar", "wchar", "read_bytes", "write_bytes")

STAGES = (
    (re.compile(r"screen: \d"), None),  # progress
    (re.compile(r"screen: "), "row steps"),
    (re.compile(r"sketches: "), "sketches"),
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


@dataclass
class Run:
    """A finished command: wall and CPU seconds, peak of its largest process (bytes), IO, output, talk, stages."""

    wall: float
    cpu: float
    largest: int
    read: int
    written: int
    output: str
    talk: list[str]
    stages: list[Stage]

    @property
    def resident(self) -> int:
        """The peak of the sum over all processes; shared pages count once for each of them."""
        return max(stage.resident for stage in self.stages)

    @property
    def private(self) -> int:
        """The same without mapped files."""
        return max(stage.private for stage in self.stages)


class _Watch:
    """Follows a process tree and its stderr."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.stages = [Stage("normalize")]
        self.talk: list[str] = []
        self._seen = dict.fromkeys(IO_NAMES, 0)
        self._begun = time.perf_counter()
        self._over, self._lock = threading.Event(), threading.Lock()

    def listen(self, stream: IO[str]) -> None:
        for line in stream:
            self.talk.append(line.rstrip())
            self._enter(line)

    def _enter(self, line: str) -> None:
        for pattern, name in STAGES:
            found = pattern.match(line)
            if found is None:
                continue
            if name is not None:
                with self._lock:
                    self._close()
                    self.stages.append(Stage(found.expand(name)))
            return

    def _close(self) -> None:
        now = time.perf_counter()
        self.stages[-1].seconds = now - self._begun
        self._begun = now

    def look(self) -> None:
        while not self._over.wait(INTERVAL):
            pids = measure._tree(self.root)
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

    def stop(self) -> None:
        self._over.set()
        with self._lock:
            self._close()


def _io(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return {}
    values = dict(line.split(": ") for line in lines)
    return {name: int(values[name]) for name in IO_NAMES}


def run(command: Sequence[str | Path]) -> Run:
    """Run the command to its end. Raises RuntimeError with its last words when it fails."""
    os.sync()
    started = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    watch = _Watch(child.pid)
    assert child.stdout is not None
    assert child.stderr is not None
    threads = [
        threading.Thread(target=watch.listen, args=(child.stderr,), daemon=True),
        threading.Thread(target=watch.look, daemon=True),
    ]
    for thread in threads:
        thread.start()
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    watch.stop()
    for thread in threads:
        thread.join()
    if child.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, command))} ended with {child.returncode}:\n" + "\n".join(watch.talk[-30:])
        )
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        largest=usage.ru_maxrss * 1024,
        read=usage.ru_inblock * 512,
        written=usage.ru_oublock * 512,
        output=output,
        talk=watch.talk,
        stages=watch.stages,
    )


def curate(command: str, *words: str | Path) -> Run:
    """Run a command of curate."""
    return run([sys.executable, "-m", "curate", command, *words])
