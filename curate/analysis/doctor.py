"""The examination: all figures of the doctor about some targets, as plain values.

version    VERSION
settings   lengths, tokenizer (its digest) or null, languages, near
quantiles  the percents of quantiles
sources    by label, and `all` where there are several:
  pairs, groups, clusters   pairs of one group or prompt are one cluster
  ties           the share of pairs that prefer neither reply (margin 0); rulers leave them out
  rulers         see rulers.rulers; every share is {hits, of, clusters, value, low, high}: a 95 % interval that
                 counts clusters (intervals.share). Of `all`, the plain mean over the sources
  faults         by name (faults.KNOWN; repeated, contradicted, image_reused; truncation/LENGTH_UNIT) a share
  numbers        of chars, margin, chosen_score and rejected_score: pairs that have it, and its quantiles
  categories     pairs of each, `none` for those without; `languages` of questions, where asked for
  images         pairs with any, different ones, and the most prompts that share one of them
agreement  agreement.AGREEMENT rows: how often sources agree about comparisons that both have, ties aside
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.analysis import faults
from curate.analysis.agreement import agreement, is_labelled
from curate.analysis.intervals import Clusters, Counted, Share, linked
from curate.analysis.near_labels import near_labels
from curate.analysis.rulers import Rulers, mean_rulers, rulers
from curate.analysis.traits import Traits
from curate.arrays import integer
from curate.engines.base import Engine, Listener
from curate.inspect.targets import Target
from curate.mixing.summary import QUANTILES
from curate.screening.row_steps import PoolReasons
from curate.screening.screen import sketched
from curate.statistics import quantiles
from curate.steps.near_dedup import NearDedup
from curate.steps.near_keys import either_order_sketches
from curate.steps.tokens import token_counts

VERSION = 4
"""Goes up when a figure changes its meaning: a baseline of another version is refused."""

Examination = Mapping[str, Any]

ALL, TIES = "all", "ties"
STORED = ["margin", "chosen_score", "rejected_score", "category"]
NUMBERS = ("chosen_chars", "rejected_chars", *STORED[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user may choose.

    lengths    where replies are cut: tokens with a tokenizer, else characters
    languages  whether to detect languages
    near       the least Jaccard similarity at which comparisons count as the same for `agreement`; None: equal
    texts
    """

    lengths: tuple[int, ...] = (1024, 2048, 4096, 8192)
    tokenizer: str | None = None
    languages: bool = False
    near: float | None = None

    @property
    def step(self) -> NearDedup | None:
        """How near comparisons are found."""
        return None if self.near is None else NearDedup(jaccard=self.near)

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values; a tokenizer by its content."""
        digest = None if self.tokenizer is None else token_counts(self.tokenizer).digest
        return {**asdict(self), "lengths": list(self.lengths), "tokenizer": digest}


def examine(
    targets: Sequence[Target], settings: Settings, engine: Engine, listen: Listener | None = None
) -> dict[str, Any]:
    """Return the examination of all pairs of the targets. Results from texts are cached beside the pairs."""
    sketch, near = Traits(), settings.step
    sketches = [sketch, *(either_order_sketches(near) if near else ())]
    corpus = sketched([target.pool for target in targets], sketches, 0, engine, listen)
    reasons = faults.reasons_of(targets, engine, settings.tokenizer, languages=settings.languages, listen=listen)
    frames = [
        _pairs(target, files, found, settings)
        for target, files, found in zip(targets, corpus.files(sketch), reasons, strict=True)
    ]
    labels = [target.label for target in targets]
    agreed = agreement(near_labels(targets, near, corpus) if near else dict(zip(labels, frames, strict=True)))
    repeated = zip(targets, frames, faults.between_pairs(frames), strict=True)
    frames = [_as_often(frame.hstack(more), target) for target, frame, more in repeated]
    found = [_rulers(frame) for frame in frames]
    sources = {label: _figures(*both) for label, both in zip(labels, zip(frames, found, strict=True), strict=True)}
    if len(frames) > 1:
        sources[ALL] = _figures(pl.concat(frames), mean_rulers(found))
    return {
        "version": VERSION,
        "settings": settings.to_dict(),
        "quantiles": list(QUANTILES),
        "sources": sources,
        "agreement": agreed.to_dicts(),
    }


def _pairs(target: Target, traits: Sequence[Path], found: PoolReasons, settings: Settings) -> pl.DataFrame:
    """All columns that figures are made from, a row for each pair of a target, each once."""
    parts = [target.pool.directory / part for part in target.pool.parts]
    frame: pl.DataFrame = pl.concat(
        [
            found.keys.select("group", "prompt_key", "chosen_key", "rejected_key"),
            pl.concat([pl.read_parquet(path) for path in traits]),
            pl.concat([pl.read_parquet(path, columns=STORED) for path in parts]),
            faults.of_steps(found),
            *found.scores.values(),
        ],
        how="horizontal",
    )
    frame = frame.with_columns(text_key=pl.col("prompt_key") ^ pl.col("media_key"))
    frame = frame.hstack(faults.truncated(frame, settings.lengths, tokens=settings.tokenizer is not None))
    return frame if target.rows is None else frame[target.rows.unique().sort()]


def _as_often(pairs: pl.DataFrame, target: Target) -> pl.DataFrame:
    """The rows of `_pairs`, each as often as its pair is in the target."""
    if target.rows is None:
        return pairs
    often = target.rows.sort().rle().struct.field("len").to_numpy()
    return pairs[np.repeat(np.arange(len(often)), often)]


def _rulers(pairs: pl.DataFrame) -> Rulers:
    labelled = pairs.filter(is_labelled())
    return rulers(labelled, Clusters(linked(labelled)))


def _figures(pairs: pl.DataFrame, known: Rulers) -> dict[str, Any]:
    clusters = Clusters(linked(pairs))
    has_image = pairs["images"].list.len() > 0
    pairs = pairs.with_columns(faults.overused(pairs["images"], pairs["text_key"]).alias(faults.OVERUSED))
    counted: Counted = {name: (pairs[name].to_numpy(), None) for name in pairs.columns if faults.is_fault(name)}
    counted[faults.OVERUSED] = (pairs[faults.OVERUSED].to_numpy(), has_image.to_numpy())
    counted[TIES] = (pairs.select(~is_labelled()).to_series().to_numpy(), None)
    shares = clusters.shares(counted)
    return {
        "pairs": pairs.height,
        "groups": pairs["group"].n_unique(),
        "clusters": clusters.count,
        "ties": shares.pop(TIES).to_dict(),
        "rulers": {name: _ruler(ruler) for name, ruler in known.items()},
        "faults": {name: share.to_dict() for name, share in shares.items()},
        "numbers": {name: found for name in NUMBERS if (found := _numbers(pairs[name]))},
        "categories": _counts(pairs["category"]),
        **({"languages": _counts(pairs["language"])} if "language" in pairs.columns else {}),
        "images": _images(pairs.filter(has_image)),
    }


def _ruler(ruler: Mapping[str, Share]) -> dict[str, dict[str, Any]]:
    figures = {what: one.to_dict() for what, one in ruler.items()}
    del figures["auc"]["hits"]  # no pair is a hit
    return figures


def _numbers(values: pl.Series) -> dict[str, Any] | None:
    known = values.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
    return {"pairs": len(known), "quantiles": quantiles(known, QUANTILES)} if len(known) else None


def _counts(names: pl.Series) -> dict[str, int]:
    """Pairs of each name, the most frequent first; those without one are `none`."""
    counted = names.fill_null("none").alias("name").to_frame().group_by("name").len()
    return dict(counted.sort("len", "name", descending=[True, False]).iter_rows())


def _images(pairs: pl.DataFrame) -> dict[str, int]:
    """How often images are used, by pairs that have any."""
    each = pairs.select("text_key", image="images").explode("image")
    prompts = each.group_by("image").agg(pl.col("text_key").n_unique())["text_key"]
    return {"pairs": pairs.height, "different": len(prompts), "most_prompts": integer(prompts.max() or 0)}
