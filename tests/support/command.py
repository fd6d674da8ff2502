"""`curate` in a process of its own, without the second that a start takes: a fork of one that has the imports.

A command finds what `python -m curate` would find: arguments, environment, directory, stdout and stderr are set
before the Hub's client is imported, which reads its settings then. Nothing is imported before the fork that starts
threads that the fork would lose (polars does).
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

READY = (
    "curate.cli.hub",
    "curate.cli.publish",
    "typer.rich_utils",
    "httpx2",  # what the Hub's client needs, without itself
    "tqdm.auto",
    "filelock",
    "pyarrow.parquet",
)

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([*READY, __name__])


class Command:
    """A command that runs; the part of `subprocess.Popen` that tests need."""

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path):
        self._outputs = TemporaryDirectory()
        self._process = forks.Process(target=_curate, args=(arguments, dict(env), cwd, Path(self._outputs.name)))
        for name in ("out", "err"):
            Path(self._outputs.name, name).touch()
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it has ended
            self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait; what it said on stdout and stderr. Raises TimeoutError."""
        self._process.join(timeout)
        if self.poll() is None:
            self.kill()
            raise TimeoutError
        out, err = (Path(self._outputs.name, name).read_text() for name in ("out", "err"))
        self._outputs.cleanup()
        return out, err


def _curate(arguments: tuple[str, ...], env: dict[str, str], cwd: Path, outputs: Path) -> None:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(outputs / name, os.O_WRONLY), stream)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["curate", *arguments]
    from curate.cli import main

    assert not {"huggingface_hub", "polars"} & set(sys.modules), "imported before the fork"
    main()


def curate(*arguments: str, env: Mapping[str, str], cwd: Path) -> SimpleNamespace:
    """A command, finished: `returncode`, `stdout`, `stderr`."""
    running = Command(*arguments, env=env, cwd=cwd)
    out, err = running.communicate()
    return SimpleNamespace(returncode=running.returncode, stdout=out, stderr=err)
