"""UltraInteract pairs: in a trajectory of reasoning, the right next action against a wrong one.

The prompt is the trajectory so far, whose user turns also hold what the Python interpreter and a critique model
answered. Many pairs are from one tree: `parent_id` is their group.

Evidence: the publisher's card (columns, 219,522 rows, MIT), its tree (one file, 0000_pair.parquet), and a real
row in the README of OpenBMB/Eurus; allenai/open-instruct (scripts/data/preferences/ultrainteract.py) keeps one
pair of each `parent_id`, for which `per_group: 1` in a recipe does the same.
"""

from collections.abc import Iterator

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text
from curate.sources.messages import turns


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row, its task as category. Skips: `trajectory_without_question`, those of `turns`."""
    prompt = turns(row["trajectory"])
    if not prompt or prompt[-1].role != "user":
        raise SkipRow("trajectory_without_question", f"{len(prompt)} turns")
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        category=text(row, "task"),
        group=text(row, "parent_id"),
        extra={"id": row["id"], "dataset": row["dataset"]},
    )


SOURCE = Source(
    repo="openbmb/UltraInteract_pair",
    files=("*_pair.parquet",),
    license="mit",
    annotator="rule",
    paper="arXiv:2404.02078",
    rows=219_522,
    pairs=219_522,
    reads=("id", "parent_id", "task", "dataset", "trajectory", "chosen", "rejected"),
    to_pairs=to_pairs,
)
