"""The layouts of SmolVLM and LLaVA-OneVision, which cut an image into tiles beside the whole, and of Gemma 3 and
4.

All follow upstream's processors; how many tiles and tokens there are is computed from the image's size alone.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution
from transformers.models.gemma4 import image_processing_pil_gemma4 as gemma4
from transformers.models.smolvlm import image_processing_pil_smolvlm as upstream

from curate.errors import TrainError
from trainer.media import FILLS, BadMedia, Picture, decode, joined, processor_facts

FRAME_TOKENS = 70  # upstream's for a frame, and the least that it knows for an image
LLAVA_TILES = 9  # in upstream's vision_aspect_ratio, anyres_max_9


class Splits:
    """The layout of SmolVLM: rows and columns of tiles, then the whole image as one; a small one is one tile.

    A tile is `tokens` placeholders, with tokens of its place around it. A video frame is one tile.
    """

    def __init__(self, processor: Any, placeholder: int, tokens: int, encode: Callable[[str], list[int]]) -> None:
        self.processor, self.placeholder, self.tokens, self._encode = processor, placeholder, tokens, encode

    @staticmethod
    def bounds(processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, Any]:
        """Convert the upper bound to a longest edge of whole tiles, at least one.

        Raises TrainError for a lower bound: upstream brings every image to the same longest edge.
        """
        if min_pixels is not None:
            raise TrainError(
                "min_pixels", f"found {min_pixels}", "none: SmolVLM resizes images to one longest edge"
            )
        if max_pixels is None:
            return {}
        tile = int(processor.max_image_size["longest_edge"])
        edge = max(math.isqrt(max_pixels) // tile, 1) * tile
        return {"size": {"longest_edge": min(edge, int(processor.size["longest_edge"]))}}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, and the number of tokens of a tile."""
        return {**processor_facts(self.processor), "image_seq_len": self.tokens}

    def ids(self, picture: Picture) -> list[int]:
        """Row by row the tiles with their places, then the whole image."""
        rows, columns = (0, 0) if picture.frame else self._grid(picture)
        tile, image = "<fake_token_around_image>", [self.placeholder] * self.tokens
        ids: list[int] = []
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                ids += self._encode(f"{tile}<row_{row}_col_{column}>") + image
            ids += self._encode("\n\n" if row == rows else "\n")
        return [*ids, *self._encode(f"{tile}<global-img>"), *image, *self._encode(tile)]

    def _grid(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of tiles, both 0 for an image that is one."""
        if not self.processor.do_image_splitting:
            return 0, 0
        tile = int(self.processor.max_image_size["longest_edge"])
        height, width = picture.height, picture.width
        if self.processor.do_resize:
            longest = int(self.processor.size["longest_edge"])
            height, width = upstream._resize_output_size_rescale_to_max_len(height, width, max_len=longest)
            height, width = upstream._resize_output_size_scale_below_upper_bound(height, width)
        ratio = width / height
        if width >= height:
            columns = math.ceil(width / tile)
            rows = math.ceil(int(columns * tile / ratio) / tile)
        else:
            rows = math.ceil(height / tile)
            columns = math.ceil(int(rows * tile * ratio) / tile)
        return (0, 0) if rows == columns == 1 else (rows, columns)

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [tiles, 1, 3, edge, edge], pixel_attention_mask int64 [tiles, 1, edge, edge]."""
        images = [
            self.processor(images=[decode(one)], do_image_splitting=not one.frame, return_tensors="pt")
            for one in pictures
        ]
        names = ("pixel_values", "pixel_attention_mask")
        return {name: joined([image[name].transpose(0, 1) for image in images]) for name in names}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """None: upstream's needs the times of frames."""
        return ""


class AnyRes:
    """The layout of LLaVA-OneVision: the whole image as one tile, then tiles of the best of its resolutions.

    `tokens` are those of a tile. A bound in pixels shrinks or enlarges an image before that. Each frame of a video
    of several is one tile.
    """

    def __init__(
        self,
        processor: Any,
        placeholder: int,
        tokens: int,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.processor, self.placeholder, self.side = processor, placeholder, math.isqrt(tokens)
        self.min_pixels, self.max_pixels = min_pixels, max_pixels

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, the number of tokens of a tile, and the bounds."""
        bounds = {"min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        return {**processor_facts(self.processor), "num_image_tokens": self.side**2, **bounds}

    def ids(self, picture: Picture) -> list[int]:
        """A placeholder for every feature of tiles without their padding, and for the end of every line."""
        if picture.frame:
            return [self.placeholder] * (self.side**2 + 1)
        height, width = self._size(picture)
        best = select_best_resolution((height, width), self.processor.image_grid_pinpoints)
        tile = int(self.processor.size["height"])
        rows, columns = (self.side * edge // tile for edge in best)
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        ratio = math.sqrt(rows * columns / (LLAVA_TILES * self.side**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
        return [self.placeholder] * (self.side**2 + rows * columns + rows)

    def _size(self, picture: Picture) -> tuple[int, int]:
        """Height and width within the bounds."""
        area = picture.height * picture.width
        wanted = max(area, self.min_pixels or 0)
        wanted = min(wanted, self.max_pixels or wanted)
        scale = math.sqrt(wanted / area)
        if scale == 1:
            return picture.height, picture.width
        return max(int(picture.height * scale), 1), max(int(picture.width * scale), 1)

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [tiles, 3, edge, edge], image_sizes int64 [images, 2], batch_num_images [groups].

        Several frames are a group, whose images are not split. Raises BadMedia("video_unsupported") for one alone.
        """
        parts: list[dict[str, Tensor]] = []
        for frame, group in groupby(pictures, key=lambda one: one.frame):
            images = list(group)
            parts += self._frames(images) if frame else map(self._image, images)
        return {name: joined([part[name] for part in parts]) for name in parts[0]}

    def _frames(self, frames: Sequence[Picture]) -> list[dict[str, Tensor]]:
        if len(frames) == 1:  # a group of one would be split
            raise BadMedia("video_unsupported", "one frame")
        made = self.processor(images=[[decode(one) for one in frames]], return_tensors="pt")
        return [self._tensors(made, made["pixel_values"].flatten(0, 1))]

    def _image(self, picture: Picture) -> dict[str, Tensor]:
        height, width = self._size(picture)
        image = decode(picture, (height, width))
        made = self.processor(images=[image], return_tensors="pt")
        return self._tensors(made, made["pixel_values"][0])

    @staticmethod
    def _tensors(made: Any, tiles: Tensor) -> dict[str, Tensor]:
        counts = torch.as_tensor(made["batch_num_images"])
        return {"pixel_values": tiles, "image_sizes": made["image_sizes"], "batch_num_images": counts}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """LLaVA-OneVision has no label."""
        return ""


class Squares:
    """The layout of Gemma 3: every image is one square of `tokens` placeholders, with line breaks around it.

    Line breaks may be one token with those of the text, so they are written before it is tokenised (`written`).
    """

    def __init__(
        self, processor: Any, placeholder: int, tokens: int, min_pixels: int | None, max_pixels: int | None
    ) -> None:
        edge = int(processor.size["height"])
        if (max_pixels or edge**2) < edge**2 or (min_pixels or edge**2) > edge**2:
            found = f"{min_pixels or 0} to {max_pixels}"
            raise TrainError("min_pixels, max_pixels", found, f"{edge**2} within: every image is {edge}x{edge}")
        self.processor, self.placeholder, self.tokens = processor, placeholder, tokens

    @staticmethod
    def written(text: str) -> str:
        """The rendered dialogue with one placeholder for each image, and what is around it."""
        whole = "\n\n<start_of_image><image_soft_token><end_of_image>\n\n"
        return text.replace("<start_of_image>", whole)

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, and the number of tokens of an image."""
        return {**processor_facts(self.processor), "image_seq_length": self.tokens}

    def ids(self, picture: Picture) -> list[int]:  # noqa: ARG002
        """The same for all images."""
        return [self.placeholder] * self.tokens

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [images, 3, edge, edge]."""
        images = [self.processor(images=[decode(one)], return_tensors="pt") for one in pictures]
        return {"pixel_values": joined([image["pixel_values"] for image in images])}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """Gemma 3 has no label."""
        return ""


class Patches:
    """The layout of Gemma 4: as many patches as fit a number of tokens, in the image's own shape, between two
    marks.

    A frame of a video takes FRAME_TOKENS at most, as upstream's do.
    """

    def __init__(self, processor: Any, placeholder: int, start: int, end: int) -> None:
        self.processor, self.placeholder, self.start, self.end = processor, placeholder, start, end

    @staticmethod
    def bounds(processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
        """Convert the upper bound to the most tokens that upstream knows and that stay within it.

        Raises TrainError for a lower bound: upstream enlarges every image to its number of tokens.
        """
        area = (processor.patch_size * processor.pooling_kernel_size) ** 2
        if min_pixels is not None:
            raise TrainError(
                "min_pixels", f"found {min_pixels}", "none: Gemma 4 has a number of tokens for images"
            )
        if max_pixels is None:
            return {}
        fitting = [tokens for tokens in gemma4._SUPPORTED_SOFT_TOKENS if tokens * area <= max_pixels]
        if not fitting:
            raise TrainError("max_pixels", f"found {max_pixels}", f"at least {FRAME_TOKENS * area}: 70 tokens")
        return {"max_soft_tokens": min(max(fitting), int(processor.max_soft_tokens))}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration."""
        return processor_facts(self.processor)

    def _most(self, picture: Picture) -> int:
        most = int(self.processor.max_soft_tokens)
        return min(most, FRAME_TOKENS) if picture.frame else most

    def ids(self, picture: Picture) -> list[int]:
        """The mark of the start, a placeholder for every token, the mark of the end."""
        pool, patch = int(self.processor.pooling_kernel_size), int(self.processor.patch_size)
        try:
            height, width = gemma4.get_aspect_ratio_preserving_size(
                picture.height, picture.width, patch, self._most(picture) * pool**2, pool
            )
        except ValueError as error:
            raise BadMedia("image_refused", str(error)) from None
        tokens = (height // patch) * (width // patch) // pool**2
        return [self.start, *[self.placeholder] * tokens, self.end]

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [images, patches, values of a patch], image_position_ids int64 [images, patches,
        2]."""
        made = [
            self.processor(images=[decode(one)], max_soft_tokens=self._most(one), return_tensors="pt")
            for one in pictures
        ]
        names = ("pixel_values", "image_position_ids")
        return {name: joined([one[name] for one in made], FILLS.get(name, 0)) for name in names}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """None: upstream's needs the times of frames."""
        return ""
