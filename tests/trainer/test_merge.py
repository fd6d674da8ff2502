"""`curate train --merge`: one whole model of a LoRA model, with the same scores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from curate.errors import TrainError
from curate.evalsets import itemfile
from tests.support.questions import loaded, of_kind, saved, scores
from tests.support.tiny_models import checkpoint
from trainer import merge
from trainer.config import HeadConfig, LoraConfig
from trainer.encode import Encoder
from trainer.model import RewardModel, build, read_facts
from trainer.score import score_items


def with_adapter(kind: str, directory: Path, base: Path | None = None) -> Path:
    """A saved LoRA model whose adapter changes scores; a new one is zero."""
    model = build(base or checkpoint(kind), HeadConfig(), lora=LoraConfig(rank=4))
    draw = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=draw)
    return model.save_pretrained(directory, encoder={"max_length": 512, "max_pixels": 12544})


def scored(directory: Path, kind: str) -> dict[str, torch.Tensor]:
    model = RewardModel.from_pretrained(directory)
    return scores(score_items(model, Encoder(directory, max_length=4096), of_kind(kind), 4096))


def curate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "internvl", "text"])
def test_a_merged_model_gives_the_scores_of_its_adapter(kind, tmp_path):
    adapter = with_adapter(kind, tmp_path / "final")
    merge.main([str(adapter), "--out", str(tmp_path / "merged")])
    expected, found = scored(adapter, kind), scored(tmp_path / "merged", kind)
    plain = scores(score_items(*loaded(kind), of_kind(kind), 4096))
    assert found.keys() == expected.keys()
    for item, values in expected.items():
        torch.testing.assert_close(found[item], values, rtol=0, atol=1e-5)
        assert not torch.allclose(values, plain[item], atol=1e-3), "the adapter changes scores"
    assert read_facts(tmp_path / "merged")["lora"] is None
    assert read_facts(tmp_path / "merged")["encoder"] == {"max_length": 512, "max_pixels": 12544}
    assert not list((tmp_path / "merged").glob("adapter*"))


@pytest.mark.slow
def test_the_command_merges_and_the_scorer_reads_the_result(tmp_path):
    adapter = with_adapter("text", tmp_path / "run/final")
    done = curate("train", "--merge", "run/final", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"model": f"{tmp_path}/run/final-merged"}), (
        done.stderr
    )
    assert done.stderr == f"merged: {tmp_path}/run/final-merged\n"
    itemfile.write(tmp_path / "items.parquet", "quiz", of_kind("text"))
    for model in (adapter, tmp_path / "run/final-merged"):
        command = [sys.executable, "-m", "trainer.score", model, tmp_path / "items.parquet"]
        subprocess.run([*command, "--out", tmp_path / model.name], check=True, capture_output=True)
    lines = [(tmp_path / name / "items.jsonl").read_text().splitlines() for name in ("final", "final-merged")]
    rows = [[json.loads(line) for line in text] for text in lines]
    assert [row["item"] for row in rows[0]] == [row["item"] for row in rows[1]]
    assert len(rows[0]) == sum(len(one.replies) for one in of_kind("text"))
    first, second = ([row["score"] for row in part] for part in rows)
    assert first == pytest.approx(second, abs=1e-5)


def test_a_merged_model_has_the_dtype_of_its_base(tmp_path):
    base = checkpoint("text")
    half = tmp_path / "base"
    half.mkdir()
    for path in base.iterdir():
        (half / path.name).write_bytes(path.read_bytes())
    facts = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(facts | {"dtype": "bfloat16"}))
    merge.merge_model(with_adapter("text", tmp_path / "final", half), tmp_path / "merged")
    assert AutoConfig.from_pretrained(tmp_path / "merged").dtype == torch.bfloat16
    model = RewardModel.from_pretrained(tmp_path / "merged", torch.bfloat16)
    assert {parameter.dtype for parameter in model.base.parameters()} == {torch.bfloat16}
    size = (tmp_path / "merged/model.safetensors").stat().st_size
    assert size < 0.6 * (base / "model.safetensors").stat().st_size


def test_what_cannot_be_merged_is_one_line(tmp_path):
    with pytest.raises(TrainError, match="no adapter to merge; expected a model trained with LoRA"):
        merge.merge_model(saved("text"), tmp_path / "merged")
    adapter = with_adapter("text", tmp_path / "run/final")
    with pytest.raises(TrainError, match=f"{adapter}: exists already; expected the name of a new directory"):
        merge.merge_model(adapter, adapter)
    with pytest.raises(TrainError, match=r"run: no reward_config\.json; expected a reward model") as caught:
        merge.merge_model(tmp_path / "run", tmp_path / "merged")
    assert caught.value.hint == f"did you mean {adapter}?"
    merge.merge_model(adapter, tmp_path / "merged")  # the hint works


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["mix", "--merge", "final"], "--merge goes with --out only"),
        (["--merge", "final", "--prepare"], "--merge goes with --out only"),
        (["--merge", "final", "--nproc", "2"], "--merge goes with --out only"),
        ([], "name the mix to train on, or a LoRA model with --merge"),
    ],
)
def test_usage(arguments, line, tmp_path):
    done = curate("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert line in " ".join(done.stderr.replace("│", " ").split())
