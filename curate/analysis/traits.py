"""The doctor's sketch: for each pair the numbers that rulers, truncation and image reuse are computed from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import xxhash

from curate import parquet
from curate.arrays import series
from curate.engines.base import tick
from curate.pairs.messages import Messages
from curate.schema import VERSION, Media, key64, media_digest
from curate.steps.refusal import refuses
from curate.text.buffers import strings

SIDES = ("chosen", "rejected")
COUNTS = (
    "chars", "words_of_prompt", "lines", "headers", "bold", "code", "items", "tables", "digits", "exclamations",
    "questions",
)  # fmt: skip
FLAGS = ("refusal", "as_an_ai")
AS_AN_AI = (
    r"(?i)\bas an? (?:ai|artificial intelligence|large language model|language model)\b"
    r"|作为(?:一[个個名款种位])?\s?(?:ai|人工智能|大?型?语言模型)|作為(?:一[個名款種位])?\s?(?:ai|人工智慧|大?型?語言模型)"
    r"|(?:ai|人工知能|言語モデル)(?:アシスタント)?として"
    r"|\bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)\b"
    r"|\ben tant qu(?:e |['’])(?:une? )?(?:ia|intelligence artificielle|modèle de langage)\b"
    r"|\bals (?:eine? )?(?:ki|künstliche intelligenz|(?:ki-)?sprachmodell)\b"
    r"|\bкак (?:ии|искусственный интеллект|языковая модель)\b"
)

TRAITS: dict[str, Any] = {
    "prompt_chars": pl.UInt32,
    "shared_chars": pl.UInt32,
    "reply_media": pl.UInt32,
    "chosen_first": pl.Boolean,
    **{f"{side}_{name}": pl.UInt32 for side in SIDES for name in COUNTS},
    **{f"{side}_{name}": pl.Boolean for side in SIDES for name in FLAGS},
    "media_key": pl.UInt64,
    "images": pl.List(pl.UInt64),
}
"""The columns of a file of traits, a row for each pair.

shared_chars           characters that both replies have in common at their start
reply_media            images and videos in the replies
chosen_first           whether the chosen reply came first upstream; null where that is not known
SIDE_words_of_prompt   of a thousand words of the reply, how many the prompt has too
SIDE_...               see layout_kernels.LAYOUT and markdown_kernels.MARKDOWN; `refusal` as the step, `as_an_ai`
where it says "as an AI"
media_key              what the media put into `prompt_key`: the two xor-ed are a key of the text
images                 a hash of the key of each image, of videos each frame
"""

FIRST = r"^(?:first|1|a|a>>?b|(?:vote_)?(?:model_a|left))$"
SECOND = r"^(?:second|2|b|b>>?a|(?:vote_)?(?:model_b|right))$"
VERDICTS = ("llava_critic", "swe_arena")
"""Sources whose `extra.verdict` or `extra.vote` says who won, in the words of FIRST or SECOND or as scores."""

BATCH_BYTES = 16 << 20
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The TRAITS of a pairs file. `version` goes up when one of them changes its meaning."""

    version: ClassVar[int] = 5
    suffix: ClassVar[str] = "parquet"
    schema: int = VERSION

    def make(self, pairs: Path, out: Path) -> None:
        """Write the traits of one pairs file."""
        frames = [pl.DataFrame(schema=TRAITS)]
        for batch in _batches(pairs):
            frames.append(_traits(batch))
            tick(rows=batch.num_rows)
        pl.concat(frames).write_parquet(out)


def _batches(path: Path) -> Iterator[Any]:
    columns = ["prompt", *SIDES, "media"]
    first = next(parquet.batches(path, ["source"], BATCH_BYTES, 1), None)
    if first is not None and first["source"][0].as_py() in VERDICTS:
        columns.append("extra")
    yield from parquet.batches(path, columns, BATCH_BYTES, BATCH_ROWS)


def _traits(batch: Any) -> pl.DataFrame:
    from curate.analysis import layout_kernels, markdown_kernels  # numba

    dialogues = {side: Messages(batch.column(side)) for side in ("prompt", *SIDES)}
    texts = {side: dialogue.text() for side, dialogue in dialogues.items()}
    buffers = {side: strings(text) for side, text in texts.items()}
    values: dict[str, Any] = {
        "prompt_chars": pl.Series(layout_kernels.layout(*buffers["prompt"])[:, layout_kernels.CHARS]),
        "shared_chars": layout_kernels.shared_chars(buffers["chosen"], buffers["rejected"]),
        "reply_media": np.add.reduce([dialogues[side].media_blocks() for side in SIDES]),
        "chosen_first": _first(batch),
        **_media(batch.column("media")),
    }
    for side in SIDES:
        for names, counted in (
            (layout_kernels.LAYOUT, layout_kernels.layout(*buffers[side])),
            (markdown_kernels.MARKDOWN, markdown_kernels.markdown(*buffers[side])),
        ):
            values |= {f"{side}_{name}": counted[:, i] for i, name in enumerate(names)}
        values[f"{side}_words_of_prompt"] = layout_kernels.words_of_prompt(buffers["prompt"], buffers[side])
        replies = series(texts[side]).alias("text").to_frame()
        flags = replies.select(refusal=refuses(pl.col("text")), as_an_ai=pl.col("text").str.contains(AS_AN_AI))
        values |= {f"{side}_{name}": flags[name] for name in FLAGS}
    return pl.DataFrame({name: pl.Series(name, values[name]).cast(kind) for name, kind in TRAITS.items()})


def _first(batch: Any) -> pl.Series:
    if "extra" not in batch.schema.names:
        return pl.repeat(None, batch.num_rows, dtype=pl.Boolean, eager=True)
    extra = series(batch.column("extra")).alias("extra").to_frame()
    named = [pl.col("extra").str.json_path_match(f"$.{name}") for name in ("verdict", "vote")]
    verdict = extra.select(pl.coalesce(named).str.to_lowercase().alias("verdict"))
    scores = pl.col("verdict").str.extract_all(r"\d+(?:\.\d+)?").cast(pl.List(pl.Float64))
    two = scores.list.len() == 2
    left, right = scores.list.get(0, null_on_oob=True), scores.list.get(1, null_on_oob=True)
    # the chosen reply won, so where the verdict names the first one it is the chosen
    found = (
        pl.when(pl.col("verdict").str.contains(FIRST) | (two & (left > right)))
        .then(True)
        .when(pl.col("verdict").str.contains(SECOND) | (two & (left < right)))
        .then(False)
    )
    return verdict.select(found.alias("first"))["first"]


def _media(column: Any) -> dict[str, Any]:
    """The columns `media_key` and `images`."""
    rows = column.to_pylist()
    listed = [[Media(entry["kind"], tuple(entry["keys"])) for entry in row] for row in rows]
    return {
        "media_key": pl.Series([key64(media_digest(row)) if row else 0 for row in listed], dtype=pl.UInt64),
        "images": pl.Series(
            [[xxhash.xxh3_64_intdigest(key.encode()) for entry in row for key in entry.keys] for row in listed],
            dtype=TRAITS["images"],
        ),
    }
