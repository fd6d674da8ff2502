"""Models by Hub id: pinned to a commit, from the cache without a network, and one line where that fails."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_models import checkpoint
from tests.support.training import rows, settings, small_mix
from trainer import config
from trainer.hub_models import identity, is_hub_id, pinned, snapshot

OLD, NEW = "1" * 40, "2" * 40
NOWHERE = "http://127.0.0.1:9"  # where nobody listens


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    return small_mix(tmp_path_factory.mktemp("mix"), 20)


def cached(home: Path, commit: str, seed: int) -> Path:
    """A tiny model in a Hub cache, as `org/tiny` at this commit, which becomes its main branch."""
    folder = home / "hub" / "models--org--tiny"
    shutil.copytree(checkpoint("text", seed), folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def run(module: str, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
    )  # fmt: skip
    return done.returncode, done.stderr.splitlines()


def train(mix: Path, out: Path, *more: str, **environment: str) -> tuple[int, list[str]]:
    path = config.write(config.resolve("tiny_cpu", settings(mix, out, "model=org/tiny", "max_steps=1", *more)))
    return run("trainer.train", str(path), **environment)


def test_an_unreachable_hub_is_one_line(mix, tmp_path):
    code, lines = train(mix, tmp_path / "run", HF_ENDPOINT=NOWHERE, HF_HOME=str(tmp_path))
    assert code == 1
    assert lines[-2:] == [
        "error: org/tiny: config.json is not in the Hub cache, and 127.0.0.1 cannot be reached; "
        "expected a model in the cache",
        "hint: check the network, proxy and HF_ENDPOINT, or give a directory",
    ]
    assert len(lines) == 2, lines


@pytest.mark.slow
def test_a_run_stays_with_the_commit_that_it_began_with(mix, tmp_path):
    """From the cache, without a network; then the branch moves, and the run continues as it began."""
    cached(tmp_path, OLD, 0)
    home = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": NOWHERE}
    out = tmp_path / "run"
    assert train(mix, out, "lora.rank=2", "freeze_vision=true", **home)[0] == 0
    assert json.loads((out / "model.json").read_text()) == {"model": "org/tiny", "revision": OLD}
    facts = json.loads((out / "final/reward_config.json").read_text())
    assert (facts["base"], facts["revision"]) == ("org/tiny", OLD)
    adapter = json.loads((out / "final/adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("org/tiny", OLD)
    first = rows(out)
    cached(tmp_path, NEW, 1)
    for name in ("result.json", "metrics.jsonl"):
        (out / name).unlink()
    shutil.rmtree(out / "checkpoints")
    assert train(mix, out, "lora.rank=2", "freeze_vision=true", **home)[0] == 0
    assert rows(out) == first
    other = tmp_path / "other"
    assert train(mix, other, "lora.rank=2", "freeze_vision=true", **home)[0] == 0
    assert json.loads((other / "model.json").read_text())["revision"] == NEW
    assert rows(other) != first
    merged = run("trainer.merge", str(out / "final"), "--out", str(tmp_path / "merged"), **home)
    assert merged[0] == 0, merged[1]


def test_directories_are_no_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    assert [is_hub_id(name) for name in ("org/tiny", "gpt2", "./x", "/x", "~/x", "a/b/c", "org")] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip
    assert snapshot("./gone") == "./gone"
    assert pinned(str(tmp_path), None, tmp_path / "run", chief=True) == str(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_snapshot_says_what_it_is():
    assert identity(f"/home/me/hub/models--Qwen--Qwen2.5-VL-3B-Instruct/snapshots/{OLD}") == (
        "Qwen/Qwen2.5-VL-3B-Instruct", OLD,
    )  # fmt: skip
    assert identity("/models/snapshots/x") is None
    assert identity("x") is None
