"""RMB, pairs: a right and a wrong reply to a prompt of 49 scenarios; the right one must score strictly higher.

The number of rows is unverified: only a part of the repository's files could be read.
"""

from curate.evalsets import rmb
from curate.evalsets.base import EvalSet, Item, pair_trials
from curate.sources.base import Row


def to_item(row: Row) -> Item:
    """The item of a row; the chosen reply is the first. Skips: `no_answer`, `unknown_goal`."""
    return rmb.item_of(row, "pair_uid", "chosen", [row["reject"]])


EVALSET = EvalSet(
    name="rmb_pairwise",
    repo=rmb.REPO,
    files=("Pairwise_set/**/*.json", "RMB_dataset/Pairwise_set/**/*.json"),
    license=None,
    paper=rmb.PAPER,
    rows=17848,
    to_item=to_item,
    trials=pair_trials,
    formulas=rmb.formulas,
    core=False,
)
