"""Local work: in this process, in threads of it, or in spawned workers."""

import functools
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

from curate import own_process
from curate.engines.base import Engine, Listener, Tick, attempt, doing, listen_here
from curate.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")

# spawn: a forked child would inherit the locks of polars' and Arrow's thread pools in any state
_CONTEXT = multiprocessing.get_context("spawn")


class Local:
    """`workers=1` works in this process; more start that many spawned processes on first use.

    With `adapts`, none are started for work that `suit` has called little.
    Use as a context manager: leaving it ends the workers, at once if an exception is on its way. Raises
    EngineError where a worker was killed; the engine does no work after that.
    """

    def __init__(self, workers: int = 1, *, adapts: bool = False) -> None:
        self.workers, self.adapts, self.little = workers, adapts, False
        self._spawned: _Workers | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._spawned is not None:
            self._spawned.end(at_once=kind is not None)
            self._spawned = None

    def begin(self, fn: Callable[..., Any]) -> None:
        """Start the workers, and load what `fn` needs there, unless one process is to do the work."""
        if self.workers > 1 and not (self.adapts and self.little) and self._spawned is None:
            self._spawned = _Workers(self.workers)
            for _ in range(self.workers):
                self._spawned.submit(_starting, fn, _locked(None))

    def map(
        self,
        fn: Callable[[T], R],
        tasks: Sequence[T],
        listen: Listener | None = None,
        *,
        threads: bool = False,
        gpus: bool = False,  # noqa: ARG002 - tasks choose theirs themselves
    ) -> Iterator[R]:
        """Results in the order of the tasks; the first failure propagates."""
        if self.workers == 1 or len(tasks) == 1:
            return self._map_here(fn, tasks, listen)
        if threads:
            return self._map_threads(fn, tasks, listen)
        alone = self.adapts and self.little and self._spawned is None
        return self._map_here(fn, tasks, listen) if alone else self._map_spawned(fn, tasks, listen)

    def _map_here(self, fn: Callable[[T], R], tasks: Sequence[T], listen: Listener | None) -> Iterator[R]:
        for task in tasks:
            listen_here(listen)
            try:
                result = fn(task)
            finally:
                listen_here(None)
            yield result

    def _map_threads(self, fn: Callable[[T], R], tasks: Sequence[T], listen: Listener | None) -> Iterator[R]:
        locked = _locked(listen)
        pool = ThreadPoolExecutor(self.workers)
        try:
            yield from pool.map(functools.partial(_do_here, fn, locked), tasks)
        finally:
            pool.shutdown(cancel_futures=True)

    def _map_spawned(self, fn: Callable[[T], R], tasks: Sequence[T], listen: Listener | None) -> Iterator[R]:
        if self._spawned is None:
            self._spawned = _Workers(self.workers)
        locked = _locked(listen)
        futures: list[Future[R]] = [self._spawned.submit(fn, task, locked) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def suit(engine: Engine, *, little: bool) -> None:
    """Say whether what comes is little: less than what new processes take to start and to load everything."""
    if isinstance(engine, Local):
        engine.little = little


def begin(engine: Engine, fn: Callable[..., Any]) -> None:
    """Let workers start, which are to call `fn`, while this process makes their tasks."""
    if isinstance(engine, Local):
        engine.begin(fn)


def _starting(fn: Callable[..., Any]) -> None:
    """Nothing: the module of the function is loaded where it is received."""


def _do_here(fn: Callable[[T], R], listen: Listener, task: T) -> R:
    listen_here(listen)
    return fn(task)


def _locked(listen: Listener | None) -> Listener:
    """The listener, called by one thread at a time."""
    lock = threading.Lock()

    def locked(tick: Tick) -> None:
        if listen is not None:
            with lock:
                listen(tick)

    return locked


class _Workers:
    """Spawned workers, and as many threads of this process, which send them tasks and receive what comes back."""

    def __init__(self, workers: int) -> None:
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers)
        self._lost: EngineError | None = None

    def submit(self, fn: Callable[[T], R], task: T, listen: Listener) -> Future[R]:
        return self._threads.submit(self._do, fn, task, listen)

    def _do(self, fn: Callable[[T], R], task: T, listen: Listener) -> R:
        worker = self._idle.get()
        try:
            if self._lost is not None:
                raise self._lost
            return worker.do(fn, task, listen)
        except EngineError as error:
            self._lost = error
            raise
        finally:
            self._idle.put(worker)

    def end(self, *, at_once: bool) -> None:
        self._threads.shutdown(wait=not at_once, cancel_futures=True)
        for worker in self._workers:
            worker.end(at_once=at_once)
        self._threads.shutdown()


class _Worker:
    """A process, and the pipe to it: a task goes there, ticks and then the result come back.

    No lock and no queue is shared with other workers, so that one killed at any moment harms no other.
    """

    def __init__(self) -> None:
        self._pipe, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(there,), daemon=True)
        resource_tracker.ensure_running()  # the first start would start it, and that unblocks SIGINT
        # Ctrl-C is the parent's to handle, from the child's first moment on
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()

    def do(self, fn: Callable[[T], R], task: T, listen: Listener) -> R:
        """Return the result. Raises what the function raises, EngineError where the process ends before."""
        self._send((fn, task), doing(fn, task))
        while isinstance(message := self._receive(doing(fn, task)), Tick):
            listen(message)
        well, value = message
        if not well:
            raise value
        result: R = value
        return result

    def _send(self, message: Any, what: str) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            raise self._lost(what) from None

    def _receive(self, what: str) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost(what) from None

    def _lost(self, what: str) -> EngineError:
        self._process.join(5)
        code = self._process.exitcode or 0
        again = "run the same command again: it continues"
        if code == -signal.SIGKILL:
            found = f"was killed from outside while {what}, most often for lack of memory"
            return EngineError(
                f"worker {self._process.pid}", found, "", f"{again}; --workers 1 needs least memory"
            )
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return EngineError(f"worker {self._process.pid}", f"{how} while {what}", "", again)

    def end(self, *, at_once: bool) -> None:
        if at_once:
            self._process.terminate()
        else:
            self._pipe.close()
        self._process.join(5)


def _work(pipe: "Connection[Any, Any]") -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listen_here(pipe.send)
    own_process.start()
    loaded = False
    while True:
        try:
            fn, task = pipe.recv()
        except EOFError:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)  # the system takes the memory back at once; Python would free it piece by piece
        if not loaded:
            own_process.loaded()
            loaded = True
        try:
            pipe.send(attempt(fn, task))
        except Exception as error:  # noqa: BLE001 - a result that cannot be sent; the reason can
            pipe.send((False, error))


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on writing: the workspace lock died with the parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
