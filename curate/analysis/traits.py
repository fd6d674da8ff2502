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
from curate.steps.refusal import REFUSAL
from curate.text.buffers import strings

SIDES = ("chosen", "rejected")
COUNTS = (
    "chars", "words_of_prompt", "lines", "headers", "bold", "code", "items", "digits", "exclamations", "questions",
)  # fmt: skip
FLAGS = ("refusal", "as_an_ai")
AS_AN_AI = r"(?i)\bas an? (?:ai|artificial intelligence|large language model|language model)\b"

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
SIDE_...               see layout_kernels.LAYOUT; `refusal` as the step, `as_an_ai` where it says "as an AI"
media_key              what the media put into `prompt_key`: the two xor-ed are a key of the text
images                 a hash of the key of each image, of videos each frame
"""

FIRST = r"^(?:first|1|a|a>>?b|(?:vote_)?(?:model_a|left))$"
SECOND = r"^(?:second|2|b|b>>?a|(?:vote_)?(?:model_b|right))$"
VERDICTS = ("llava_critic", "swe_arena")
"""Sources whose `extra.verdict` says which of two replies won, in FIRST's or SECOND's words or as two scores."""

BATCH_BYTES = 16 << 20
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The TRAITS of a pairs file. `version` goes up when one of them changes its meaning."""

    version: ClassVar[int] = 2
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
    from curate.analysis import layout_kernels  # numba

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
        counted = layout_kernels.layout(*buffers[side])
        values |= {f"{side}_{name}": counted[:, i] for i, name in enumerate(layout_kernels.LAYOUT)}
        values[f"{side}_words_of_prompt"] = layout_kernels.words_of_prompt(buffers["prompt"], buffers[side])
        text = series(texts[side]).str
        values |= {f"{side}_refusal": text.contains(REFUSAL), f"{side}_as_an_ai": text.contains(AS_AN_AI)}
    return pl.DataFrame({name: pl.Series(name, values[name]).cast(kind) for name, kind in TRAITS.items()})


def _first(batch: Any) -> pl.Series:
    if "extra" not in batch.schema.names:
        return pl.repeat(None, batch.num_rows, dtype=pl.Boolean, eager=True)
    verdict = series(batch.column("extra")).str.json_path_match("$.verdict").str.to_lowercase().alias("verdict")
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
    return verdict.to_frame().select(found.alias("first"))["first"]


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
