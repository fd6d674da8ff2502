"""Position ids of one unshared sequence, as its backbone expects them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.backbones import Backbone

GRIDS = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")


def positions(backbone: Backbone, ids: Tensor, media: Mapping[str, Tensor]) -> Tensor:
    """Compute position ids of a sequence: int64 [4, T] for Qwen-VL backbones, [1, T] for all others.

    The four rows are the index in the sequence, then time, height and width. Without the first, upstream would
    take all of a packed row for one sequence and attend across samples. The others come from upstream's own
    `get_rope_index`, given the kind of every token: without the kinds Qwen2.5-VL silently counts in one dimension.
    """
    place = torch.arange(len(ids))
    if not backbone.kind.startswith("qwen"):
        return place[None]
    if not media:
        return place.expand(4, -1)
    module: Any = backbone.module
    kinds = torch.zeros_like(ids)
    for number, token in enumerate((backbone.image_token_id, backbone.video_token_id), 1):
        kinds[ids == token] = number
    grids = {name: media[name] for name in GRIDS if name in media}
    rope, _ = module.get_rope_index(ids[None], mm_token_type_ids=kinds[None], **grids)
    return torch.cat([place[None], rope[:, 0]])
