import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import LossConfig
from trainer.losses import PairColumns, loss, pair_losses

CHOSEN, REJECTED = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
BT = [0.3132617, 2.1269280]  # ln(1 + e^-1), ln(1 + e^2)


def test_bradley_terry_alone_by_default():
    assert pair_losses(CHOSEN, REJECTED, LossConfig()).tolist() == pytest.approx(BT)
    assert loss(CHOSEN, REJECTED, LossConfig()).item() == pytest.approx(1.22009485)


def test_margin_is_subtracted_from_the_difference():
    margin = torch.tensor([1.0, 0.0])
    got = pair_losses(CHOSEN, REJECTED, LossConfig(margin=True), PairColumns(margin=margin))
    assert got.tolist() == pytest.approx([math.log(2), BT[1]])
    assert pair_losses(CHOSEN, REJECTED, LossConfig(), PairColumns(margin=margin)).tolist() == pytest.approx(BT)


def test_center_adds_the_squared_sum():
    got = pair_losses(CHOSEN, REJECTED, LossConfig(center=0.01))
    assert got.tolist() == pytest.approx([BT[0] + 0.01, BT[1] + 0.04])


def test_length_norm_divides_by_the_log_of_tokens_plus_one_before_all_else():
    chosen, rejected = torch.tensor([math.log(8)]), torch.tensor([0.0])  # 7 tokens: the score becomes 1
    lengths = {"chosen_length": torch.tensor([7]), "rejected_length": torch.tensor([3])}
    got = pair_losses(chosen, rejected, LossConfig(length_norm=True, center=0.1), PairColumns(**lengths))
    assert got.item() == pytest.approx(BT[0] + 0.1)


def test_a_tie_has_the_squared_difference_and_no_bradley_terry_term():
    tie = torch.tensor([False, True])
    got = pair_losses(CHOSEN, REJECTED, LossConfig(tie_weight=0.5), PairColumns(tie=tie))
    assert got.tolist() == pytest.approx([BT[0], 0.5 * 4])
    assert pair_losses(CHOSEN, REJECTED, LossConfig(), PairColumns(tie=tie)).tolist() == pytest.approx([BT[0], 0])
    assert loss(CHOSEN, REJECTED, LossConfig(center=1.0), PairColumns(tie=tie)).item() == pytest.approx(
        (BT[0] + 1 + 4) / 2
    )


def test_gradient_is_minus_the_chance_of_the_wrong_order():
    chosen = CHOSEN.clone().requires_grad_()
    pair_losses(chosen, REJECTED, LossConfig()).sum().backward()
    assert chosen.grad.tolist() == pytest.approx([-0.2689414, -0.8807971])  # -σ(-1), -σ(2)


def test_a_tie_sends_no_gradient_through_the_hidden_term():
    chosen = torch.tensor([-1e4], requires_grad=True)
    pair_losses(chosen, torch.tensor([0.0]), LossConfig(), PairColumns(tie=torch.tensor([True]))).sum().backward()
    assert chosen.grad.item() == 0


def test_bf16_scores_are_raised_and_far_ones_stay_finite():
    got = pair_losses(torch.tensor([-200.0]).bfloat16(), torch.tensor([200.0]).bfloat16(), LossConfig())
    assert got.dtype == torch.float32
    assert got.item() == 400


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_swapping_the_replies_changes_the_loss_by_the_difference(first, second):
    a, b = torch.tensor([first]), torch.tensor([second])
    gap = pair_losses(a, b, LossConfig()) - pair_losses(b, a, LossConfig())
    assert gap.item() == pytest.approx((b - a).item(), abs=1e-4)


@pytest.mark.parametrize(("config", "column"), [(LossConfig(margin=True), "margin"),
                                                (LossConfig(length_norm=True), "reply lengths")])  # fmt: skip
def test_a_term_without_its_column_is_an_error(config, column):
    with pytest.raises(ValueError, match=f"the loss config needs {column}"):
        loss(CHOSEN, REJECTED, config)


def test_an_empty_reply_counts_as_one_token():
    config, one = LossConfig(length_norm=True), torch.tensor([1, 1])
    empty = PairColumns(chosen_length=torch.tensor([1, 0]), rejected_length=one)
    full = PairColumns(chosen_length=one, rejected_length=one)
    assert torch.equal(pair_losses(CHOSEN, REJECTED, config, empty), pair_losses(CHOSEN, REJECTED, config, full))
