"""The memory of weights, gradients and optimizer: the tables that are printed, and the check before training."""

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModel, InternVLConfig, Qwen2_5_VLConfig

from curate.errors import TrainError
from tests.support.paths import ROOT
from tests.support.tiny_models import checkpoint
from trainer import config, setup
from trainer.backbones import Backbone
from trainer.config import PRESETS, HeadConfig, LoraConfig
from trainer.memory import check, counts, state_bytes
from trainer.model import RewardHead, RewardModel, build

GB = 10**9
MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
QWEN = {  # hidden, inner, layers, heads, their groups, vocabulary; inner of the tower
    "3b": (2048, 11008, 36, 16, 2, 151936, 3420),
    "7b": (3584, 18944, 28, 28, 4, 152064, 3420),
    "32b": (5120, 27648, 64, 40, 8, 152064, 3456),
}


def shape(size: str):
    """The config of a preset's backbone."""
    if size == "1b":
        text = {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
                "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151674}  # fmt: skip
        vision = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                  "intermediate_size": 4096, "image_size": [448, 448], "patch_size": [14, 14]}  # fmt: skip
        return InternVLConfig(text_config=text, vision_config=vision)
    hidden, inner, layers, heads, groups, vocabulary, tower = QWEN[size]
    text = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": groups, "vocab_size": vocabulary,
            "rope_parameters": MROPE}  # fmt: skip
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": tower, "num_heads": 16,
              "out_hidden_size": hidden}  # fmt: skip
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision)


@pytest.fixture(scope="module")
def sizes() -> dict[str, tuple[int, int]]:
    """The parameters of each preset's model, all and trained, its tower frozen."""
    found = {}
    for size in ("1b", "3b", "7b", "32b"):
        with torch.device("meta"):
            backbone = Backbone.of(
                AutoModel.from_config(shape(size)), "internvl" if size == "1b" else "qwen2_5_vl"
            )
            head = RewardHead(backbone.hidden_size, HeadConfig())
        for parameter in backbone.tower():
            parameter.requires_grad_(False)
        found[size] = counts(RewardModel(backbone, head, HeadConfig(), source="", lora=None))
    assert found["7b"] == (7_760_021_505, 7_128_045_825)
    return found


def gigabytes(size: tuple[int, int], zero: int, ranks: int) -> int:
    return round(state_bytes(*size, zero=zero, ranks=ranks, bf16=True) / GB)


def test_by_hand():
    """1,000 parameters, 800 of them trained, on four GPUs."""
    half = [state_bytes(1000, 800, zero=zero, ranks=4, bf16=True) for zero in (1, 2, 3)]
    assert half == [2000 + 4800 + 2400, 2000 + 3200, 500 + 3200]
    full = [state_bytes(1000, 800, zero=zero, ranks=4, bf16=False) for zero in range(4)]
    assert full == [4000 + 3200 + 6400, 4000 + 3200 + 2400, 4000 + 3200, 1000 + 3200]


def test_the_table_of_the_documentation(sizes):
    page = (ROOT / "docs/pages/training.md").read_text()
    gpus = [int(n) for n in re.search(r"^\| model \| zero (.*)\|$", page, re.MULTILINE)[1].split() if n.isdigit()]
    model, seen = "", 0
    for row in re.findall(r"^\| *(\d+B|) *\| (\d) ((?:\| [\d,]+ )+)\|$", page, re.MULTILINE):
        model = row[0].lower() or model
        cells = [int(cell) for cell in row[2].split("|") if cell.strip()]
        assert cells == [gigabytes(sizes[model], int(row[1]), ranks) for ranks in gpus], row
        seen += 1
    assert (gpus, seen) == ([1, 8, 16, 64], 8)


@pytest.mark.parametrize("size", ["1b", "3b", "7b", "32b"])
def test_the_lines_of_the_presets(sizes, size):
    text = (PRESETS / f"basereward_{size}.yaml").read_text()
    lines = text[text.index("# Memory for weights") :].splitlines()[1:3]
    stated = re.findall(r"(\d+) GPUs? (\d+)", lines[0].split(";")[0])
    zero = config.resolve(f"basereward_{size}", ["mix=m", "out=o"]).zero
    assert len(stated) >= 3
    assert [(ranks, str(gigabytes(sizes[size], zero, int(ranks)))) for ranks, _ in stated] == stated


def test_what_does_not_fit_is_refused_with_what_would():
    model = nn.Linear(100_000_000 // 1000, 1000, bias=False, device="meta")
    assert counts(model) == (10**8, 10**8)

    def refusal(free: float, ranks: int = 8, **settings: object) -> tuple[str, str]:
        run = SimpleNamespace(**{"zero": 1, "lora": None, **settings})
        with pytest.raises(TrainError) as caught:
            check(model, run, ranks=ranks, free=int(free * GB), bf16=True)
        return str(caught.value), caught.value.hint

    line = "GPU: weights, gradients and optimizer take 0.95 GB, and 0.50 GB are free; expected a model that fits"
    assert refusal(0.5) == (line, "zero=2 takes 0.40 GB; or train adapters, lora.rank=16")
    assert refusal(0.4)[1] == "zero=3 takes 0.23 GB; or train adapters, lora.rank=16"
    assert refusal(0.1, lora=LoraConfig())[1] == "zero=3 on 20 GPUs takes 0.09 GB of each"
    assert refusal(0.1, zero=3)[1] == "zero=3 on 20 GPUs takes 0.09 GB of each; or train adapters, lora.rank=16"
    check(model, SimpleNamespace(zero=1, lora=None), ranks=8, free=GB, bf16=True)


def test_a_model_is_checked_before_it_gets_its_engine(monkeypatch, tmp_path):
    """On a GPU that has a megabyte left; nothing is copied to it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10**6, 10**12))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    world = SimpleNamespace(device=torch.device("cuda"), size=1)
    run = config.resolve("tiny_cpu", ["mix=m", f"out={tmp_path}", "zero=1", "bf16=true"])
    with pytest.raises(TrainError, match=r"GPU: weights, gradients and optimizer take 0\.00 GB, and 0\.00 GB"):
        setup.load_model(run, str(checkpoint("text")), world)


def test_adapters_are_what_is_trained():
    _, trained = counts(build(checkpoint("text"), HeadConfig(), lora=LoraConfig(rank=2)))
    plain, all_of_it = counts(build(checkpoint("text"), HeadConfig()))
    assert plain == all_of_it
    assert 0 < trained < all_of_it / 4
