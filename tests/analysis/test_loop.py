"""The loop from the command line: audit, score, filter by scores, and ask whether the filter helped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import planted

pytestmark = pytest.mark.slow
PLACES = ("--raw", "raw", "--manifests", "manifests", "--workspace", "data")
HEAD = ("--preset", "tiny_cpu", "--set", "model=tiny/text", "--set", "epochs=1.0")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = tmp_path_factory.mktemp("loop")
    planted.write(project, good=60, noise=60, eval_items=4)
    recipe = project / "planted.yaml"
    recipe.write_text(recipe.read_text().replace("60", "20"))
    run(project, "mix", "planted.yaml")
    return project


def run(project: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curate", *arguments, *PLACES]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_the_loop(project):
    record = json.loads(run(project, "audit", "planted.yaml", *HEAD, "--review", "40", "--json").stdout)
    assert record["with_features"] == record["pairs"] == 120
    assert set(record["sources"]) == {"good", "noise"}
    assert len((project / "data" / "audits" / "audit" / "sheet.jsonl").read_text().splitlines()) >= 39

    receipts = json.loads(
        run(project, "score", "planted.yaml", "--folds", "3", *HEAD, "--name", "heads", "--json").stdout
    )
    assert [(one["provenance"], one["scored"]) for one in receipts] == [("cross-fitted", 60)] * 2

    step = "reward_margin: {scores: heads, hardest: 0.2}"
    study = ("ablate", "--recipe", "planted.yaml", "--with-step", step, "--probe", "--seeds", "1", *HEAD)
    run(project, *study)
    [place] = (project / "data" / "runs").glob("*/probe/ablation.json")
    [whole, filtered, drawn] = [arm["rows"] for arm in json.loads(place.read_text())["arms"].values()]
    assert filtered == drawn < whole

    lora = ("--by", "models", *HEAD, "--set", "lora.rank=2", "--set", "freeze_vision=true")
    command = ("score", "planted.yaml", "--folds", "2", *lora, "--json")
    receipts = json.loads(run(project, *command).stdout)
    assert [(one["name"], one["provenance"], one["scored"], one["by"]["kind"]) for one in receipts] == [
        ("models", "cross-fitted", 60, "models")
    ] * 2
    [place] = (project / "data" / "runs").glob("scores-models-*")
    assert sorted(path.name for path in place.iterdir()) == ["fold-1", "fold-2"]
    assert len(list(place.glob("*/mix/lock.json"))) == 2
    assert json.loads(run(project, *command).stdout) == receipts
    final = str((place / "fold-1" / "final").relative_to(project))
    for name, more in {"one": (), "two": ("--workers", "2"), "ray": ("--engine", "ray", "--workers", "2")}.items():
        done = run(project, "score", "planted.yaml", "--model", final, "--name", name, *more, "--json")
        assert {one["provenance"] for one in json.loads(done.stdout)} == {"in-sample"}
    files = [
        {path.parents[2]: path.read_bytes() for path in project.glob(f"data/pairs/*/*/rewards/{name}/*.parquet")}
        for name in ("one", "two", "ray")
    ]
    assert files[0] == files[1] == files[2]
    assert len(files[0]) == 2
    done = run(project, "score", "planted.yaml", "--folds", "2", *HEAD, "--engine", "ray", code=1)
    assert "--engine ray: given without --model or --by models" in done.stderr

    done = run(project, "score", "planted.yaml", "--model", "x", "--by", "models", code=1)
    assert "--by models: given without --folds" in done.stderr

    done = run(project, "score", "planted.yaml", "--folds", "3", "--name", "heads", code=1)
    assert "--folds: given without --preset" in done.stderr
    done = run(project, "audit", "planted.yaml", code=1)
    assert "--preset: not given" in done.stderr
