"""Images of a dialogue: checked and sized by their headers, then as placeholder tokens and pixels of a backbone.

Token counts need no pixels, so every rank can plan the whole step and decode only its own pairs. Layouts follow
the backbone's own image processor, always with its PIL backend: the torchvision one resizes differently.
"""

import io
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import xxhash
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import pad

from curate.errors import TrainError
from curate.images.decode import SIDEWAYS, turn
from curate.images.packs import DamagedImageError, Packs
from curate.schema import MediaKind

MAX_PIXELS = 89_478_485
"""Larger images are taken for bombs; PIL's own limit, so that its warning and its error give the same reason."""

FILLS = {"image_position_ids": -1}
"""What fills up a tensor of this name, where that is not 0."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
PIL_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What PIL's decoders raise on damaged bytes."""


class Unusable(Exception):  # noqa: N818 - a property of a pair, not an error
    """Raised for a pair that cannot be used; `reason` (a word with underscores) is counted by source."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class BadMedia(Unusable):
    """Raised for media that do not fit the dialogue or the backbone.

    Reasons: `not_an_image`, `image_damaged`, `image_too_large`, `image_refused` (by the backbone's processor, for
    instance for sides of more than 200:1), `image_unsupported` and `video_unsupported` (a text backbone),
    `media_mismatch` (blocks without media or media without blocks), `placeholder_in_text` (a text that contains
    `<|image_pad|>`, with a tokenizer that does not count it among its special tokens).
    """


@dataclass(frozen=True, slots=True)
class Medium:
    """One image or one video of a pair: its keys, and its bytes if the shard holds them, else the store."""

    kind: MediaKind
    keys: tuple[str, ...]
    embedded: tuple[bytes, ...] = ()
    store: Packs | None = None

    def read(self) -> bytes | list[bytes]:
        """Read the bytes of the image, or of the video's frames, and check them against their keys.

        Their structure was checked when they entered the store, so their headers are enough to plan with.
        Raises BadMedia("image_damaged"), and WorkspaceError if the store lacks an image.
        """
        frames = [self._frame(number) for number in range(len(self.keys))]
        return frames[0] if self.kind == "image" else frames

    def _frame(self, number: int) -> bytes:
        key = self.keys[number]
        if self.store is not None:
            try:
                return self.store.read(key)
            except DamagedImageError as error:
                raise BadMedia("image_damaged", str(error)) from None
        if xxhash.xxh3_128_hexdigest(self.embedded[number]) != key:
            raise BadMedia("image_damaged", f"image {key} is not what was stored")
        return self.embedded[number]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that is not decoded: its bytes, upright height and width in pixels, and how to turn it upright."""

    data: bytes
    height: int
    width: int
    turn: Image.Transpose | None = None
    frame: bool = False  # of a video


def read_header(data: bytes, *, frame: bool = False) -> Picture:
    """Read size and orientation of an image from its header. Raises BadMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            how = turn(image, data)
    except UnidentifiedImageError:
        raise BadMedia(
            "not_an_image", f"{len(data)} bytes that start with {data[:8].hex(' ') or 'nothing'}"
        ) from None
    except BOMBS as error:
        raise BadMedia("image_too_large", str(error)) from None
    except PIL_ERRORS as error:
        raise BadMedia("image_damaged", str(error)) from None
    if width * height > MAX_PIXELS:
        raise BadMedia("image_too_large", f"{width}x{height}, limit {MAX_PIXELS} pixels")
    if how in SIDEWAYS:
        width, height = height, width
    return Picture(data, height, width, how, frame)


def decode(picture: Picture, size: tuple[int, int] | None = None) -> Image.Image:
    """Decode an image: upright, in RGB, transparency on white as in transformers; resized to (height, width).

    Raises BadMedia.
    """
    try:
        with Image.open(io.BytesIO(picture.data), formats=FORMATS) as opened:
            image: Image.Image = opened
            if "A" in image.getbands() or "transparency" in image.info:
                front = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)
            image = image.convert("RGB")
            image = image if picture.turn is None else image.transpose(picture.turn)
            height, width = size or (image.height, image.width)
            return image.resize((width, height)) if (width, height) != image.size else image
    except PIL_ERRORS as error:
        raise BadMedia("image_damaged", str(error)) from None


def encoded(image: Any) -> bytes:
    """The bytes of an image as trainers hand it over: PIL, bytes, a mapping with `bytes` or `path`, or a path.

    A PIL image becomes PNG, pixel for pixel. Raises TrainError for anything else.
    """
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    if not isinstance(image, Image.Image):
        raise TrainError("images", f"a {type(image).__name__}", "PIL images, bytes, or paths of files")
    sink = io.BytesIO()
    plain = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    plain.save(sink, "PNG", exif=b"", compress_level=1)
    return sink.getvalue()


def evenly(frames: Sequence[bytes], most: int | None) -> Sequence[bytes]:
    """Take at most so many frames, each from the middle of an equal part of the video; None takes all."""
    if most is None or len(frames) <= most:
        return frames
    return [frames[(2 * part + 1) * len(frames) // (2 * most)] for part in range(most)]


class ImageLayout(Protocol):
    """Converts images to a backbone's tokens and tensors; a template writes the token `placeholder` for each."""

    placeholder: int

    def facts(self) -> dict[str, Any]:
        """Describe what the pixels depend on, as plain data."""
        ...

    def ids(self, picture: Picture) -> list[int]:
        """Make the tokens that replace the placeholder. Raises BadMedia("image_refused")."""
        ...

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Make the forward pass's tensors for these images, by name. Raises BadMedia("image_damaged")."""
        ...

    def frame_label(self, number: int) -> str:
        """Make the text before frame `number` (from 1) of a video, "" for none."""
        ...


class Grids:
    """The layout of Qwen-VL kinds: an image is resized to a grid of patches; `merge`^2 patches are one token.

    A video is its frames as images, one after another, which `frames` resizes, with bounds of its own.
    """

    def __init__(self, processor: Any, placeholder: int, frames: Any = None) -> None:
        self.processor, self.placeholder = processor, placeholder
        self.frames = processor if frames is None else frames
        self.merged = int(processor.merge_size) ** 2

    @staticmethod
    def bounds(min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
        """Make the processor's options that keep resized images within the bounds."""
        bounds = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        return {name: value for name, value in bounds.items() if value is not None}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, and the size of frames if it is another one."""
        facts = processor_facts(self.processor)
        if self.frames is not self.processor:
            facts["frame_size"] = processor_facts(self.frames)["size"]
        return facts

    def _processor(self, picture: Picture) -> Any:
        return self.frames if picture.frame else self.processor

    def ids(self, picture: Picture) -> list[int]:
        """One placeholder for every `merge`^2 patches."""
        return [self.placeholder] * (self._patches(picture) // self.merged)

    def _patches(self, picture: Picture) -> int:
        try:
            processor = self._processor(picture)
            patches = int(processor.get_number_of_image_patches(picture.height, picture.width, {}))
        except ValueError as error:  # sides of more than 200:1
            raise BadMedia("image_refused", str(error)) from None
        if not patches:
            raise BadMedia("image_refused", f"{picture.width}x{picture.height} has no room for a patch")
        return patches

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [patches, values of a patch], image_grid_thw int64 [images, 3]."""
        images = [self._processor(picture)(images=[decode(picture)], return_tensors="pt") for picture in pictures]
        return {name: joined([image[name] for image in images]) for name in ("pixel_values", "image_grid_thw")}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """Qwen-VL has no label."""
        return ""


class Tiles:
    """The layout of InternVL: an image is cut into tiles of one size, plus a thumbnail if there are several.

    A tile is `tokens` placeholders. A video frame is one tile, with the label that upstream writes before it.
    `special` are the tokens of the placeholder, and of an image's start and end.
    """

    def __init__(self, processor: Any, special: tuple[int, int, int], tokens: int) -> None:
        self.processor, self.tokens = processor, tokens
        self.placeholder, self.start, self.end = special

    @staticmethod
    def bounds(processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
        """Convert bounds in pixels to numbers of tiles, at least one, without the thumbnail."""
        area, most = processor.size["height"] * processor.size["width"], int(processor.max_patches)
        if max_pixels is not None:
            most = min(most, max(1, max_pixels // area))
        least = int(processor.min_patches) if min_pixels is None else math.ceil(min_pixels / area)
        return {"min_patches": max(1, min(least, most)), "max_patches": most}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, and the number of tokens of a tile."""
        return {**processor_facts(self.processor), "image_seq_length": self.tokens}

    def ids(self, picture: Picture) -> list[int]:
        """`<img>`, the placeholders of all tiles, `</img>`."""
        return [self.start, *[self.placeholder] * (self.tokens * self._tiles(picture)), self.end]

    def _tiles(self, picture: Picture) -> int:
        crop = {"crop_to_patches": not picture.frame}
        return int(self.processor.get_number_of_image_patches(picture.height, picture.width, crop))

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [tiles, 3, height, width]."""
        images = [
            self.processor(images=[decode(picture)], crop_to_patches=not picture.frame, return_tensors="pt")
            for picture in pictures
        ]
        return {"pixel_values": joined([image["pixel_values"] for image in images])}

    def frame_label(self, number: int) -> str:
        """The label that InternVL's processor writes."""
        return f"Frame{number}: "


def joined(tensors: Sequence[Tensor], fill: int = 0) -> Tensor:
    """Join tensors; a single one is not copied, since an image of a megapixel has 20 MB.

    Of Gemma 4, whose images [images, patches, values] may have fewer patches than others, `fill` makes them as
    many.
    """
    if len(tensors) == 1:
        return tensors[0]
    most = max(tensor.shape[1] if tensor.ndim == 3 else 0 for tensor in tensors)
    return torch.cat(
        [pad(one, (0, 0, 0, most - one.shape[1]), value=fill) if one.ndim == 3 else one for one in tensors]
    )


def processor_facts(processor: Any) -> dict[str, Any]:
    """The configuration of an image processor."""
    return dict(json.loads(processor.to_json_string()))
