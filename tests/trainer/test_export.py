"""Exported models score elsewhere as they do here, or are refused with the reason."""

import json
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from curate.errors import TrainError
from curate.schema import from_fields
from tests.support.encoders import copy_of
from tests.support.tiny_models import checkpoint
from trainer import export
from trainer.config import HeadConfig, LoraConfig
from trainer.encode import Encoder
from trainer.export import ending_at_the_score, export_model
from trainer.model import RewardModel, build
from trainer.score import Scorer

LINEAR = HeadConfig(layers=1)


def saved(kind, where, head, **more):
    bounds = {"max_pixels": 50_176, "min_pixels": 784}
    return build(checkpoint(kind), head, **more).save_pretrained(where / "model", encoder=bounds)


def chat(*texts):
    return [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, texts, strict=False)]


DIALOGUES = (("Well?", "Yes."), ("Well?", "No.\n\n"), ("A", "B", "C\n", "very " * 60))


def scores_here(model):
    return [
        one.score for one in Scorer.load(model, 4096).score([[*map(from_fields, chat(*d))] for d in DIALOGUES])
    ]


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_transformers_gives_equal_scores(tmp_path, lora):
    model = saved("text", tmp_path, LINEAR, lora=lora)
    if lora is not None:
        _train_a_little(model)
    out = tmp_path / "out"
    export_model(model, "transformers", out)
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "LABEL_0"})
    tokenizer = AutoTokenizer.from_pretrained(out)
    loaded = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32).eval()
    texts = [tokenizer.apply_chat_template(chat(*dialogue), tokenize=False) for dialogue in DIALOGUES]
    assert all(text.endswith("<|im_end|>") for text in texts)
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = loaded(**batch).logits[:, 0].tolist()
    assert found == pytest.approx(scores_here(model), abs=1e-5)
    assert "adapter_model.safetensors" not in {path.name for path in out.iterdir()}


def _train_a_little(model: Path) -> None:
    """Give the adapter weights that change scores."""
    path = model / "adapter_model.safetensors"
    draw = torch.Generator().manual_seed(0)
    save_file(
        {name: one + 0.1 * torch.randn(one.shape, generator=draw) for name, one in load_file(path).items()}, path
    )


def test_trl_takes_it_as_a_reward_model(tmp_path):
    """As GRPOTrainer calls it, right- or left-padded."""
    model = saved("text", tmp_path, LINEAR)
    export_model(model, "vllm", tmp_path / "out")  # for vLLM it is the same
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", padding_side="right")
    loaded = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", num_labels=1, dtype=torch.float32
    )
    loaded.config.pad_token_id = tokenizer.pad_token_id
    texts = [tokenizer.apply_chat_template(chat(*d), tokenize=False) for d in DIALOGUES]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.inference_mode():
        found = loaded.eval()(**inputs).logits[:, 0].tolist()
    assert found == pytest.approx(scores_here(model), abs=1e-5)


@pytest.mark.parametrize("kind", ["text", "qwen2_vl", "qwen2_5_vl"])
def test_the_files_that_the_plugin_reads(tmp_path, kind):
    model = saved(kind, tmp_path, HeadConfig(layers=2, activation="silu"))
    out = tmp_path / "out"
    export_model(model, "vllm", out)
    config = json.loads((out / "config.json").read_text())
    name = {"text": "Qwen2", "qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL"}[kind]
    assert config["architectures"] == [f"Curate{name}ForSequenceClassification"]
    assert config["curate_head"] == {"layers": 2, "width": None, "bias": True, "activation": "silu"}
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "LABEL_0"})
    weights = load_file(out / "model.safetensors")
    head = {key.removeprefix("score."): one for key, one in weights.items() if key.startswith("score.")}
    assert sorted(head) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    starts = {key.split(".")[0] for key in weights} - {"score"}
    assert starts == ({"model"} if kind == "text" else {"language_model", "visual"})
    base = RewardModel.from_pretrained(model)
    plugin = _plugin(out)
    made = plugin.head_of(config["curate_head"], 64)
    made.load_state_dict(head)
    features = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made(features)[:, 0], base.head(features))
    assert f"Curate{name}ForSequenceClassification".removeprefix("Curate")[: len(name)] in plugin.MODELS
    project = tomllib.loads((out / "vllm_plugin" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"vllm.general_plugins": {"curate": "curate_vllm:register"}}


def _plugin(out):
    sys.path.insert(0, str(out / "vllm_plugin"))
    try:
        sys.modules.pop("curate_vllm", None)
        import curate_vllm

        return curate_vllm
    finally:
        sys.path.pop(0)


def test_pixel_bounds_are_those_of_training(tmp_path):
    model = saved("qwen2_5_vl", tmp_path, HeadConfig())
    export_model(model, "vllm", tmp_path / "out")
    own = Scorer.load(model, 4096).encoder.layout.facts()
    assert Encoder(tmp_path / "out", max_length=99).layout.facts() == own
    written = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert written["size"] == {"longest_edge": 50_176, "shortest_edge": 784}


@pytest.mark.parametrize(
    ("kind", "head", "target", "found", "hint"),
    [
        (
            "text",
            HeadConfig(),
            "transformers",
            "its head is not one linear layer",
            "--for vllm, or curate serve DIR",
        ),
        ("qwen2_5_vl", LINEAR, "transformers", "it reads images", "--for vllm, or curate serve DIR"),
        ("internvl", LINEAR, "transformers", "it reads images", "curate serve DIR"),
        ("internvl", LINEAR, "vllm", "a backbone of type internvl; expected one of qwen2,", "curate serve DIR"),
        ("qwen3_vl", LINEAR, "vllm", "a backbone of type qwen3_vl", "curate serve DIR"),
        ("smolvlm", LINEAR, "vllm", "a backbone of type smolvlm", "curate serve DIR"),
        ("llava_onevision", LINEAR, "vllm", "a backbone of type llava_onevision", "curate serve DIR"),
    ],
)
def test_what_would_score_wrongly_is_refused(tmp_path, kind, head, target, found, hint):
    model = saved(kind, tmp_path, head)
    with pytest.raises(TrainError, match=found) as caught:
        export_model(model, target, tmp_path / "out")
    assert caught.value.hint == hint.replace("DIR", str(model))
    assert not (tmp_path / "out").exists()


def test_a_bias_that_shifts_scores_is_refused(tmp_path):
    made = build(checkpoint("text"), LINEAR)
    made.head.layers[0].bias.data.fill_(0.5)
    model = made.save_pretrained(tmp_path / "model")
    with pytest.raises(TrainError, match="not one linear layer without bias"):
        export_model(model, "transformers", tmp_path / "out")
    export_model(model, "vllm", tmp_path / "out")
    assert load_file(tmp_path / "out" / "model.safetensors")["score.0.bias"].tolist() == [0.5]


def test_an_existing_directory(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(TrainError, match="exists already"):
        export_model(saved("text", tmp_path, LINEAR), "vllm", tmp_path / "out")


def test_a_tokenizer_that_pads_with_the_scored_token(tmp_path):
    where = copy_of("text", tmp_path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (where / name).exists():
            facts = json.loads((where / name).read_text())
            (where / name).write_text(json.dumps({**facts, "pad_token": "<|im_end|>"}))
    model = build(where, LINEAR).save_pretrained(tmp_path / "reward")
    export_model(model, "transformers", tmp_path / "out")
    pad = json.loads((tmp_path / "out" / "config.json").read_text())["pad_token_id"]
    assert AutoTokenizer.from_pretrained(tmp_path / "out").convert_ids_to_tokens(pad) == "<|endoftext|>"


def test_a_template_of_another_kind_is_not_guessed(tmp_path):
    where = copy_of("text", tmp_path)
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (where / "chat_template.jinja").write_text(plain)
    model = build(where, LINEAR).save_pretrained(tmp_path / "reward")
    with pytest.raises(TrainError, match="exported chat template"):
        export_model(model, "transformers", tmp_path / "out")


def test_the_date_of_training_stays():
    template = ending_at_the_score("{{ date_string }}{% for m in messages %}{{ m.content }}<e>\n{% endfor %}\n")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("text"))
    text = tokenizer.apply_chat_template(chat("a", "b"), chat_template=template, tokenize=False)
    assert text == "26 Jul 2024a<e>\nb<e>"
    prompt = tokenizer.apply_chat_template(
        chat("a"), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert prompt == "26 Jul 2024a<e>\n"


def test_the_command_line(tmp_path, capsys):
    model = saved("text", tmp_path, LINEAR)
    export.main([str(model), "--for", "transformers", "--out", str(tmp_path / "out")])
    assert capsys.readouterr().err == f"exported: {tmp_path / 'out'}\n"
    shutil.rmtree(tmp_path / "out")
