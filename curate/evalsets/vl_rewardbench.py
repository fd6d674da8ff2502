"""VL-RewardBench: 1,250 pairs of replies about an image; micro overall, and the macro mean of three categories.

The category is no column: it follows from the first word of the id, and three ways to read it are in circulation.
`official` is the authors' own script (general 183, hallucination 749, reasoning 318). `r1_reward` is a lower-case
test that misses the ids RLAIF and RLHF, which then count as general (484, 448, 318); it was copied by others.
`unified_reward` takes the ids that begin with "hallucination" for general (631, 301, 318). Overall is the same in
all of them; category columns and macro are comparable only within one.

The official script judges by sampled verdicts and drops unparsable ones. A scalar reward always decides: an
equal score is counted as wrong, and reported as a tie.

R1-Reward's repository has the same items as `prompt`, `chosen` and `rejected`, with images of other names.
"""

import re
from collections.abc import Sequence

from curate.errors import SkipRow
from curate.evalsets.base import (
    EvalSet,
    Formula,
    Item,
    Options,
    answers,
    mean,
    name_of,
    pair_trials,
    pooled,
    question,
    texts,
    with_its_media,
)
from curate.sources.base import Row, text
from curate.sources.images import media_of

SUBSETS = {
    "hallucination": "povid", "RLAIF": "rlaif_v", "RLHF": "rlhf_v", "mathverse": "mathverse", "mmmu": "mmmu",
}  # fmt: skip
"""The first word of an id, up to `_` or `-`, and the dataset of that item; any other is `other`."""

REASONING = ("mathverse", "mmmu")
SPLITS: dict[str, dict[str, Sequence[str]]] = {
    "official": {"general": ("other",), "hallucination": ("povid", "rlaif_v", "rlhf_v")},
    "r1_reward": {"general": ("other", "rlaif_v", "rlhf_v"), "hallucination": ("povid",)},
    "unified_reward": {"general": ("other", "povid"), "hallucination": ("rlaif_v", "rlhf_v")},
}


def to_item(row: Row) -> Item:
    """The item of a row; replies in upstream's order. Skips: `no_pair`, `human_ranking_not_a_ranking`."""
    chosen_first = "chosen" in row and "response" not in row
    replies, right = _sides(row) if chosen_first else _ranked(row)
    name = name_of(row, "id")
    query = question(row, "prompt" if chosen_first else "query")
    prompt, media = with_its_media(query, media_of(row.get("image")))
    prefix = re.split("[_-]", name, maxsplit=1)[0]
    return Item(
        id=name, prompt=prompt, replies=answers(*replies), correct=(right,),
        category=prefix, subset=SUBSETS.get(prefix, "other"), cluster=name, media=media,
    )  # fmt: skip


def _sides(row: Row) -> tuple[list[str], int]:
    """The replies of a row of R1-Reward's file, the right one first."""
    return [text(row, "chosen"), text(row, "rejected")], 0


def _ranked(row: Row) -> tuple[list[str], int]:
    replies, ranking = texts(row["response"], "response"), row["human_ranking"]
    if len(replies) != 2:
        raise SkipRow("no_pair", f"{len(replies)} responses")
    if not isinstance(ranking, list | tuple) or sorted(ranking) != [0, 1]:
        raise SkipRow("human_ranking_not_a_ranking", repr(ranking)[:80])
    return replies, list(ranking).index(0)


def formulas(_: tuple[str, ...], options: Options) -> tuple[Formula, ...]:
    """Overall, macro, and the three categories of the chosen split."""
    parts = {**SPLITS[options.split or "official"], "reasoning": REASONING}
    categories = tuple(pooled(name, subsets) for name, subsets in parts.items())
    overall = pooled("overall", [subset for subsets in parts.values() for subset in subsets])
    return (overall, *categories, mean("macro", parts))


EVALSET = EvalSet(
    name="vl_rewardbench",
    repo="MMInstruction/VL-RewardBench",
    files=("data/test-*.parquet", "*.parquet", "*.jsonl", "*.json"),
    license="mit",
    paper="arXiv:2411.17451",
    rows=1250,
    to_item=to_item,
    trials=pair_trials,
    formulas=formulas,
    headline=("overall", "macro"),
    media=("images", "vl_reward", "*.zip"),
    modality="image",
    splits=tuple(SPLITS),
)
