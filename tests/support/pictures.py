"""Small pictures for tests, and one that only a decode finds damaged."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image

from curate.images.decode import BadImage, check


def noisy(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Noise, which no encoder shrinks to nothing."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return (
        Image.fromarray(values[..., 0].astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(values).convert(mode)
    )


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    """The image as a file."""
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


@functools.cache
def damaged_jpeg() -> bytes:
    """A JPEG with one byte in its scan that is not what it was, from its beginning to its end."""
    data = encoded(noisy(64, 64, seed=1), "JPEG")
    for at in range(len(data) // 2, len(data) - 2):
        broken = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        try:
            check(broken)
        except BadImage as bad:
            if bad.reason == "image_damaged" and broken[at] != 0xFF and broken[at - 1] != 0xFF:
                return broken
    raise AssertionError("no byte does")
