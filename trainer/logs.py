"""What a run says: talk on stderr, metrics as JSON lines and TensorBoard. Rank 0 only."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from curate.errors import CurateError
from curate.workspace import atomic

TELL_EVERY = 2.0  # seconds between lines about steps
TOLD = ("loss", "accuracy", "lr", "grad_norm", "pairs_per_s", "tokens_per_s", "mfu")


def say(text: str) -> None:
    """One line for people."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the trainer's one way to talk


def fail(error: CurateError) -> int:
    """The error in one line, then what to do next; the exit code of a user's error."""
    say(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""))
    return 1


class Metrics:
    """metrics.jsonl and TensorBoard files of a run directory, continued after `step`; silent unless `active`.

    Rows that a killed run wrote beyond its last checkpoint are taken out: every step stands there once.
    """

    def __init__(self, run: Path, step: int, *, active: bool) -> None:
        self._active, self._told = active, 0.0
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
        """The row of a training step; `done` is the share of the run that lies behind."""
        self._write(row, "train")
        if self._active and (done >= 1 or time.monotonic() - self._told > TELL_EVERY):
            self._told = time.monotonic()
            numbers = " ".join(f"{name} {_short(row[name])}" for name in TOLD if row[name] is not None)
            say(f"step {row['step']:,} ({done:.0%}): {numbers}")

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """The row of an evaluation on one set."""
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


def _short(value: float) -> str:
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
    """Seconds since it was last read."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap, at least a microsecond."""
        now = time.perf_counter()
        seconds, self._last = max(now - self._last, 1e-6), now
        return seconds
