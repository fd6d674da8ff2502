"""MM-RLHF-RewardBench: 170 pairs of 46 ids; Acc over pairs, Acc+ over ids of which every pair is right.

The chosen reply must score strictly higher; an equal score is wrong. The kind of question is a directory of the
medium's path. An id counts under the kind of its first pair.
"""

from collections.abc import Sequence
from itertools import groupby

from curate.errors import SkipRow
from curate.evalsets.base import (
    EvalSet,
    Formula,
    Item,
    Options,
    Scores,
    Trial,
    answers,
    name_of,
    pair_trials,
    pooled,
    question,
    with_its_media,
)
from curate.sources.base import MediaSource, Row, text
from curate.sources.images import media_of

KINDS = ("mcq", "long", "short", "safety", "video")


def to_item(row: Row) -> Item:
    """The item of a row; the chosen reply is the first. Skips: `no_media`, `unknown_kind`."""
    video = row.get("video")
    pictures = [MediaSource(kind="video", path=text(row, "video"))] if video else media_of(row.get("image"))
    if not pictures:
        raise SkipRow("no_media")
    kind = next((kind for kind in KINDS if kind in pictures[0].path), None)
    if kind is None:
        raise SkipRow("unknown_kind", pictures[0].path[:80])
    name = name_of(row, "id")
    prompt, media = with_its_media(question(row, "prompt"), pictures)
    return Item(
        id=name, prompt=prompt, replies=answers(text(row, "chosen"), text(row, "rejected")), correct=(0,),
        category=kind, subset=kind, cluster=name, media=media, critiques=_critiques(row),
    )  # fmt: skip


def _critiques(row: Row) -> tuple[str | None, ...]:
    """The annotators' reasons; () where there is none."""
    reasons = [row.get(f"{side}_reason") for side in ("chosen", "rejected")]
    found = tuple(reason if isinstance(reason, str) and reason.strip() else None for reason in reasons)
    return found if any(found) else ()


def trials(items: Sequence[Item], scores: Scores) -> list[Trial]:
    """One comparison for each pair, and one trial for each id that asks whether all its pairs were right."""
    single = pair_trials(items, scores)
    by_id = groupby(sorted(single, key=lambda trial: trial.cluster), key=lambda trial: trial.cluster)
    ids = [list(group) for _, group in by_id]  # sorting is stable: an id's first pair stays its first
    every = [
        Trial(
            f"{group[0].subset}+", group[0].cluster, min(pair.credit for pair in group), any(p.tie for p in group)
        )
        for group in ids
    ]
    return single + every


def formulas(_: tuple[str, ...], __: Options) -> tuple[Formula, ...]:
    """Acc and Acc+, over all and for each kind."""
    return (
        pooled("acc", KINDS),
        pooled("acc+", [f"{kind}+" for kind in KINDS]),
        *(pooled(kind, [kind]) for kind in KINDS),
        *(pooled(f"{kind}+", [f"{kind}+"]) for kind in KINDS),
    )


EVALSET = EvalSet(
    name="mm_rlhf_rewardbench",
    repo="yifanzhang114/MM-RLHF-RewardBench",
    files=("mm_reward_bench.jsonl", "*.jsonl", "**/*.parquet"),
    license=None,
    paper="arXiv:2502.10391",
    rows=170,
    to_item=to_item,
    trials=trials,
    formulas=formulas,
    headline=("acc", "acc+"),
    media=("images", "*.zip"),
    modality="video",
)
