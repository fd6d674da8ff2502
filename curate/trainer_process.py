"""Starts the programs of the trainer, which `curate` never imports: writes configs, runs commands."""

import ctypes
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from curate.errors import ConfigError, TrainError
from curate.installation import install_command

LIBRARIES = ("trainer", "torch", "transformers", "deepspeed", "accelerate", "peft", "safetensors", "tensorboard")
"""The trainer and what its extra installs: training, scoring and probing have the same requirements."""

STDERR = 2
LIBC = ctypes.CDLL(None)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # as torchrun sets it; on a busy machine, tiny kernels on two threads mostly wait
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "900",  # seconds that torchrun leaves for a checkpoint after a signal
}
NOISE = re.compile(r"\[?[WEI]\d{4} ")  # log lines of torchrun and of torch's C++
KILLED = re.compile(r"Signal \d+ \((\w+)\) received")
FAILED_RANK = re.compile(r"\s+rank\s+: (\d+)")


def check_installed() -> None:
    """Raise TrainError, with the command that installs them, for libraries of the trainer that are missing."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        found = f"{', '.join(missing)} not installed"
        raise TrainError("trainer", found, "the trainer's libraries", install_command("trainer"))


def prepare(preset: str | None, settings: Sequence[str]) -> None:
    """Check a run's config, a preset with `key=value` settings (`mix` and `out` among them), and write it.

    Raises ConfigError for a fault in it, and where the run directory holds a run with another config.
    """
    chosen = ["--preset", preset] if preset else []
    command = [sys.executable, "-m", "trainer.config", *chosen, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        watch = _Watch(lambda _: None)
        for line in done.stderr.splitlines():
            watch.take(line)
        where, found, hint = watch.error or ("trainer.config", done.stderr.strip(), "")
        raise ConfigError(where, found, "", hint)


def command(run: Path, processes: int) -> list[str]:
    """The command that trains the run: python for one process, torchrun for more."""
    config = str(run / "config.yaml")
    if processes == 1:
        return [sys.executable, "-m", "trainer.train", config]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *torchrun, "-m", "trainer.train", config]


def commands(run: Path, nodes: int, processes: int) -> dict[str, str]:
    """The lines that train the run on several machines, by what starts it, for a shell.

    `torchrun` is run on every node, with HEAD set to the name of one; `deepspeed` on one of them, with a hostfile
    that lists all; `slurm` in a job, or as the last line of a batch script, with a task for each GPU.
    """
    python, config = shlex.quote(sys.executable), shlex.quote(str(run / "config.yaml"))
    meeting = f'--rdzv-backend c10d --rdzv-endpoint "$HEAD:29500" --rdzv-id {shlex.quote(run.name)}'
    torchrun = f"-m torch.distributed.run --nnodes {nodes} --nproc-per-node {processes} {meeting}"
    deepspeed = f"-m deepspeed.launcher.runner --hostfile hostfile --num_nodes {nodes} --num_gpus {processes}"
    tasks = f"--nodes {nodes} --ntasks-per-node {processes} --gpus-per-node {processes} --kill-on-bad-exit=1"
    return {
        "torchrun": f"{python} {torchrun} -m trainer.train {config}",
        "deepspeed": f"{python} {deepspeed} --module trainer.train {config}",
        "slurm": f"srun {tasks} {python} -m trainer.train {config}",
    }


def run(command: Sequence[str], say: Callable[[str], None]) -> None:
    """Run the trainer to its end, passing on its lines.

    Ctrl-C is handed to it, so that it writes a checkpoint, and raised again when it has ended; a second one kills.
    So is SIGTERM, after which SystemExit(143) is raised. Raises TrainError with the trainer's own error, or with
    the process that was killed.
    """
    environment = {**ENVIRONMENT, **os.environ}
    watch, stopped, ended = _Watch(say), False, threading.Event()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
        start_new_session=True,  # so that a terminal's Ctrl-C reaches it only through us
        preexec_fn=_end_with_us,
    ) as process, _handed_on(process, ended):  # fmt: skip
        while process.returncode is None:
            try:
                for line in process.stdout or ():
                    watch.take(line.rstrip("\n"))
                process.wait()
            except KeyboardInterrupt:
                if stopped:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.send_signal(signal.SIGINT)
                stopped = True
    watch.flush()
    if process.returncode and (watch.error or not (stopped or ended.is_set())):
        raise watch.failure(process.returncode)
    if process.returncode and ended.is_set():
        raise SystemExit(128 + signal.SIGTERM)
    if stopped:
        raise KeyboardInterrupt


@contextmanager
def _handed_on(process: subprocess.Popen[str], ended: threading.Event) -> Iterator[None]:
    """Hand SIGTERM on to the process inside the block, and set `ended` then."""
    if threading.current_thread() is not threading.main_thread():  # it alone may have handlers
        yield
        return

    def hand_on(number: int, _: FrameType | None) -> None:
        ended.set()
        process.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_module(module: str, arguments: Sequence[str]) -> None:
    """Run `python -m module arguments`; what it prints, and what libraries of it print, goes to our stderr.

    Raises TrainError where the trainer is not installed or the program was killed, and SystemExit where it ended
    by itself with an error, since it has then printed what was wrong.
    """
    check_installed()
    code = subprocess.run([sys.executable, "-m", module, *arguments], stdout=STDERR, check=False).returncode
    if code < 0:
        hint = "out of memory? lower --max-tokens; the same command continues" if code == -signal.SIGKILL else ""
        raise TrainError(module, f"ended by {signal.Signals(-code).name}", "", hint)
    if code:
        raise SystemExit(code)


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `python -m module arguments`: signals reach it, and its exit code is ours."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        sys.executable, [sys.executable, "-m", module, *arguments], {**os.environ, "PYTHONWARNINGS": "ignore"}
    )


def _end_with_us() -> None:
    """Runs in the child: Linux ends it when we are killed, or it would go on and disturb the next run."""
    if sys.platform == "linux":
        LIBC.prctl(1, signal.SIGTERM)


class _Watch:
    """Reads the output of a trainer: passes on all but log noise, keeps its error and torchrun's report.

    Each process may print the same error; torchrun then reports the whole group in forty lines.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.error: tuple[str, str, str] | None = None
        self._say = say
        self._trace: list[str] = []
        self._report: list[str] | None = None

    def take(self, line: str) -> None:
        """Read the next line."""
        if self._report is not None:
            self._report.append(line)
        elif line.startswith("error: "):
            where, _, found = line.removeprefix("error: ").partition(": ")
            self.error = self.error or (where, found, "")
        elif line.startswith("hint: ") and self.error:
            self.error = (*self.error[:2], line.removeprefix("hint: "))
        elif line.startswith("Traceback ") or self._trace:
            self._traceback(line)
        elif not NOISE.match(line):
            self._say(line)

    def _traceback(self, line: str) -> None:
        self._trace.append(line)
        if line.startswith(("Traceback ", " ")) or not line:
            return
        if "torch.distributed.elastic" in line:
            self._report, self._trace = [], []
        self.flush()

    def flush(self) -> None:
        """Pass on a traceback, which is a defect of ours and has to be visible."""
        for line in self._trace:
            self._say(line)
        self._trace = []

    def failure(self, code: int) -> TrainError:
        """Why the trainer ended with this exit code."""
        if self.error:
            where, found, hint = self.error
            return TrainError(where, found, "", hint)
        text = "\n".join(self._report or []).rpartition("Root Cause")[2]  # the others died of it
        rank, killed = FAILED_RANK.search(text), KILLED.search(text)
        subject = f"process {rank[1]} of the trainer" if rank else "the trainer"
        name = killed[1] if killed else signal.Signals(-code).name if code < 0 else None
        if name is None:
            return TrainError(subject, f"ended with exit code {code}", "", "its last lines say why")
        again = "the same command continues from the last checkpoint"
        hint = f"out of memory? try a smaller max_tokens; {again}" if name == "SIGKILL" else again
        return TrainError(subject, f"was killed ({name})", "", hint)
