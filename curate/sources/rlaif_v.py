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

from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import required_media


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; `origin_split`, JSON inside text, is parsed and goes to `extra`."""
    question, path = text(row, "question"), row.get("image_path")
    prompt, media = with_media(user(question), required_media(row["image"]))
    extra = {key: row[key] for key in ("ds_name", "origin_dataset", "idx") if row.get(key) is not None}
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
)
