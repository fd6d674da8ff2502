"""Eval sets are pinned and fetched as sources are, and `curate evaluate` reads them where fetch put them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from curate import evalsets, sources
from curate.cli import app
from curate.errors import ConfigError, WorkspaceError
from curate.evalsets.base import Options
from curate.evaluation import items
from curate.hub import manifests
from tests.support.hub import Hub
from tests.support.hub_commands import curate
from tests.support.paths import ROOT, ROWS

BUNDLED = ROOT / "manifests"
EVAL_ROWS = ROWS / "evalsets"


def parquet(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def planted(name: str) -> dict[str, bytes]:
    """The test rows of an eval set as its repository."""
    folder = EVAL_ROWS / name
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(root: Path, *arguments: object):
    """A command on what is in the workspace, in this process."""
    places = ("--workspace", root / "data", "--manifests", root / "manifests")
    return CliRunner().invoke(app, [str(word) for word in (*arguments, *places)])


def scores(root: Path, name: str, split: str | None = None) -> Path:
    """A file of scores that are all right, by row."""
    evalset = evalsets.get(name)
    folder = next(path for path in (root / "data/raw" / name).iterdir() if path.is_dir())
    found = items.load(evalset, folder, Options(split=split)).items
    path = root / "scores.jsonl"
    path.write_text(
        "".join(
            json.dumps({"benchmark": name, "row": number, "candidate": i, "score": float(i in item.correct)})
            + "\n"
            for number, item in zip(found.numbers, found.items, strict=True)
            for i in range(len(item.replies))
        )
    )
    return path


@pytest.mark.parametrize("name", evalsets.names())
def test_every_eval_set_has_a_manifest(name):
    path = BUNDLED / "evalsets" / f"{name}.yaml"
    found = manifests.read(name, BUNDLED)
    assert path.read_text() == manifests.text(found), f"written by hand? curate pin {name}"
    assert (found.repo, found.citation) == (evalsets.get(name).repo, evalsets.get(name).paper)
    assert found.rows.origin != manifests.UNKNOWN


def test_names_of_sources_and_eval_sets_differ():
    assert {path.stem for path in (BUNDLED / "evalsets").iterdir()} == set(evalsets.names())
    assert not set(evalsets.names()) & set(sources.names())


def test_pin_fetch_evaluate_without_naming_a_folder(tmp_path):
    rows = json.loads((EVAL_ROWS / "vl_rewardbench/data.json").read_text())
    for row in rows:
        row["image"] = {"bytes": b"\x89PNG", "path": None}
    published = parquet(rows)
    with Hub(tmp_path / "hub") as hub:
        files = {"data/test-0.parquet": published, "data/train-0.parquet": published, "tools/cal.json": b"{}"}
        commit = hub.add_repo("MMInstruction/VL-RewardBench", {**files, "vl.parquet": published}, license="mit")
        done = curate(hub, tmp_path, "pin", "vl_rewardbench")
        assert done.returncode == 0, done.stderr
        assert done.stderr == "vl_rewardbench: 7 rows by parquet footers, 1,250 expected\n"
        manifest = manifests.read("vl_rewardbench", tmp_path / "manifests")
        assert (manifest.commit, [file.path for file in manifest.files]) == (commit, ["data/test-0.parquet"])
        assert (tmp_path / "manifests/evalsets/vl_rewardbench.yaml").is_file()

        done = curate(hub, tmp_path, "fetch", "vl_rewardbench")
        assert done.returncode == 0, done.stderr
        raw = tmp_path / "data/raw/vl_rewardbench"
        assert (raw / commit / "data/test-0.parquet").read_bytes() == published

        path = scores(tmp_path, "vl_rewardbench")
        done = run(tmp_path, "evaluate", "--scores", path, "-e", "vl_rewardbench", "--json")
        assert done.exit_code == 0, done.output
        first = json.loads(done.stdout)["results"][0]["measures"][0]
        assert (first["name"], first["right"], first["trials"]) == ("overall", 7.0, 7)

        hub.commit("MMInstruction/VL-RewardBench", {"data/test-0.parquet": parquet(rows[:6])})
        done = curate(hub, tmp_path, "pin", "--check", "vl_rewardbench", "--json")
        assert done.returncode == 1
        assert [drift["what"] for drift in json.loads(done.stdout)] == [
            "commit", "rows, parquet footers", "data/test-0.parquet",
        ]  # fmt: skip
        manifests.write(replace(manifest, commit="c" * 40), tmp_path / "manifests")
        done = run(tmp_path, "evaluate", "--scores", path, "-e", "vl_rewardbench")
        assert isinstance(done.exception, WorkspaceError)
        assert done.exception.hint == "curate fetch vl_rewardbench"


def test_media_of_an_eval_set_come_too(tmp_path):
    files = {**planted("mm_rlhf_rewardbench"), "images/mcq/1.jpg": b"x", "more.jsonl": b"{}", "paper.pdf": b"y"}
    with Hub(tmp_path / "hub") as hub:
        commit = hub.add_repo("yifanzhang114/MM-RLHF-RewardBench", files, license=None)
        done = curate(hub, tmp_path, "fetch", "mm_rlhf_rewardbench", "--unpinned")
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "data/raw/mm_rlhf_rewardbench" / commit
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
            "images/mcq/1.jpg", "mm_reward_bench.jsonl",
        ]  # fmt: skip


def test_both_splits_of_judgebench(tmp_path):
    (gpt,) = planted("judgebench").values()
    lines = gpt.splitlines(keepends=True)
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo("ScalerLab/JudgeBench", {"data/gpt-0.jsonl": gpt, "data/claude-0.jsonl": b"".join(lines[:3])})
        done = curate(hub, tmp_path, "fetch", "judgebench", "--unpinned")
        assert done.returncode == 0, done.stderr
    (tmp_path / "manifests").mkdir()
    found = {}
    for split in ("gpt", "claude"):
        path = scores(tmp_path, "judgebench", split)
        done = run(tmp_path, "evaluate", "--scores", path, "-e", "judgebench", "--split", split, "--json")
        assert done.exit_code == 0, done.output
        (result,) = json.loads(done.stdout)["results"]
        found[result["split"]] = result["measures"][0]["trials"]
    assert found == {"gpt": 5, "claude": 3}
    assert "3 items, 270 published" in done.stderr


def test_a_split_that_is_gone_upstream(tmp_path):
    (gpt,) = planted("judgebench").values()
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo("ScalerLab/JudgeBench", {"data/gpt-0.jsonl": gpt})
        done = curate(hub, tmp_path, "pin", "judgebench")
        assert done.returncode == 1
        assert "no file matches data/claude-*.jsonl or claude-*.jsonl or data/claude-*.parquet" in done.stderr


def test_a_name_that_is_nearly_an_eval_set(tmp_path):
    with pytest.raises(ConfigError) as error:
        manifests.read("vl_rewardbnch", tmp_path)
    assert str(error.value) == (
        "source: no source or eval set is called 'vl_rewardbnch'; expected a bundled one or a manifest"
    )
    assert error.value.hint == "did you mean vl_rewardbench, rewardbench, rewardbench2?"


def test_the_list_of_eval_sets():
    done = CliRunner().invoke(app, ["sources", "--evalsets", "--json"])
    found = {one["evalset"]: one["items"] for one in json.loads(done.stdout)}
    assert list(found) == evalsets.names()
    assert found["judgebench"] == {"gpt": 350, "claude": 270}
    assert found["vl_rewardbench"] == dict.fromkeys(("official", "r1_reward", "unified_reward"), 1250)
