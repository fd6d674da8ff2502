"""Decides which pairs hold which protected items, from the hits of their texts and from shared images.

The share of a document that is in a text is the mean over its n-grams of the share of their words that are found,
each n-gram weighted by its rarity: 0 where it is boilerplate, in the index (many contexts) or in the corpus (many
texts). So a shared template is no hit, and a question without its template is one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from curate.arrays import B8, F32, F64, I64
from curate.contamination.collected import PROMPT, REPLY
from curate.contamination.grams import EDITED, LEAST, LENGTHS, SHORT, SIZE
from curate.contamination.index import Index, needed, rarity
from curate.contamination.scan import SIDES, SNIPPET, Found
from curate.engines.base import Engine
from curate.images import copies
from curate.images.packs import Packs
from curate.pairs import media_refs

Reason = Literal[
    "prompt_media", "prompt", "response", "passage", "stock_reply", "short_prompt", "media_only",
    "image_look_alike",
]  # fmt: skip
REASONS: tuple[Reason, ...] = (
    "prompt_media", "prompt", "response", "passage", "stock_reply", "short_prompt", "media_only",
    "image_look_alike",
)  # fmt: skip
"""What of an item a pair holds, from the surest to the least sure."""

OUTCOMES = ("dropped", "flagged")

RARE_TEXTS, RARE_SHARE = 50, 1e-5
COMMON_TEXTS, COMMON_SHARE = 1000, 1e-3
"""An n-gram has its full weight up to RARE texts of the corpus, as a count or a share, and none from COMMON on."""

STOCK_SHARE = 0.8
"""So much of a stock reply must be found: less of it is in many replies."""

OFTEN = 20
"""A short prompt that is likely in more pairs is what people ask anyway."""

TOGETHER = 12
"""A prompt and a reply of one item, each a whole turn, identify it if they have so many words or more together."""

FEW = 3
"""A question that belongs to more pictures than this is a template."""

LEAST_RARE = 3.0
"""The least sum of the weights of a document's n-grams with which it can be identified by its words."""


def decide(found: Found, keys: pl.DataFrame, index: Index, share: float, pictured: pl.DataFrame) -> pl.DataFrame:
    """The decisions about the pairs of `keys`, one per pair and reason: columns index, reason, score, evidence.

    `pictured` (columns index, entry, key, exact, sure) says which pairs have an image of which item, or, where not
    `sure`, one that cannot be told from it.
    """
    place = ["pool", "part", "position"]
    columns = ("document", "kind", "entries", "parts", "words", "stock", "quoted")
    documents = index.documents.with_row_index("document").select(columns)
    texts = (
        _scored(found, index, share).join(keys.select("index", *place), on=place).join(documents, on="document")
    )
    texts = texts.with_columns(more=pl.col("entries").list.len() - 1)
    beside = _beside_image(texts, pictured.filter("sure"))
    found_by = [beside, _together(texts), _by_words(texts), _likely(texts)]
    by_text = _best(pl.concat(found_by, how="diagonal_relaxed"))
    evidence = [_text_evidence(row, index) for row in by_text.iter_rows(named=True)]
    by_text = by_text.select("index", "reason", "score")
    alone = pictured.join(beside, on="index", how="anti").sort("sure", descending=True, maintain_order=True)
    alone = alone.unique("index", keep="first", maintain_order=True)
    evidence_alone = [_image_evidence(row, index) for row in alone.iter_rows(named=True)]
    reason = pl.when("sure").then(pl.lit("media_only")).otherwise(pl.lit("image_look_alike"))
    alone = alone.select("index", reason=reason, score=pl.lit(1.0))
    return pl.concat(
        [
            by_text.with_columns(evidence=pl.Series(evidence, dtype=pl.String)),
            alone.with_columns(evidence=pl.Series(evidence_alone, dtype=pl.String)),
        ]
    )


def _by_words(texts: pl.DataFrame) -> pl.DataFrame:
    """Documents that are identified by their words alone."""
    is_reply = (pl.col("kind") == REPLY) | ((pl.col("kind") != PROMPT) & (pl.col("side") > 0))
    reason = (
        pl.when(is_reply & pl.col("stock"))
        .then(pl.lit("stock_reply"))
        .when(pl.col("passage") | (pl.col("quoted") & (pl.col("side") == 0)))
        .then(pl.lit("passage"))
    )
    weak = pl.col("stock") & (pl.col("score") < STOCK_SHARE)
    return texts.filter("identified", ~weak).with_columns(
        reason=reason.when(is_reply).then(pl.lit("response")).otherwise(pl.lit("prompt")),
        entries=pl.col("entries").list.first(),
        parts=pl.col("parts").list.first(),
    )


def _likely(texts: pl.DataFrame) -> pl.DataFrame:
    """Short prompts that are in a turn with a few other words, or but for a changed word."""
    near = texts.filter(pl.col("near") > 0, (pl.col("near") < pl.col("words")) | (pl.col("words") < SHORT))
    seldom = pl.col("index").n_unique().over("document") <= OFTEN
    return near.filter(seldom).with_columns(
        reason=pl.lit("short_prompt"),
        score=pl.col("near") / pl.col("words"),
        entries=pl.col("entries").list.first(),
        parts=pl.col("parts").list.first(),
    )


def _beside_image(texts: pl.DataFrame, pictured: pl.DataFrame) -> pl.DataFrame:
    """Prompts, however plain, of an item whose image the pair has too."""
    images = pictured.select("index", "key", entries="entry")
    prompts = texts.filter("whole", pl.col("kind") != REPLY)
    # a plain prompt occurs in thousands of pairs and of items
    prompts = prompts.join(images, on="index", how="semi").explode("entries", "parts", empty_as_null=False)
    return prompts.join(images, on=["index", "entries"]).with_columns(
        reason=pl.lit("prompt_media"), more=pl.lit(0), beside=pl.format("its image {}", "key")
    )


def _together(texts: pl.DataFrame) -> pl.DataFrame:
    """Prompts, however plain, of an item of which the pair has a reply too."""
    prompts = texts.filter("whole", pl.col("kind") == PROMPT, pl.col("side") == 0)
    replies = texts.filter("whole", pl.col("kind") == REPLY, pl.col("side") > 0)
    prompts = prompts.join(replies, on="index", how="semi").explode("entries", "parts", empty_as_null=False)
    replies = replies.explode("entries", "parts", empty_as_null=False)
    replies = replies.select("index", "entries", reply="parts", reply_words="words")
    both = prompts.join(replies, on=["index", "entries"])
    both = both.filter(pl.col("words") + pl.col("reply_words") >= TOGETHER)
    return both.with_columns(
        reason=pl.lit("prompt"), more=pl.lit(0), beside=pl.format("its reply {}", pl.col("reply") + 1)
    )


def by_set(review: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Pairs dropped and flagged for each set, of a review sheet's rows: evidence begins with the set's name."""
    named = review.with_columns(of=pl.col("evidence").str.extract(r"^(\S+)"))
    sums = ((pl.col("fate") == outcome).sum().alias(outcome) for outcome in OUTCOMES)
    counts = named.group_by("of").agg(*sums).sort("of")
    return {row["of"]: {outcome: row[outcome] for outcome in OUTCOMES} for row in counts.iter_rows(named=True)}


def _scored(found: Found, index: Index, share: float) -> pl.DataFrame:
    """The hits with their `score`, and whether the text has the `whole` document, and is `identified` by it."""
    hits = found.hits
    documents = hits["document"].to_numpy().astype(np.int64)
    plain, score, total = _shares(hits, documents, weights_of(found, index), index)
    enough = needed(index.packed.words[documents], share)
    likely = hits["near"].to_numpy() > 0
    identified = (score >= enough) & identifying(documents, total, index) & ~likely
    whole = (plain >= enough) & ~likely
    values = {"score": np.where(identified, score, plain), "identified": identified, "whole": whole}
    return hits.drop("cover").with_columns(**{name: pl.Series(value) for name, value in values.items()})


def identifying(documents: I64, total: F64, index: Index) -> B8:
    """Whether documents identify an item by their words alone; `total` has the summed weights of their n-grams."""
    length = index.packed.words[documents]
    rare = total * 2.0 ** np.searchsorted(LENGTHS, length)  # also those that are not in the index
    recognised = np.where(length < SHORT, (total >= 0.5) & (length >= LEAST), rare >= LEAST_RARE)
    pictures = index.documents["pictures"].to_numpy()[documents]
    is_reply = index.documents["kind"].to_numpy()[documents] == REPLY
    # without its picture, a short question identifies no item, and neither does one about many pictures
    of_picture = ~is_reply & (pictures > np.where(length < EDITED, 0, FEW))
    too_short = is_reply & (length < EDITED)
    identifies: B8 = recognised & ~of_picture & ~too_short
    return identifies


class Shares(NamedTuple):
    """Of each hit: the share of the document that is found, the weighted share, and the sum of its weights."""

    plain: F64
    weighted: F64
    total: F64


def _shares(hits: pl.DataFrame, documents: I64, weights: F32, index: Index) -> Shares:
    covers = hits["cover"].explode(empty_as_null=False).to_numpy().astype(np.float64) / SIZE
    sizes = hits["cover"].list.len().to_numpy().astype(np.int64)
    first = np.cumsum(sizes) - sizes
    at = np.repeat(index.packed.firsts[documents] - first, sizes) + np.arange(len(covers))
    weight = weights[index.own[at]].astype(np.float64)
    of = np.repeat(np.arange(hits.height), sizes)
    total: F64 = np.bincount(of, weight, hits.height).astype(np.float64)
    plain: F64 = np.bincount(of, covers, hits.height) / np.maximum(sizes, 1)
    score: F64 = np.bincount(of, weight * covers, hits.height) / np.maximum(total, 1e-9)
    return Shares(plain, np.where(total > 0, score, 0.0), total)


def weights_of(found: Found, index: Index) -> F32:
    """The weight of each n-gram of the index, by its rarity there and in the corpus."""
    rare = max(RARE_TEXTS, RARE_SHARE * found.texts)
    common = max(COMMON_TEXTS, COMMON_SHARE * found.texts)
    return np.minimum(index.rarity, rarity(found.counts, rare, common))


def _best(decisions: pl.DataFrame) -> pl.DataFrame:
    """One decision for each pair and reason: the highest score, then the first document of the index."""
    order = ["index", "reason", "score", "document", "side", "entries", "beside"]
    down = [name == "score" for name in order]
    return decisions.sort(order, descending=down, nulls_last=True).unique(
        ["index", "reason"], keep="first", maintain_order=True
    )


def _text_evidence(row: Mapping[str, Any], index: Index) -> str:
    """One line: the item, how much of which of its texts is in which side of the pair, and the words."""
    what = {PROMPT: "its prompt", REPLY: f"its reply {row['parts'] + 1}"}.get(row["kind"], "its text")
    more = f" (and {row['more']} more)" if row["more"] else ""
    beside = f", beside {row['beside']}" if row["beside"] else ""
    words = _line(row["snippet"] or index.documents["text"][row["document"]])
    where = f"in {SIDES[row['side']]}{beside}"
    return f"{_name(row['entries'], index)}{more}: {row['score']:.0%} of {what} {where}: {words}"


def _image_evidence(row: Mapping[str, Any], index: Index) -> str:
    how = (
        "its image" if row["exact"] else "a copy of its image" if row["sure"] else "cannot be told from its image"
    )
    return f"{_name(row['entry'], index)}: {how}, {row['key']}"


def _name(entry: int, index: Index) -> str:
    of, key, *_ = index.entries.row(entry)
    return f"{of} {key}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def pictured(
    keys: pl.DataFrame,
    files: Sequence[Sequence[Path]],
    index: Index,
    protected: Packs,
    store: Packs,
    engine: Engine,
    *,
    tolerant: bool,
) -> pl.DataFrame:
    """Which pairs have which item's image, a copy of it or a look-alike: columns index, entry, key, exact, sure.

    `protected` has the images of the index, `store` those of the pairs; only images of these pairs are compared.
    """
    schema = {"index": pl.UInt32, "entry": pl.UInt32, "key": pl.String, "exact": pl.Boolean, "sure": pl.Boolean}
    used = media_refs.image_refs(keys, files).select("index", "key")
    if not index.images.height or not used.height:
        return pl.DataFrame(schema=schema)
    near = copies.find_copies_of(
        used["key"].unique(), store, index.images["key"].unique(), protected, engine, tolerant=tolerant
    )
    same = near.with_columns(exact=pl.col("key") == pl.col("of")).join(index.images, left_on="of", right_on="key")
    same = same.group_by("key", "entry").agg(pl.col("exact", "sure").any())
    return used.join(same, on="key").select(list(schema)).unique().sort("index", "entry", "key")
