"""OmniAlign-V-DPO: long answers of a strong pipeline against sampled answers of a weaker model.

One JSONL file for each kind of question (chart, knowledge, ...); the kind is the pair's category. The licence is
not stated. Unverified upstream: the file names and the column `id` [I], the rejected side's provenance, and the
total: 133,341 rows by the authors' own list against 150 k in the card's prose.

Evidence: the publisher's training configuration (PhoenixZ810/OmniAlign-V, playground/meta_json/
ominialign_v_dpo.json) for files and counts, and its train_dpo.py for columns and placeholders.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import required_media


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; without placeholders the images come first, as upstream's own loader puts them."""
    prompt, media = with_media(user(text(row, "prompt")), required_media(row["image"]))
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        media=media,
        category=PurePosixPath(row.file).stem,
        extra={"id": row["id"]} if row.get("id") is not None else None,
    )


SOURCE = Source(
    repo="PhoenixZ/OmniAlign-V-DPO",
    files=("**/*.jsonl",),
    media=("images.tar", "images"),
    annotator="rule",
    modality="image",
    paper="arXiv:2502.18411",
    rows=133_341,
    pairs=133_341,
    reads=("id", "image", "prompt", "chosen", "rejected"),
    to_pairs=to_pairs,
)
