"""Ray: the same results, ticks and errors as local processes, whatever dies on the way."""

import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install 'curate[ray]'")
from curate.engines.base import Tick
from curate.engines.ray import Ray
from curate.errors import EngineError, GuardError
from tests.worker_tasks import Named, die, fail, killed_once, read_here, slow_square

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A Ray of its own with two workers, which find the tasks of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with Ray(tmp_path_factory.mktemp("workspace"), workers=2) as engine:
            yield engine


def test_results_come_in_the_order_of_the_tasks_and_every_tick_is_heard(engine):
    heard: list[Tick] = []
    assert list(engine.map(slow_square, [1, 2, 3, 4], heard.append)) == [1, 4, 9, 16]
    assert sum(heard, Tick()) == Tick(rows=20, bytes=4)
    assert list(engine.map(slow_square, [5])) == [25]
    assert list(engine.map(slow_square, [])) == []
    assert engine.workers == 2


def test_a_killed_task_is_run_again_and_its_ticks_are_not_heard_twice(engine, tmp_path, capfd):
    heard: list[tuple[int, float]] = []
    tasks = [tmp_path / "killed"]
    assert list(engine.map(killed_once, tasks, lambda one: heard.append((one.rows, time.monotonic())))) == [None]
    assert [rows for rows, _ in heard] == [3, 3]  # told while it was at work; what was new at the end
    assert heard[1][1] - heard[0][1] > 0.5
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_the_first_failure_propagates_with_its_parts(engine):
    done = engine.map(fail, [1, 2, 3, 4])
    assert next(done) == 1
    with pytest.raises(GuardError) as caught:
        next(done)
    assert (caught.value.where, caught.value.hint) == ("here", "try three")
    with pytest.raises(OSError) as full:
        list(engine.map(fail, [4]))
    assert (full.value.errno, full.value.filename) == (28, "/full")
    assert "in fail" in full.value.__notes__[0]


def test_a_task_that_is_lost_again_and_again(engine, capfd):
    with pytest.raises(EngineError) as caught:
        list(engine.map(die, [Named(1)]))
    assert str(caught.value) == (
        "a Ray worker: was lost 4 times while doing number 1, most often for want of memory or with its node"
    )
    assert "it continues" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_tasks_stand_where_the_command_stands(engine, tmp_path, monkeypatch):
    (tmp_path / "said.txt").write_text("here")
    monkeypatch.chdir(tmp_path)
    assert list(engine.map(read_here, [Path("said.txt")])) == ["here"]


def test_a_worker_that_lacks_a_module_or_does_not_see_the_workspace(engine, tmp_path, monkeypatch):
    with pytest.raises(EngineError) as caught:
        list(engine.map(only_here, [1]))
    assert (
        str(caught.value) == "a Ray worker: cannot begin: ModuleNotFoundError: No module named 'test_engine_ray'"
    )
    monkeypatch.setattr(engine, "_mark", tmp_path / "cache" / "mark")  # nobody made it
    with pytest.raises(EngineError, match=f"does not see the workspace {tmp_path}; expected a directory that all"):
        list(engine.map(slow_square, [1]))


def only_here(n: int) -> int:
    return n
