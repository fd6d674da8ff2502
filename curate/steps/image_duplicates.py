"""Pairs that another pair repeats word for word about a copy of its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from curate.images.copies import LOOK_ALIKE, find_copies
from curate.images.packs import Packs
from curate.pairs.media_refs import image_refs, media_keys
from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch
from curate.steps.exact_duplicates import repeats

DECIDED = {name: DECISION[name] for name in ("index", "reason", "winner", "score", "evidence", "flag")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDuplicates:
    """Of pairs with the same texts whose images are copies of each other, one stays: reason `near_image`.

    Copies have the same pixels in another file, or the same picture encoded or scaled anew
    (`curate.images.copies`). The winner has the smallest priority number, then the larger order. Pairs with the
    very same image files are left to `exact_duplicates`. The score is 1 less how unlike the images are, the
    evidence names them. Pairs whose images cannot be told apart, as pages in which other figures would not be
    seen, stay with a flag: `look_alike`.

    tolerant  whether a grey version of an image, or one with another gamma, is a copy of it too
    """

    version: ClassVar[int] = 3
    pixels: ClassVar[bool] = True
    tolerant: bool = False

    def sketches(self) -> tuple[Sketch, ...]:
        """None: grids of images are kept beside the packs."""
        return ()

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Return decisions about the pairs that repeat another, or may do so."""
        images = image_refs(keys, corpus.files()).filter(~pl.col("reply"))
        store = Packs(corpus.images)
        found = find_copies(images["key"].unique(), store, corpus.engine, tolerant=self.tolerant)
        affected = pl.concat([found["key"], found["of"]]).unique()
        images = images.join(images.filter(pl.col("key").is_in(affected.implode())), on="index", how="semi")
        sure = found.filter(pl.col("how") != LOOK_ALIKE)
        lost = _repeated(keys, images, sure, "near_image")
        left = keys.join(lost, on="index", how="anti")
        doubted = _repeated(left, images.join(lost, on="index", how="anti"), _merged(found), LOOK_ALIKE)
        rows = [*_explained(lost, images, found), *_explained(doubted, images, found)]
        return pl.DataFrame(rows, schema=DECIDED, orient="row")


def _merged(found: pl.DataFrame) -> pl.DataFrame:
    """Columns key and of: each image with what it is a copy of, or that with what it cannot be told from."""
    doubts = found.filter(pl.col("how") == LOOK_ALIKE).select(of="key", other="of")
    last = found.join(doubts, on="of", how="left", maintain_order="left")
    return last.select("key", of=pl.coalesce("other", "of"))


def _repeated(keys: pl.DataFrame, images: pl.DataFrame, found: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Pairs (index, reason, winner) that repeat another if these images are taken for what they are copies of."""
    pairs = _with_canonical_media(keys, images, found)
    before = pairs.select("index", "media_key")
    lost = repeats(pairs, [pl.col("chosen_key"), pl.col("rejected_key")], pl.lit(reason))
    lost = lost.join(before, on="index").join(before, left_on="winner", right_on="index", suffix="_winner")
    return lost.filter(pl.col("media_key") != pl.col("media_key_winner")).select("index", "reason", "winner")


def _with_canonical_media(keys: pl.DataFrame, images: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The pairs that show these images, with `media_key`; their prompt_key is that of what these are copies of.

    `prompt_key` is the exclusive or of a key of the text and one of the media: taking one out leaves the other.
    """
    canonical = images.join(found.select("key", "of"), on="key", how="left", maintain_order="left")
    canonical = canonical.with_columns(key=pl.coalesce("of", "key")).drop("of")
    instead = media_keys(canonical).rename({"media_key": "canonical_key"})
    pairs = keys.join(media_keys(images), on="index").join(instead, on="index")
    return pairs.with_columns(prompt_key=pl.col("prompt_key") ^ pl.col("media_key") ^ pl.col("canonical_key"))


def _explained(lost: pl.DataFrame, images: pl.DataFrame, found: pl.DataFrame) -> list[tuple[Any, ...]]:
    """(index, reason, winner, score, evidence, flag) of each pair."""
    of = {key: (how, unlike) for key, how, unlike in found.select("key", "how", "unlike").iter_rows()}
    named = pl.concat([lost["index"], lost["winner"]]).unique()
    own = images.filter(pl.col("index").is_in(named.implode())).group_by("index", maintain_order=True).agg("key")
    keys: dict[int, list[str]] = dict(own.rows())
    rows = []
    for index, reason, winner in lost.iter_rows():
        changed = [pair for pair in zip(keys[index], keys[winner], strict=True) if pair[0] != pair[1]]
        unlike = max(of[key][1] for pair in changed for key in pair if key in of)
        rows.append((index, reason, winner, 1 - unlike, _evidence(changed, of), reason == LOOK_ALIKE))
    return rows


def _evidence(changed: Sequence[tuple[str, str]], of: dict[str, tuple[str, float]]) -> str:
    """`near 00.. 11..`: each own image and the winner's, and how near they are."""

    def how(pair: tuple[str, str]) -> str:
        ways = [of[key][0] for key in pair if key in of]
        return next((way for way in (LOOK_ALIKE, "near") if way in ways), "pixels")

    return ", ".join(f"{how(pair)} {pair[0]} {pair[1]}" for pair in changed)
