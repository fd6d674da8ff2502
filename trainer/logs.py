"""What a run says: talk on stderr, metrics as JSON lines and TensorBoard. Rank 0 only."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curate.errors import CurateError
from curate.workspace import atomic


def say(text: str) -> None:
    """One line for people."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the trainer's one way to talk


def fail(error: CurateError) -> int:
    """The error in one line, then what to do next; the exit code of a user's error."""
    say(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""))
    return 1


class Metrics:
    """metrics.jsonl and TensorBoard files of a run directory, continued after `step`.

    Rows that a killed run wrote beyond its last checkpoint are taken out: every step stands there once.
    """

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = run / "metrics.jsonl"
        _truncate(path, step)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._board = SummaryWriter(str(run / "tb"), purge_step=step + 1)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._board.close()  # type: ignore[no-untyped-call]

    def write(self, row: Mapping[str, Any]) -> None:
        """One row, at once on disk; its numbers go to TensorBoard too."""
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()
        top = f"eval/{row['eval']}" if "eval" in row else "train"
        for name, value in _scalars(row, top):
            self._board.add_scalar(name, value, row["step"])  # type: ignore[no-untyped-call]
        self._board.flush()  # type: ignore[no-untyped-call]


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
