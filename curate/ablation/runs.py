"""Runs: one arm with one seed, trained and scored by processes of their own, each in a folder that can resume.

<ablation>/<arm>-seed<k>/config.yaml    written when the ablation is prepared
                         result.json    the trainer's, last of all: training is done
                         final/         the reward model
                         scores/*.jsonl a score file for each eval set: the run is done
                         log.txt        the output of its processes
"""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import trainer_process
from curate.ablation.eval_items import EvalItems
from curate.checksums import usable
from curate.errors import TrainError
from curate.workspace import read_json

Say = Callable[[str], None]
PASSED_ON_EVERY = 30.0  # seconds between the lines of a run that are passed on


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm with one seed; `items` are the items files of all eval sets."""

    name: str
    folder: Path
    items: tuple[Path, ...]

    def scores(self, eval_set: EvalItems) -> Path:
        """The score file of an eval set."""
        return self._scores(eval_set.file)

    def _scores(self, items: Path) -> Path:
        return self.folder / "scores" / f"{items.stem}.jsonl"

    @property
    def result(self) -> dict[str, Any]:
        """The trainer's results of the finished training."""
        found: dict[str, Any] = read_json(self.folder / "result.json")
        return found

    def commands(self, processes: int) -> list[list[str]]:
        """The commands that are left, in order: train, then score the eval sets without scores."""
        out = [] if (self.folder / "result.json").exists() else [trainer_process.command(self.folder, processes)]
        missing = [str(items) for items in self.items if out or not usable(self._scores(items), unknown=True)]
        if missing:
            model, target = str(self.folder / "final"), str(self.folder / "scores")
            out.append([sys.executable, "-m", "trainer.score", model, *missing, "--out", target])
        return out

    def tidy(self) -> None:
        """Delete what a finished training no longer needs: optimizer states, and the best model (unused)."""
        if (self.folder / "result.json").exists():
            for name in ("checkpoints", "best"):
                shutil.rmtree(self.folder / name, ignore_errors=True)


def one_after_another(runs: Sequence[Run], processes: int, say: Say) -> None:
    """Finish all runs on this machine, one process at a time. Raises TrainError for the first that fails."""
    todo = [run for run in runs if run.commands(processes)]
    if len(todo) < len(runs):
        say(f"{len(runs) - len(todo)} of {len(runs)} runs are done already")
    for number, run in enumerate(todo, 1):
        say(f"run {number} of {len(todo)}: {run.name}")
        carry_out(run, processes, say)
        run.tidy()
    for run in runs:  # also those that were started by hand, from a plan
        run.tidy()


def carry_out(run: Run, processes: int, say: Say) -> None:
    """Execute the commands that a run still needs, with a log; pass a line of it on now and then.

    Raises TrainError with the log's name.
    """
    log = run.folder / "log.txt"
    for command in run.commands(processes):
        due = time.monotonic()  # of the next line that is passed on
        with open(log, "a", encoding="utf-8") as file:

            def write(line: str) -> None:
                nonlocal due
                file.write(f"{line}\n")
                file.flush()
                if time.monotonic() >= due:
                    due = time.monotonic() + PASSED_ON_EVERY
                    say(f"{run.name}: {line}")

            try:
                trainer_process.run(command, write)
            except TrainError as error:
                hint = f"{error.hint}; its log is {log}" if error.hint else f"its log is {log}"
                raise TrainError(f"{run.name}: {error.where}", error.found, error.expected, hint) from None
