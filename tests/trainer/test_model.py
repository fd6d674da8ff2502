import json
import os
import shutil
import subprocess
import sys
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from curate.errors import TrainError
from tests.support.shared_prefix import make
from tests.support.tiny_models import checkpoint
from trainer.backbones import Backbone, Kind, quiet
from trainer.batch import Tree
from trainer.config import HeadConfig, LoraConfig
from trainer.distributed import use_bf16
from trainer.model import RewardHead, RewardModel, build, read_facts
from trainer.packing import dummy_image, pack, pad
from trainer.prefix_attention import lacking, varlen_kernel
from trainer.recompute import compile_layers, fused_parts

KINDS = get_args(Kind)
VISION = [kind for kind in KINDS if kind != "text"]


def trees(backbone: Backbone, seed: int = 0, pairs: int = 2) -> list[Tree]:
    """Pairs of random tokens, with an image of noise where the backbone sees."""
    draw = torch.Generator().manual_seed(seed)
    blank = dummy_image(backbone)
    made = []
    for number in range(pairs):
        prompt = torch.randint(0, 500, (6 + number,), generator=draw)
        media = {}
        if blank is not None:
            prompt = torch.cat([prompt, blank.ids[0], prompt])
            media = {name: _noise(tensor, draw) for name, tensor in blank.media.items()}
        replies = [torch.randint(0, 500, (length,), generator=draw) for length in (3, 8)]
        made.append(Tree(tuple(torch.cat([prompt, reply]) for reply in replies), len(prompt), media))
    return made


def _noise(tensor: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return torch.rand(tensor.shape, generator=draw) if tensor.is_floating_point() else tensor


def scores(model: RewardModel) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(pack(trees(model.backbone), model.backbone))


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=2e-6)


# backbones


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_is_the_base_model_with_its_facts(kind):
    backbone = Backbone.load(checkpoint(kind))
    assert (backbone.kind, backbone.hidden_size) == (kind, 64)
    assert not [name for name, _ in backbone.module.named_parameters() if "lm_head" in name]
    tokens = AutoTokenizer.from_pretrained(checkpoint(kind))
    own = {"internvl": "<IMG_CONTEXT>", "gemma3": "<image_soft_token>", "gemma4": "<|image|>", "text": None}
    own |= dict.fromkeys(("smolvlm", "llava_onevision"), "<image>")
    image = own.get(kind, "<|image_pad|>")
    assert backbone.image_token_id == (image and tokens.convert_tokens_to_ids(image))


@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral"])
def test_other_text_models_are_backbones_too(kind, tmp_path):
    sizes = {"vocab_size": 520, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "bos_token_id": 1,
             "eos_token_id": 2}  # fmt: skip
    config = AutoConfig.for_model(kind, **sizes)
    config.sliding_window = None
    with quiet():
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = build(tmp_path, HeadConfig())
    assert model.backbone.kind == "text"
    plain = pad(trees(model.backbone), model.backbone)
    close(scores(model), model(plain).detach())


def test_model_types_we_do_not_know_are_refused(tmp_path):
    for name in ("bert", "llama4"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
        with pytest.raises(TrainError, match=rf"model type '{name}'; expected one of qwen2_vl, .*gemma4_text$"):
            Backbone.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen99"}))
    with pytest.raises(TrainError, match="`qwen99` but Transformers does not recognize") as caught:
        Backbone.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_whole_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainError, match=r"no config\.json; expected a directory written by save_pretrained"):
        Backbone.load(tmp_path)
    with pytest.raises(TrainError, match="gone: no such directory; expected a checkpoint directory or a Hub id"):
        Backbone.load(tmp_path / "gone")
    shutil.copytree(checkpoint("text"), tmp_path / "cut")
    weights = load_file(tmp_path / "cut/model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "cut/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match=r"1 weights are missing, the first is norm\.weight"):
        Backbone.load(tmp_path / "cut")


# head


def test_two_layers_by_hand():
    head = RewardHead(2, HeadConfig(width=2))
    head.load_state_dict({
        "layers.0.weight": torch.tensor([[1.0, 0.0], [0.0, -1.0]]), "layers.0.bias": torch.tensor([0.0, 1.0]),
        "layers.1.weight": torch.tensor([[2.0, 3.0]]), "layers.1.bias": torch.tensor([0.5]),
    })  # fmt: skip
    # silu(1) = 0.7310586, silu(1 - 3) = -0.2384058
    assert head(torch.tensor([[1.0, 3.0]])).tolist() == pytest.approx([2 * 0.7310586 - 3 * 0.2384058 + 0.5])


@pytest.mark.parametrize("layers", range(1, 6))
@pytest.mark.parametrize("name", ["none", "tanh", "relu", "silu", "gelu"])
def test_every_shape_is_linear_layers_with_the_activation_between(layers, name):
    function = {"none": lambda x: x, "tanh": torch.tanh}.get(name) or getattr(functional, name)
    head = RewardHead(6, HeadConfig(layers=layers, activation=name, width=4))
    assert [layer.weight.shape[0] for layer in head.layers] == [4] * (layers - 1) + [1]
    x = features = torch.randn(3, 6)
    for layer in head.layers[:-1]:
        x = function(x @ layer.weight.T + layer.bias)
    torch.testing.assert_close(head(features), (x @ head.layers[-1].weight.T)[:, 0] + head.layers[-1].bias)


def test_weights_are_drawn_as_the_config_says():
    torch.manual_seed(0)
    head = RewardHead(400, HeadConfig(width=100))
    assert head.layers[0].weight.std().item() == pytest.approx(401**-0.5, rel=0.02)
    assert head.layers[1].weight.std().item() == pytest.approx(101**-0.5, rel=0.2)
    assert not head.layers[0].bias.any()
    assert not RewardHead(4, HeadConfig(init_std=0.0)).layers[0].weight.any(), "0 is 0, not the default"
    wide = RewardHead(400, HeadConfig(init_std=0.5, bias=False))
    assert wide.layers[0].weight.std().item() == pytest.approx(0.5, rel=0.02)
    assert wide.layers[0].bias is None


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    head, features = RewardHead(64, HeadConfig(dropout=0.5)), torch.randn(2, 64)
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


@pytest.mark.parametrize("layers", [0, 6])
def test_a_head_has_one_to_five_layers(layers):
    with pytest.raises(ValueError, match="layers"):
        HeadConfig(layers=layers)


# the whole model


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_heads_of_the_last_real_tokens(kind):
    model = build(checkpoint(kind), HeadConfig()).eval()
    made = trees(model.backbone)
    wanted = []
    for tree in made:
        for ids in tree.ids:
            alone = pad([Tree((ids,), 0, tree.media)], model.backbone)
            wanted.append(model.head(model.backbone.hidden(alone)[:, -1]))
    wanted = torch.cat(wanted).detach()
    for side in ("left", "right"):
        close(model(pad(made, model.backbone, side)).detach(), wanted)
    close(scores(model), wanted)
    assert wanted.std() > 0.05


def test_features_are_what_the_head_reads():
    model = build(checkpoint("qwen2_5_vl"), HeadConfig()).eval()
    batch = pack(trees(model.backbone), model.backbone)
    features = model.features(batch)
    assert (features.shape, features.dtype) == ((4, 64), torch.float32)
    assert torch.equal(model.head(features), model(batch))


@pytest.mark.parametrize("kind", VISION)
def test_the_frozen_tower_is_all_but_what_leads_out_of_it(kind):
    model = build(checkpoint(kind), HeadConfig())
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    parts = (".visual.", ".vision_tower.", ".vision_model.")
    tower = {name for name, _ in model.named_parameters() if any(part in name for part in parts)}
    merger = {name for name in tower if "merger" in name}
    assert frozen == tower - merger
    assert bool(merger) == kind.startswith("qwen")
    model(pack(trees(model.backbone), model.backbone)).sum().backward()
    used = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert not used & frozen
    assert {name for name in merger if name.endswith("weight")} <= used


def test_a_trained_tower_gets_gradients():
    model = build(checkpoint("qwen2_5_vl"), HeadConfig(), freeze_vision=False)
    model(pack(trees(model.backbone), model.backbone)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_recomputed_activations_give_the_same_gradients(kind):
    gradients = []
    for recompute in (False, True):
        model = build(checkpoint(kind), HeadConfig())
        if recompute:
            model.checkpoint_activations()
        model(pack(trees(model.backbone), model.backbone)).sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


def test_the_head_is_drawn_from_the_seed_and_leaves_the_generator_alone():
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    models = [build(checkpoint("text"), HeadConfig(), seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(1), wanted)
    first, again, other = (model.head.layers[0].weight for model in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_head_and_scores_are_fp32_under_a_bf16_backbone_and_autocast():
    exact = scores(build(checkpoint("qwen2_5_vl"), HeadConfig()))
    model = build(checkpoint("qwen2_5_vl"), HeadConfig(), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.base.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.head.parameters()} == {torch.float32}
    got = scores(model)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, exact, rtol=0, atol=0.1)
    features = torch.randn(3, 64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = model.head(features)
    assert torch.equal(inside, model.head(features))
    cast = model.head.bfloat16()(features)  # what an engine does to all weights: still no rounding on the way
    assert cast.dtype == torch.float32


# save and load


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_gives_the_same_scores(kind, tmp_path):
    model = build(checkpoint(kind), HeadConfig(layers=3, activation="gelu", width=40))
    model.save_pretrained(tmp_path, encoder={"max_pixels": 12544})
    loaded = RewardModel.from_pretrained(tmp_path)
    assert torch.equal(scores(loaded), scores(model))
    assert not loaded.training
    assert read_facts(tmp_path)["encoder"] == {"max_pixels": 12544}
    source = AutoTokenizer.from_pretrained(checkpoint(kind))
    copy = AutoTokenizer.from_pretrained(tmp_path)
    assert copy.chat_template == source.chat_template
    assert (tmp_path / "preprocessor_config.json").exists() == (kind != "text")


def test_a_model_loaded_from_its_own_directory_can_be_saved_there_again(tmp_path):
    model = build(checkpoint("text"), HeadConfig())
    model.save_pretrained(tmp_path)
    RewardModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert torch.equal(scores(RewardModel.from_pretrained(tmp_path)), scores(model))


def test_a_gathered_state_is_saved_in_place_of_the_models_own(tmp_path):
    model, other = (build(checkpoint("text"), HeadConfig(), seed=seed) for seed in (0, 1))
    state = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    state["base.norm.weight"] *= 2
    model.save_pretrained(tmp_path, state_dict=state)
    other.load_state_dict(state)
    assert torch.equal(scores(RewardModel.from_pretrained(tmp_path)), scores(other))


def with_lora(kind: str, **options) -> RewardModel:
    """A model with adapters that act: fresh ones are zero."""
    model = build(checkpoint(kind), HeadConfig(), lora=LoraConfig(rank=4, **options))
    draw = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=draw)
    return model


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "internvl", "text"])
def test_lora_round_trip_and_merge_give_the_same_scores(kind, tmp_path):
    model = with_lora(kind)
    wanted = scores(model)
    assert not torch.allclose(wanted, scores(build(checkpoint(kind), HeadConfig())), atol=1e-2)
    model.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter/model.safetensors").exists()
    loaded = RewardModel.from_pretrained(tmp_path / "adapter")
    assert torch.equal(scores(loaded), wanted)
    close(scores(loaded.merge_lora()), wanted)
    loaded.save_pretrained(tmp_path / "merged")
    close(scores(RewardModel.from_pretrained(tmp_path / "merged")), wanted)
    assert not (tmp_path / "merged/adapter_config.json").exists()


def test_lora_trains_adapters_of_the_language_model_and_the_head():
    model = with_lora("qwen2_5_vl", target=("q_proj", "v_proj"))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[1] for name in trained if name.startswith("base")} == {"language_model"}
    assert len([name for name in trained if "lora_A" in name]) == 2 * 2
    assert {name for name in trained if "lora_" not in name} == {f"head.layers.{i}.{kind}" for i in (0, 1)
                                                                 for kind in ("weight", "bias")}  # fmt: skip


def test_lora_with_recomputed_activations_trains_its_adapters():
    model = with_lora("qwen2_5_vl")
    model.checkpoint_activations()
    model(pack(trees(model.backbone), model.backbone)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_lora_errors(tmp_path):
    with pytest.raises(TrainError, match="no layer 'qkv'; expected some of down_proj, gate_proj, k_proj"):
        build(checkpoint("text"), HeadConfig(), lora=LoraConfig(target=("qkv",)))
    with pytest.raises(TrainError, match="lora: freeze_vision is false"):
        build(checkpoint("text"), HeadConfig(), lora=LoraConfig(), freeze_vision=False)
    base = shutil.copytree(checkpoint("text"), tmp_path / "base")
    build(base, HeadConfig(), lora=LoraConfig()).save_pretrained(tmp_path / "adapter")
    shutil.rmtree(base)
    with pytest.raises(TrainError, match=r"its base model .*base is gone") as caught:
        RewardModel.from_pretrained(tmp_path / "adapter")
    assert caught.value.hint == "set `base` in reward_config.json"


def test_a_damaged_model_directory_is_one_clear_line(tmp_path):
    with pytest.raises(TrainError, match=r"no reward_config\.json; expected a reward model"):
        RewardModel.from_pretrained(checkpoint("text"))
    build(checkpoint("text"), HeadConfig()).save_pretrained(tmp_path)
    head = tmp_path / "head.safetensors"
    save_file(RewardHead(64, HeadConfig(width=32)).state_dict(), head)
    with pytest.raises(TrainError, match="head of shape 32x64 1x32; expected 64x64 1x64 as reward_config"):
        RewardModel.from_pretrained(tmp_path)
    head.write_bytes(head.read_bytes()[:100])
    with pytest.raises(TrainError, match=r"head\.safetensors: cannot be read"):
        RewardModel.from_pretrained(tmp_path)
    head.unlink()
    with pytest.raises(TrainError, match=r"head\.safetensors: no such file"):
        RewardModel.from_pretrained(tmp_path)
    (tmp_path / "reward_config.json").write_text("{")
    with pytest.raises(TrainError, match="not JSON"):
        RewardModel.from_pretrained(tmp_path)


ZERO3 = """
import sys, torch, deepspeed
from transformers.integrations import HfDeepSpeedConfig
from tests.trainer.test_model import trees
from trainer.model import RewardModel
from trainer.packing import pack
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
store = "file://" + sys.argv[2]
deepspeed.init_distributed("gloo", auto_mpi_discovery=False, init_method=store, rank=0, world_size=1)
dtype = getattr(torch, sys.argv[3])
config = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3},
          "zero_allow_untested_optimizer": True, "bf16": {"enabled": dtype == torch.bfloat16}}
alive = HfDeepSpeedConfig(config)
model = RewardModel.from_pretrained(sys.argv[1], dtype)
assert all(hasattr(parameter, "ds_id") for name, parameter in model.base.named_parameters() if "lora_" not in name)
engine = deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(model.parameters(), lr=0), config=config)[0]
assert all(hasattr(parameter, "ds_id") for parameter in model.parameters())
scores = engine(pack(trees(model.backbone), model.backbone))
engine.backward(scores.sum())
engine.step()
print(scores.dtype, *scores.tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_loads_partitioned_under_zero_3(dtype, tmp_path):
    model = with_lora("qwen2_5_vl")
    model.save_pretrained(tmp_path)
    quiet_cpu = {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", ZERO3, str(tmp_path), str(tmp_path / "store"), dtype]
    ran = subprocess.run(command, env=os.environ | quiet_cpu, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    kind, *got = ran.stdout.split("\n")[-2].split()
    assert kind == "torch.float32"
    tolerance = 1e-5 if dtype == "float32" else 0.1
    assert [float(each) for each in got] == pytest.approx(scores(model).tolist(), abs=tolerance)


def test_transformers_does_not_draw_a_head_for_a_saved_model(tmp_path):
    """A sequence classification class finds a head of another shape, and refuses."""
    made = build(checkpoint("text"), HeadConfig())
    made.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"), quiet():
        AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1)
    assert RewardModel.from_pretrained(tmp_path).head is not None


@pytest.mark.parametrize("kind", KINDS)
def test_mlp_and_norms_of_every_kind_are_found(kind):
    """Of two layers."""
    assert len(fused_parts(build(checkpoint(kind), HeadConfig()).backbone.text)) == 3 * 2


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)  # of torch's compiler
@pytest.mark.parametrize("kind", ["text", "qwen2_5_vl"])
def test_compiled_layers_give_the_same_gradients(kind):
    """Of two lengths, with and without checkpointing."""
    plain = build(checkpoint(kind), HeadConfig())
    for checkpointed in (False, True):
        compiled = build(checkpoint(kind), HeadConfig())
        assert compile_layers(compiled.backbone.text) == 3 * 2
        if checkpointed:
            compiled.checkpoint_activations()
        for prompt in (9, 31):
            batch = pack([make(kind, 1, prompt=prompt)], plain.backbone)
            grads = []
            for model in (plain, compiled):
                model.zero_grad()
                model(batch).sum().backward()
                grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
            assert grads[0].keys() == {name.replace("._orig_mod", "") for name in grads[1]}
            for name, expected in grads[0].items():
                torch.testing.assert_close(grads[1][name], expected, rtol=1e-4, atol=1e-5)
        assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_a_gpu_without_bf16(monkeypatch):
    cpu = torch.device("cpu")
    assert (use_bf16(None, cpu), use_bf16(True, cpu), use_bf16(False, cpu)) == (False, True, False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    gpu = torch.device("cuda")
    assert (use_bf16(None, gpu), use_bf16(False, gpu)) == (False, False), "fp32, since it would be emulated"
    with pytest.raises(TrainError, match="bf16: Tesla V100 does not compute in bf16") as error:
        use_bf16(True, gpu)
    assert error.value.hint == "bf16=false trains in fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert (use_bf16(None, gpu), use_bf16(True, gpu)) == (True, True)


@pytest.mark.parametrize(
    ("heads", "capability", "why"),
    [
        ({"hidden_size": 3584, "num_attention_heads": 28}, (9, 0), None),
        ({"head_dim": 264}, (9, 0), "heads are 264 wide, not a multiple of 8 up to 256"),
        ({"head_dim": 20}, (9, 0), "heads are 20 wide, not a multiple of 8 up to 256"),
        ({"head_dim": 128}, (7, 5), "compute capability 7.5, not 8.0 or later"),
        ({"head_dim": 256}, (8, 0), None),
    ],
)
def test_what_the_variable_length_kernel_takes(monkeypatch, heads, capability, why):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert lacking(type("Config", (), heads)) == why


def test_no_kernel_is_installed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    for name in ("torch.nn.attention.varlen", "flash_attn"):
        monkeypatch.setitem(sys.modules, name, None)
    varlen_kernel.cache_clear()
    try:
        found = lacking(type("Config", (), {"head_dim": 128}))
        assert found == "neither torch's varlen_attn nor flash-attn is there"
    finally:
        varlen_kernel.cache_clear()
