"""RLAIF-V: replies of open models to one question about an image, preferred by open models.

Several rows may have the same image and question with other replies [I]: they are one group, named by image path
and question, so that no question of the holdout is in training. A row without `image_path` is its own group.
Unverified upstream: which model judged a row, so `annotator` stays null.

Evidence: the card's features; huggingface/trl (examples/datasets/rlaif-v.py) and hiyouga/LLaMA-Factory
(data/dataset_info.json) read `question`, `chosen`, `rejected` and `image`.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from curate.arrow_compute import pc
from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.by_columns.base import Dialogues, DraftColumns, Misfit, RowBatch, extras, kept, present
from curate.sources.by_columns.images import prompts, stored_images, without_placeholder
from curate.sources.images import required_media

FACTS = ("ds_name", "origin_dataset", "idx")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; `origin_split`, JSON inside text, is parsed and goes to `extra`."""
    question, path = text(row, "question"), row.get("image_path")
    prompt, media = with_media(user(question), required_media(row["image"]))
    extra = {key: row[key] for key in FACTS if row.get(key) is not None}
    if row.get("origin_split") is not None:
        extra["origin_split"] = opened(row["origin_split"])
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        media=media,
        group=f"{path}\n{question}" if path else None,
        extra=extra,
    )


def opened(value: Any) -> Any:
    """The value of JSON text; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns, of rows whose image is inside."""
    if batch.has("origin_split") and not pa.types.is_string(batch.column("origin_split").type):
        raise Misfit
    replies = {side: batch.texts(side) for side in ("chosen", "rejected")}
    questions, paths = batch.texts("question"), batch.texts("image_path")
    stripped, fits = without_placeholder(questions, batch.all())
    media = stored_images(batch.column("image"))
    fits &= present(*replies.values()) & np.array([image is not None for image in media], np.bool_)
    extra = extras(batch, (*FACTS, "origin_split"), fits)
    for one in extra:
        if "origin_split" in one:
            one["origin_split"] = opened(one["origin_split"])
    named = pc.binary_join_element_wise(paths, questions, "\n")
    return DraftColumns(
        fits=fits,
        prompt=prompts(kept(stripped, fits), fits[fits]),
        **{side: Dialogues.of_texts("assistant", kept(text, fits)) for side, text in replies.items()},
        media=[[image] for image, fit in zip(media, fits.tolist(), strict=True) if image is not None and fit],
        group=kept(pc.if_else(pc.equal(paths, ""), None, named), fits),
        extra=extra,
    )


SOURCE = Source(
    repo="openbmb/RLAIF-V-Dataset",
    files=("**/*.parquet",),
    license="cc-by-nc-4.0",
    modality="image",
    paper="arXiv:2405.17220",
    rows=83_132,
    pairs=83_132,
    reads=(
        "ds_name",
        "image",
        "question",
        "chosen",
        "rejected",
        "origin_dataset",
        "origin_split",
        "idx",
        "image_path",
    ),
    to_pairs=to_pairs,
    columns=columns,
)
