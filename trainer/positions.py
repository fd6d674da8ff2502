"""Position ids of one unshared sequence, as its backbone wants them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainer.backbones import Backbone

GRIDS = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")


def positions(backbone: "Backbone", ids: Tensor, media: Mapping[str, Tensor]) -> Tensor:
    """int64 [1, T] for a text backbone; [4, T] for Qwen-VL: the place in the sequence, then time, height, width.

    The fourth row is what keeps upstream from attending across samples of a packed row: with three it would take
    all of the row for one sequence. Positions come from upstream's own `get_rope_index`, given the kind of every
    token: without it Qwen2.5-VL silently counts in one dimension.
    """
    place = torch.arange(len(ids))
    if backbone.kind in ("text", "internvl"):
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
