"""Tülu 3 WildChat UltraFeedback: real user prompts with two replies each; a member of BaseReward's "Others".

Five splits, each a set of files. Which of them BaseReward used is unknown; the four that are not `wildchat_unused`
make 56,034 rows and fit its 63k together with swe_arena [inference], so they are the default. The `_if` splits
share prompts with each other, and so do the `_reused` ones. Unverified: that the judge was GPT-4o [I, from the
paper].

Evidence: the card's splits and counts. A training script in a public repository, by its paths of
BaseReward's first author, has a file chat-5k, ultra-41k and wildchat-17k, together 63k: they may be swe_arena, the
set tulu-3-ultrafeedback-cleaned-on-policy-8b and the split wildchat_reused_on_policy_8b.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.errors import RawError
from curate.sources.base import Draft, Row, RowFile, Source
from curate.sources.by_columns.base import DraftColumns, RowBatch, constant, extras, present
from curate.sources.by_columns.messages import split_columns
from curate.sources.messages import split_dialogue

Split = Literal[
    "wildchat_if",
    "wildchat_if_on_policy_70b",
    "wildchat_reused_on_policy_8b",
    "wildchat_reused_on_policy_70b",
    "wildchat_unused",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`splits`: the upstream splits to read, in this order."""

    splits: tuple[Split, ...] = (
        "wildchat_if",
        "wildchat_if_on_policy_70b",
        "wildchat_reused_on_policy_8b",
        "wildchat_reused_on_policy_70b",
    )

    def __post_init__(self) -> None:
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise ValueError("splits must name at least one split, each once")


def row_files(raw: Path, options: Options) -> list[RowFile]:
    """The files of the splits. Raises RawError for a split without files."""
    out: list[RowFile] = []
    for split in options.splits:
        paths = sorted(raw.glob(f"data/{split}-*.parquet"))
        if not paths:
            raise RawError(str(raw), f"no file matches data/{split}-*.parquet", "", "take it out of splits")
        out.extend(RowFile(path=path, context={"split": split}) for path in paths)
    return out


def to_pairs(row: Row, _: Options) -> Iterator[Draft]:
    """One pair a row, its split as category. Skips: those of `split_dialogue`."""
    prompt, chosen, rejected = split_dialogue(row["chosen"], row["rejected"])
    yield Draft(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        category=row.context["split"],
        extra={"id": row["id"]} if "id" in row else None,
    )


def columns(batch: RowBatch, _: Options) -> DraftColumns:
    """`to_pairs` by columns; a null id is a row of its own kind."""
    sides = split_columns(batch, present(batch.texts("id")) if batch.has("id") else batch.all())
    split = constant(batch.context["split"], int(sides.fits.sum()))
    return DraftColumns(**sides._asdict(), category=split, extra=extras(batch, ("id",), sides.fits))


SOURCE = Source(
    repo="allenai/tulu-3-wildchat-ultrafeedback",
    row_files=row_files,
    options=Options,
    license="odc-by-parts-nc",
    annotator="gpt-4o",
    paper="arXiv:2411.15124",
    rows=56_034,
    pairs=56_034,
    reads=("id", "chosen", "rejected"),
    to_pairs=to_pairs,
    columns=columns,
)
