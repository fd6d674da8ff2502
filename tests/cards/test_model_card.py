"""The card of a model: every fact is its own, its run's, its mix's or its evaluation's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from curate.build import build as build_mix
from curate.cards import model_facts
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace
from tests.support.paths import ROOT
from tests.support.samples import SAMPLES, Silent
from tests.support.tiny_models import checkpoint
from trainer.config import HeadConfig
from trainer.model import build

MEASURE = {"name": "Acc <b>", "value": 0.625, "right": 5.0, "trials": 8, "ties": 0, "clusters": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run directory, MINE, whose model is in best/."""
    root = tmp_path_factory.mktemp("run")
    with Local(1) as engine:
        recipe = load(ROOT / "recipes/quickstart.yaml")
        mix = build_mix(recipe, Inputs(workspace=Workspace(root / "ws"), raw=SAMPLES), engine, Silent())
    directory = root / "MINE"
    build(checkpoint("text"), HeadConfig(layers=1)).save_pretrained(directory / "best")
    (directory / "mix.lock.json").write_bytes((mix.directory / "lock.json").read_bytes())
    (directory / "result.json").write_text(json.dumps({"pairs": 1234, "step": 56}))
    return directory


def results(run: Path, path: Path) -> Path:
    measures = [{**MEASURE, "wilson": [0.306, 0.863], "bootstrap": None}]
    one = {"benchmark": "rewardbench2", "model": str(run / "best"), "measures": measures}
    path.write_text(json.dumps({"results": [one, {**one, "model": "/other"}], "compare": []}))
    return path


def card(run: Path, directory: Path, evals: Path | None = None) -> str:
    model_facts.write_card(model_facts.read(run / "best", evals), directory)
    return (directory / "README.md").read_text()


def test_known_facts_are_in_the_card(run, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    text = card(run, tmp_path, results(run, tmp_path / "results.json"))
    lock = json.loads((run / "mix.lock.json").read_text())
    assert "# MINE\n" in text
    assert "a head of 1 layers" in text
    assert "Trained on 1,234 pairs in 56 steps." in text
    assert f"The mix quickstart, fingerprint `{lock['fingerprint']}`: {lock['rows']:,} preference pairs" in text
    assert "Commercial use: **forbidden**" in text  # the licence verdict of the mix
    assert text.count("| rewardbench2 |") == 1
    assert "62.5 %" in text
    assert "30.6 % to 86.3 %" in text
    assert "<b>" not in text
    assert "## Intended use" in text
    assert "AutoModelForSequenceClassification" in text
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == lock["licenses"]["verdict"]["license"]
    assert head["tags"] == ["reward-model", "rlhf", "curate"]
    assert ModelCard(text).data.pipeline_tag == "text-classification"  # the Hub's own client reads it


def test_unknown_facts_are_named_in_the_card(tmp_path):
    build(checkpoint("text"), HeadConfig()).save_pretrained(tmp_path / "run" / "best")
    text = card(tmp_path / "run", tmp_path / "run" / "best")
    assert "Not known: there was no `mix.lock.json`" in text
    assert "## Results\n\nNot evaluated." in text
    assert "license" not in yaml.safe_load(text.split("---")[1])
    assert "`curate serve DIRECTORY`" in text


def test_how_it_is_loaded_is_that_of_its_files(run, tmp_path):
    (tmp_path / "config.json").write_text('{"curate_head": {}}')
    assert "pip install DIRECTORY/vllm_plugin" in card(run, tmp_path)


@pytest.mark.parametrize("found", ["[]", "{}", '{"results": [3]}', '{"results": [{"model": "/other"}]}', "{"])
def test_results_of_something_else(run, tmp_path, found):
    path = tmp_path / "results.json"
    path.write_text(found)
    with pytest.raises(ConfigError) as caught:
        model_facts.read(run / "best", path)
    assert str(path) in str(caught.value)


def test_no_model(tmp_path):
    with pytest.raises(ConfigError, match=r"no reward_config\.json"):
        model_facts.read(tmp_path, None)


def test_the_command(run, tmp_path):
    command = [sys.executable, "-m", "curate", "export", run / "best", "--for", "transformers", "--json"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"model": str(tmp_path / "out")}
    assert done.stderr.endswith(f"exported: {tmp_path / 'out'}\nits card: {tmp_path / 'out' / 'README.md'}\n")
    assert (tmp_path / "out" / "README.md").exists()
