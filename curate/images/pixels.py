"""Pixels of images for comparisons: brightness and colours, upright, on white where they are transparent."""

import io
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import xxhash
from PIL import Image

from curate.arrays import U8
from curate.images.decode import FORMATS, JPEG_BEGINS, Upright, on_white, unguarded

WEIGHTS = (19595, 38470, 7471)
"""Of red, green and blue in brightness, of 65,536."""
MIDDLE, GAMMAS = 128, (0.15, 6.0)
"""The mean brightness to which an image is brought where gamma is not to matter, by a gamma between these."""


def grey(data: bytes, least: int) -> U8:
    """Grey values [height, width] of an image that `check` lets pass, on white where it is transparent.

    At reduced scale where the format allows, but not below `least` x `least`.
    """
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft("L", (least, least))
        return Upright(image, data).grey()


def planes(data: bytes, least: int, *, tolerant: bool = False) -> Iterator[U8]:
    """Brightness, red, green and blue, each [height, width] and made when it is its turn, as `grey` gives values.

    Brightness is by the weights of ITU-R 601, as PIL has them. Those of a grey image are the same memory. Where
    `tolerant`, all four under the gamma that brings the mean brightness to MIDDLE.
    """
    made = _planes(data, least)
    if not tolerant:
        yield from made
        return
    colours = list(made)[1:]
    curve = _levelling(colours)
    levelled = [curve[plane] for plane in colours]
    yield np.asarray(Image.fromarray(np.dstack(levelled)).convert("L"))
    yield from levelled


def _planes(data: bytes, least: int) -> Iterator[U8]:
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft("RGB", (least, least))
        upright = Upright(image, data)
    if upright.mode[0] in "IFL1":
        yield from [upright.grey()] * 4
        return
    yield upright.filled(lambda strip: np.asarray(_rgb(strip).convert("L")))
    for channel in ("R", "G", "B"):
        yield upright.filled(partial(_channel, channel=channel))


def _levelling(colours: Sequence[U8]) -> U8:
    """What each of 256 values is under the gamma that brings mean brightness to MIDDLE, or nearest to it."""
    counts = sum(
        weight * np.bincount(plane.ravel(), minlength=256) for weight, plane in zip(WEIGHTS, colours, strict=True)
    )
    wanted = MIDDLE * sum(WEIGHTS) * colours[0].size
    low, high = GAMMAS
    for _ in range(16):
        gamma = (low + high) / 2
        curve = 255 * (np.arange(256) / 255) ** gamma
        low, high = (gamma, high) if counts @ curve > wanted else (low, gamma)
    return np.asarray(np.rint(curve), np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGBA" if image.mode == "P" else "RGB").convert("RGB")


def _channel(image: Image.Image, channel: str) -> U8:
    return np.asarray(_rgb(image).getchannel(channel))


MOST_COLOURS, PROBE = 256, 64
"""An image of few colours has at most so many; PROBE x PROBE of its pixels are looked at first."""


def palette(data: bytes) -> bytes:
    """The colours (R, G, B) of an image of few, which `check` lets pass; empty for others and for any JPEG."""
    if data.startswith(JPEG_BEGINS):
        return b""
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.mode[0] in "IF":
            return b""
        for looked_at in (image.resize((PROBE, PROBE), Image.Resampling.NEAREST), image):
            counted = on_white(looked_at).convert("RGB").getcolors(MOST_COLOURS)
            if counted is None:
                return b""
        return np.array([colour for _, colour in counted or ()], np.uint8).tobytes()


def in_colours(data: bytes, colours: bytes, size: tuple[int, int]) -> U8:
    """Brightness [height, width] of an image that `check` lets pass, each pixel of the nearest of these colours.

    It is scaled down to `size` (width, height) before, where that is smaller.
    """
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft("RGB", size)
        upright = Upright(image, data)
        whole = Image.fromarray(np.concatenate([np.asarray(_rgb(on_white(s))) for s in upright.strips()]))
        if size[0] < whole.width and size[1] < whole.height:
            whole = whole.resize(size, Image.Resampling.BOX)
        named = Image.new("P", (1, 1))
        named.putpalette(colours)
        few = whole.quantize(palette=named, dither=Image.Dither.NONE).convert("RGB")
        return np.asarray(few.convert("L"))


def pixels_digest(data: bytes) -> bytes:
    """16 bytes that identify the decoded pixels, with transparency, of an image that `check` lets pass."""
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        upright = Upright(image, data)
        mode = upright.mode if upright.deep else "RGBA"  # more than 8 bits: as they are
        digest = xxhash.xxh3_128(f"{mode} {upright.width} {upright.height} ".encode())
        for strip in upright.strips():
            digest.update((strip if upright.deep else strip.convert("RGBA")).tobytes())
        return digest.digest()
