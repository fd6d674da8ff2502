"""OLMo 2 1B preference mix: a mixture of on- and off-policy sets; BaseReward's "Olmo-2".

Whole dialogues in `chosen` and `rejected`; ratings, models, `source` and `id` are read where they exist. All of
it is known from the siblings' cards only [S, U]: columns, rows (the 7B sibling has 378,341) and the licence
(ODC-BY there, none recorded here). The mix contains prompts of UltraFeedback, so it overlaps with
`ultrafeedback`.
"""

from collections.abc import Iterator
from math import isnan

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, number
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


SOURCE = Source(
    repo="allenai/olmo-2-0425-1b-preference-mix",
    files=("data/train-*.parquet",),
    license="odc-by-parts-nc",
    paper="arXiv:2501.00656",
    to_pairs=to_pairs,
)
