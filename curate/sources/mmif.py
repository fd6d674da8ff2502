"""MM-IFDPO-23k (v2): replies that follow many constraints, against replies given without them or the image.

The preference rows are beside the instruction set in one repository. Version 2 was judged mainly by GPT-4o.
Evidence: the publisher's README (SYuan03/MM-IFEngine, README.md), and a public loader of
`v2/dpo/mmif_23k_4o_qwen2_5.json` with its four image archives; in some rows the placeholder follows the question
(`question\\n<image>`). Unverified upstream: the exact count, and how each rejected reply was made.
"""

from collections.abc import Iterator

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, with_media
from curate.sources.images import required_media
from curate.sources.messages import turns


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row. Skips: `no_reply` where a side is not one assistant turn."""
    prompt, media = with_media(turns(row["conversations"]), required_media(row.get("images")))
    chosen, rejected = turns([row["chosen"]]), turns([row["rejected"]])
    if chosen[0].role != "assistant" or rejected[0].role != "assistant":
        raise SkipRow("no_reply", f"{chosen[0].role} and {rejected[0].role}")
    extra = {"id": row["id"]} if row.get("id") is not None else None
    yield Draft(prompt=prompt, chosen=chosen, rejected=rejected, media=media, extra=extra)


SOURCE = Source(
    repo="ChrisDing1105/MMIF-23k",
    files=("v2/dpo/*.json",),
    media=("**/allava.tar", "**/cc3m.zip", "**/diversity.zip", "**/multiui.zip"),
    license="apache-2.0",
    annotator="gpt-4o",
    modality="image",
    paper="arXiv:2504.07957",
    reads=("id", "images", "conversations", "chosen", "rejected"),
    to_pairs=to_pairs,
)
