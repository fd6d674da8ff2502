"""Generates texts after branches, all at once, over a cache that has shared prefixes once.

A prefix and its media are computed once, and then copied for each of its branches.
"""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from trainer.backbones import Backbone
from trainer.batch import Tree
from trainer.lm_head import LmHead
from trainer.packing import media_of, unshared
from trainer.positions import positions
from trainer.sampling import Sampling

ONE = Sampling()


class Written(NamedTuple):
    """The S texts that a model wrote: those after the first branch, then those after the second, and so on.

    ids      the tokens without those that end them
    ended    whether each ended by itself, below the limit
    hidden   the last hidden state after the end of each, [S, hidden]
    """

    ids: list[list[int]]
    ended: list[bool]
    hidden: Tensor


class _Row(NamedTuple):
    """Tokens to add to one sequence of the cache, with their positions [R, T]."""

    ids: Tensor
    places: Tensor


class _Sequences:
    """Sequences in a cache of keys and values; where shorter ones end they are padded, and that is masked."""

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self._backbone, self._device = backbone, device
        self._cache: Any = DynamicCache(config=backbone.module.config)
        # transformers 5.24 renamed the parameter
        named = signature(backbone.module.forward).parameters
        self._cache_key = "cache" if "cache" in named else "past_key_values"
        self._mask: Tensor | None = None

    def select(self, rows: Sequence[int]) -> None:
        """Keep these sequences, in this order; one may be there several times."""
        assert self._mask is not None
        index = torch.tensor(rows, device=self._device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]

    def add(self, rows: Sequence[_Row], media: dict[str, Tensor] | None = None) -> Tensor:
        """Add tokens to every sequence; returns the hidden state of the last of each, [S, hidden].

        A sequence that gets none has that of padding.
        """
        longest = max(1, *(len(row.ids) for row in rows))
        lengths = torch.tensor([len(row.ids) for row in rows], device=self._device)
        ids = torch.stack([pad(row.ids, (0, longest - len(row.ids))) for row in rows]).to(self._device)
        places = torch.stack([pad(row.places, (0, longest - len(row.ids))) for row in rows], dim=1).to(
            self._device
        )
        real = torch.arange(longest, device=self._device) < lengths[:, None]
        self._mask = real if self._mask is None else torch.cat([self._mask, real], dim=1)
        output = self._backbone.module(
            input_ids=ids,
            position_ids=places[0] if len(places) == 1 else places,
            attention_mask=self._mask,
            use_cache=True,
            **{self._cache_key: self._cache},
            **{name: tensor.to(self._device) for name, tensor in (media or {}).items()},
        )
        hidden: Tensor = output.last_hidden_state[torch.arange(len(rows)), (lengths - 1).clamp(min=0)]
        return hidden


@torch.no_grad()
def write(
    backbone: Backbone,
    lm_head: LmHead,
    trees: Sequence[Tree],
    *,
    end: Sequence[int],
    stops: frozenset[int],
    limit: int,
    sampling: Sampling = ONE,
    any_rank: Callable[[bool], bool] = bool,
) -> Written:
    """Write texts after every branch, token by token, until one of `stops` or for `limit` tokens.

    Then every text gets the tokens `end`. Branches have at least two tokens. `any_rank` says whether a flag is
    true on any rank: ranks then run the same number of forward passes, as ZeRO-3 needs.
    """
    whole = [
        part for tree in trees for part in ([tree] if tree.shared or len(tree.ids) == 1 else unshared([tree]))
    ]
    branches = [ids for tree in whole for ids in tree.ids]
    sequences = _Sequences(backbone, lm_head.weight.device)
    hidden, last = _read(sequences, backbone, whole)
    if sampling.samples > 1:
        rows = [number for number in range(len(branches)) for _ in range(sampling.samples)]
        sequences.select(rows)
        hidden, last = hidden[torch.tensor(rows, device=hidden.device)], [last[number] for number in rows]
    keys = list(sampling.keys(branches))

    def choose(hidden: Tensor, step: int) -> list[int]:
        return sampling.choose(lm_head(hidden), keys, step)

    texts, active = _write_on(sequences, choose, hidden, last, stops, limit, any_rank)
    tokens = torch.tensor(end)
    steps = torch.arange(1, len(end) + 1)
    ends = [_Row(tokens, at + len(text) + steps) for at, text in zip(last, texts, strict=True)]
    return Written(texts, [not each for each in active], sequences.add(ends))


def _read(sequences: _Sequences, backbone: Backbone, trees: Sequence[Tree]) -> tuple[Tensor, list[Tensor]]:
    """Read the branches of trees, prefixes once: the hidden states of their last tokens, and their positions."""
    prefixes = [tree.shared or len(tree.ids[0]) - 1 for tree in trees]
    places = [[positions(backbone, ids, tree.media) for ids in tree.ids] for tree in trees]
    begun = zip(trees, prefixes, places, strict=True)
    sequences.add([_Row(tree.ids[0][:n], at[0][:, :n]) for tree, n, at in begun], media_of(trees))
    sequences.select([number for number, tree in enumerate(trees) for _ in tree.ids])
    rests = [
        _Row(ids[n:], one[:, n:])
        for tree, n, at in zip(trees, prefixes, places, strict=True)
        for ids, one in zip(tree.ids, at, strict=True)
    ]
    return sequences.add(rests), [row.places[:, -1:] for row in rests]


def _write_on(
    sequences: _Sequences,
    choose: Callable[[Tensor, int], list[int]],
    hidden: Tensor,
    last: Sequence[Tensor],
    stops: frozenset[int],
    limit: int,
    any_rank: Callable[[bool], bool],
) -> tuple[list[list[int]], list[bool]]:
    """Write after the hidden states of sequences whose last positions are `last`: the texts, and which of them
    have not ended."""
    texts: list[list[int]] = [[] for _ in last]
    active = [True] * len(last)
    nothing = torch.empty(0, dtype=torch.int64)
    for step in range(limit):
        tokens = choose(hidden, step)
        active = [on and token not in stops for on, token in zip(active, tokens, strict=True)]
        if not any_rank(any(active)):
            break
        rows = []
        for text, on, token, at in zip(texts, active, tokens, last, strict=True):
            if on:
                text.append(token)
            rows.append(_Row(torch.tensor([token]), at + len(text)) if on else _Row(nothing, at[:, :0]))
        hidden = sequences.add(rows)
    return texts, active
