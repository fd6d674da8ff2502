"""Starts `trainer.score_pairs`: once, in several processes of this machine, or as tasks of a cluster."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import trainer_process
from curate.checksums import usable
from curate.engines.base import Engine, Listener, tick
from curate.workspace import Workspace, write_json

MODULE = "trainer.score_pairs"
DONE = re.compile(r"scores: ([\d,]+) of [\d,]+ pairs")
"""A line of its progress."""

Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes that score: at most `count` at a time, or for None one for each file of pairs.

    One runs here; several run wherever the engine works, and `listen` gets their ticks.
    """

    engine: Engine
    count: int | None = 1
    listen: Listener | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTask:
    """Some files of pairs for one process: its jobs file, and its command."""

    jobs: Path
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"scoring the pairs of {self.jobs}"


def in_one(jobs: Sequence[Job], workspace: Workspace, name: str, arguments: Sequence[str]) -> None:
    """Score in one process, whose lines go to our stderr."""
    path = workspace.cache / "score_jobs" / f"{name}.json"
    write_json(path, list(jobs))
    trainer_process.run_module(MODULE, [str(path), "--images", str(workspace.images), *arguments])


def in_several(
    jobs: Sequence[Job], workspace: Workspace, name: str, arguments: Sequence[str], processes: Processes
) -> None:
    """Score in these processes; files that are there stay.

    Files are dealt out in turn. On a machine with GPUs each process takes the next one. Raises TrainError.
    """
    left = [job for job in jobs if not usable(Path(job["out"]))]
    groups = grouped(left, processes.count)
    if len(groups) < 2 and processes.count is not None:
        if jobs:
            in_one(jobs, workspace, name, arguments)
        return
    trainer_process.check_installed()
    tasks = []
    for number, some in enumerate(groups):
        path = (workspace.cache / "score_jobs" / f"{name}-{number}.json").absolute()
        write_json(path, some)
        command = [sys.executable, "-m", MODULE, str(path), "--images", str(workspace.images), *arguments]
        tasks.append(ScoreTask(jobs=path, command=(*command, "--device", str(number))))
    list(processes.engine.map(score, tasks, processes.listen, threads=True, gpus=True))


def grouped(jobs: Sequence[Job], most: int | None) -> list[list[Job]]:
    """The jobs dealt out to at most so many processes, none without a job."""
    count = len(jobs) if most is None else min(most, len(jobs))
    return [list(jobs[number::count]) for number in range(count)]


def score(task: ScoreTask) -> None:
    """Carry out one task, ticking the pairs that are scored. Raises TrainError."""
    before = 0

    def read(line: str) -> None:
        nonlocal before
        if found := DONE.match(line):
            now = int(found[1].replace(",", ""))
            tick(rows=now - before)
            before = now

    trainer_process.run(task.command, read)
