"""Ray: the same functions as tasks on the nodes of a cluster that share the workspace. The only import of Ray.

Nothing but tasks and results travels through Ray. A task that was lost with its node or its worker is run again by
Ray, elsewhere; that its files come out the same is promised by every task (curate.engines.base).
"""

import contextlib
import functools
import logging
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import curate
from curate.engines.base import Listener, Tick, attempt, cpus, doing, listen_here
from curate.errors import EngineError

RETRIES = 3
os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # Ray's default is for ever; read when it is loaded
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no statistics

import ray  # noqa: E402
import ray._private.worker  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2  # tasks handed to Ray for each CPU: one at work, one ready
EVERY = 0.5  # seconds between reports of a task at work
REACH = 5.0  # seconds until an address is given up
STORE_BYTES = 100 << 20  # Ray's least but a little: results are small
AGAIN = "run the same command again: it continues"


@dataclass(frozen=True, slots=True)
class _Place:
    """What every worker must see: the directory of the command, a file in its workspace, its version of curate."""

    folder: str
    mark: str
    version: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a task, and all its ticks together."""

    well: bool
    value: Any
    ticks: Tick


class _NotHereError(EngineError):
    """The worker cannot work for this command at all."""


class Ray:
    """Runs on the cluster at `address` (HOST:PORT, or `auto`: the one of this machine), else on a Ray of its own.

    workers  how many tasks are at work at the same time, at most; without it, as many as the cluster has CPUs
    Use as a context manager inside the hold of the `workspace`. Raises EngineError where the cluster cannot be
    reached, where a node does not see the workspace, and where a task was lost more than RETRIES times.
    """

    def __init__(self, workspace: Path, address: str | None = None, workers: int | None = None) -> None:
        self.workers = min(workers or cpus(), cpus())
        self._limit = workers
        self._tasks = 0  # handed to Ray at the same time
        self._address = address
        self._mark = workspace / "cache" / f".ray-{uuid.uuid4().hex}.tmp"  # swept away after a kill
        self._run: _Run | None = None
        self._progress: Any = None

    def __enter__(self) -> Self:
        connect(self._address, self._limit)
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.touch()
        self._tasks = self._limit or AHEAD * max(size().cpus, 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._run is not None:
            self._run.cancel()
        self._mark.unlink(missing_ok=True)
        ray.shutdown()

    def map(
        self,
        fn: Callable[[T], R],
        tasks: Sequence[T],
        listen: Listener | None = None,
        *,
        threads: bool = False,  # noqa: ARG002 - a task of Ray's is a process in any case
        gpus: bool = False,
    ) -> Iterator[R]:
        """Results in the order of the tasks; the first failure propagates, one of a node's own at once."""
        if listen is not None and self._progress is None and tasks:
            self._progress = _start_progress()
        place = _Place(str(Path.cwd()), str(self._mark), curate.__version__)
        run = self._run = _Run(fn, tasks, place, listen, self._progress, gpus=gpus)
        try:
            for number in range(len(tasks)):
                while number not in run.done:
                    run.submit(self._tasks)
                    run.wait()
                outcome = run.done.pop(number)
                if not outcome.well:
                    raise outcome.value
                yield outcome.value
        finally:
            run.cancel()


class _Run:
    """One map: the tasks that Ray has now by the objects that they will give, and what came of others."""

    def __init__(
        self, fn: Callable[..., Any], tasks: Sequence[Any], place: _Place, listen: Listener | None, progress: Any,
        *, gpus: bool,
    ) -> None:  # fmt: skip
        self.done: dict[int, _Outcome] = {}
        self._fn, self._tasks, self._place, self._listen, self._progress = fn, tasks, place, listen, progress
        self._next = 0
        self._running: dict[Any, int] = {}
        self._reported_so_far: dict[str, Tick] = {}
        taken = {"num_cpus": 1, "num_gpus": 1 if gpus and ray.cluster_resources().get("GPU") else 0}
        self._work = ray.remote(_work).options(**taken, max_retries=RETRIES, scheduling_strategy="SPREAD")

    def submit(self, limit: int) -> None:
        """Hand Ray the next tasks, so that it has this many."""
        while self._next < len(self._tasks) and len(self._running) < limit:
            ref = self._work.remote(self._fn, self._tasks[self._next], self._place, self._progress)
            self._running[ref] = self._next
            self._next += 1

    def wait(self) -> None:
        """Wait until a task is done, EVERY seconds at most. Raises EngineError where a node cannot work for us."""
        ready, _ = ray.wait(list(self._running), timeout=EVERY)
        for ref in ready:
            number = self._running.pop(ref)
            outcome = self.done[number] = _outcome(ref, doing(self._fn, self._tasks[number]))
            self._report(ref.task_id().hex(), outcome.ticks)
            if isinstance(outcome.value, _NotHereError):
                raise outcome.value
        if not ready and self._progress is not None:
            for task, ticks in _read(self._progress).items():
                self._report(task, ticks)

    def _report(self, task: str, ticks: Tick) -> None:
        """Pass on what is new in the ticks of a task so far, which are fewer once it has begun again elsewhere."""
        before = self._reported_so_far.get(task, Tick())
        new = ticks.beyond(before)
        if self._listen is not None and new != Tick():
            self._reported_so_far[task] = before + new
            self._listen(new)

    def cancel(self) -> None:
        """Cancel running tasks: the workspace is about to be released."""
        for ref in self._running:
            ray.cancel(ref, force=True)
        if self._running:
            ray.wait(list(self._running), num_returns=len(self._running), timeout=REACH)
        self._running.clear()


def _outcome(ref: Any, what: str) -> _Outcome:
    """What a finished task gave, or why it gave nothing."""
    try:
        outcome: _Outcome = ray.get(ref)
        return outcome
    except ray.exceptions.OutOfMemoryError as error:
        node = re.search(r"IP: ([^,)]+)", str(error))
        found = f"was killed for lack of memory again and again, at last while {what}"
        hint = f"fewer --workers leave more memory to each; {AGAIN}"
        where = f"a Ray worker on {node[1]}" if node else "a Ray worker"
        return _Outcome(False, EngineError(where, found, "", hint), Tick())
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
        found = f"was lost {1 + RETRIES} times while {what}, most often for lack of memory or with its node"
        return _Outcome(False, EngineError("a Ray worker", found, "", f"{AGAIN}; try fewer --workers"), Tick())
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        hint = "every node needs this version of curate and of Python"
        return _Outcome(False, _NotHereError("a Ray worker", f"cannot begin: {lines[-1]}", "", hint), Tick())


# ------------------------------------------------------------------------------------------------ on the nodes


def _work(fn: Callable[[T], R], task: T, place: _Place, progress: Any) -> _Outcome:
    """Carry out one task; runs on a node."""
    try:
        _settle(place)
    except EngineError as error:
        return _Outcome(False, error, Tick())
    reporter = _Reporter(progress)
    listen_here(reporter.add)
    try:
        well, value = attempt(fn, task)
    finally:
        listen_here(None)
    return _Outcome(well, value, reporter.ticks)


@functools.cache
def _settle(place: _Place) -> None:
    """Change to the directory of the command: paths may be relative. Raises EngineError where it is missing."""
    with contextlib.suppress(OSError):  # absolute paths may be on another file system than this directory
        os.chdir(place.folder)
    node = socket.gethostname()
    if curate.__version__ != place.version:
        found, expected = f"has curate {curate.__version__}", place.version
        raise _NotHereError(f"Ray node {node}", found, expected, "install the same version on every node")
    if not Path(place.mark).exists():
        workspace = Path(place.mark).parent.parent
        raise _NotHereError(
            f"Ray node {node}",
            f"does not see the workspace {workspace}",
            "a directory that all nodes share",
            "name one with --workspace, or use --engine local",
        )


class _Reporter:
    """Sums the ticks of a task, and reports the sum to the progress actor every so often."""

    def __init__(self, progress: Any) -> None:
        self.ticks = Tick()
        self._progress, self._reported = progress, time.monotonic()

    def add(self, tick: Tick) -> None:
        self.ticks += tick
        if self._progress is not None and time.monotonic() - self._reported >= EVERY:
            self._reported = time.monotonic()
            self._progress.add.remote(ray.get_runtime_context().get_task_id(), self.ticks)


class _Progress:
    """An actor beside the command: the ticks of every task that has reported since the last read."""

    def __init__(self) -> None:
        self._ticks: dict[str, Tick] = {}

    def add(self, task: str, ticks: Tick) -> None:
        self._ticks[task] = ticks

    def read(self) -> dict[str, Tick]:
        ticks, self._ticks = self._ticks, {}
        return ticks


def _start_progress() -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(_Progress).options(num_cpus=0, scheduling_strategy=here).remote()


def _read(progress: Any) -> dict[str, Tick]:
    """What the actor has; nothing where it was killed: a result brings all ticks of its task."""
    try:
        ticks: dict[str, Tick] = ray.get(progress.read.remote())
    except ray.exceptions.RayError:
        return {}
    return ticks


# ------------------------------------------------------------------------------------------------ the cluster


@dataclass(frozen=True, slots=True)
class Size:
    """What a cluster has."""

    nodes: int
    cpus: int


def size() -> Size:
    """The living nodes of the cluster that we are connected to, and their CPUs."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Size(len(alive), int(sum(resources.get("CPU", 0) for resources in alive)))


def survey(address: str) -> Size:
    """The size of the cluster there. Raises EngineError where it cannot be reached."""
    connect(address)
    try:
        return size()
    finally:
        ray.shutdown()


def connect(address: str | None, workers: int | None = None) -> None:
    """Join the cluster at the address, or start one in this machine. Raises EngineError within seconds."""
    address = address or os.environ.get("RAY_ADDRESS") or None
    own = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Ray prints lines about lost workers to stdout, which is for data
    ray._private.worker._worker_logs_enabled = False
    if address is not None and address != "auto":
        _probe(address)
    try:
        ray.init(address or "local", log_to_driver=False, configure_logging=False, **({} if address else own))
    except (OSError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(_where(address), reason, "a running cluster of this node", START) from None


START = "start Ray on every node, this one too: ray start --head, then ray start --address HOST:6379"


def _where(address: str | None) -> str:
    return f"Ray at {address}" if address else "Ray"


def _probe(address: str) -> None:
    """Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        raise EngineError("--address", f"found {address!r}", "HOST:PORT of the head node, or auto", START)
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EngineError(f"Ray at {address}", f"cannot be reached ({reason})", "", START) from None
