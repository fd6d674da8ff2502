"""RLHF-V: replies corrected by people, segment by segment; the correction is the chosen one.

Question and both replies are JSON inside the column `text`. At least one correction upstream is empty [T]: it is a
pair all the same, for the step `empty_reply` to judge.

Evidence: the card's features (revision 5b59b49), and a public adapter of commit 1d8e9804 that reads
`text.question`, `text.chosen` and `text.rejected`; an older revision had JSON rows and is not read.
"""

import json
from collections.abc import Iterator

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import required_media
from curate.sources.rlaif_v import opened


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row. Skips: `text_not_json`, and by name what the JSON lacks."""
    try:
        inner = json.loads(text(row, "text"))
    except ValueError as error:
        raise SkipRow("text_not_json", str(error)) from None
    if not isinstance(inner, dict):
        raise SkipRow("text_not_json", f"{type(inner).__name__} instead of an object")
    pair = Row(inner)
    prompt, media = with_media(user(text(pair, "question")), required_media(row["image"]))
    extra = {
        key: row[key] for key in ("ds_name", "origin_dataset", "idx", "image_path") if row.get(key) is not None
    }
    if row.get("origin_split") is not None:
        extra["origin_split"] = opened(row["origin_split"])
    yield Draft(
        prompt=prompt,
        chosen=reply(text(pair, "chosen")),
        rejected=reply(text(pair, "rejected")),
        media=media,
        extra=extra,
    )


SOURCE = Source(
    repo="openbmb/RLHF-V-Dataset",
    files=("RLHF-V-Dataset.parquet",),
    license="cc-by-nc-4.0",
    annotator="human",
    modality="image",
    paper="arXiv:2312.00849",
    rows=5_733,
    pairs=5_733,
    reads=("ds_name", "image", "text", "origin_dataset", "origin_split", "idx", "image_path"),
    to_pairs=to_pairs,
)
