"""Dolci-Instruct-DPO: the preference mixture of Olmo 3 Instruct; a strong model's reply against a weak one's.

Most pairs are made by the delta-learning heuristic (`preference_type` `delta_learning`: the better model's reply
is chosen, nobody judged it), others by ratings of a model. `chosen` and `rejected` are whole dialogues, their
messages with the null keys of WildChat's (`country`, `hashed_ip`, ...).

Evidence: rows and columns by public data tables (259,922 rows; `chosen`, `rejected`, `chosen_model`,
`rejected_model`, `prompt_id`, `preference_type`), and a training script of allenai/open-instruct that takes
259,922 rows of it. Licence by public lists of the card: ODC-BY. Unverified: whether portions are non-commercial,
as in the mixtures of Tülu 3 and OLMo 2, and the file names.
"""

from collections.abc import Iterator

from curate.sources.base import Draft, Row, Source
from curate.sources.by_columns.base import DraftColumns, RowBatch, extras, kept
from curate.sources.by_columns.messages import split_columns
from curate.sources.messages import split_dialogue

EXTRA = ("prompt_id", "chosen_model", "rejected_model")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row, how it was made as category. Skips: those of `split_dialogue`."""
    prompt, chosen, rejected = split_dialogue(row["chosen"], row["rejected"])
    kind = row.get("preference_type")
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        category=kind if isinstance(kind, str) else None,
        extra={name: row[name] for name in EXTRA if row.get(name) is not None} or None,
    )


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns."""
    sides = split_columns(batch, batch.all())
    category = kept(batch.texts("preference_type"), sides.fits)
    return DraftColumns(**sides._asdict(), category=category, extra=extras(batch, EXTRA, sides.fits))


SOURCE = Source(
    repo="allenai/Dolci-Instruct-DPO",
    files=("data/train-*.parquet",),
    license="odc-by",
    paper="arXiv:2512.13961",
    rows=259_922,
    pairs=259_922,
    reads=("chosen", "rejected", "chosen_model", "rejected_model", "prompt_id", "preference_type"),
    to_pairs=to_pairs,
    columns=columns,
)
