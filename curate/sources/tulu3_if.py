"""Tülu 3 IF-augmented, on-policy 70B: prompts with added constraints, two replies each; BaseReward's "Tulu-3".

`chosen` and `rejected` are whole dialogues that share their prompt; the column `prompt` repeats it and is not
read. Unverified: that the judge of every row was GPT-4o [I, from the paper].

Evidence: the tree and a public table of the Tülu 3 sets, which counts 65,551 rows here and 65,530 in the sibling
for 8B; NVIDIA-NeMo/RL reads the sibling mixtures in this layout and asserts that the prompts agree.
"""

from collections.abc import Iterator

from curate.sources.base import Draft, Row, Source
from curate.sources.by_columns.base import DraftColumns, RowBatch, extras, present
from curate.sources.by_columns.messages import split_columns
from curate.sources.messages import split_dialogue


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row. Skips: those of `split_dialogue`."""
    prompt, chosen, rejected = split_dialogue(row["chosen"], row["rejected"])
    yield Draft(prompt=prompt, chosen=chosen, rejected=rejected, extra={"id": row["id"]} if "id" in row else None)


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns; a null id is a row of its own kind."""
    sides = split_columns(batch, present(batch.texts("id")) if batch.has("id") else batch.all())
    return DraftColumns(**sides._asdict(), extra=extras(batch, ("id",), sides.fits))


SOURCE = Source(
    repo="allenai/tulu-3-IF-augmented-on-policy-70b",
    files=("data/train-*.parquet",),
    license="odc-by-parts-nc",
    annotator="gpt-4o",
    paper="arXiv:2411.15124",
    rows=65_551,
    pairs=65_551,
    reads=("id", "chosen", "rejected"),
    to_pairs=to_pairs,
    columns=columns,
)
