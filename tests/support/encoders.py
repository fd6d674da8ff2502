"""Encoders of tiny checkpoints, copies of these to change, and images."""

import io
import shutil

import numpy as np
from PIL import Image

from tests.support.tiny_models import checkpoint
from trainer.encode import Encoder


def encoder(kind, **bounds):
    return Encoder(checkpoint(kind), **{"max_length": 2000, **bounds})


def copy_of(kind, tmp_path):
    return shutil.copytree(checkpoint(kind), tmp_path / "model")


def shot(width, height, *, mode="RGB", kind="PNG", seed=0, **save):
    """The bytes of an image of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).convert(mode).save(out, kind, **save)
    return out.getvalue()
