"""How often a model prefers the chosen reply: strictly, counted pair by pair, in all and for each source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import distributed as dist
from torch import nn

from trainer.batch import Tree
from trainer.encode import Encoded
from trainer.model import RewardModel
from trainer.packing import dummy_image, pack
from trainer.score import batches


class Judged(NamedTuple):
    """A pair with the scores of its replies."""

    pair_id: str
    source: str
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Pairs, those whose chosen reply scores strictly higher, those with equal scores, and the mean margin."""

    pairs: int
    right: int
    ties: int
    margin: float

    @property
    def accuracy(self) -> float:
        """The share of right pairs; equal scores are not right. nan without pairs."""
        return self.right / self.pairs if self.pairs else float("nan")


@dataclass(frozen=True, slots=True)
class Validation(Counts):
    """The counts of all pairs, and of each source."""

    sources: Mapping[str, Counts] = field(default_factory=dict)


def accuracy(model: nn.Module, pairs: Iterable[Encoded], max_tokens: int) -> Validation:
    """The counts over all ranks' pairs; arguments as those of `judge`."""
    return counted(judge(model, pairs, max_tokens))


def counted(judged: Sequence[Judged]) -> Validation:
    """The counts of pairs that are judged, sources in order of their names."""
    sources = sorted({one.source for one in judged})
    by_source = {source: _counts([one for one in judged if one.source == source]) for source in sources}
    whole = _counts(judged)
    return Validation(whole.pairs, whole.right, whole.ties, whole.margin, by_source)


def _counts(judged: Sequence[Judged]) -> Counts:
    margins = [one.chosen - one.rejected for one in judged]
    right, ties = sum(margin > 0 for margin in margins), sum(margin == 0 for margin in margins)
    return Counts(len(margins), right, ties, sum(margins) / len(margins) if margins else float("nan"))


@torch.no_grad()
def judge(model: nn.Module, pairs: Iterable[Encoded], max_tokens: int) -> list[Judged]:
    """The scores of all ranks' pairs, sorted by pair id, on every rank.

    `model` is a RewardModel, or an engine that holds one as `module`; its mode is left as it was. `pairs` are this
    rank's own; the ranks need not have equally many, and run equally many forward passes of the same modules,
    which ZeRO-3 wants. Pairs that are labelled as ties have no right answer and are left out, as fillers are.
    """
    inner: Any = getattr(model, "module", model)
    reward: RewardModel = inner
    training = reward.training
    reward.eval()
    try:
        mine = [one for batch in _in_step(pairs, max_tokens) for one in _judge(reward, batch)]
    finally:
        reward.train(training)
    return sorted(chain.from_iterable(_gather(mine)))


def _in_step(pairs: Iterable[Encoded], max_tokens: int) -> Iterable[list[Encoded]]:
    """Batches of the pairs, then empty ones until every rank is done."""
    counting = (pair for pair in pairs if not pair.tie and pair.weight)
    left = batches(counting, Encoded.tokens, max_tokens)
    batch = next(left, None)
    while _any(batch is not None):
        yield batch or []
        batch = next(left, None)


def _judge(model: RewardModel, batch: Sequence[Encoded]) -> list[Judged]:
    dummy = dummy_image(model.backbone) if _ranks() > 1 else None
    trees = [tree for pair in batch for tree in pair.trees] or [Tree((torch.zeros(1, dtype=torch.int64),), 0, {})]
    packed = pack(trees, model.backbone, dummy_image=dummy)
    scores = iter(model(packed.to(next(model.parameters()).device)).tolist())
    return [Judged(pair.pair_id, pair.source, next(scores), next(scores)) for pair in batch]


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _any(mine: bool) -> bool:
    """Whether it is true on any rank."""
    if _ranks() == 1:
        return mine
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(mine), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def _gather(mine: list[Judged]) -> list[list[Judged]]:
    if _ranks() == 1:
        return [mine]
    parts: list[list[Judged]] = [[] for _ in range(_ranks())]
    dist.all_gather_object(parts, mine)
    return parts
