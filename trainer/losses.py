"""Losses of reward pairs, in fp32: Bradley-Terry, and the terms that papers add to it (all off by default)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from trainer.config import LossConfig


def loss(
    chosen: Tensor,
    rejected: Tensor,
    config: LossConfig,
    *,
    margin: Tensor | None = None,
    chosen_length: Tensor | None = None,
    rejected_length: Tensor | None = None,
    tie: Tensor | None = None,
) -> Tensor:
    """The mean of `pair_losses`, a scalar."""
    return pair_losses(
        chosen,
        rejected,
        config,
        margin=margin,
        chosen_length=chosen_length,
        rejected_length=rejected_length,
        tie=tie,
    ).mean()


def pair_losses(
    chosen: Tensor,
    rejected: Tensor,
    config: LossConfig,
    *,
    margin: Tensor | None = None,
    chosen_length: Tensor | None = None,
    rejected_length: Tensor | None = None,
    tie: Tensor | None = None,
) -> Tensor:
    """The loss of each pair, fp32 [n], from scores r_w and r_l [n].

    -log σ(r_w - r_l - margin) + center·(r_w + r_l)²; a tie has tie_weight·(r_w - r_l)² in place of the first term.
    `length_norm` divides each score by ln(reply tokens + 1) before all else (BaseReward, algorithm 1). A pair
    without margin has 0 there. Raises ValueError where the config asks for a column that is not given.
    """
    chosen, rejected = chosen.float(), rejected.float()
    if config.length_norm:
        chosen = chosen / _log_length(chosen_length)
        rejected = rejected / _log_length(rejected_length)
    difference = chosen - rejected
    losses = -logsigmoid(difference - _given(margin, "margin") if config.margin else difference)
    if tie is not None:
        losses = torch.where(tie, config.tie_weight * difference.square(), losses)
    if config.center:
        losses = losses + config.center * (chosen + rejected).square()
    return losses


def _log_length(tokens: Tensor | None) -> Tensor:
    tokens = _given(tokens, "reply lengths")
    if bool((tokens < 1).any()):
        raise ValueError("a reply without tokens has no length norm")
    return torch.log1p(tokens.float())


def _given(column: Tensor | None, name: str) -> Tensor:
    if column is None:
        raise ValueError(f"the loss config asks for {name}")
    return column
