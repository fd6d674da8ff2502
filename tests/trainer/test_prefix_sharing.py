"""A packed row with shared prefixes is the plain forward of every reply, gradients included."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import TrainError
from tests.support.shared_prefix import (
    KINDS,
    backbone,
    distance,
    gradients,
    loss,
    make,
    plain_rewards,
    rewards,
    upstream,
    weights,
)
from tests.support.tiny_models import checkpoint
from trainer import prefix_attention
from trainer.batch import Tree
from trainer.config import HeadConfig
from trainer.model import build
from trainer.packing import dummy_image, pack, pack_sizes, pad
from trainer.prefix_attention import TREE, VISION, Lengths, Segment, by_lengths, plan, tree_attention

TOLERANCE = 1e-5  # relative, fp32
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def pairs(kind: str) -> list[Tree]:
    """One image, several, none; replies that begin alike; where there is no vision, text only."""
    counts = (0, 0, 0) if kind == "text" else (1, 3, 0)
    return [make(kind, seed, count, 5 + seed) for seed, count in enumerate(counts)] + [
        make(kind, 9, replies=(3, 8))
    ]


def used_parameters(module):
    """All but the last norm of LLaVA-OneVision's tower, which reads the layer before it.

    Of a tower's biases of keys the gradient is 0 but for rounding: softmax does not see them.
    """
    return [(name, p) for name, p in module.named_parameters() if "vision_tower.post_layernorm" not in name]


@pytest.mark.parametrize("kind", KINDS)
def test_rewards_and_every_gradient_equal_the_plain_forward(kind):
    model, trees = backbone(kind), pairs(kind)
    plain = plain_rewards(kind, trees)
    expected = gradients(upstream(kind), loss(plain))
    layouts = {
        "shared": pack(trees, model),
        "packed": pack(trees, model, share=False),
        "right": pad(trees, model),
        "left": pad(trees, model, "left"),
    }
    for layout, batch in layouts.items():
        scores = rewards(model, batch)
        assert distance(scores, plain) < TOLERANCE, layout
        found = gradients(model.module, loss(scores))
        assert found.keys() == expected.keys() == {name for name, _ in used_parameters(model.module)}
        far = {name: distance(found[name], expected[name]) for name in expected if "k_proj.bias" not in name}
        assert max(far.values()) < TOLERANCE, (layout, max(far, key=far.__getitem__))


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "text"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_trees_in_any_packing_score_as_alone(kind, data):
    """Of one to four replies: a best-of-four shares as a pair does."""
    number = st.integers(1, 12)
    images = st.integers(0, 0 if kind == "text" else 2)
    drawn = st.tuples(st.integers(0, 999), images, number, st.lists(number, min_size=1, max_size=4))
    trees = [make(kind, *each) for each in data.draw(st.lists(drawn, min_size=1, max_size=5))]
    sizes = [each.tokens for each in trees]
    for positions in pack_sizes(sizes, data.draw(st.integers(max(sizes), sum(sizes)))):
        packed = [trees[i] for i in positions]
        with torch.no_grad():
            scores = rewards(backbone(kind), pack(packed, backbone(kind)))
            assert distance(scores, plain_rewards(kind, packed)) < TOLERANCE


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "internvl"])
def test_nothing_leaks_into_another_pair_or_the_other_reply(kind):
    trees = pairs(kind)
    before = rewards(backbone(kind), pack(trees, backbone(kind)))
    chosen, rejected = trees[1].ids
    other = torch.cat([rejected[: trees[1].shared], rejected[trees[1].shared :] + 1])
    trees[1] = Tree((chosen, other), trees[1].shared, trees[1].media)
    after = rewards(backbone(kind), pack(trees, backbone(kind)))
    assert (after != before).nonzero().flatten().tolist() == [3]
    trees[1] = Tree(
        trees[1].ids, trees[1].shared, {**trees[1].media, "pixel_values": trees[1].media["pixel_values"] + 1}
    )
    after = rewards(backbone(kind), pack(trees, backbone(kind)))
    assert (after != before).nonzero().flatten().tolist() == [2, 3]


def test_four_rows_of_positions_keep_upstream_from_mixing_packed_samples():
    """Without a plan upstream reads the first row to find the samples; given three rows it silently takes one."""
    trees = pairs("qwen2_5_vl")
    batch = pack(trees, backbone("qwen2_5_vl"), share=False)
    plain = plain_rewards("qwen2_5_vl", trees)

    def score(module, positions, **extra):
        output = module(input_ids=batch.input_ids, position_ids=positions, use_cache=False, **batch.media, **extra)
        return output.last_hidden_state[0, batch.pool] @ weights()

    assert distance(score(upstream("qwen2_5_vl"), batch.position_ids), plain) < TOLERANCE
    assert distance(score(upstream("qwen2_5_vl"), batch.position_ids[1:]), plain) > 0.01
    ours = backbone("qwen2_5_vl").module
    assert distance(score(ours, batch.position_ids[1:], plan=batch.plan), plain) < TOLERANCE


def test_checkpointed_layers_attend_by_the_same_plan():
    batch = pack(pairs("qwen2_5_vl"), backbone("qwen2_5_vl"))
    model = build(checkpoint("qwen2_5_vl"), HeadConfig(), freeze_vision=False)
    expected = gradients(model, loss(model(batch)))
    model.checkpoint_activations()
    found = gradients(model, loss(model(batch)))
    assert max(distance(found[name], expected[name]) for name in expected) < TOLERANCE


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_dummy_image_gives_the_tower_gradients_of_zero_and_changes_no_score(kind):
    model, trees = backbone(kind), [make(kind, 1), make(kind, 2)]
    scores = rewards(model, pack(trees, model, dummy_image=dummy_image(model)))
    assert distance(scores, rewards(model, pack(trees, model))) < TOLERANCE
    vision = {id(p) for p in model.vision.parameters()}
    found = gradients(model.module, loss(scores))
    of_vision = [found[name] for name, p in used_parameters(model.module) if id(p) in vision]
    assert of_vision
    assert not any(gradient.any() for gradient in of_vision)


def reference(q, k, v, at: Lengths, scaling, causal):
    """What a variable-length kernel computes, from its documentation: causal is aligned at the last key."""
    outputs = []
    for i in range(len(at.cu_q) - 1):
        a, b = (tensor[at.cu_k[i] : at.cu_k[i + 1]] for tensor in (k, v))
        a, b = (tensor.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for tensor in (a, b))
        scores = torch.einsum("qhd,khd->hqk", q[at.cu_q[i] : at.cu_q[i + 1]], a) * scaling
        hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(scores.shape[2] - scores.shape[1] + 1)
        weight = (scores.masked_fill(hidden, -torch.inf) if causal else scores).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weight, b))
    return torch.cat(outputs)


class Grouped(torch.nn.Module):
    """What SDPA asks of an attention layer."""

    num_key_value_groups, is_causal = 2, True


def drawn(device="cpu", dtype=torch.float32, tokens=23):
    draw = torch.Generator().manual_seed(0)
    shapes = ((1, 4, tokens, 16), (1, 2, tokens, 16), (1, 2, tokens, 16))
    return [torch.randn(shape, generator=draw).to(device, dtype).requires_grad_() for shape in shapes]


PLAN = plan([Segment(7), Segment(1, 5), Segment(3, 5), Segment(4), Segment(5, 0), Segment(3, 2, 4)])


@pytest.mark.parametrize("made", [PLAN, plan([Segment(20), Segment(3)])])
def test_one_varlen_call_is_the_tree(made):
    tensors = drawn()
    tree, _ = tree_attention(Grouped(), *tensors, None, made, scaling=0.25)
    varlen = by_lengths(reference, *tensors, made, 0.25)
    torch.testing.assert_close(varlen, tree)
    weight = torch.randn_like(tree)
    torch.testing.assert_close(
        torch.autograd.grad((varlen * weight).sum(), tensors), torch.autograd.grad((tree * weight).sum(), tensors)
    )


def test_the_installed_kernel_takes_what_a_plan_gives_and_has_a_backward():
    """By shapes alone, so that a changed signature is seen where there is no GPU."""
    kernel, tensors = prefix_attention.varlen_kernel(), drawn("meta", torch.bfloat16)
    assert kernel is not None
    output = by_lengths(kernel, *tensors, PLAN.moved(lambda tensor: tensor.to("meta")), 0.25)
    assert output.shape == (1, 23, 4, 16)
    gradients = torch.autograd.grad(output.sum(), tensors)
    assert [each.shape for each in gradients] == [each.shape for each in tensors]


def test_vision_windows_in_one_call_are_those_of_sdpa():
    model, trees = backbone("qwen2_5_vl"), pairs("qwen2_5_vl")
    expected = rewards(model, pack(trees, model))
    model.module.set_attn_implementation({"text_config": TREE, "vision_config": VISION})
    try:
        assert torch.equal(rewards(model, pack(trees, model)), expected)
    finally:
        model.module.set_attn_implementation({"text_config": TREE, "vision_config": "sdpa"})


def test_a_model_that_plans_do_not_fit_is_refused():
    module = torch.nn.Module()
    module.config = type("Config", (), {"attention_dropout": 0.1})
    with pytest.raises(TrainError) as caught:
        prefix_attention.install(module)
    assert str(caught.value) == "model: attention_dropout 0.1; expected 0: a shared prefix is drawn once"


@pytest.mark.parametrize(
    ("layers", "plannable"),
    [
        ({}, True),
        ({"layer_types": ["full_attention"] * 2, "sliding_window": 9}, True),
        ({"layer_types": ["full_attention", "sliding_attention"]}, False),
        ({"sliding_window": 4096}, False),
    ],
)
def test_plans_are_for_full_attention(layers, plannable):
    assert prefix_attention.plannable(type("Config", (), layers)) == plannable


@CUDA
def test_the_cuda_kernel_does_what_the_reference_says():
    made, tensors = PLAN.moved(lambda tensor: tensor.cuda()), drawn("cuda", torch.bfloat16)
    kernel = prefix_attention.varlen_kernel()
    assert kernel is not None
    found = by_lengths(kernel, *tensors, made, 0.25).float()
    exact = by_lengths(reference, *[t.detach().cpu().float() for t in tensors], PLAN, 0.25)
    torch.testing.assert_close(found.cpu(), exact, rtol=2e-2, atol=2e-2)
    gradient = torch.autograd.grad(found.sum(), tensors)
    assert all(torch.isfinite(each).all() for each in gradient)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_in_bf16_sharing_adds_no_more_noise_than_padding(kind, device):
    trees, model = pairs(kind), backbone(kind)
    half = replace(model, module=copy.deepcopy(model.module).to(device, torch.bfloat16))
    prefix_attention.install(half.module)
    with torch.no_grad():
        exact = plain_rewards(kind, trees)
        layouts = (pack(trees, model).to(device), pad(trees, model).to(device))
        hidden = [half.hidden(batch).flatten(0, 1)[batch.pool].float().cpu() for batch in layouts]
    shared, padded = (distance(each @ weights(), exact) for each in hidden)
    assert shared < 2 * padded
    assert padded < 0.1
