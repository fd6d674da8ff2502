"""Trees, bins, rows and plans: where everything is before a model sees it."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shared_prefix import backbone, make
from trainer.batch import Tree
from trainer.packing import common_prefix, dummy_image, make_tree, pack, pack_sizes, pad, token_batches
from trainer.prefix_attention import Segment, plan

TEXT = backbone("text")


def ids(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


TWO = Tree((ids(1, 2, 3, 4), ids(1, 2, 5)), 2, {})
THREE = Tree((ids(7, 8), ids(7, 9, 9), ids(7, 6)), 1, {})


@pytest.mark.parametrize(
    ("branches", "length"),
    [
        ([ids(1, 2, 3), ids(1, 2, 4)], 2),
        ([ids(1, 2, 3), ids(1, 2, 3)], 2),  # each keeps a token of its own to be scored at
        ([ids(1, 2), ids(1, 2, 3, 4)], 1),
        ([ids(1, 2), ids(3, 2)], 0),
        ([ids(1), ids(1, 2)], 0),
        ([ids(1, 2, 3, 4), ids(1, 2, 3, 5), ids(1, 2, 9, 9)], 2),
    ],
)
def test_the_common_prefix_leaves_every_branch_its_last_token(branches, length):
    assert common_prefix(*branches) == length


def test_a_tree_counts_its_tokens_with_and_without_sharing():
    assert (TWO.tokens, TWO.unshared_tokens) == (5, 7)
    assert (THREE.tokens, THREE.unshared_tokens) == (5, 7)


def test_media_beyond_the_common_prefix_cannot_be_shared():
    branches = [ids(1, 50, 50, 2), ids(1, 50, 50, 3)]
    assert make_tree(branches, {"pixel_values": torch.zeros(1)}, media_end=3).shared == 3
    assert make_tree([branches[0], ids(1, 50, 51, 3)], {"pixel_values": torch.zeros(1)}, media_end=3) is None


def test_one_branch_shares_nothing_and_may_have_media_anywhere():
    assert make_tree([ids(1, 50)], {"pixel_values": torch.zeros(1)}, media_end=2).shared == 0


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 120))
def test_bins_hold_every_position_once_within_the_budget(tokens, budget):
    bins = pack_sizes(tokens, budget)
    assert sorted(itertools.chain(*bins)) == list(range(len(tokens)))
    assert all(sum(tokens[i] for i in each) <= budget for each in bins)
    assert bins == sorted(map(sorted, bins))
    loads = sorted(sum(tokens[i] for i in each) for each in bins)
    assert len(bins) < 2 or loads[0] + loads[1] > budget  # no two bins could have been one


def test_bins_are_filled_best_fit_first():
    assert pack_sizes([5, 6, 4, 3, 2], 10) == [[0, 3, 4], [1, 2]]


def test_a_tree_over_the_budget_is_refused():
    with pytest.raises(ValueError, match="51 tokens do not fit a budget of 50"):
        pack_sizes([3, 51], 50)


def test_a_plan_says_which_keys_every_run_of_queries_sees():
    made = plan([Segment(4), Segment(1, 2, 0), Segment(2), Segment(2, 1, 2)])
    assert made.lengths.cu_q.tolist() == [0, 4, 5, 7, 9]
    assert made.lengths.cu_k.tolist() == [0, 4, 7, 9, 12]
    assert made.gather.tolist() == [0, 1, 2, 3, 0, 1, 4, 5, 6, 5, 7, 8]
    assert (made.lengths.max_q, made.lengths.max_k) == (4, 4)
    assert made.lengths.cu_q.dtype == made.lengths.cu_k.dtype == torch.int32
    assert plan([Segment(4), Segment(2)]).gather is None


def test_a_row_has_every_prefix_once_and_pools_at_the_end_of_every_branch():
    batch = pack([TWO, THREE], TEXT)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 7, 8, 9, 9, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1, 1, 2, 1]]
    assert batch.pool.tolist() == [3, 4, 6, 8, 9]
    assert batch.plan.segments == (
        Segment(4), Segment(1, 2, 0), Segment(2), Segment(2, 1, 2), Segment(1, 1, 2)
    )  # fmt: skip
    assert (batch.tokens, batch.unshared_tokens) == (10, 14)


def test_a_row_without_sharing_has_every_branch_whole():
    batch = pack([TWO, THREE], TEXT, share=False)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 1, 2, 5, 7, 8, 7, 9, 9, 7, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 0, 1, 2, 0, 1]]
    assert batch.pool.tolist() == [3, 6, 8, 11, 13]
    assert batch.plan.gather is None
    assert (batch.tokens, batch.unshared_tokens) == (14, 14)


@pytest.mark.parametrize(
    ("side", "rows", "pool"),
    [("right", [[1, 2, 3, 4], [1, 2, 5, 0]], [3, 6]), ("left", [[1, 2, 3, 4], [0, 1, 2, 5]], [3, 7])],
)
def test_padding_is_on_its_side_and_is_never_pooled(side, rows, pool):
    batch = pad([TWO], TEXT, side)
    assert batch.input_ids.tolist() == rows
    assert batch.attention_mask.tolist() == [[i != 0 for i in row] for row in rows]
    assert batch.pool.tolist() == pool
    assert batch.position_ids[1][batch.attention_mask[1]].tolist() == [0, 1, 2]
    assert batch.tokens == 7


def test_media_are_joined_in_the_order_of_the_row():
    trees = [make("qwen2_5_vl", 1, 2), make("qwen2_5_vl", 2), make("qwen2_5_vl", 3, 1)]
    shared, alone = pack(trees, backbone("qwen2_5_vl")).media, pad(trees, backbone("qwen2_5_vl")).media
    first, last = trees[0].media["image_grid_thw"], trees[2].media["image_grid_thw"]
    assert torch.equal(shared["image_grid_thw"], torch.cat([first, last]))
    assert torch.equal(alone["image_grid_thw"], torch.cat([first, first, last, last]))
    assert len(alone["pixel_values"]) == 2 * len(shared["pixel_values"])


def test_rejected_starts_where_upstream_goes_on_after_the_image_not_at_its_place():
    """M-RoPE counts an image of 2 x 4 tokens as 4 positions, so places run ahead of positions."""
    made = make("qwen2_5_vl", 1, 1, prompt=5)
    batch = pack([made], backbone("qwen2_5_vl"))
    assert batch.position_ids.shape == (4, 1, made.tokens)
    rejected = batch.position_ids[:, 0, len(made.ids[0])]
    time, height, width = batch.position_ids[1:, 0, : made.shared].amax(1).tolist()
    assert rejected.tolist() == [made.shared, time + 1, height + 1, width + 1]
    assert time + 1 == made.shared - 4


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "internvl"])
def test_a_dummy_image_joins_only_what_has_none(kind):
    model = backbone(kind)
    black = dummy_image(model)
    plain, joined = pack([make(kind, 1)], model), pack([make(kind, 1)], model, dummy_image=black)
    assert joined.input_ids.shape[1] == plain.input_ids.shape[1] + 4
    assert joined.plan.segments[-1] == Segment(4)
    assert torch.equal(joined.pool, plain.pool)
    assert (joined.tokens, joined.media.keys()) == (plain.tokens, black.media.keys())
    assert len(pad([make(kind, 1)], model, dummy_image=black).input_ids) == 3
    image = make(kind, 1, 1)
    assert pack([image], model, dummy_image=black).plan.segments == pack([image], model).plan.segments


def test_a_text_backbone_has_no_dummy_image():
    assert dummy_image(TEXT) is None


def test_a_batch_moves_whole():
    moved = pack([make("qwen2_5_vl", 1, 1)], backbone("qwen2_5_vl")).to("meta")
    tensors = [moved.input_ids, moved.position_ids, moved.pool, moved.plan.gather, moved.plan.lengths.cu_k]
    assert all(tensor.is_meta for tensor in [*tensors, *moved.media.values()])
    assert pad([TWO], TEXT).to("meta").attention_mask.is_meta


def test_token_batches_keep_the_order_and_the_budget():
    assert list(token_batches([3, 4, 9, 1, 1, 5], lambda size: size, 7)) == [[3, 4], [9], [1, 1, 5]]
    assert list(token_batches([], len, 7)) == []
