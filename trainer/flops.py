"""FLOPs of a training step by formula, so that MFU rewards neither recomputing nor padding.

A multiplication and an addition count as two. Weights are those of the linear layers and patch convolutions, so
one formula serves GLU and plain MLPs, grouped heads and any merger. Embedding, norms and the reward head (two
vectors per pair) are left out: together they are below a thousandth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Any

from torch import nn

from trainer.backbones import TOWERS, Backbone
from trainer.batch import Batch

PEAKS = {"H100 PCIe": 756e12, "H100 NVL": 835e12, "H200 NVL": 835e12, "B200": 2250e12, "H200": 989e12,
         "H100": 989e12, "H800": 989e12, "A100": 312e12, "A800": 312e12, "L40S": 362e12,
         "RTX 4090": 165e12}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """FLOPs of one forward pass: matrices times activations, and attention's two products.

    `merger` maps patches into the language model's space; it is trained even if the tower is frozen. `lm_head` is
    a critic's, on the tokens that it has to predict alone."""

    text_linear: int
    text_attention: int
    tower_linear: int = 0
    tower_attention: int = 0
    merger: int = 0
    lm_head: int = 0


def peak_flops(device: str) -> float | None:
    """Look up the dense bf16 FLOPs per second of a device by its name; None if unknown, as for a CPU."""
    return next((peak for name, peak in PEAKS.items() if name in device), None)


def step_flops(batch: Batch, backbone: Backbone, trained_vision: bool) -> int:
    """Count the FLOPs of forward and backward: three times the forward, but once for a frozen vision tower.

    Recomputing under gradient checkpointing is not counted: MFU is defined by the model's own FLOPs."""
    cost = forward_flops(batch, backbone)
    tower = cost.tower_linear + cost.tower_attention
    return (
        3 * (cost.text_linear + cost.text_attention + cost.merger + cost.lm_head)
        + (3 if trained_vision else 1) * tower
    )


def forward_flops(batch: Batch, backbone: Backbone) -> Forward:
    """Count the FLOPs of one forward pass of the batch's real tokens, each shared token once."""
    module: Any = backbone.module
    text: Any = backbone.text
    linear = 2 * weights(text) * batch.tokens  # embeddings are no products
    widths = [text.config.num_attention_heads * _head_dim(layer, text.config) for layer in text.layers]
    windows = _windows(text.config)
    attention = 4 * sum(width * causal_pairs(batch, window) for width, window in zip(widths, windows, strict=True))
    head = 2 * text.config.vocab_size * text.config.hidden_size * len(batch.targets.ids)
    whole = {"text_linear": linear, "text_attention": attention, "lm_head": head}
    if backbone.kind == "gemma4":
        whole |= _placed_patches(backbone, batch)
    elif backbone.kind in TOWERS:
        whole |= _tiles(backbone, batch)
    elif backbone.kind != "text":
        whole |= _patches(module.visual, batch)
    return Forward(**whole)


def _head_dim(layer: Any, config: Any) -> int:
    """The width of a head; Gemma 4's layers with full attention have wider ones."""
    own = getattr(layer.self_attn, "head_dim", None)
    return int(own or getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def weights(module: nn.Module) -> int:
    """Count the elements of the matrices inside a module, by shape: under ZeRO-3 the parameters are empty."""
    return sum(map(_matrix, module.modules()))


def _matrix(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.in_features * module.out_features
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return module.in_channels * module.out_channels * prod(module.kernel_size)
    return 0


def _windows(config: Any) -> list[int | None]:
    """The sliding window of each layer, None for full attention."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return [None if kind == "full_attention" else config.sliding_window for kind in kinds]


def causal_pairs(batch: Batch, window: int | None = None) -> int:
    """Count the (query, key) pairs of a layer's attention: c(P + A) + c(P + B) - c(P) for a shared pair.

    With a `window` a token of a padded batch attends to so many.
    """
    if batch.plan is not None:
        return sum(_causal(segment.queries, segment.prefix) for segment in batch.plan.segments)
    assert batch.attention_mask is not None, "a batch is packed or padded"
    lengths = batch.attention_mask.sum(1).tolist()
    return sum(_causal(length, 0) - _causal(max(length - (window or length), 0), 0) for length in lengths)


def _causal(queries: int, before: int) -> int:
    return queries * before + queries * (queries + 1) // 2


def _tiles(backbone: Backbone, batch: Batch) -> dict[str, int]:
    """Towers of tiles: each has the same number of patches, InternVL's a class token, and full attention."""
    if "pixel_values" not in batch.media:
        return {}
    module: Any = backbone.module
    vision: Any = backbone.vision
    config = module.config.vision_config
    *tiles_of, _, height, width = batch.media["pixel_values"].shape
    tiles, internvl = prod(tiles_of), backbone.kind == "internvl"
    rows, columns = config.patch_size if internvl else (config.patch_size, config.patch_size)
    patches = (height // rows) * (width // columns)
    tokens = patches + internvl
    convolution, layers = weights(vision.embeddings), weights(vision.encoder)
    attention = 4 * config.hidden_size * config.num_hidden_layers
    connector = module.connector if backbone.kind == "smolvlm" else module.multi_modal_projector
    lengths = {"internvl": "config.image_seq_length", "gemma3": "config.mm_tokens_per_image"}
    merged = (lengths | {"smolvlm": "image_seq_len"}).get(backbone.kind)
    length = attrgetter(merged)(module) if merged else patches
    return {
        "tower_linear": 2 * tiles * (convolution * patches + layers * tokens),
        "tower_attention": attention * tiles * tokens**2,
        "merger": 2 * tiles * weights(connector) * length,
    }


def _placed_patches(backbone: Backbone, batch: Batch) -> dict[str, int]:
    """Gemma 4: patches with their places, of which those that fill up count for nothing; full attention."""
    if "pixel_values" not in batch.media:
        return {}
    module: Any = backbone.module
    config = module.config.vision_config
    real = (batch.media["image_position_ids"] != -1).all(-1).sum(1)
    patches, pairs = int(real.sum()), int((real**2).sum())
    return {
        "tower_linear": 2 * weights(module.vision_tower) * patches,
        "tower_attention": 4 * config.num_attention_heads * config.head_dim * config.num_hidden_layers * pairs,
        "merger": 2 * weights(module.embed_vision) * patches // config.pooling_kernel_size**2,
    }


def _patches(visual: Any, batch: Batch) -> dict[str, int]:
    """Qwen-VL: any grid of patches; each frame attends to itself, in windows if the config has them."""
    grids = [grid for name in ("image_grid_thw", "video_grid_thw") for grid in batch.media.get(name, ())]
    frames = [(int(height), int(width)) for time, height, width in grids for _ in range(int(time))]
    patches = sum(height * width for height, width in frames)
    mergers = weights(visual.merger) + weights(getattr(visual, "deepstack_merger_list", nn.ModuleList()))
    full, windowed = sum((height * width) ** 2 for height, width in frames), window_pairs(frames, visual.config)
    depth = len(visual.blocks)
    whole = len(getattr(visual.config, "fullatt_block_indexes", range(depth)))
    dim = getattr(visual.config, "embed_dim", visual.config.hidden_size)
    return {
        "tower_linear": 2 * (weights(visual) - mergers) * patches,
        "tower_attention": 4 * dim * (whole * full + (depth - whole) * windowed),
        "merger": 2 * mergers * patches // visual.config.spatial_merge_size**2,
    }


def window_pairs(frames: Iterable[tuple[int, int]], config: Any) -> int:
    """Count the (query, key) pairs of a layer with windows; the last window of a row or column may be smaller."""
    edge = getattr(config, "window_size", 0) // config.patch_size  # in patches
    return sum(_squares(height, edge) * _squares(width, edge) for height, width in frames) if edge else 0


def _squares(length: int, edge: int) -> int:
    return length // edge * edge**2 + (length % edge) ** 2
