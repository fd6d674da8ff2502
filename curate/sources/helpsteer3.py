"""HelpSteer3 (preference config): human preferences with a strength from -3 to 3; 0 is a tie.

Negative means response1 is better. Each of up to three annotators wrote feedback on either response; a reply's
critique is all of it, in upstream's order. Unverified: that order (of `individual_preference`), and its columns
[D].

Evidence: the publisher's card and loader (NVIDIA-NeMo/RL, nemo_rl/data/datasets/preference_datasets/
helpsteer3.py, which makes a tie an identical pair: not here), and the columns of a derived copy
(hub: davidanugraha/HelpSteer3).
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, number, reply, text, user
from curate.sources.by_columns.base import Dialogues, DraftColumns, RowBatch, extras, joined_texts, kept, present
from curate.sources.by_columns.messages import turns_of, whole_columns
from curate.sources.messages import turns


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; a tie is a pair with margin 0. Skips: `strength_out_of_range`, those of `turns`."""
    strength = number(row, "overall_preference")
    if not -3 <= strength <= 3:
        raise SkipRow("strength_out_of_range", f"{strength:g}")
    best, worst = (1, 2) if strength <= 0 else (2, 1)
    context, domain = row["context"], row.get("domain")
    yield Draft(
        prompt=user(context) if isinstance(context, str) else turns(context),
        chosen=reply(text(row, f"response{best}")),
        rejected=reply(text(row, f"response{worst}")),
        margin=abs(strength),
        chosen_critique=_critique(row, f"feedback{best}"),
        rejected_critique=_critique(row, f"feedback{worst}"),
        category=domain if isinstance(domain, str) else None,
        extra={"language": row["language"]} if "language" in row else None,
    )


def _critique(row: Row, column: str) -> str | None:
    annotators: Any = row.get("individual_preference")
    entries = annotators if isinstance(annotators, list) else []
    feedback = [entry.get(column) for entry in entries if isinstance(entry, dict)]
    return "\n\n".join(text for text in feedback if isinstance(text, str) and text.strip()) or None


MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
OPINION = pa.struct(
    [("score", pa.null()), ("reasoning", pa.null()), ("feedback1", pa.string()), ("feedback2", pa.string())]
)
TYPES = {
    **dict.fromkeys(("domain", "language", "response1", "response2"), pa.string()),
    "context": pa.list_(MESSAGE),
    "overall_preference": pa.int64(),
    "individual_preference": pa.list_(OPINION),
}


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns, of rows whose context is a list of messages."""
    strength, odd = batch.numbers("overall_preference")
    first, replies = pc.less_equal(strength, 0.0), [batch.texts(f"response{number}") for number in (1, 2)]
    fits = present(strength, *replies) & ~odd & (present(batch.texts("language")) | (not batch.has("language")))
    fits &= pc.fill_null(pc.less_equal(pc.abs(strength), 3.0), False).to_numpy(zero_copy_only=False)
    fits, prompt = whole_columns(turns_of(batch.column("context")), fits & present(batch.column("context")))
    notes = [joined_texts(batch.column("individual_preference"), f"feedback{number}") for number in (1, 2)]
    sides = {
        side: [kept(pc.if_else(is_first, *both), fits) for both in (replies, notes)]
        for side, is_first in (("chosen", first), ("rejected", pc.invert(first)))
    }
    return DraftColumns(
        fits=fits,
        prompt=prompt,
        chosen=Dialogues.of_texts("assistant", sides["chosen"][0]),
        rejected=Dialogues.of_texts("assistant", sides["rejected"][0]),
        margin=kept(pc.abs(strength), fits),
        chosen_critique=sides["chosen"][1],
        rejected_critique=sides["rejected"][1],
        category=kept(batch.texts("domain"), fits),
        extra=extras(batch, ("language",), fits),
    )


SOURCE = Source(
    repo="nvidia/HelpSteer3",
    files=("preference/train.jsonl.gz",),
    license="cc-by-4.0",
    annotator="human",
    languages=("en", "zh", "ko", "fr", "es", "ru", "ja", "de", "it", "pt", "pl", "nl", "id", "vi"),
    paper="arXiv:2505.11475",
    rows=38_459,
    pairs=38_459,
    reads=(
        "domain",
        "language",
        "context",
        "response1",
        "response2",
        "overall_preference",
        "individual_preference",
    ),
    to_pairs=to_pairs,
    columns=columns,
    types=TYPES,
)
