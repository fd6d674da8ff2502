"""What an engine promises, and how a task reports its progress."""

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeVar

from curate.errors import CurateError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Tick:
    """Work done since the last tick: rows read, rows skipped, raw bytes read."""

    rows: int = 0
    skipped: int = 0
    bytes: int = 0

    def __add__(self, other: "Tick") -> "Tick":
        return Tick(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def beyond(self, other: "Tick") -> "Tick":
        """Return what this has more than the other, nowhere less than 0."""
        return Tick(*(max(0, mine - its) for mine, its in zip(astuple(self), astuple(other), strict=True)))


Listener = Callable[[Tick], None]


class Engine(Protocol):
    """Maps a module-level function over small picklable tasks; data moves through files.

    A function must give the same result, and leave the same files, when it is run again: also after a run that
    was killed half way, or beside one that is about to be. A task's `__str__`, where its class has one, names the
    work in messages.
    """

    workers: int
    """How many threads the caller itself may use, on its own machine."""

    def map(
        self,
        fn: Callable[[T], R],
        tasks: Sequence[T],
        listen: Listener | None = None,
        *,
        threads: bool = False,
        gpus: bool = False,
    ) -> Iterator[R]:
        """Yield results in the order of the tasks; the first failure propagates. `listen` gets every tick.

        `threads` says that the function works outside the interpreter's lock nearly always: on this machine
        threads are enough then, which neither start an interpreter nor load anything again. `gpus` says that each
        task takes a GPU where a cluster has some; on this machine tasks choose theirs themselves.
        """
        ...


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Here(threading.local):
    listener: Listener | None = None


_here = _Here()


def tick(rows: int = 0, skipped: int = 0, bytes: int = 0) -> None:  # noqa: A002 - the field's name
    """Report work done to the listener of this thread, if there is one."""
    if _here.listener is not None:
        _here.listener(Tick(rows, skipped, bytes))


def listen_here(listener: Listener | None) -> None:
    """Make `listener` the listener of this thread."""
    _here.listener = listener


def attempt(fn: Callable[[T], R], task: T) -> tuple[bool, Any]:
    """Return (True, the result), or (False, the exception) with this process's traceback as a note."""
    try:
        return True, fn(task)
    except CurateError as error:
        return False, error
    except Exception as error:  # noqa: BLE001 - it goes on in the process that asked
        error.add_note(traceback.format_exc())
        return False, error


def doing(fn: Callable[[T], R], task: T) -> str:
    """Return what a worker does, for messages."""
    named = type(task).__str__ is not object.__str__  # a dataclass has only a repr, and that is long
    return str(task) if named else f"running {fn.__name__.strip('_')}"
