"""Packs trees that share their prompts into one row; the plain padded layout is there for comparison."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_end

from trainer.backbones import Backbone
from trainer.batch import Batch, Targets, Tree
from trainer.media import FILLS, joined
from trainer.positions import positions
from trainer.prefix_attention import Segment, plan

T = TypeVar("T")


def common_prefix(*branches: Tensor) -> int:
    """Count the tokens that all branches begin with, at most all but the last token of the shortest."""
    most = min(map(len, branches)) - 1
    same = torch.stack([branch[:most] == branches[0][:most] for branch in branches]).all(0)
    return most if bool(same.all()) else int(same.int().argmin())


def make_tree(branches: Sequence[Tensor], media: Mapping[str, Tensor], media_end: int = 0) -> Tree | None:
    """Make a tree of whole token sequences; None if their common prefix does not hold all media tokens.

    `media_end` counts the tokens up to and with the last media token. Prefixes are found in tokens, not in text: a
    merge across the border of prompt and reply can make the last tokens of a prompt differ."""
    shared = common_prefix(*branches) if len(branches) > 1 else 0
    if len(branches) > 1 and shared < media_end:
        return None
    return Tree(tuple(branches), shared, media)


def pack_sizes(tokens: Sequence[int], budget: int) -> list[list[int]]:
    """Fill bins of at most `budget` tokens, best fit from the largest on; bins hold ascending positions.

    Raises ValueError if one size is over the budget."""
    if max(tokens, default=0) > budget:
        raise ValueError(f"{max(tokens)} tokens do not fit a budget of {budget}")
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, bin), ascending
    for position in sorted(range(len(tokens)), key=lambda i: (-tokens[i], i)):
        at = bisect_left(room, (tokens[position], -1))
        free, chosen = room.pop(at) if at < len(room) else (budget, len(bins))
        if chosen == len(bins):
            bins.append([])
        bins[chosen].append(position)
        insort(room, (free - tokens[position], chosen))
    return sorted(sorted(each) for each in bins)


def token_batches(values: Iterable[T], tokens: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Yield consecutive values of at most `budget` tokens together; a larger value is alone in its batch."""
    batch: list[T] = []
    total = 0
    for value in values:
        size = tokens(value)
        if batch and total + size > budget:
            yield batch
            batch, total = [], 0
        batch.append(value)
        total += size
    if batch:
        yield batch


def pack(
    trees: Sequence[Tree], backbone: Backbone, *, share: bool = True, dummy_image: Tree | None = None
) -> Batch:
    """Pack all trees into one row. With `share` a prefix and its media are there once, else once per branch.

    `dummy_image` is appended if no tree has media, as a segment that no other attends to and no score is read
    from: all ranks must run the same modules in the same order, or ZeRO-3 hangs. A backbone that does not share
    gets a padded batch instead."""
    if not backbone.shares:
        return pad(trees, backbone, dummy_image=dummy_image)
    real = list(trees) if share else unshared(trees)
    row = _with_media(real, dummy_image)
    segments: list[Segment] = []
    for each in row:
        owner = len(segments)
        segments.append(Segment(len(each.ids[0])))
        segments += [Segment(len(ids) - each.shared, each.shared, owner) for ids in each.ids[1:]]
    pieces = [piece for each in row for piece in _pieces(each, backbone)]
    ends = torch.tensor([segment.queries for segment in segments]).cumsum(0) - 1
    return Batch(
        input_ids=torch.cat([ids for ids, _ in pieces])[None],
        position_ids=_rows([places[:, None] for _, places in pieces]),
        attention_mask=None,
        plan=plan(segments),
        pool=ends[: sum(len(each.ids) for each in real)],
        targets=_targets(real, [0, *(ends + 1).tolist()]),
        media=media_of(row),
        tokens=sum(each.tokens for each in real),
        unshared_tokens=sum(each.unshared_tokens for each in real),
    )


def unshared(trees: Sequence[Tree]) -> list[Tree]:
    """Make every branch a tree of its own, each with all media."""
    return [
        Tree((ids,), 0, tree.media, tree.targets[number : number + 1])
        for tree in trees
        for number, ids in enumerate(tree.ids)
    ]


def _targets(trees: Sequence[Tree], starts: Sequence[int]) -> Targets:
    """The tokens to predict; `starts` holds where each branch begins, or its rest after a shared prefix."""
    before, ids, branches = [], [], []
    first = 0
    for tree in trees:
        for number, (tokens, count) in enumerate(zip(tree.ids, tree.targets, strict=bool(tree.targets))):
            places = torch.arange(len(tokens) - 1 - count, len(tokens) - 1)
            rest = starts[first + number] - (tree.shared if number else 0)
            before.append(torch.where(places < tree.shared, starts[first], rest) + places)
            ids.append(tokens[len(tokens) - count :])
            branches.append(torch.full((count,), first + number))
        first += len(tree.ids)
    none = torch.empty(0, dtype=torch.int64)
    return Targets(*(torch.cat([none, *parts]) for parts in (before, ids, branches)))


def _with_media(trees: list[Tree], dummy_image: Tree | None) -> list[Tree]:
    if dummy_image is None or any(tree.media for tree in trees):
        return trees
    return [*trees, dummy_image]


def _pieces(tree: Tree, backbone: Backbone) -> Iterable[tuple[Tensor, Tensor]]:
    """(ids, positions) of the first branch, then of the other branches after the shared prefix."""
    for number, ids in enumerate(tree.ids):
        start = tree.shared if number else 0
        yield ids[start:], positions(backbone, ids, tree.media)[:, start:]


def pad(
    trees: Sequence[Tree],
    backbone: Backbone,
    side: Literal["left", "right"] = "right",
    pad_id: int = 0,
    dummy_image: Tree | None = None,
) -> Batch:
    """Lay out every branch in a row of its own, filled up with `pad_id`; a `dummy_image` has its own row too."""
    real = unshared(trees)
    rows = _with_media(real, dummy_image)
    lengths = [len(row.ids[0]) for row in rows]
    longest = max(lengths)

    def fill(tensor: Tensor, value: int) -> Tensor:
        gap = longest - tensor.shape[-1]
        return pad_end(tensor, (gap, 0) if side == "left" else (0, gap), value=value)

    ends = torch.tensor(lengths) if side == "right" else torch.full((len(rows),), longest)
    starts = torch.arange(len(rows)) * longest + ends - torch.tensor(lengths)
    return Batch(
        input_ids=torch.stack([fill(row.ids[0], pad_id) for row in rows]),
        position_ids=_rows([fill(positions(backbone, row.ids[0], row.media), 0)[:, None] for row in rows], 1),
        attention_mask=torch.stack([fill(torch.ones(length, dtype=torch.bool), 0) for length in lengths]),
        plan=None,
        pool=(torch.arange(len(rows)) * longest + ends - 1)[: len(real)],
        targets=_targets(real, starts.tolist()),
        media=media_of(rows),
        tokens=sum(each.tokens for each in real),
        unshared_tokens=sum(each.tokens for each in real),
    )


def _rows(places: Sequence[Tensor], dim: int = 2) -> Tensor:
    """Positions [R, 1, T] joined; a text backbone's single R is dropped."""
    whole = torch.cat(list(places), dim=dim)
    return whole[0] if len(whole) == 1 else whole


def media_of(trees: Sequence[Tree]) -> dict[str, Tensor]:
    """Join the media tensors of all trees by name."""
    names = {name: None for tree in trees for name in tree.media}
    return {
        name: joined([tree.media[name] for tree in trees if name in tree.media], FILLS.get(name, 0))
        for name in names
    }


def dummy_image(backbone: Backbone) -> Tree | None:
    """Make the smallest black image as a tree, for micro-batches without images; None for a text backbone."""
    if backbone.image_token_id is None:
        return None
    module: Any = backbone.module
    config, vision = module.config, module.config.vision_config
    if backbone.kind == "gemma4":
        return _dummy_patches(backbone)
    if backbone.kind in ("smolvlm", "llava_onevision", "gemma3"):
        return _dummy_tile(backbone)
    if backbone.kind == "internvl":
        media = {"pixel_values": torch.zeros(1, vision.num_channels, *vision.image_size)}
        return Tree((torch.full((config.image_seq_length,), backbone.image_token_id),), 0, media)
    side = 2 * vision.spatial_merge_size
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    media = {"pixel_values": torch.zeros(side * side, values), "image_grid_thw": torch.tensor([[1, side, side]])}
    return Tree((torch.full((4,), backbone.image_token_id),), 0, media)


def _dummy_tile(backbone: Backbone) -> Tree:
    """One tile, all of one colour: of zeros SmolVLM would think that they only fill up."""
    module: Any = backbone.module
    token = module.config.image_token_id
    edge, patch = module.config.vision_config.image_size, module.config.vision_config.patch_size
    pixels = torch.ones(1, 3, edge, edge)
    if backbone.kind == "smolvlm":
        ids = torch.full((module.image_seq_len,), token)
        mask = torch.ones(1, 1, edge, edge, dtype=torch.int64)
        return Tree((ids,), 0, {"pixel_values": pixels[:, None], "pixel_attention_mask": mask})
    if backbone.kind == "gemma3":
        return Tree((torch.full((module.config.mm_tokens_per_image,), token),), 0, {"pixel_values": pixels})
    side = edge // patch
    sizes = {"image_sizes": torch.tensor([[edge, edge]]), "batch_num_images": torch.tensor([1])}
    ids = torch.full((2 * side**2 + side,), token)  # the whole, its one tile, the ends of lines
    return Tree((ids,), 0, {"pixel_values": torch.cat([pixels, pixels]), **sizes})


def _dummy_patches(backbone: Backbone) -> Tree:
    """A black image of one token."""
    module: Any = backbone.module
    side, patch = module.config.vision_config.pooling_kernel_size, module.config.vision_config.patch_size
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).flip(1)[None]
    media = {"pixel_values": torch.zeros(1, side * side, 3 * patch**2), "image_position_ids": places}
    return Tree((torch.tensor([backbone.image_token_id]),), 0, media)
