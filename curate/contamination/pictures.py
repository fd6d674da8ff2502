"""Which images of the store are images of the index: the same bytes, or copies, encoded or scaled anew."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from curate import media
from curate.packs import Packs
from curate.sketches.words import U64

KNOWN: dict[str, Any] = {"key": pl.String, "phash": pl.UInt64, "thumbnail": pl.Binary}
"""What an image is known by: the hash of its bytes, its difference hash, and its thumbnail."""

BITS = 6
"""Bits of the difference hash by which a copy may differ; most images that are as near are not copies."""

GREY = 6.0
"""Mean difference of two thumbnails of copies, in grey values of 256."""


def known_by(data: bytes) -> dict[str, Any]:
    """The columns KNOWN of an image. Raises BadImage."""
    facts = media.check(data)
    return {"key": facts.key, "phash": facts.phash, "thumbnail": media.thumbnail(data).tobytes()}


def copies(images: pl.DataFrame, store: Packs) -> pl.DataFrame:
    """Which images of the store are which of these (columns KNOWN): columns key, image (row), exact."""
    numbered = images.with_row_index("image")
    facts = pl.from_arrow(store.facts().select(["key", "phash"]))
    assert isinstance(facts, pl.DataFrame)
    exact = facts.join(numbered, on="key").select("key", "image", exact=pl.lit(True))
    rows, columns = near(facts["phash"].to_numpy(), images["phash"].to_numpy(), BITS)
    pairs = pl.DataFrame({"key": facts["key"][rows], "image": pl.Series(columns, dtype=pl.UInt32)})
    pairs = pairs.join(exact, on=["key", "image"], how="anti")
    found = pairs.filter(_looks_alike(pairs, images, store)).with_columns(exact=pl.lit(False))
    return pl.concat([exact, found]).sort("key", "image")


def _looks_alike(pairs: pl.DataFrame, images: pl.DataFrame, store: Packs) -> pl.Series:
    """Whether the thumbnails agree: equal difference hashes alone are common among flat images and charts."""
    thumbnails = images["thumbnail"]
    seen: dict[str, media.Thumbnail] = {}
    alike = []
    for key, image in pairs.iter_rows():
        if key not in seen:
            seen[key] = media.thumbnail(store.read(key)).astype(np.int16)
        other = np.frombuffer(thumbnails[image], np.uint8).reshape(seen[key].shape)
        alike.append(bool(np.abs(seen[key] - other).mean() <= GREY))
    return pl.Series(alike, dtype=pl.Boolean)


@njit(cache=True)
def near(left: U64, right: U64, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The pairs (row of left, row of right) whose hashes differ in `most` bits or fewer, by comparing all."""
    rows, columns = [0][:0], [0][:0]
    for i in range(len(left)):
        for j in range(len(right)):
            value = left[i] ^ right[j]
            value -= (value >> np.uint64(1)) & np.uint64(0x5555555555555555)
            value = (value & np.uint64(0x3333333333333333)) + (
                (value >> np.uint64(2)) & np.uint64(0x3333333333333333)
            )
            value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            if int((value * np.uint64(0x0101010101010101)) >> np.uint64(56)) <= most:
                rows.append(i)
                columns.append(j)
    return np.array(rows, np.int64), np.array(columns, np.int64)
