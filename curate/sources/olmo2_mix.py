"""OLMo 2 1B preference mix: a mixture of on- and off-policy sets; BaseReward's "Olmo-2".

Whole dialogues in `chosen` and `rejected`; ratings, models, `source` and `id` are read where they exist. Columns
and rows are known from siblings only: 378,341 rows for 7B, 377,809 for 32B. The mix contains prompts of
UltraFeedback, so it overlaps with `ultrafeedback`.

Evidence: a public table with commit c6454f3d of this repository: five files
`data/train-0000?-of-00005.parquet`, ODC-BY with some subsets non-commercial; a public builder reads `chosen` and
`rejected` as dialogues. A training script with the paths of BaseReward's
first author calls its copy 378k.
"""

from collections.abc import Iterator
from math import isnan

from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, number
from curate.sources.by_columns.base import DraftColumns, RowBatch, extras, kept
from curate.sources.by_columns.messages import split_columns
from curate.sources.messages import split_dialogue

EXTRA = ("id", "chosen_model", "rejected_model")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row. Skips: those of `split_dialogue`, and `ratings_contradict_choice`."""
    prompt, chosen, rejected = split_dialogue(row["chosen"], row["rejected"])
    high, low = _rating(row, "chosen_rating"), _rating(row, "rejected_rating")
    margin = high - low if high is not None and low is not None else None
    if margin is not None and margin < 0:
        raise SkipRow("ratings_contradict_choice", f"chosen {high:g}, rejected {low:g}")
    source = row.get("source")
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        chosen_score=high,
        rejected_score=low,
        category=source if isinstance(source, str) else None,
        extra={name: row[name] for name in EXTRA if row.get(name) is not None},
    )


def _rating(row: Row, column: str) -> float | None:
    """Null where upstream has none; a mixture writes that as null or as NaN."""
    if row.get(column) is None:
        return None
    rating = number(row, column)
    return None if isnan(rating) else rating


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns."""
    (high, high_odd), (low, low_odd) = (batch.numbers(f"{side}_rating") for side in ("chosen", "rejected"))
    margin = pc.subtract(high, low)
    agree = pc.fill_null(pc.greater_equal(margin, 0.0), True).to_numpy(zero_copy_only=False)
    sides = split_columns(batch, agree & ~high_odd & ~low_odd)
    return DraftColumns(
        **sides._asdict(),
        margin=kept(margin, sides.fits),
        chosen_score=kept(high, sides.fits),
        rejected_score=kept(low, sides.fits),
        category=kept(batch.texts("source"), sides.fits),
        extra=extras(batch, EXTRA, sides.fits),
    )


SOURCE = Source(
    repo="allenai/olmo-2-0425-1b-preference-mix",
    files=("data/train-*.parquet",),
    license="odc-by-parts-nc",
    paper="arXiv:2501.00656",
    reads=(
        "id",
        "source",
        "chosen",
        "rejected",
        "chosen_rating",
        "rejected_rating",
        "chosen_model",
        "rejected_model",
    ),
    to_pairs=to_pairs,
    columns=columns,
)
