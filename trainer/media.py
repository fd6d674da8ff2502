"""Images of a dialogue: judged and sized by their headers, then as placeholder tokens and pixels of a backbone.

Token counts need no pixel, so every rank can plan the whole step and decode its own pairs only. Layouts follow the
backbone's own image processor, always on its PIL backend: the torchvision one resizes otherwise.
"""

import io
import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import xxhash
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from curate.images.packs import DamagedImageError, Packs
from curate.schema import MediaKind

MAX_PIXELS = 89_478_485
"""Larger images are taken for bombs; PIL's own limit, so that its warning and its error mean the same verdict."""

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

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by its EXIF orientation."""
SIDEWAYS = [UPRIGHT[orientation] for orientation in (5, 6, 7, 8)]


class Unusable(Exception):  # noqa: N818 - it is a verdict about a pair, not an error
    """This pair can not be trained on, for this reason (a word with underscores, counted by source)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class BadMedia(Unusable):
    """The media do not fit the dialogue or the backbone.

    Reasons: `not_an_image`, `image_damaged`, `image_too_large`, `image_refused` (by the backbone's processor, such
    as sides of more than 200:1), `image_unsupported` and `video_unsupported` (a text backbone), `media_mismatch`
    (blocks without media or media without blocks), `placeholder_in_text` (a text that says `<|image_pad|>`).
    """


@dataclass(frozen=True, slots=True)
class Medium:
    """One image or one video of a pair: its keys, and its bytes where the shard holds them, else the store."""

    kind: MediaKind
    keys: tuple[str, ...]
    held: tuple[bytes, ...] = ()
    store: Packs | None = None

    def read(self) -> bytes | list[bytes]:
        """The bytes of the image, or of the video's frames, checked against their keys.

        Such bytes were decoded whole when they entered the store, so what a header shows is enough to plan with.
        Raises BadMedia("image_damaged"), WorkspaceError where the store lacks an image.
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
        if xxhash.xxh3_128_hexdigest(self.held[number]) != key:
            raise BadMedia("image_damaged", f"image {key} is not what was stored")
        return self.held[number]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, not decoded: its bytes, how it is turned upright, and its height and width then, in pixels."""

    data: bytes
    height: int
    width: int
    turn: Image.Transpose | None = None
    frame: bool = False  # of a video


def picture(data: bytes, *, frame: bool = False) -> Picture:
    """An image judged by its header alone. Raises BadMedia."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            turn = _turn(image)
    except UnidentifiedImageError:
        raise BadMedia(
            "not_an_image", f"{len(data)} bytes that begin with {data[:8].hex(' ') or 'nothing'}"
        ) from None
    except BOMBS as error:
        raise BadMedia("image_too_large", str(error)) from None
    except PIL_ERRORS as error:
        raise BadMedia("image_damaged", str(error)) from None
    if width * height > MAX_PIXELS:
        raise BadMedia("image_too_large", f"{width}x{height}, limit {MAX_PIXELS} pixels")
    if turn in SIDEWAYS:
        width, height = height, width
    return Picture(data, height, width, turn, frame)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What the EXIF orientation asks for; a PNG that says it after its pixels is taken as it is."""
    if image.format == "PNG" and "exif" not in image.info:
        return None  # getexif would decode it
    return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))


def decode(given: Picture) -> Image.Image:
    """The upright image in RGB, transparency on white (as transformers does). Raises BadMedia("image_damaged")."""
    try:
        with Image.open(io.BytesIO(given.data), formats=FORMATS) as opened:
            image: Image.Image = opened
            if "A" in image.getbands() or "transparency" in image.info:
                front = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)
            image = image.convert("RGB")
            return image if given.turn is None else image.transpose(given.turn)
    except PIL_ERRORS as error:
        raise BadMedia("image_damaged", str(error)) from None


class Layout(Protocol):
    """How a backbone writes an image: `mark` is the one token of its chat template that stands for it."""

    mark: int

    def facts(self) -> dict[str, Any]:
        """What the pixels depend on, as plain data."""
        ...

    def ids(self, picture: Picture) -> list[int]:
        """The tokens that take the place of the mark. Raises BadMedia("image_refused")."""
        ...

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """What the forward pass takes for these images, by name. Raises BadMedia("image_damaged")."""
        ...

    def frame_label(self, number: int) -> str:
        """The text before frame `number` (from 1) of a video, "" for none."""
        ...


class Grids:
    """Qwen-VL kinds: an image is resized to a grid of patches; `merge`^2 patches are one token.

    A video is its frames as images, one after another.
    """

    def __init__(self, processor: Any, mark: int) -> None:
        self.processor, self.mark = processor, mark
        self.merged = int(processor.merge_size) ** 2

    @staticmethod
    def bounds(min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
        """What the processor is loaded with so that resized images keep to the bounds."""
        asked = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        return {name: value for name, value in asked.items() if value is not None}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration."""
        return dict(json.loads(self.processor.to_json_string()))

    def ids(self, picture: Picture) -> list[int]:
        """One mark for every `merge`^2 patches."""
        return [self.mark] * (self._patches(picture) // self.merged)

    def _patches(self, picture: Picture) -> int:
        try:
            patches = int(self.processor.get_number_of_image_patches(picture.height, picture.width, {}))
        except ValueError as error:  # sides of more than 200:1
            raise BadMedia("image_refused", str(error)) from None
        if not patches:
            raise BadMedia("image_refused", f"{picture.width}x{picture.height} gives no patch")
        return patches

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [patches, values of a patch], image_grid_thw int64 [images, 3]."""
        done = [self.processor(images=[decode(one)], return_tensors="pt") for one in pictures]
        return {name: _joined([one[name] for one in done]) for name in ("pixel_values", "image_grid_thw")}

    def frame_label(self, number: int) -> str:  # noqa: ARG002
        """None."""
        return ""


class Tiles:
    """InternVL: an image is cut into tiles of one size, plus itself as a thumbnail where they are several.

    A tile is `tokens` marks. A video frame is one tile, with the label that upstream writes before it.
    """

    def __init__(self, processor: Any, marks: tuple[int, int, int], tokens: int) -> None:
        self.processor, self.tokens = processor, tokens
        self.mark, self.start, self.end = marks

    @staticmethod
    def bounds(processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
        """Pixels as numbers of tiles, at least one, without the thumbnail."""
        area, most = processor.size["height"] * processor.size["width"], int(processor.max_patches)
        if max_pixels is not None:
            most = min(most, max(1, max_pixels // area))
        least = int(processor.min_patches) if min_pixels is None else math.ceil(min_pixels / area)
        return {"min_patches": max(1, min(least, most)), "max_patches": most}

    def facts(self) -> dict[str, Any]:
        """The image processor's configuration, and the tokens of a tile."""
        return {**json.loads(self.processor.to_json_string()), "image_seq_length": self.tokens}

    def ids(self, picture: Picture) -> list[int]:
        """`<img>`, the marks of all tiles, `</img>`."""
        return [self.start, *[self.mark] * (self.tokens * self._tiles(picture)), self.end]

    def _tiles(self, picture: Picture) -> int:
        crop = {"crop_to_patches": not picture.frame}
        return int(self.processor.get_number_of_image_patches(picture.height, picture.width, crop))

    def tensors(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """pixel_values fp32 [tiles, 3, height, width]."""
        done = [
            self.processor(images=[decode(one)], crop_to_patches=not one.frame, return_tensors="pt")
            for one in pictures
        ]
        return {"pixel_values": _joined([one["pixel_values"] for one in done])}

    def frame_label(self, number: int) -> str:
        """As InternVL's processor writes it."""
        return f"Frame{number}: "


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Joined; one alone is not copied, 20 MB for an image of a megapixel."""
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
