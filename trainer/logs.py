"""The output of a run: messages on stderr, metrics as JSON lines and TensorBoard. Rank 0 only."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from curate.errors import CurateError
from curate.text.inert import terminal_line
from curate.workspace import atomic

LOG_SECONDS = 2.0  # seconds between lines about steps
FIRST_SECONDS = 2.0  # from the start of anything else to the first line about its progress
REPORT_SECONDS = 30.0  # between the next ones
LOGGED = ("loss", "accuracy", "lr", "grad_norm", "pairs_per_s", "tokens_per_s", "mfu")


def say(text: str) -> None:
    """Print one line for people, on stderr."""
    print(terminal_line(text), file=sys.stderr, flush=True)  # noqa: T201 - the trainer's only print


def fail(error: CurateError) -> int:
    """Print the error in one line, then its hint; returns the exit code of a user's error."""
    say(f"error: {error}")
    if error.hint:
        say(f"hint: {error.hint}")
    return 1


class Metrics:
    """Writes metrics.jsonl and TensorBoard files of a run directory, from after `step` on, if it is `active`.

    Rows that a killed run wrote after its last checkpoint are removed, so that every step is there once.
    """

    def __init__(self, run: Path, step: int, *, active: bool) -> None:
        self._active, self._logged_at = active, 0.0
        self._began: tuple[float, float] | None = None  # when the first step ended, and the share then finished
        if active:
            from torch.utils.tensorboard import SummaryWriter  # here: `fail` has to be quick

            _truncate(run / "metrics.jsonl", step)
            self._file = open(run / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
            self._board = SummaryWriter(str(run / "tb"), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            self._file.close()
            self._board.close()

    def step(self, row: Mapping[str, Any], done: float) -> None:
        """Write the row of a training step; `done` is the finished share of the run."""
        self._write(row, "train")
        now = time.monotonic()
        start, first = self._began = self._began or (now, done)
        left = f", {duration((now - start) * (1 - done) / (done - first))} left" if first < done < 1 else ""
        if self._active and (done >= 1 or now - self._logged_at > LOG_SECONDS):
            self._logged_at = now
            numbers = " ".join(f"{name} {_number(row[name])}" for name in LOGGED if row[name] is not None)
            say(f"step {row['step']:,} ({done:.0%}{left}): {numbers}")

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Write the row of an evaluation on one set."""
        self._write(row, f"eval/{row['eval']}")
        if self._active:
            say(f"step {row['step']:,}: {row['eval']} accuracy {row['accuracy']:.4f} ({row['pairs']:,} pairs)")

    def _write(self, row: Mapping[str, Any], top: str) -> None:
        if self._active:
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()
            for name, value in _scalars(row, top):
                self._board.add_scalar(name, value, row["step"])
            self._board.flush()


def _number(value: float) -> str:
    return f"{value:.4f}" if 0.01 <= abs(value) < 1000 else f"{value:,.0f}" if abs(value) >= 1 else f"{value:.2e}"


def _truncate(path: Path, step: int) -> None:
    if path.exists():
        kept = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if _step(line) <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _step(line: str) -> float:
    """The step of a row; infinity for a line that a kill cut short."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return math.inf


def _scalars(row: Mapping[str, Any], prefix: str) -> list[tuple[str, float]]:
    found = []
    for key, value in row.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}/{key}")
        elif isinstance(value, int | float) and key not in ("step", "eval"):
            found.append((f"{prefix}/{key}", float(value)))
    return found


class Clock:
    """Measures the seconds between calls of `lap`."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """The seconds since the last call, at least a microsecond."""
        now = time.perf_counter()
        seconds, self._last = max(now - self._last, 1e-6), now
        return seconds


class Progress:
    """Reports how many of the items, called `unit`, are finished, how fast, and how long the rest will take.

    A line at the start, one after FIRST_SECONDS, and one `every` so many seconds.
    """

    def __init__(
        self, name: str, done: int, total: int, unit: str = "items", every: float = REPORT_SECONDS
    ) -> None:
        self._name, self._unit, self._every = name, unit, every
        self._first, self._done, self._total = done, done, total
        self._start = time.monotonic()
        self._due = self._start + FIRST_SECONDS
        if done < total:
            say(f"{name}: {total - done:,} {unit} to do{f', {done:,} are done' if done else ''}")

    def tick(self) -> None:
        """Count one more."""
        self._done += 1
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every
            speed = (self._done - self._first) / max(now - self._start, 1e-9)
            left = duration((self._total - self._done) / speed)
            say(f"{self._name}: {self._done:,} of {self._total:,} {self._unit}, {speed:,.1f}/s, {left} left")


def duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
