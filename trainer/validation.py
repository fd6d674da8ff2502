"""Counts how often a model prefers the chosen reply: strictly, in all and for each source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import distributed as dist
from torch import nn

from curate.evalsets.orders import Order, OrderCounts, count_orders
from trainer.batch import Tree
from trainer.encode import Encoded
from trainer.judging import Writer
from trainer.model import RewardModel
from trainer.packing import dummy_image, pack, token_batches


class ScoredPair(NamedTuple):
    """A pair with the scores of its replies; a judge's verdicts with the chosen one first, and with it second."""

    pair_id: str
    source: str
    chosen: float
    rejected: float
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Pairs, those whose chosen reply scores strictly higher, those with equal scores, and the mean margin."""

    pairs: int
    right: int
    ties: int
    margin: float

    @property
    def accuracy(self) -> float:
        """The share of right pairs, nan without pairs; equal scores are not right."""
        return self.right / self.pairs if self.pairs else float("nan")


@dataclass(frozen=True, slots=True)
class Validation(Counts):
    """The counts of all pairs, and of each source; for a judge also those of both orders."""

    sources: Mapping[str, Counts] = field(default_factory=dict)
    orders: OrderCounts | None = None


def accuracy(
    model: nn.Module, pairs: Iterable[Encoded], max_tokens: int, writer: Writer | None = None
) -> Validation:
    """Count over the pairs of all ranks; takes what `score_pairs` takes."""
    return count(score_pairs(model, pairs, max_tokens, writer))


def count(pairs: Sequence[ScoredPair]) -> Validation:
    """Count scored pairs, sources in order of their names."""
    sources = sorted({pair.source for pair in pairs})
    by_source = {source: _counts([pair for pair in pairs if pair.source == source]) for source in sources}
    whole = _counts(pairs)
    judged = [(pair.orders[0].verdicts, pair.orders[1].verdicts) for pair in pairs if pair.orders]
    orders = count_orders(judged) if judged else None
    return Validation(whole.pairs, whole.right, whole.ties, whole.margin, by_source, orders)


def _counts(pairs: Sequence[ScoredPair]) -> Counts:
    margins = [pair.chosen - pair.rejected for pair in pairs]
    right, ties = sum(margin > 0 for margin in margins), sum(margin == 0 for margin in margins)
    return Counts(len(margins), right, ties, sum(margins) / len(margins) if margins else float("nan"))


@torch.no_grad()
def score_pairs(
    model: nn.Module, pairs: Iterable[Encoded], max_tokens: int, writer: Writer | None = None
) -> list[ScoredPair]:
    """Score the pairs of all ranks; every rank gets all scores, sorted by pair id.

    `model` is a RewardModel, or an engine that holds one as `module`; its mode is left as it was. `pairs` are this
    rank's own. Ranks may have different numbers of them, and run the same number of forward passes through the
    same modules, as ZeRO-3 needs. Pairs labelled as ties have no right answer and are left out, as are fillers.
    With a `writer`, which has encoded the pairs, the scores are those by the texts that the model writes.
    """
    inner: Any = getattr(model, "module", model)
    reward: RewardModel = inner
    training = reward.training
    reward.eval()
    try:
        mine = [
            pair
            for batch in _batches(pairs, max_tokens, writer, share=reward.backbone.shares)
            for pair in _score_batch(reward, batch, writer)
        ]
    finally:
        reward.train(training)
    return sorted(chain.from_iterable(_gather(mine)), key=lambda pair: pair.pair_id)


def _batches(
    pairs: Iterable[Encoded], max_tokens: int, writer: Writer | None, *, share: bool
) -> Iterable[list[Encoded]]:
    """Yield batches of the pairs, then empty ones until every rank is done."""
    ranked = (pair for pair in pairs if not pair.tie and pair.pair_id)
    if writer is None:
        batches = token_batches(ranked, lambda pair: pair.tokens(share=share), max_tokens)
    else:
        batches = token_batches(ranked, lambda pair: writer.tokens_of(pair.trees), writer.room(max_tokens))
    batch = next(batches, None)
    while any_rank(batch is not None):
        yield batch or []
        batch = next(batches, None)


def _score_batch(model: RewardModel, batch: Sequence[Encoded], writer: Writer | None) -> list[ScoredPair]:
    if writer is not None:
        found = writer(model, [pair.trees for pair in batch])
        return [
            ScoredPair(pair.pair_id, pair.source, one.scores[0], one.scores[1], one.orders)
            for pair, one in zip(batch, found, strict=True)
        ]
    trees = [tree for pair in batch for tree in pair.trees] or [Tree((torch.zeros(2, dtype=torch.int64),), 0, {})]
    scores = iter(_scores(model, trees))
    return [ScoredPair(pair.pair_id, pair.source, next(scores), next(scores)) for pair in batch]


def _scores(model: RewardModel, trees: Sequence[Tree]) -> list[float]:
    dummy = dummy_image(model.backbone) if ranks() > 1 else None
    packed = pack(trees, model.backbone, dummy_image=dummy)
    scores: list[float] = model(packed.to(next(model.parameters()).device)).tolist()
    return scores


def ranks() -> int:
    """Count the processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def any_rank(mine: bool) -> bool:
    """Whether the flag is true on any rank; every rank must ask."""
    if ranks() == 1:
        return mine
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(mine), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)


def _gather(mine: list[ScoredPair]) -> list[list[ScoredPair]]:
    if ranks() == 1:
        return [mine]
    parts: list[list[ScoredPair]] = [[] for _ in range(ranks())]
    dist.all_gather_object(parts, mine)
    return parts
