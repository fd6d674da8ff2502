"""Ray: the same results, ticks and errors as local processes, whatever dies on the way."""

import json
import os
import subprocess
import sys
import time
import types
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.engines import open_engine
from curate.engines.base import Tick
from curate.engines.local import Local
from curate.engines.ray import Ray
from curate.errors import CurateError, EngineError, GuardError
from curate.installation import install_command
from curate.screening import key_files
from tests.support import big_build
from tests.support.conflicts import assert_same, conflicting, decided
from tests.support.paths import ROOT
from tests.support.worker_tasks import Named, die, fail, killed_once, read_here, slow_square


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


def test_a_killed_task_is_run_again_and_its_ticks_are_not_heard_twice(engine, tmp_path, capfd):
    heard: list[int] = []

    def hear(one: Tick) -> None:
        heard.append(one.rows)
        if sum(heard) == 3:
            (tmp_path / "heard").touch()

    assert list(engine.map(killed_once, [tmp_path], hear)) == [None]
    assert (tmp_path / "heard").exists(), "told while it was at work"
    assert sum(heard) == 6  # the second run's first three are not new
    assert capfd.readouterr() == ("", "")


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


@pytest.mark.slow
def test_a_task_that_is_lost_again_and_again(engine, capfd):
    with pytest.raises(EngineError) as caught:
        list(engine.map(die, [Named(1)]))
    assert str(caught.value) == (
        "a Ray worker: was lost 4 times while doing number 1, most often for lack of memory or with its node"
    )
    assert "it continues" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_tasks_stand_where_the_command_stands(engine, tmp_path, monkeypatch):
    (tmp_path / "said.txt").write_text("here")
    monkeypatch.chdir(tmp_path)
    assert list(engine.map(read_here, [Path("said.txt")])) == ["here"]


def test_a_worker_that_lacks_a_module_or_does_not_see_the_workspace(engine, tmp_path, monkeypatch):
    only_here = types.ModuleType("only_here")  # as a module of the driver's own folder is
    exec("def same(n): return n", only_here.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    with pytest.raises(EngineError) as caught:
        list(engine.map(only_here.same, [1]))
    assert str(caught.value) == "a Ray worker: cannot begin: ModuleNotFoundError: No module named 'only_here'"
    monkeypatch.setattr(engine, "_mark", tmp_path / "cache" / "mark")  # nobody made it
    with pytest.raises(EngineError, match=f"does not see the workspace {tmp_path}; expected a directory that all"):
        list(engine.map(slow_square, [1]))


# ------------------------------------------------------------------------------------------------ commands


def curate(*words: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "curate", *words], capture_output=True, text=True, check=True, cwd=ROOT
    )


def test_engines_are_listed_with_what_is_wrong():
    local, ray = json.loads(curate("engines", "--json", "--address", "127.0.0.1:1").stdout)
    assert (local["engine"], local["usable"], local["nodes"]) == ("local", True, 1)
    assert (ray["engine"], ray["usable"], ray["nodes"]) == ("ray", False, None)
    assert ray["note"] == "Ray at 127.0.0.1:1: cannot be reached (connection refused)"


def said(**asked: Any) -> str:
    """Why an engine cannot be opened, or entered."""
    with pytest.raises(CurateError) as caught, open_engine(**asked):
        pass
    return f"{caught.value}, hint: {caught.value.hint}"


def test_an_engine_that_cannot_be_had(tmp_path, monkeypatch):
    start = "start Ray on every node, this one too: ray start --head, then ray start --address HOST:6379"
    assert said(name="local", workspace=tmp_path, address="head:6379") == (
        "--address: local processes have no address, hint: add --engine ray"
    )
    assert said(name="ray", workspace=tmp_path, address="ray://head:10001") == (
        f"--address: found 'ray://head:10001'; expected HOST:PORT of the head node, or auto, hint: {start}"
    )
    assert said(name="ray", workspace=tmp_path, address="127.0.0.1:1") == (
        f"Ray at 127.0.0.1:1: cannot be reached (connection refused), hint: {start}"
    )

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    expected = "--engine ray: Ray is not installed, hint: " + install_command("ray")
    assert said(name="ray", workspace=tmp_path) == expected


# ------------------------------------------------------------------------------------------------ a real cluster


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs and two nodes with one each; a dead node is noticed within two seconds."""
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 << 20}
    health = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": health, **small})
    for gpus in (0, 1):
        cluster.add_node(num_cpus=1, num_gpus=gpus, **small)
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_the_quickstart_is_the_same_on_a_cluster(cluster, tmp_path):
    sums = []
    for name, more in (("local", ["--workers", "1"]), ("ray", ["--engine", "ray", "--address", cluster.address])):
        where = ["--raw", "samples", "--workspace", str(tmp_path / name)]
        curate("mix", "recipes/quickstart.yaml", *where, *more)
        sums.append(big_build.files(tmp_path / name))
    assert sums[0] == sums[1]
    assert len(sums[0]) > 100
    ray = json.loads(curate("engines", "--json", "--address", cluster.address).stdout)[1]
    assert (ray["usable"], ray["nodes"], ray["cpus"]) == (True, 3, 2)


ON_GPUS = """
import sys
from pathlib import Path
from curate.engines.ray import Ray
from tests.support.worker_tasks import visible_gpus
with Ray(Path(sys.argv[1]), sys.argv[2]) as engine:
    print(list(engine.map(visible_gpus, [0, 1, 2], gpus=True)))
"""


@pytest.mark.slow
def test_a_task_that_takes_a_gpu_is_on_a_node_with_one(cluster, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ON_GPUS, str(tmp_path), cluster.address],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "['0', '0', '0']\n"


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    """A project whose recipe has every step that compares pairs, built by local processes; what that gave."""
    project = tmp_path_factory.mktemp("project")
    big_build.write_project(project, rows=4000)
    whole = big_build.finished(project, "clean.yaml", "whole", "--workers", "2")
    return project, whole


def _normalizing(process: Any, data: Path, raylets: dict[int, Any]) -> Any:
    """The node of a worker that has a part half-written."""
    return raylets[big_build.parent(big_build.writer(process, data))]


def _sketching(process: Any, data: Path, raylets: dict[int, Any]) -> Any:
    """A node, once there is a sketch of pairs."""
    while process.poll() is None and not list(data.glob(SKETCHES)):
        time.sleep(0.01)
    return next(iter(raylets.values()))


SKETCHES = "pairs/*/*/sketches/*/part-*"


@pytest.mark.slow
@pytest.mark.parametrize("at_work", [_normalizing, _sketching])
def test_a_node_that_dies_in_the_middle_changes_nothing(cluster, screened, tmp_path, at_work):
    """Decisions, review sheet and shards are those of local processes."""
    project, whole = screened
    with big_build.start(
        project, "clean.yaml", str(tmp_path), "--engine", "ray", "--address", cluster.address
    ) as process:
        raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
        cluster.remove_node(at_work(process, tmp_path, raylets), allow_graceful=False)
        half, sketches = list(tmp_path.rglob(".part-*.tmp")), len(list(tmp_path.glob(SKETCHES)))
        _, talk = process.communicate()
    cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=100 << 20)
    assert process.returncode == 0, talk
    assert half or 0 < sketches < len(list(tmp_path.glob(SKETCHES))), "the node died in the middle"
    assert big_build.files(tmp_path) == whole
    assert "raylet" not in talk


@pytest.mark.slow
def test_every_step_of_that_recipe_found_something(screened):
    project, whole = screened
    (mix,) = (project / "whole").glob("mixes/*/*")
    funnel = json.loads((mix / "lock.json").read_text())["funnel"]
    both = {"label_conflicts/cycle": 799, "near_dedup/near_duplicate": 800, "decontaminate/response": 1}
    assert {name: of["dropped"] for name, of in funnel.items()} == {
        "alpha": {**both, "decontaminate/prompt": 2, "decontaminate/prompt_media": 5,
                  "image_duplicates/near_image": 799},
        "beta": {**both, "decontaminate/prompt": 7, "label_conflicts/reversed": 399,
                 "exact_duplicates/duplicate_pair": 1199},
    }  # fmt: skip
    flagged = pl.read_parquet(mix / "review.parquet").filter(fate="flagged", reason="media_only")
    sets = flagged["evidence"].str.extract(r"^(\S+)").value_counts(sort=True)
    assert sets.rows() == [("vl_rewardbench", 1595), ("private", 320)]
    names = {Path(name).name for name in whole if name.startswith("mixes")}
    assert {"shard-00000.parquet", "alpha.parquet", "beta.parquet", "review.parquet", "lock.json"} <= names


OUT_OF_MEMORY = """
import sys
from pathlib import Path
from curate.engines.ray import Ray
from tests.support.worker_tasks import hog
try:
    with Ray(Path(sys.argv[1]), workers=1) as engine:
        list(engine.map(hog, [10.0]))
except Exception as error:
    print(error)
"""


@pytest.mark.slow
def test_a_task_that_is_killed_for_memory_is_one_line(tmp_path):
    """Ray thinks that the machine is full when 1 % of its memory is in use."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_memory_usage_threshold": "0.01",
             "RAY_memory_monitor_refresh_ms": "100", "RAY_task_oom_retries": "1"},
    )  # fmt: skip
    assert done.stderr == ""
    error, _, rest = done.stdout.partition("\n")
    assert error.startswith("a Ray worker on ")
    assert error.endswith(": was killed for lack of memory again and again, at last while running hog")
    assert rest == ""


def test_corpus_steps_run_by_prefix_of_the_prompt_key_and_decide_as_local_ones(engine, tmp_path, monkeypatch):
    pools = conflicting(tmp_path)
    with Local(1) as here:
        whole = decided(pools, here)
    monkeypatch.setattr(key_files, "PARTITION", 50)
    assert_same(whole, decided(pools, engine))
