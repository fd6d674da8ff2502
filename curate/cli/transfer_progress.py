"""The progress of files that go to or come from the Hub, on stderr."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn

from curate.cli.output import PLAIN_EVERY, PLAIN_FIRST, messages, say
from curate.tables import count
from curate.text.inert import terminal_line

LISTED = 100  # in a pipe, files are not listed one by one if there are more


class TransferProgress:
    """Shows a transfer: a bar for all files and, with `each`, one for each file that is being transferred.

    In a pipe, lines for finished files and every few seconds. `verb` is what happens to the files, for its first
    line.
    """

    def __init__(self, verb: str = "fetch", *, each: bool = True) -> None:
        self._verb, self._each = verb, each
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._sizes: dict[str, int] = {}
        self._arrived: dict[str, int] = {}
        self._name, self._due = "", 0.0

    def say(self, text: str) -> None:
        """Print one line, above the bars."""
        say(text)

    @contextmanager
    def files(self, name: str, sizes: Mapping[str, int]) -> Iterator[None]:
        """Show files, path -> bytes, while they are transferred."""
        self._name, self._due, self._sizes = name, time.monotonic() + PLAIN_FIRST, dict(sizes)
        self._arrived = dict.fromkeys(sizes, 0)  # its size stays: several threads may call `moved`
        self._tasks = {}
        if not messages().is_terminal:
            size = f"{sum(sizes.values()):,} bytes"
            say(f"{name}: {count(len(sizes), 'file')}, {size} to {self._verb}")
            yield
            return
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=18),
            DownloadColumn(), SpeedColumn(), TimeRemainingColumn(compact=True),
        )  # fmt: skip
        with Progress(*columns, console=messages(), transient=True) as self._bar:
            self._tasks[""] = self._bar.add_task(terminal_line(self._name), total=sum(self._sizes.values()))
            try:
                yield
            finally:
                self._bar = None

    def moved(self, path: str, done: int) -> None:
        """Show that `done` bytes of a file have arrived."""
        self._arrived[path] = done
        total, bar = sum(self._arrived.values()), self._bar
        if bar is not None:
            if self._each:
                if path not in self._tasks:
                    self._tasks[path] = bar.add_task(f"  {terminal_line(path)}", total=self._sizes[path])
                bar.update(self._tasks[path], completed=done)
            bar.update(self._tasks[""], completed=total)
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + PLAIN_EVERY
            size = sum(self._sizes.values())
            say(f"{self._name}: {total:,} of {size:,} bytes, {total / max(size, 1):.0%}")

    def finished(self, path: str) -> None:
        """Show that a file is complete and verified."""
        self.moved(path, self._sizes[path])
        if self._bar is not None:
            self._bar.remove_task(self._tasks.pop(path))
        elif len(self._sizes) <= LISTED:
            say(f"{self._name}: {path}, {self._sizes[path]:,} bytes, verified")
