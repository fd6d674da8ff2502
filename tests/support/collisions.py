"""Images that a bucket of near-duplicates cannot tell apart: found by trying, as 32 bits collide soon."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.near_duplicates import sketch_format
from curate.near_duplicates.bucket_kernels import band_keys
from curate.near_duplicates.minhash_kernels import of_media
from curate.schema import MEDIA
from curate.steps.near_dedup import NearDedup
from tests.support.pairs import write_pairs


def colliding_images(home: Path, step: NearDedup, chosen: str) -> list[str]:
    """Keys of two images that share a bucket, other media as they are, where two pairs have this chosen reply."""
    (part,) = write_pairs(home, [{"chosen": chosen}])
    step.minhash.make(home / part, home / "probe.npy")
    slots = np.ascontiguousarray(sketch_format.read(home / "probe.npy")["slots"])
    images = [f"{i:032x}" for i in range(100_000)]
    media = of_media(pa.array([[{"kind": "image", "keys": [image]}] for image in images], MEDIA))
    keys = np.empty((step.banding.bands, len(images)), np.uint32)
    band_keys(np.repeat(slots, len(images), axis=0), media, step.banding.rows, 0, 32, keys, np.arange(len(images)))
    band = next(band for band in keys if len(np.unique(band)) < len(band))
    order = np.argsort(band, kind="stable")
    at = int(np.flatnonzero(np.diff(band[order].astype(np.int64)) == 0)[0])
    return [images[i] for i in order[at : at + 2]]
