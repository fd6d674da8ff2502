"""The promise of an ablation, from raw rows to the report: a planted signal is found, and so is planted noise."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support import planted
from trainer.config import TrainConfig

COMMON = ("--recipe", "planted.yaml", "--raw", "raw", "--manifests", "manifests", "--workspace", "data",
          "--workers", "1", "--all", "--preset", "tiny_cpu", "--set", "model=tiny/text", "--set", "workers=0",
          "--set", "lr=3e-3", "--budget", "pairs=640", "--json")  # fmt: skip


@pytest.fixture
def project(tmp_path):
    planted.write(tmp_path)
    return tmp_path


def start(project, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "curate", "ablate", *COMMON, *more], cwd=project, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def at_work(project):
    """Whether any process works in the project."""

    def place(process):
        try:
            return (process / "cwd").resolve(strict=True)
        except OSError:  # it ended, or is somebody else's
            return None

    return any(place(process) == project.resolve() for process in Path("/proc").glob("[0-9]*"))


def ablate(project, *more):
    process = start(project, *more)
    out, stderr_text = process.communicate()
    assert process.returncode == 0, stderr_text
    return json.loads(out), stderr_text


def verdicts(report):
    return {one["about"]: one for one in report["verdicts"]}


def test_the_plan_runs_nothing(project):
    plan, _ = ablate(project, "--plan", "--seeds", "2")
    assert plan["arms"]["without-noise"] == {"good": None, "noise": 0}  # nobody has counted good yet
    assert len(plan["commands"]) == 2 + 3 * 2
    assert plan["commands"][0].endswith("--seeds 2 --prepare")
    assert "baseline-seed0/config.yaml && " in plan["commands"][1]
    assert not (project / "data" / "mixes").exists()


@pytest.mark.slow
def test_a_probe_finds_what_was_planted(project):
    """Eight heads an arm on the features of a backbone with random weights: enough to read words."""
    report, stderr_text = ablate(project, "--probe", "--seeds", "8")
    found = verdicts(report)
    assert found["good"]["suggestion"] == "keep", found
    assert "helps on JudgeBench" in found["good"]["reason"]
    assert found["noise"]["suggestion"] == "drop", found
    assert found["noise"]["reason"].startswith(("harmful on", "useless"))
    assert report["probe"] == {"agreement": [], "arms": 0}
    assert stderr_text.count("head ") == 24
    again, stderr_text = ablate(project, "--probe", "--seeds", "8")
    assert again == report
    assert "head " not in stderr_text  # nothing is computed twice
    [written] = (project / "data" / "runs").glob("*/probe/report.md")
    assert "**This is a probe**" in written.read_text()


@pytest.mark.slow
def test_full_runs_find_what_was_planted_after_a_kill(project):
    """One seed: each arm is trained once, by a process of its own; the first command is killed on the way."""
    process = start(project, "--seeds", "1")
    while not list((project / "data").glob("runs/*/without-good-seed0/log.txt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [done] = (project / "data").glob("runs/*/baseline-seed0/result.json")
    trained = done.stat().st_mtime_ns
    while at_work(project):
        time.sleep(0.2)  # its trainer ends by itself, with nobody to talk to
    report, stderr_text = ablate(project, "--seeds", "1")
    assert "1 of 3 runs are done already" in stderr_text
    assert "without-good-seed0: starting: " in stderr_text
    assert done.stat().st_mtime_ns == trained
    found = verdicts(report)
    assert found["good"]["suggestion"] == "keep", found
    assert found["noise"]["suggestion"] == "drop", found
    assert found["noise"]["reason"].startswith("harmful on")
    assert report["costs"]["baseline"]["pairs"] == 640
    assert report["costs"]["baseline"]["flops"] > 1e9
    assert {arm: facts["rows"] for arm, facts in report["ablation"]["arms"].items()} == {
        "baseline": 580, "without-good": 440, "without-noise": 140,
    }  # fmt: skip


def test_a_setting_that_is_none_is_an_error_before_any_training(project):
    process = start(project, "--set", "learning_rate=1")
    _, stderr_text = process.communicate()
    assert process.returncode == 1
    assert stderr_text.splitlines()[-2:] == [
        "error: config: $.learning_rate: unknown key",
        f"hint: known keys: {', '.join(field.name for field in fields(TrainConfig))}",
    ]


@pytest.mark.slow
def test_the_paradigms_are_compared_on_the_quickstart(tmp_path):
    """Table 1 of the paper: every arm trains, writes and is scored, in two minutes of one core."""
    words = "ablate paradigms --recipe quickstart --preset tiny_cpu --seeds 1 --workspace data --json"
    command = [sys.executable, "-m", "curate", *words.split()]
    environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    costs = report["costs"]
    assert {arm: costs[arm]["pairs"] for arm in ("naive", "critic", "verdict-untrained", "verdict")} == {
        "naive": 837, "critic": 837, "verdict-untrained": 0, "verdict": 837,
    }  # fmt: skip
    assert 0 < costs["reasoned"]["pairs"] < 837, "pairs without critiques have no reasoning"
    spent = os.times()
    assert spent.children_user + spent.children_system < 600


@pytest.mark.slow
def test_a_search_confirms_its_candidates_on_other_items_and_does_nothing_twice(tmp_path):
    """Probes of eight mixes, then five full runs of a tiny model; the candidates are recipes that can be built."""
    planted.write(tmp_path, good=260)
    words = ("search", "planted.yaml", "--arms", "8", "--budget", "pairs=120", "--probe", "--rows", "300",
             "--floor", "noise=0.1", "--preset", "tiny_cpu", "--set", "model=tiny/text", "--set", "workers=0",
             "--set", "lr=3e-3", "--set", "head_lr=0.02", "-e", "judgebench", "--confirm-seeds", "1",
             "--confirm-budget", "pairs=300", "--workers", "1", "--json")  # fmt: skip
    place = ("--raw", "raw", "--manifests", "manifests", "--workspace", "data")

    def run(*more):
        command = [sys.executable, "-m", "curate", *words, *place, *more]
        environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done

    found = json.loads(run().stdout)
    assert [one["mix"] for one in found["seen"][:2]] == ["natural", "mix001"]
    assert len(found["seen"]) == 1 + 8 + 4
    assert {sum(one["rows"].values()) for one in found["candidates"]} == {300}
    assert min(one["rows"]["noise"] for one in found["candidates"]) >= 30
    assert sum(found["natural"].values()) == 300
    assert found["chosen"] in {None, *(one["name"] for one in found["candidates"])}
    assert 100 < found["confirming_items"] < 260  # of 360
    again = run()
    assert json.loads(again.stdout) == found
    assert "5 of 5 runs are done already" in again.stderr
    [written] = (tmp_path / "data" / "runs").glob("*/search/candidate1.yaml")
    assert "accuracy by share" in (written.parent / "search.html").read_text()
    mix = subprocess.run(
        [sys.executable, "-m", "curate", "mix", str(written), *place, "--workers", "1", "--json"],
        cwd=tmp_path, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(mix.stdout)["rows"] == 300
