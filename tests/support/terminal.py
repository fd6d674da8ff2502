"""A command on a terminal of its own (a pseudo-terminal), as a person would see it."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.paths import ROOT

CTRL_C = b"\x03"


def on_terminal(
    arguments: Sequence[str], cwd: Path, keys: Callable[[str], bytes] = lambda _: b"", timeout: float = 120
) -> tuple[int, str]:
    """Run `python ARGUMENTS` until it ends; its exit code, and all that it printed.

    `keys` is called with the output so far, whenever there is more, and returns what to type then.
    """
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=cwd, env=env, preexec_fn=lambda: os.login_tty(theirs), pass_fds=[theirs]
    ) as process:
        os.close(theirs)
        output = b""
        with suppress(OSError):  # the terminal is closed by the last process that has it
            while piece := os.read(ours, 1 << 16):
                output += piece
                if typed := keys(output.decode(errors="replace")):
                    os.write(ours, typed)
        code = process.wait(timeout)
    os.close(ours)
    return code, output.decode(errors="replace")
