"""From hits to findings: what of which entry stands in which pair.

How much of a document is in a text is the mean over its n-grams of the share of their words that are found, each
n-gram weighing by its rarity: nothing where it is boilerplate, in the index (many contexts) or in the corpus (many
texts). So a shared template is no hit, and a question without its template is one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from curate.arrays import F32
from curate.contamination.grams import EDITED, LENGTHS, SHORT, SIZE
from curate.contamination.index import PROMPT, REPLY, Index, needed, rarity
from curate.contamination.scan import SIDES, SNIPPET, Found
from curate.engines.base import Engine
from curate.images import copies
from curate.images.packs import Packs
from curate.pairs import media_refs

Verdict = Literal["prompt_media", "prompt", "response", "media_only"]
VERDICTS: tuple[Verdict, ...] = ("prompt_media", "prompt", "response", "media_only")
"""From the surest to the least sure."""

FATES = ("dropped", "flagged")

RARE_TEXTS, RARE_SHARE = 50, 1e-5
COMMON_TEXTS, COMMON_SHARE = 1000, 1e-3
"""An n-gram counts fully up to so many texts of the corpus, or so large a share; and from there on nothing."""

TRIVIAL = 4
"""A prompt of fewer words ("hi", "go on please") is nobody's."""

TOGETHER = 12
"""A prompt and a reply of one item, each all of its turn, are the item's from so many words on."""

FEW = 3
"""A question that is asked of more pictures is a template."""

LEAST_RARE = 3.0
"""So many of a document's n-grams must be rare, or as many in sum, for it to be recognised by its words."""


def judge(found: Found, keys: pl.DataFrame, index: Index, share: float, shown: pl.DataFrame) -> pl.DataFrame:
    """The findings about the pairs of `keys`: columns index, verdict, score, evidence; one per pair and verdict.

    `shown` (columns index, entry, key, exact) says which pairs have an image of which entry.
    """
    place = ["pool", "part", "position"]
    held = index.documents.with_row_index("document").select("document", "kind", "entries", "parts", "words")
    texts = _weighed(found, index, share).join(keys.select("index", *place), on=place).join(held, on="document")
    texts = texts.with_columns(more=pl.col("entries").list.len() - 1)
    beside = _beside_image(texts, shown)
    wordy = _best(pl.concat([beside, _together(texts), _by_words(texts)], how="diagonal_relaxed"))
    said = [_said(row, index) for row in wordy.iter_rows(named=True)]
    told = wordy.select("index", "verdict", "score").with_columns(evidence=pl.Series(said, dtype=pl.String))
    only = shown.join(beside, on="index", how="anti").unique("index", keep="first", maintain_order=True)
    seen = [_seen(row, index) for row in only.iter_rows(named=True)]
    only = only.select("index", verdict=pl.lit("media_only"), score=pl.lit(1.0))
    return pl.concat([told, only.with_columns(evidence=pl.Series(seen, dtype=pl.String))])


def _by_words(texts: pl.DataFrame) -> pl.DataFrame:
    """Documents that are known by their words alone."""
    answers = (pl.col("kind") == REPLY) | ((pl.col("kind") != PROMPT) & (pl.col("side") > 0))
    return texts.filter("known").with_columns(
        verdict=pl.when(answers).then(pl.lit("response")).otherwise(pl.lit("prompt")),
        entries=pl.col("entries").list.first(),
        parts=pl.col("parts").list.first(),
    )


def _beside_image(texts: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Prompts, however plain, of an entry whose image the pair has too."""
    images = shown.select("index", "key", entries="entry")
    prompts = texts.filter("said", pl.col("kind") != REPLY)
    # a plain prompt stands in thousands of pairs and of entries
    prompts = prompts.join(images, on="index", how="semi").explode("entries", "parts", empty_as_null=False)
    return prompts.join(images, on=["index", "entries"]).with_columns(
        verdict=pl.lit("prompt_media"), more=pl.lit(0), beside=pl.format("its image {}", "key")
    )


def _together(texts: pl.DataFrame) -> pl.DataFrame:
    """Prompts, however plain, of an entry of which the pair has a reply too."""
    asked = texts.filter("said", pl.col("kind") == PROMPT, pl.col("side") == 0)
    answered = texts.filter("said", pl.col("kind") == REPLY, pl.col("side") > 0)
    asked = asked.join(answered, on="index", how="semi").explode("entries", "parts", empty_as_null=False)
    answered = answered.explode("entries", "parts", empty_as_null=False)
    answered = answered.select("index", "entries", reply="parts", answer="words")
    both = asked.join(answered, on=["index", "entries"]).filter(pl.col("words") + pl.col("answer") >= TOGETHER)
    return both.with_columns(
        verdict=pl.lit("prompt"), more=pl.lit(0), beside=pl.format("its reply {}", pl.col("reply") + 1)
    )


def by_set(review: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Pairs dropped and flagged for each set, of a review sheet's rows: evidence begins with the set's name."""
    named = review.with_columns(of=pl.col("evidence").str.extract(r"^(\S+)"))
    counts = named.group_by("of").agg(*((pl.col("fate") == fate).sum().alias(fate) for fate in FATES)).sort("of")
    return {row["of"]: {fate: row[fate] for fate in FATES} for row in counts.iter_rows(named=True)}


def _weighed(found: Found, index: Index, share: float) -> pl.DataFrame:
    """The hits with `score`, and whether the document is `said` in full, and `known` by its words alone."""
    hits = found.hits
    weights = weights_of(found, index)
    documents = hits["document"].to_numpy().astype(np.int64)
    covers = hits["cover"].explode(empty_as_null=False).to_numpy().astype(np.float64) / SIZE
    sizes = hits["cover"].list.len().to_numpy().astype(np.int64)
    first = np.cumsum(sizes) - sizes
    at = np.repeat(index.said.firsts[documents] - first, sizes) + np.arange(len(covers))
    weight = weights[index.own[at]].astype(np.float64)
    of = np.repeat(np.arange(hits.height), sizes)
    total = np.bincount(of, weight, hits.height)
    plain = np.bincount(of, covers, hits.height) / np.maximum(sizes, 1)
    score = np.where(total > 0, np.bincount(of, weight * covers, hits.height) / np.maximum(total, 1e-9), 0.0)
    length = index.said.words[documents]
    rare = total * 2.0 ** np.searchsorted(LENGTHS, length)  # those that are not in the index, too
    enough = needed(length, share)
    recognised = np.where(length < SHORT, (total >= 0.5) & (length >= TRIVIAL), rare >= LEAST_RARE)
    about = index.documents["pictures"].to_numpy()[documents]
    is_reply = index.documents["kind"].to_numpy()[documents] == REPLY
    # a short question about a picture says nothing without it, and neither does one that is asked of many
    of_picture = ~is_reply & (about > np.where(length < EDITED, 0, FEW))
    too_short = is_reply & (length < EDITED)
    known = (score >= enough) & recognised & ~of_picture & ~too_short
    values = {"score": np.where(known, score, plain), "known": known, "said": plain >= enough}
    return hits.drop("cover").with_columns(**{name: pl.Series(value) for name, value in values.items()})


def weights_of(found: Found, index: Index) -> F32:
    """What each n-gram of the index weighs, by its rarity there and in the corpus."""
    rare = max(RARE_TEXTS, RARE_SHARE * found.texts)
    common = max(COMMON_TEXTS, COMMON_SHARE * found.texts)
    return np.minimum(index.rarity, rarity(found.counts, rare, common))


def _best(findings: pl.DataFrame) -> pl.DataFrame:
    """One finding for each pair and verdict: the most of a document, then the first of the index."""
    order = ["index", "verdict", "score", "document", "side", "entries", "beside"]
    down = [name == "score" for name in order]
    return findings.sort(order, descending=down, nulls_last=True).unique(
        ["index", "verdict"], keep="first", maintain_order=True
    )


def _said(row: Mapping[str, object], index: Index) -> str:
    """Evidence of a text."""
    document, entry = (int(str(row[name])) for name in ("document", "entries"))
    part, side = int(str(row["parts"])), SIDES[int(str(row["side"]))]
    what = {PROMPT: "its prompt", REPLY: f"its reply {part + 1}"}.get(int(str(row["kind"])), "its text")
    more = f" (and {row['more']} more)" if row["more"] else ""
    beside = f", beside {row['beside']}" if row["beside"] else ""
    said = row["snippet"] or index.documents["text"][document]
    score = float(str(row["score"]))
    return f"{_name(entry, index)}{more}: {score:.0%} of {what} in {side}{beside}: {_line(str(said))}"


def _seen(row: Mapping[str, object], index: Index) -> str:
    """Evidence of an image."""
    how = "its image" if row["exact"] else "a copy of its image"
    return f"{_name(int(str(row['entry'])), index)}: {how}, {row['key']}"


def _name(entry: int, index: Index) -> str:
    of, key, *_ = index.entries.row(entry)
    return f"{of} {key}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def shown(
    keys: pl.DataFrame, files: Sequence[Sequence[Path]], index: Index, known: Packs, store: Packs, engine: Engine
) -> pl.DataFrame:
    """Which pairs have an image of which entry, or a copy of it: columns index, entry, key, exact.

    Looks at the images of these pairs alone, whatever else the store holds; `known` are those of the index.
    """
    schema = {"index": pl.UInt32, "entry": pl.UInt32, "key": pl.String, "exact": pl.Boolean}
    seen = media_refs.image_refs(keys, files).select("index", "key")
    if not index.images.height or not seen.height:
        return pl.DataFrame(schema=schema)
    near = copies.near_keys(seen["key"].unique(), store, index.images["key"].unique(), known, engine)
    same = near.with_columns(exact=pl.col("key") == pl.col("of")).join(index.images, left_on="of", right_on="key")
    same = same.group_by("key", "entry").agg(pl.col("exact").any())
    return seen.join(same, on="key").select(list(schema)).unique().sort("index", "entry", "key")
