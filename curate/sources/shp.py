"""SHP: Reddit comments on one post, the more upvoted one preferred; 18 subreddits.

`labels` 1 means that A is preferred, 0 that B is. Many scripts in circulation have it the other way round, so a
label that contradicts the scores is a skip and not a pair. `score_ratio` is not trusted: the ratio is computed
from the two scores. Unverified: that scores are positive and never equal [I], the split suffix on `domain` [U],
and the licence [U]: the card mentions only Reddit's terms.

Evidence: the card (commit 534d9861) and the authors' loader (ContextualAI/HALOs, train/data.py, get_shp) for the
meaning of `labels`; HALOs computes the ratio from the scores too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, number, reply, text, user
from curate.sources.by_columns.base import Dialogues, DraftColumns, Misfit, RowBatch, kept, present


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`min_ratio`: the preferred comment has at least so many times the other's score (2.0 is customary)."""

    min_ratio: float = 1.0

    def __post_init__(self) -> None:
        if not self.min_ratio >= 1.0:
            raise ValueError(f"min_ratio is {self.min_ratio:g}; it must be 1 or more")


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """One pair a row; all pairs of a post are one group.

    Skips: `label_unknown`, `label_contradicts_scores`, `ratio_undefined`, `below_min_ratio`.
    """
    label = row["labels"]
    if isinstance(label, bool) or label not in (0, 1):
        raise SkipRow("label_unknown", repr(label)[:80])
    sides = ("A", "B") if label == 1 else ("B", "A")
    high, low = (number(row, f"score_{side}") for side in sides)
    _check(high, low, options.min_ratio)
    chosen, rejected = (text(row, f"human_ref_{side}") for side in sides)
    yield Draft(
        prompt=user(text(row, "history")),
        chosen=reply(chosen),
        rejected=reply(rejected),
        margin=high - low,
        chosen_score=high,
        rejected_score=low,
        category=text(row, "domain").removesuffix("_train"),
        group=text(row, "post_id"),
    )


def _check(high: float, low: float, min_ratio: float) -> None:
    if high < low:
        raise SkipRow("label_contradicts_scores", f"preferred {high:g}, other {low:g}")
    if min_ratio > 1.0:
        if low <= 0:
            raise SkipRow("ratio_undefined", f"{high:g} to {low:g}")
        if high / low < min_ratio:
            raise SkipRow("below_min_ratio", f"{high:g} to {low:g}")


def columns(batch: RowBatch, options: Options) -> DraftColumns:
    """`to_pairs` by columns."""
    label = batch.column("labels")
    if not pa.types.is_integer(label.type):
        raise Misfit
    first, names = pc.equal(label, 1), ("history", "domain", "post_id", "human_ref_A", "human_ref_B")
    texts = {name: batch.texts(name) for name in names}
    (score_a, _), (score_b, _) = batch.numbers("score_A"), batch.numbers("score_B")
    high, low = pc.if_else(first, score_a, score_b), pc.if_else(first, score_b, score_a)
    fits = present(label, score_a, score_b, *texts.values())
    fits &= pc.is_in(label, pa.array([0, 1], label.type)).to_numpy(zero_copy_only=False)
    agree = pc.greater_equal(high, low)
    if options.min_ratio > 1.0:
        wide = pc.greater_equal(pc.divide(high, low), options.min_ratio)
        agree = pc.and_(agree, pc.and_(pc.greater(low, 0.0), wide))
    fits &= pc.fill_null(agree, False).to_numpy(zero_copy_only=False)
    chosen, rejected = (
        pc.if_else(first, texts[f"human_ref_{a}"], texts[f"human_ref_{b}"]) for a, b in ("AB", "BA")
    )
    category = pc.replace_substring_regex(texts["domain"], "_train$", "", max_replacements=1)
    return DraftColumns(
        fits=fits,
        prompt=Dialogues.of_texts("user", kept(texts["history"], fits)),
        chosen=Dialogues.of_texts("assistant", kept(chosen, fits)),
        rejected=Dialogues.of_texts("assistant", kept(rejected, fits)),
        margin=kept(pc.subtract(high, low), fits),
        chosen_score=kept(high, fits),
        rejected_score=kept(low, fits),
        category=kept(category, fits),
        group=kept(texts["post_id"], fits),
    )


SOURCE = Source(
    repo="stanfordnlp/SHP",
    files=("*/train.json*",),
    options=Options,
    annotator="human",
    paper="arXiv:2110.08420",
    rows=348_718,
    pairs=348_718,
    max_skip=0.9,  # min_ratio 2 alone leaves out more than half
    reads=("post_id", "domain", "history", "score_A", "score_B", "human_ref_A", "human_ref_B", "labels"),
    to_pairs=to_pairs,
    columns=columns,
)
