"""SPA-VL: harmless and helpful replies to questions about images that invite harm.

The Parquet files embed the images; the training JSON names them by paths with spaces and `&`, inside train.zip.
Some questions are statements and some replies echo them: both become pairs unchanged.

Evidence: the card (columns, configs, counts) and the publisher's README (EchoseChen/SPA-VL-RLHF) for the JSON form
and its paths.
"""

from collections.abc import Iterator

from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import required_media


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the broadest of its three classes of harm is the category."""
    prompt, media = with_media(user(text(row, "question")), required_media(row["image"]))
    extra = {key: row[key] for key in ("id", "class2", "class3") if row.get(key) is not None}
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        media=media,
        category=row.get("class1"),
        extra=extra or None,
    )


SOURCE = Source(
    repo="sqrti/SPA-VL",
    files=("data/train-*.parquet",),
    media=("train.zip", "train"),
    license="cc-by-4.0",
    modality="image",
    paper="arXiv:2406.12030",
    rows=93_258,
    pairs=93_258,
    reads=("id", "image", "question", "chosen", "rejected", "class1", "class2", "class3"),
    to_pairs=to_pairs,
)
