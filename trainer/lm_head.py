"""The language model head, for models that also write text; backbones are loaded without it."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.utils import cached_file

from curate.errors import TrainError
from trainer.backbones import Backbone

KEY = "lm_head.weight"
CHUNK = 1024  # tokens whose logits are in memory at a time: with a vocabulary of 152,000 they take 0.6 GB


class LmHead(nn.Module):
    """Maps hidden states to logits of the next token; `weight` [vocabulary, hidden] may be the embeddings' own."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """Compute logits, fp32 [K, vocabulary], of hidden states [K, hidden]; with `ids` [K] the losses, fp32 [K].

        More than CHUNK losses are computed by parts, whose logits are computed again in the backward pass.
        """
        if ids is None:
            return functional.linear(hidden, self.weight).float()
        if len(ids) <= CHUNK:
            return _losses(hidden, self.weight, ids)
        parts = zip(torch.split(hidden, CHUNK), torch.split(ids, CHUNK), strict=True)
        losses = [checkpoint(_losses, part, self.weight, wanted, use_reentrant=False) for part, wanted in parts]
        return torch.cat(losses)


def _losses(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(hidden, weight).float(), ids, reduction="none")


def branch_means(losses: Tensor, branch: Tensor, branches: int) -> Tensor:
    """Compute the mean loss of each branch, fp32 [branches], from those of tokens [K]; 0 for a branch without."""
    sums = losses.new_zeros(branches).index_add(0, branch, losses)
    return sums / torch.bincount(branch, minlength=branches).clamp(min=1)


def load(where: str | Path, backbone: Backbone, dtype: torch.dtype) -> LmHead:
    """Load the language model head of a checkpoint whose backbone is loaded already.

    It is the embeddings themselves if the config ties the two, unless the checkpoint holds another of its own.
    Raises TrainError if it is neither tied nor there.
    """
    module: Any = backbone.module
    own = _stored(where, KEY)
    tied = bool(module.config.tie_word_embeddings)
    if tied and (own is None or _same(own, _stored(where, "embed_tokens.weight"))):
        return LmHead(module.get_input_embeddings().weight)
    if own is None:
        hint = "critics and judges start from a checkpoint that can generate; naive reward models have lost theirs"
        raise TrainError(str(where), f"no {KEY} in its safetensors files", "a whole language model", hint)
    return LmHead(nn.Parameter(own.to(dtype)))


def is_tied(head: LmHead, backbone: Backbone) -> bool:
    """Whether the head's weight is that of the embeddings."""
    module: Any = backbone.module
    return head.weight is module.get_input_embeddings().weight


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(one, other)


def _stored(where: str | Path, ending: str) -> Tensor | None:
    """The tensor of a checkpoint whose name is `ending`, or ends in it after a dot; None if there is none."""
    files = ["model.safetensors"]
    if index := _cached(where, "model.safetensors.index.json"):
        names: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({file for name, file in names.items() if f".{name}".endswith(f".{ending}")})
    for path in filter(None, (_cached(where, file) for file in files)):
        found = _tensor(path, ending)
        if found is not None:
            return found
    return None


def _tensor(path: Path, ending: str) -> Tensor | None:
    """The tensor of a file whose name has this ending. Raises TrainError for a damaged file."""
    try:
        with safe_open(path, "pt") as opened:
            names = [name for name in opened.keys() if f".{name}".endswith(f".{ending}")]  # noqa: SIM118
            found: Tensor | None = opened.get_tensor(names[0]) if names else None
    except (SafetensorError, OSError) as error:
        raise TrainError(str(path), f"cannot be read ({error})", "a whole safetensors file") from None
    return found


def _cached(where: str | Path, name: str) -> Path | None:
    found = cached_file(where, name, _raise_exceptions_for_missing_entries=False)
    return Path(found) if found else None
