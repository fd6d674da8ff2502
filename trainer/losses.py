"""Losses of reward pairs, in fp32: Bradley-Terry, and the terms that papers add to it (all off by default)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from trainer.config import CriticConfig, LossConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PairColumns:
    """What the loss needs of pairs besides their scores, each [n]; None if the config has no term for it.

    margin                           as the source gives it, 0 if it gives none
    chosen_length, rejected_length   tokens of the reply's text
    tie                              bool
    weight                           factor of the pair's loss
    """

    margin: Tensor | None = None
    chosen_length: Tensor | None = None
    rejected_length: Tensor | None = None
    tie: Tensor | None = None
    weight: Tensor | None = None


def loss(chosen: Tensor, rejected: Tensor, config: LossConfig, columns: PairColumns | None = None) -> Tensor:
    """Compute the mean of `pair_losses`, a scalar."""
    return pair_losses(chosen, rejected, config, columns).mean()


def pair_losses(
    chosen: Tensor, rejected: Tensor, config: LossConfig, columns: PairColumns | None = None
) -> Tensor:
    """Compute the loss of each pair, fp32 [n], from the scores r_w and r_l [n] of its replies.

    -log σ(r_w - r_l - margin) + center·(r_w + r_l)²; a tie has tie_weight·(r_w - r_l)² in place of the first term.
    `length_norm` divides each score by ln(reply tokens + 1) before all else (BaseReward, algorithm 1), where an
    empty reply counts as one token: its end of turn. The sum is multiplied by the pair's weight. Raises ValueError
    if the config has a term whose column is not given.
    """
    columns = columns or PairColumns()
    chosen, rejected = chosen.float(), rejected.float()
    if config.length_norm:
        chosen = chosen / _log_length(columns.chosen_length)
        rejected = rejected / _log_length(columns.rejected_length)
    difference = chosen - rejected
    losses = -logsigmoid(difference - _required(columns.margin, "margin") if config.margin else difference)
    if columns.tie is not None:
        losses = torch.where(columns.tie, config.tie_weight * difference.square(), losses)
    if config.center:
        losses = losses + config.center * (chosen + rejected).square()
    return losses if columns.weight is None else losses * columns.weight


def joint_losses(scores: Tensor, critiques: Tensor, config: CriticConfig) -> Tensor:
    """Compute the loss of each pair, fp32 [n], of a critic.

    `scores` [n] are the pairs' losses on their scores, `critiques` [n] the sums of both sides' cross-entropy.
    """
    return config.score_weight * scores + config.critique_weight * critiques


def _log_length(tokens: Tensor | None) -> Tensor:
    return torch.log1p(_required(tokens, "reply lengths").clamp(min=1).float())


def _required(column: Tensor | None, name: str) -> Tensor:
    if column is None:
        raise ValueError(f"the loss config needs {name}")
    return column
