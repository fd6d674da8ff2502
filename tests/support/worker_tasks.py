"""Tasks for engines under test, in a module that every worker can import."""

import os
import signal
import time
from pathlib import Path

from curate.engines.base import tick
from curate.engines.local import Local
from curate.errors import GuardError


def slow_square(n: int) -> int:
    tick(rows=n, bytes=1)
    time.sleep(0.05 * (5 - n))  # later tasks end first
    tick(rows=n)
    return n * n


def killed_once(folder: Path) -> None:
    """Die the first time, once the driver has heard of three rows: it then makes the file `heard`."""
    tick(rows=1)
    tick(rows=2)
    if not (folder / "killed").exists():
        (folder / "killed").touch()
        for _ in range(30_000):
            if (folder / "heard").exists():
                break
            tick()
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    tick(rows=3)


def visible_gpus(_: int) -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def fail(n: int) -> int:
    if n == 2:
        raise GuardError("here", "two", "another", "try three")
    if n == 4:
        raise OSError(28, "No space left on device", "/full")
    return n


class Named(int):
    def __str__(self) -> str:
        return f"doing number {int(self)}"


def die(n: int) -> int:
    if n == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def read_here(path: Path) -> str:
    return path.read_text()


def hog(seconds: float) -> None:
    held = bytearray(300 << 20)
    time.sleep(seconds)
    assert held


def work_until_stopped(_: int) -> None:
    os.write(1, b"working\n")  # at once, so that another process's line never comes between
    time.sleep(60)


def stopped_by_ctrl_c() -> None:
    """Work with two workers until Ctrl-C. Prints `stopped` then; workers print nothing."""
    try:
        with Local(2) as engine:
            list(engine.map(work_until_stopped, [1, 2]))
    except KeyboardInterrupt:
        os.write(1, b"stopped\n")
