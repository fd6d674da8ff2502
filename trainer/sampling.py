"""Draws what a model writes next: the most probable token, or one at random that a seed determines.

What is drawn depends on the text before it, the seed and the sample's number alone, and not on what else is
written at the same time: a resumed or repartitioned scoring draws the same tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import xxhash
from torch import Tensor

BITS = 53  # that a float64 below 1 has


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How texts are written: one after each branch is the most probable, several are drawn at `temperature`."""

    samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def keys(self, branches: Sequence[Tensor]) -> Iterator[int]:
        """Yield the key of each text to write: `samples` for each branch (int64 tokens), in order."""
        for ids in branches:
            text = ids.numpy().tobytes()
            for number in range(self.samples):
                yield xxhash.xxh3_64_intdigest(text + number.to_bytes(8, "little"), seed=self.seed)

    def choose(self, logits: Tensor, keys: Sequence[int], step: int) -> list[int]:
        """Choose the next token of each text, fp32 [S, vocabulary] -> S tokens; `step` counts those before it."""
        if self.samples == 1:
            return [int(token) for token in logits.argmax(-1)]
        points = torch.tensor([_point(key, step) for key in keys], dtype=torch.float64, device=logits.device)
        sums = (logits.double() / self.temperature).softmax(-1).cumsum(-1)
        tokens = torch.searchsorted(sums, points[:, None] * sums[:, -1:], right=True)
        return [int(token) for token in tokens.squeeze(1).clamp(max=logits.shape[-1] - 1)]


def _point(key: int, step: int) -> float:
    """A number from 0 to below 1."""
    drawn: int = xxhash.xxh3_64_intdigest(key.to_bytes(8, "little"), seed=step) >> (64 - BITS)
    return drawn / float(2**BITS)
