"""FLOPs by formula: the stated figures of Qwen2.5-VL-7B, and what torch counts on tiny models."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, Qwen2_5_VLConfig

from tests.support.questions import question
from tests.support.shared_prefix import KINDS, backbone, make, upstream
from tests.support.tiny_models import checkpoint
from trainer.backbones import TOWERS, Backbone
from trainer.batch import Tree
from trainer.config import HeadConfig, LoraConfig
from trainer.encode import Encoder
from trainer.flops import causal_pairs, forward_flops, peak_flops, step_flops, weights, window_pairs
from trainer.model import build
from trainer.packing import pack, pad

Grads = dict[str, torch.Tensor]

SIZE_7B = {
    "text_config": {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision_config": {
        "depth": 32, "hidden_size": 1280, "out_hidden_size": 3584, "fullatt_block_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def big() -> Backbone:
    """Qwen2.5-VL-7B's shape, without its numbers."""
    with torch.device("meta"):
        return Backbone.of(AutoModel.from_config(Qwen2_5_VLConfig(**SIZE_7B)), "qwen2_5_vl")


def pair(prompt: int, chosen: int, rejected: int, grid: tuple[int, int, int] | None = None) -> Tree:
    """A pair of these lengths, its prompt with one image of this grid."""
    question = torch.full((prompt,), 5)
    media = {}
    if grid is not None:
        question[: grid[1] * grid[2] // 4] = 151655
        media = {"image_grid_thw": torch.tensor([grid])}
    return Tree(
        (torch.cat([question, torch.ones(chosen).long()]), torch.cat([question, torch.zeros(rejected).long()])),
        prompt,
        media,
    )


def test_weights_of_7b_are_those_of_the_paper_sums(big):
    assert weights(big.module.language_model.layers) == 28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert weights(big.module.language_model.layers) / 1e9 == pytest.approx(6.525, abs=5e-4)
    merger = weights(big.module.visual.merger)
    assert merger / 1e6 == pytest.approx(44.6, abs=0.05)
    assert (weights(big.module.visual) - merger) / 1e9 == pytest.approx(0.6315, abs=5e-5)


def test_a_visual_token_of_7b_costs_what_is_stated(big):
    cost = forward_flops(pack([pair(100, 5, 5, (1, 8, 8))], big), big)
    assert (cost.tower_linear + cost.merger) / 16 / 1e9 == pytest.approx(5.14, abs=5e-3)
    assert cost.text_linear / 110 / 1e9 == pytest.approx(13.05, abs=5e-3)


def test_sharing_saves_what_the_table_says(big):
    """1280 visual tokens, 60 of text, replies of 150: 39.8 -> 21.9 TF in the text model, 7.2 TF in the tower."""
    trees = [pair(1340, 150, 150, (1, 64, 80))]
    shared, alone = (forward_flops(pack(trees, big, share=share), big) for share in (True, False))
    assert (alone.text_linear + alone.text_attention) / 1e12 == pytest.approx(39.8, abs=0.05)
    assert (shared.text_linear + shared.text_attention) / 1e12 == pytest.approx(21.9, abs=0.05)
    assert (shared.tower_linear + shared.tower_attention + shared.merger) / 1e12 == pytest.approx(7.2, abs=0.05)
    base, ours = (step_flops(pack(trees, big, share=share), big, trained_vision=False) for share in (False, True))
    assert base / ours == pytest.approx(1.83, abs=0.005)


def test_attention_of_a_shared_pair_counts_the_prompt_once():
    made = make("text", 1, prompt=9, replies=(7, 4))
    triangle = [n * (n + 1) // 2 for n in (len(made.ids[0]), len(made.ids[1]), made.shared)]
    assert causal_pairs(pack([made], backbone("text"))) == triangle[0] + triangle[1] - triangle[2]
    assert causal_pairs(pack([made], backbone("text"), share=False)) == triangle[0] + triangle[1]
    assert causal_pairs(pad([made], backbone("text"))) == triangle[0] + triangle[1]


def test_windows_at_the_edge_are_smaller(big):
    config = big.module.visual.config
    assert window_pairs([(16, 24)], config) == 6 * 64**2
    assert window_pairs([(10, 8)], config) == 64**2 + (2 * 8) ** 2


def counted(kind: str, batch) -> dict[str, int]:
    """What torch counts in upstream's eager forward: {"module/operator": FLOPs}."""
    module = upstream(kind)
    module.set_attn_implementation("eager")
    try:
        with FlopCounterMode(display=False, depth=8) as counter, torch.no_grad():
            module(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **batch.media)
    finally:
        module.set_attn_implementation("sdpa")
    return {
        f"{name}/{operator}": count
        for name, counts in counter.get_flop_counts().items()
        for operator, count in counts.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_torch_counts_the_same_matrices_and_products(kind):
    batch = pack(
        [Tree(make(kind, 1, 0 if kind == "text" else 2).ids[:1], 0, make(kind, 1, 2 * (kind != "text")).media)],
        backbone(kind),
    )
    cost, found = forward_flops(batch, backbone(kind)), counted(kind, batch)

    def total(part: str, *operators: str) -> int:
        return sum(n for name, n in found.items() for o in operators if name.endswith(f"{part}/aten.{o}"))

    everything = total("Global", "mm", "addmm", "convolution")
    assert cost.text_linear + cost.tower_linear + cost.merger == everything
    attention = sum(
        n for name, n in found.items() if name.split("/")[0].endswith(("attn", "attention")) and "bmm" in name
    )
    tokens = batch.tokens
    whole = cost.text_attention * tokens**2 // causal_pairs(batch)  # eager computes what the mask then hides
    assert attention == whole + cost.tower_attention


def test_gemma_4_counts_the_patches_that_are_there():
    model, own = build(checkpoint("gemma4"), HeadConfig()), Encoder(checkpoint("gemma4"), max_length=4096)
    with_image = question("a", 3, (5,), ((56, 30),))
    (tree,) = own.dialogue(with_image.prompt, with_image.replies, with_image.media)
    batch = pack([tree], model.backbone)
    real = int((batch.media["image_position_ids"] != -1).all(-1).sum())
    assert 0 < real < batch.media["image_position_ids"].shape[1]
    cost = forward_flops(batch, model.backbone)
    alone = replace(batch, media={name: values[:, :real] for name, values in batch.media.items()})
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.backbone.hidden(alone)
    found = {str(name): count for name, count in counter.get_flop_counts()["Global"].items()}
    assert cost.text_linear + cost.tower_linear + cost.merger == sum(found[f"aten.{n}"] for n in ("mm",))


def test_training_is_three_forwards_and_a_frozen_tower_one(big):
    batch = pack([pair(100, 5, 5, (1, 8, 8))], big)
    cost = forward_flops(batch, big)
    tower = cost.tower_linear + cost.tower_attention
    assert step_flops(batch, big, True) - step_flops(batch, big, False) == 2 * tower
    assert step_flops(batch, big, False) == 3 * (cost.text_linear + cost.text_attention + cost.merger) + tower


def test_padding_is_no_work():
    made = make("text", 1, replies=(30, 2))
    alone = replace(made, shared=0)
    assert forward_flops(pad([made], backbone("text")), backbone("text")) == forward_flops(
        pack([alone], backbone("text")), backbone("text")
    )


def test_peaks_are_known_by_name():
    assert peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA H100 NVL") == 835e12
    assert peak_flops("cpu") is None


def trained_flops(
    kind: str, lora: LoraConfig | None, *, checkpointing: bool, selective: bool = False
) -> tuple[dict[str, int], Grads]:
    """FLOPs that torch counts in forward and backward with a frozen tower, by module, and the gradients."""
    model = build(checkpoint(kind), HeadConfig(), lora=lora)
    if checkpointing:
        model.checkpoint_activations(selective=selective)
    batch = pack([make(kind, 1, 2 * (kind != "text"))], model.backbone)
    with FlopCounterMode(display=False, depth=9) as counter:
        model(batch).sum().backward()
    found = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    return found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "text"])
def test_a_frozen_tower_is_neither_recomputed_nor_back_propagated(kind, lora):
    plain, expected = trained_flops(kind, lora, checkpointing=False)
    mended, grads = trained_flops(kind, lora, checkpointing=True)
    tower = f"RewardModel.base.{TOWERS.get(kind, 'visual')}"
    assert mended[tower] == plain[tower]
    assert mended["Global"] > plain["Global"], "the language model is recomputed"
    assert grads.keys() == expected.keys()
    assert all(torch.equal(grads[name], expected[name]) for name in grads)


@pytest.mark.parametrize("kind", KINDS)
def test_selective_checkpointing_recomputes_no_product(kind):
    plain, expected = trained_flops(kind, None, checkpointing=False)
    selective, grads = trained_flops(kind, None, checkpointing=True, selective=True)
    whole, _ = trained_flops(kind, None, checkpointing=True)
    assert selective["Global"] == plain["Global"] < whole["Global"]
    assert grads.keys() == expected.keys()
    assert all(torch.equal(grads[name], expected[name]) for name in grads)
