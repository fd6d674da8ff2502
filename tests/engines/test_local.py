"""Local engine: order, ticks, failures."""

import multiprocessing
import os
import pickle
import re
import signal
import threading
import time

import pytest

from curate.engines.base import Tick, tick
from curate.engines.local import Local, begin, suit
from curate.errors import EngineError, GuardError
from tests.support import big_build
from tests.support.terminal import CTRL_C, on_terminal


def square(n: int) -> int:
    time.sleep(0.02 * (5 - n))  # later tasks end first
    tick(rows=n, bytes=1)
    return n * n


def process_id(_: int) -> int:
    return os.getpid()


def fail(n: int) -> int:
    if n == 2:
        raise GuardError("here", "two", "another", "try three")
    return n


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks_and_ticks_are_heard(workers):
    heard: list[Tick] = []
    with Local(workers) as engine:
        assert list(engine.map(square, [1, 2, 3, 4], heard.append)) == [1, 4, 9, 16]
        assert list(engine.map(square, [5, 5])) == [25, 25]
    assert sorted(t.rows for t in heard) == [1, 2, 3, 4]


def meet(barrier: threading.Barrier) -> int:
    barrier.wait(10)
    tick(rows=1)
    return os.getpid()


def test_threads_work_here_at_the_same_time_and_are_heard():
    heard: list[Tick] = []
    barrier = threading.Barrier(2)
    with Local(2) as engine:
        assert list(engine.map(meet, [barrier, barrier], heard.append, threads=True)) == [os.getpid()] * 2
        assert list(engine.map(square, [1, 2, 3, 4], threads=True)) == [1, 4, 9, 16]
        with pytest.raises(GuardError):
            list(engine.map(fail, [1, 2, 3], threads=True))
    assert heard == [Tick(rows=1)] * 2


def blocked(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_ctrl_c_never_reaches_a_worker():
    with Local(2) as engine:
        assert list(engine.map(blocked, [1, 2])) == [True, True]
    assert not blocked(0)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_propagates_with_its_parts(workers):
    with pytest.raises(GuardError) as caught, Local(workers) as engine:
        list(engine.map(fail, [1, 2, 3]))
    assert (caught.value.where, caught.value.hint) == ("here", "try three")
    deadline = time.monotonic() + 300  # the pool's own thread may still be reaping what was ended
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (signal.SIGKILL, "was killed from outside while ending by 9, most often for lack of memory"),
        (signal.SIGBUS, "died of SIGBUS while ending by 7"),
        (0, "ended with exit code 3 while ending by 0"),
    ],
)
def test_a_lost_worker_is_said_clearly(end, said):
    with pytest.raises(EngineError) as caught, Local(2) as engine:
        list(engine.map(end_by, [End(-1), End(-1), End(end), End(-1), End(-1)]))
    worker, _, rest = str(caught.value).partition(": ")
    assert re.fullmatch(r"worker \d+", worker)
    assert rest == said
    assert "run the same command again: it continues" in caught.value.hint


class End(int):
    def __str__(self) -> str:
        return f"ending by {int(self)}"


def end_by(end: End) -> None:
    if end == 0:
        os._exit(3)
    if end > 0:
        os.kill(os.getpid(), end)


def give_what_does_not_travel(n: int):
    return lambda: n


def test_a_result_that_does_not_travel_is_an_error():
    with pytest.raises((AttributeError, pickle.PicklingError)), Local(2) as engine:
        list(engine.map(give_what_does_not_travel, [1, 2]))


def test_little_work_starts_no_processes_unless_workers_were_asked_for():
    def pids(engine, little):
        suit(engine, little=little)
        return {*engine.map(process_id, [1, 2, 3])}

    with Local(2, adapts=True) as engine:
        assert pids(engine, little=True) == {os.getpid()}
        assert os.getpid() not in pids(engine, little=False)
        assert os.getpid() not in pids(engine, little=True), "processes that run already are used"
    with Local(2) as engine:
        assert os.getpid() not in pids(engine, little=True)


def test_workers_that_began_early_do_the_work_and_little_work_begins_none():
    with Local(2, adapts=True) as engine:
        suit(engine, little=True)
        begin(engine, process_id)
        assert multiprocessing.active_children() == []
        suit(engine, little=False)
        begin(engine, process_id)
        early = {child.pid for child in multiprocessing.active_children()}
        assert len(early) == 2
        assert {*engine.map(process_id, range(20))} <= early
    assert multiprocessing.active_children() == []


def test_a_worker_killed_in_the_middle_of_a_part(tmp_path):
    big_build.write_project(tmp_path, rows=3000)
    whole = big_build.finished(tmp_path, "big.yaml", "whole", "--workers", "1")
    with big_build.start(tmp_path, "big.yaml", "data", "--workers", "2") as process:
        worker = big_build.writer(process, tmp_path / "data")
        os.kill(worker, signal.SIGKILL)
        out, talk = process.communicate()
    assert (process.returncode, out) == (1, "")
    error, hint = talk.splitlines()[-2:]
    assert re.fullmatch(
        f"error: worker {worker}: was killed from outside while normalizing (alpha|beta), [01].jsonl from row 1, "
        "most often for lack of memory",
        error,
    )
    assert hint == "hint: run the same command again: it continues; --workers 1 needs least memory"
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("pairs/*/*/part-*.json")}
    assert big_build.finished(tmp_path, "big.yaml", "data", "--workers", "2") == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept != {}, "what was finished is not made again"
    assert not list((tmp_path / "data").rglob(".part-*")), "what the killed one left was swept away"


def test_ctrl_c_on_a_terminal_ends_workers_without_a_word(tmp_path):
    typed = []

    def keys(output: str) -> bytes:
        if output.count("working") < 2 or typed:
            return b""
        typed.append(CTRL_C)
        return CTRL_C

    command = "from tests.support.worker_tasks import stopped_by_ctrl_c as f; f()"
    code, output = on_terminal(["-c", command], tmp_path, keys)
    assert (code, output.replace("^C", "").split()) == (0, ["working", "working", "stopped"])
