"""Pairs that show an image which cannot be decoded: found when a step first needs pixels, counted as dropped."""

import polars as pl

from curate.images.packs import Packs
from curate.images.verdicts import broken
from curate.pairs.media_refs import image_refs
from curate.steps.base import Step
from curate.steps.corpus import Corpus

NAME = "images"
"""What these decisions are called in the funnel, where a step has its name: `images/image_damaged`."""


def needs_pixels(step: Step) -> bool:
    """Whether a step looks at what images show."""
    return bool(getattr(step, "pixels", False))


def broken_images(pairs: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
    """DECISIONs, with columns index, reason and evidence, about pairs with the columns of `image_refs`."""
    images = image_refs(pairs, corpus.files())
    bad = broken(images["key"].unique().to_list(), Packs(corpus.images), corpus.engine)
    found = images.join(bad, on="key").sort("index", "entry").unique("index", keep="first", maintain_order=True)
    return found.select("index", "reason", evidence=pl.format("{} {}", "key", "detail"))
