"""Brightness of pixels: by the weights of ITU-R 601 in whole numbers, the same with every release of PIL."""

import io

import numpy as np
from PIL import Image

from curate.images.pixels import WEIGHTS, planes


def test_brightness_is_the_weighted_sum_rounded():
    rgb = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "PNG")
    weighted = (rgb.astype(np.uint32) * np.array(WEIGHTS, np.uint32)).sum(axis=2)
    assert np.array_equal(next(planes(data.getvalue(), 16)), (weighted + 0x8000) >> 16)
