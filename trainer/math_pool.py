"""Compares answers of mathematics by math-verify, in processes of their own: `python -m trainer.math_pool` is one.

A comparison can run for ever or take all memory, and math-verify's own time limit works in the main thread only.
Workers are programs, not forks: a fork would copy the trainer's memory and threads, and a spawned one would run
the user's script again.
"""

import json
import logging
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

from curate.errors import TrainError
from curate.installation import install_command

SECONDS = 5  # of one comparison
START_SECONDS = 120  # of the first one: a process imports sympy


class MathPool:
    """Compares answers in up to `processes` processes, which start when they are needed and end with ours."""

    def __init__(self, processes: int = 2) -> None:
        if find_spec("math_verify") is None:
            found = "math-verify not installed"
            raise TrainError("match", found, "it, or match='exact'", install_command("reward"))
        self._threads = ThreadPoolExecutor(processes, "math")
        self._own = threading.local()

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each (right answer, given answer) are equal; what takes more than SECONDS is not."""
        return list(self._threads.map(self._equal, pairs))

    def _equal(self, pair: tuple[str, str]) -> bool:
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None or not worker.alive:
            worker = self._own.worker = _Worker()
        return worker.equal(pair)


class _Worker:
    """A process that compares one pair at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "trainer.math_pool"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self.alive = self._answer(START_SECONDS) is not None

    def equal(self, pair: tuple[str, str]) -> bool:
        """Compare a pair; the process is ended if it has no answer in time."""
        if not self.alive:
            raise TrainError("math-verify", "its process does not start", "python -m trainer.math_pool to run")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(pair) + "\n")
        except BrokenPipeError:  # it died, of memory
            self.close()
            self.alive = False
            return False
        found = self._answer(2 * SECONDS + 1)  # math-verify has a limit for each of its two parts
        self.alive = found is not None
        return found == "true"

    def _answer(self, seconds: float) -> str | None:
        """The next line, or None if there is none in time: the process is then ended."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
        return line.strip() or None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __del__(self) -> None:
        if hasattr(self, "_process") and self._process.returncode is None:
            self.close()


def main() -> None:
    """Answer `true` or `false` for every line [right answer, given answer], after a first line when ready."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)

    def parsed(text: str) -> list[Any]:
        return list(parse(f"${text}$", parsing_timeout=SECONDS))

    verify(parsed("1"), parsed("1"))  # the first takes a second
    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        right, given = json.loads(line)
        equal = bool(verify(parsed(right), parsed(given), timeout_seconds=SECONDS))
        print(json.dumps(equal), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
