"""RMB, best of N: the best reply to a prompt must score strictly above every other one."""

from curate.errors import SkipRow
from curate.evalsets import rmb
from curate.evalsets.base import EvalSet, Item, pair_trials
from curate.sources.base import Row


def to_item(row: Row) -> Item:
    """The item of a row; the best reply is the first. Skips: `loser_list_empty`, `no_answer`, `unknown_goal`."""
    losers = row["loser_list"]
    if not isinstance(losers, list | tuple) or not losers:
        raise SkipRow("loser_list_empty", repr(losers)[:80])
    return rmb.item_of(row, "bon_uid", "bon_best", losers)


EVALSET = EvalSet(
    name="rmb_best_of_n",
    repo=rmb.REPO,
    files=("BoN_set/**/*.json", "RMB_dataset/BoN_set/**/*.json"),
    license=None,
    paper=rmb.PAPER,
    rows=3786,
    to_item=to_item,
    trials=pair_trials,
    formulas=rmb.formulas,
    core=False,
)
