"""What an evaluation gets from a model that writes before its scores: a critic, or a judge of two replies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch.nn.functional import pad

from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.evalsets.orders import Order
from trainer.backbones import Backbone
from trainer.batch import Tree
from trainer.encode import Encoded, Row
from trainer.model import RewardModel
from trainer.packing import dummy_image

CACHE_TOKENS = 131_072
"""Tokens of the cache of keys and values that texts are written over; 7.5 GB with Qwen2.5-7B in bf16."""


class Judgement(NamedTuple):
    """The scores of an item's replies, and a judge's answers about each two, in both orders.

    `published` holds the verdicts by the rule of R1-Reward's code, and `texts` what was written, for each order.
    """

    scores: list[float]
    orders: tuple[Order, ...] = ()
    published: tuple[tuple[int, ...], ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()


class TextCounts(NamedTuple):
    """Texts that were written, those of them that reached the limit, and their tokens."""

    written: int = 0
    cut: int = 0
    tokens: int = 0

    def plus(self, texts: Sequence[Sequence[int]], ended: Sequence[bool]) -> "TextCounts":
        """Add texts, as tokens, and whether each ended below the limit."""
        cut = len(ended) - sum(ended)
        return TextCounts(self.written + len(texts), self.cut + cut, self.tokens + sum(map(len, texts)))

    def summary(self, what: str, limit: int) -> str:
        """Describe the counts in words."""
        mean = self.tokens / self.written if self.written else 0
        return f"{self.written:,} {what} of {mean:,.0f} tokens on average; {self.cut:,} reached {limit:,}"


class Writer(Protocol):
    """Writes texts about replies and scores these by them. Ranks that use one together stay in step."""

    def pair(self, row: Row) -> Encoded:
        """Encode a pair, an item of two replies, as `__call__` takes its trees. Raises Unusable."""
        ...

    def item(self, question: Question) -> tuple[Tree, ...]:
        """Encode an item's replies as `__call__` takes them. Raises Unusable."""
        ...

    def tokens_of(self, trees: Sequence[Tree]) -> int:
        """How many tokens of the cache an item takes with the texts, at most."""
        ...

    def room(self, max_tokens: int) -> int:
        """How many of these tokens may be in memory where a forward pass has `max_tokens`."""
        ...

    def __call__(self, model: RewardModel, items: Sequence[Sequence[Tree]]) -> list[Judgement]:
        """Judge items; without any, run the same modules as the ranks that have some."""
        ...

    def take_counts(self) -> TextCounts:
        """Return the counts so far, and count anew."""
        ...

    def summary(self) -> str:
        """Describe the texts so far in words."""
        ...


def cache_tokens(trees: Sequence[Tree], limit: int, samples: int) -> int:
    """How many tokens of the cache trees take with `samples` texts of at most `limit` tokens after each branch."""
    return sum(tree.tokens + len(tree.ids) * samples * (tree.shared + limit) for tree in trees)


def check_writes(backbone: Backbone, where: str) -> None:
    """Raise TrainError for a backbone that writes no text: its windows would count the padding between texts."""
    if not backbone.shares:
        hint = "critic.evaluate=given, or generative.form=verdict, need no text"
        raise TrainError(
            where, "sliding windows, or attention both ways in images", "a backbone that writes texts", hint
        )


def room(max_tokens: int) -> int:
    """How many tokens the cache may hold where a forward pass has `max_tokens`: it needs less memory."""
    return max(max_tokens, CACHE_TOKENS)


def filled(trees: Sequence[Tree], backbone: Backbone, ranks: int) -> list[Tree]:
    """Add what lets a rank run the same modules as `ranks - 1` others: an image, or a text if there is none."""
    texts = list(trees) or [Tree((torch.zeros(2, dtype=torch.int64),), 0, {})]
    blank = dummy_image(backbone) if ranks > 1 and not any(tree.media for tree in trees) else None
    return texts if blank is None else [*texts, replace(blank, ids=(pad(blank.ids[0], (0, 1)),))]
