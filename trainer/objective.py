"""The losses of a micro-batch's pairs and the model's margins on them, by the paradigm of the run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.batch import Batch
from trainer.config import CriticConfig, LossConfig
from trainer.encode import Encoded
from trainer.generative import JudgeEncoder
from trainer.losses import PairColumns, joint_losses, pair_losses
from trainer.setup import Run


class Outcome(NamedTuple):
    """The losses [n] of n pairs; and without gradients their margins [n], and a critic's losses of critiques [n].

    A margin is above 0 where the model is right: the difference of scores, or the log-odds of the right verdict.
    """

    losses: Tensor
    margins: Tensor
    critiques: Tensor | None


def outcome(run: Run, batch: Batch, micro: Sequence[Encoded]) -> Outcome:
    """Compute the outcome of a micro-batch, pairs by their weights; fillers have loss 0.

    A critic's critiques are not weighted: that a label may be wrong says nothing about them.
    """
    weights = torch.tensor([pair.weight for pair in micro], device=batch.pool.device)
    if isinstance(run.encoder, JudgeEncoder):
        losses, margins = _answers(run, batch, run.encoder)
        return Outcome(losses * weights, margins, None)
    if run.config.paradigm == "naive":
        scores = run.engine(batch).view(-1, 2)
        losses = weighted_losses(scores, micro, run.config.loss)
        return Outcome(losses, (scores[:, 0] - scores[:, 1]).detach(), None)
    scores, critiques = run.engine(batch, with_losses=True)
    scores, critiques = scores.view(-1, 2), critiques.view(-1, 2).sum(1)
    losses = weighted_losses(scores, micro, run.config.loss)
    losses = joint_losses(losses, critiques, run.config.critic or CriticConfig())
    return Outcome(losses, (scores[:, 0] - scores[:, 1]).detach(), critiques.detach())


def _answers(run: Run, batch: Batch, encoder: JudgeEncoder) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of each pair's answer, and the log-odds of its digit against the other."""
    at = batch.pool - len(encoder.after)  # the digits
    logits, losses = run.engine(replace(batch, pool=at - 1), with_losses=True)
    right = batch.input_ids.flatten()[at]
    wrong = sum(encoder.digits) - right
    rows = torch.arange(len(right), device=right.device)
    return losses, logits[rows, right] - logits[rows, wrong]


def weighted_losses(scores: Tensor, micro: Sequence[Encoded], loss_config: LossConfig) -> Tensor:
    """Compute the loss on the scores [n, 2] of each pair, fp32 [n], by its weight; 0 for fillers."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=scores.device)

    columns = PairColumns(
        margin=column([pair.margin or 0.0 for pair in micro]),
        chosen_length=column([pair.chosen_length for pair in micro]),
        rejected_length=column([pair.rejected_length for pair in micro]),
        tie=column([pair.tie for pair in micro]),
        weight=column([pair.weight for pair in micro]),
    )
    return pair_losses(scores[:, 0], scores[:, 1], loss_config, columns)
