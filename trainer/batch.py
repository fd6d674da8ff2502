"""A packed batch: sequences that share prefixes, with what the model needs to read them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.prefix_attention import Move, Plan


@dataclass(frozen=True, slots=True)
class Tree:
    """Replies to one prompt: branch i is the whole sequence `ids[i]`; all branches have the first `shared` tokens.

    With one branch `shared` is 0. All media are inside the shared prefix (or in the one branch); `media` holds the
    processor's tensors for them by their forward name, e.g. {"pixel_values": [n, d], "image_grid_thw": [k, 3]}.
    `targets` counts, for each branch, the last tokens that a language model head has to predict; () means none."""

    ids: tuple[Tensor, ...]
    shared: int
    media: Mapping[str, Tensor]
    targets: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """How many tokens of a row the tree takes if its prefix is shared."""
        return self.unshared_tokens - self.shared * (len(self.ids) - 1)

    @property
    def unshared_tokens(self) -> int:
        """How many tokens the tree takes if every branch is a sequence of its own."""
        return sum(map(len, self.ids))


@dataclass(frozen=True, slots=True)
class Targets:
    """The K tokens of all branches that a language model head has to predict.

    before   int64 [K]: the position in hidden.flatten(0, 1) of the token before each
    ids      int64 [K]: the tokens
    branch   int64 [K]: the branch that each belongs to, in the order of trees
    """

    before: Tensor
    ids: Tensor
    branch: Tensor

    def moved(self, move: Move) -> "Targets":
        """The same with each tensor moved."""
        return Targets(move(self.before), move(self.ids), move(self.branch))


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of a forward pass.

    input_ids        int64 [1, T] packed, [B, T] padded
    position_ids     like input_ids; [4, 1, T] or [4, B, T] for Qwen-VL kinds
    attention_mask   bool [B, T], padded only
    plan             packed only
    pool             int64 [S]: the last real token of each branch in hidden.flatten(0, 1), in the order of trees
    targets          the tokens to predict
    media            tensors of all trees, in the order of the row
    tokens           real tokens computed, without those of the dummy image
    unshared_tokens  the real tokens that would be computed without sharing
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    plan: Plan | None
    pool: Tensor
    targets: Targets
    media: Mapping[str, Tensor]
    tokens: int
    unshared_tokens: int

    def to(self, device: torch.device | str) -> "Batch":
        """Copy the batch's tensors to a device."""
        return self.moved(lambda tensor: tensor.to(device))

    def moved(self, move: Move) -> "Batch":
        """The same with each tensor moved."""
        return replace(
            self,
            input_ids=move(self.input_ids),
            position_ids=move(self.position_ids),
            attention_mask=None if self.attention_mask is None else move(self.attention_mask),
            plan=None if self.plan is None else self.plan.moved(move),
            pool=move(self.pool),
            targets=self.targets.moved(move),
            media={name: move(tensor) for name, tensor in self.media.items()},
        )

    def tensors(self) -> list[Tensor]:
        """All tensors of the batch."""
        found: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.moved(note)
        return found
