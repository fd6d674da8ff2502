"""What the backward pass recomputes, and what torch.compile fuses: options that change speed and memory alone."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import create_selective_checkpoint_contexts

KEPT = (
    "aten.mm", "aten.addmm", "aten.bmm", "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu", "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention", "torch_attn._varlen_attn",
)  # fmt: skip
"""The operators whose results selective checkpointing keeps: the products. All else is recomputed."""

FUSED = ("mlp", "input_layernorm", "post_attention_layernorm")


def checkpoint_options(*, selective: bool) -> dict[str, Any]:
    """The arguments of `torch.utils.checkpoint`: recompute everything, or all but the products."""
    if not selective:
        return {"use_reentrant": False}
    return {"use_reentrant": False, "context_fn": partial(create_selective_checkpoint_contexts, _operators())}


def _operators() -> list[Any]:
    """The operators of KEPT that this torch has."""
    found = []
    for name in KEPT:
        namespace, _, operator = name.partition(".")
        packet = getattr(getattr(torch.ops, namespace), operator, None)
        if packet is not None:
            found += [getattr(packet, overload) for overload in packet.overloads()]
    return found


def compile_layers(text: nn.Module) -> int:
    """Compile the MLP and the norms of each layer of a language model; returns how many modules that are.

    Attention is not compiled: its plans are different in every batch. Lengths are dynamic, so that a new one is
    not compiled anew.
    """
    parts = fused_parts(text)
    for part in parts:
        part.compile(dynamic=True)
    return len(parts)


def fused_parts(text: nn.Module) -> list[nn.Module]:
    """The MLP and the norms of each layer of a language model, for all kinds of backbones."""
    layers: Any = text.get_submodule("layers")
    return [part for layer in layers for name in FUSED if (part := getattr(layer, name, None)) is not None]
