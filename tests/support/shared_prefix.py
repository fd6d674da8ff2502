"""Pairs of random tokens and images for the tests of packing, and what upstream makes of them unpacked."""

import functools
import itertools

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import AutoModel

from tests.support.tiny_models import checkpoint
from trainer.backbones import Backbone, quiet
from trainer.batch import Batch, Tree
from trainer.packing import dummy_image, make_tree

KINDS = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "internvl", "smolvlm", "llava_onevision", "text")
GRIDS = ((1, 4, 8), (1, 6, 4), (1, 2, 2))


@functools.cache
def backbone(kind: str) -> Backbone:
    return Backbone.load(checkpoint(kind), torch.float32)


@functools.cache
def upstream(kind: str) -> torch.nn.Module:
    """The same weights as transformers loads them, with its own attention."""
    with quiet():
        return AutoModel.from_pretrained(checkpoint(kind), dtype=torch.float32, attn_implementation="sdpa")


def images(kind: str, count: int, draw: torch.Generator) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Tokens and tensors of so many images, no two grids in a row of the same shape."""
    if not count:
        return [], {}
    model, black = backbone(kind), dummy_image(backbone(kind))
    if kind in ("internvl", "smolvlm", "llava_onevision"):
        tiles, *shape = black.media["pixel_values"].shape
        pixels = {"pixel_values": torch.randn(count * tiles, *shape, generator=draw)}
        rest = {name: torch.cat([tensor] * count) for name, tensor in black.media.items() if name not in pixels}
        return [black.ids[0]] * count, pixels | rest
    grids = [GRIDS[i % len(GRIDS)] for i in range(count)]
    values = torch.randn(sum(h * w for _, h, w in grids), black.media["pixel_values"].shape[1], generator=draw)
    tokens = [torch.full((h * w // 4,), model.image_token_id) for _, h, w in grids]
    return tokens, {"pixel_values": values, "image_grid_thw": torch.tensor(grids)}


def make(kind: str, seed: int, count: int = 0, prompt: int = 9, replies: tuple[int, ...] = (7, 4)) -> Tree:
    """A tree of a prompt with so many images among `prompt` tokens and replies of these lengths."""
    draw = torch.Generator().manual_seed(seed)

    def text(length: int) -> Tensor:
        return torch.randint(20, 250, (length,), generator=draw)

    tokens, media = images(kind, count, draw)
    question = torch.cat([text(3), *itertools.chain(*((image, text(2)) for image in tokens)), text(prompt)])
    made = make_tree([torch.cat([question, text(reply)]) for reply in replies], media, len(question) - prompt)
    assert made is not None
    return made


@functools.cache
def weights(size: int = 64) -> Tensor:
    """A reward head: one row."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)) / size


def rewards(model: Backbone, batch: Batch) -> Tensor:
    return model.hidden(batch).flatten(0, 1)[batch.pool] @ weights()


def plain_rewards(kind: str, trees: list[Tree]) -> Tensor:
    """Every branch in a forward of its own through upstream's model, which finds positions and masks by itself."""
    module, model = upstream(kind), backbone(kind)
    found = []
    for each in trees:
        for ids in each.ids:
            extra = dict(each.media)
            if kind.startswith("qwen"):
                extra["mm_token_type_ids"] = (ids == model.image_token_id).int()[None]
            found.append(
                module(input_ids=ids[None], use_cache=False, **extra).last_hidden_state[0, -1] @ weights()
            )
    return torch.stack(found)


def loss(scores: Tensor) -> Tensor:
    """Bradley-Terry over branches two by two."""
    chosen, rejected = scores.view(-1, 2).unbind(1)
    return -logsigmoid(chosen - rejected).sum()


def gradients(module: torch.nn.Module, value: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    value.backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative error in the Euclidean norm."""
    return float((found - expected).detach().norm() / expected.detach().norm())
