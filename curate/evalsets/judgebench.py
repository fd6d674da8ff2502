"""JudgeBench: pairs of one model's replies, one of them objectively right; the share decided as labelled.

The replies are GPT-4o's in the split `gpt` (350 pairs, the published leaderboard) and Claude 3.5 Sonnet's in
`claude` (270); 91 questions are in both.

A reward model plays a single game: the higher score is its decision. Equal scores decide nothing: they are wrong,
and reported as ties (upstream's reward judge breaks them in its own way, which changes 3 of 350 rows for the model
that it reports).

`macro`, the plain mean of the four sources, is printed by others; the leaderboard's number is `overall`.
"""

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
)
from curate.sources.base import Row, text

SOURCES = ("mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench")
LABELS = {"A>B": 0, "B>A": 1}


def to_item(row: Row) -> Item:
    """The item of a row; response A is the first reply. Skip `label_not_a_verdict`."""
    label = row["label"]
    if label not in LABELS:
        raise SkipRow("label_not_a_verdict", repr(label)[:80])
    name, source = name_of(row, "pair_id"), text(row, "source")
    return Item(
        id=name, prompt=question(row, "question"),
        replies=answers(text(row, "response_A"), text(row, "response_B")), correct=(LABELS[label],),
        category=source, subset=next((one for one in SOURCES if source.startswith(one)), source), cluster=name,
    )  # fmt: skip


def formulas(subsets: tuple[str, ...], _: Options) -> tuple[Formula, ...]:
    """The share over all rows and for each source, and the macro mean of the four sources."""
    others = [subset for subset in subsets if subset not in SOURCES]
    parts = (pooled(name, [name]) for name in (*SOURCES, *others))
    return (pooled("overall", subsets), *parts, mean("macro", SOURCES))


EVALSET = EvalSet(
    name="judgebench",
    repo="ScalerLab/JudgeBench",
    files=(
        "data/{split}-*.jsonl",
        "{split}-*.jsonl",
        "data/{split}-*.parquet",
        "data/*response_model={split}-*.jsonl",
        "*response_model={split}-*.jsonl",
    ),
    license="mit",
    paper="arXiv:2410.12784",
    rows=350,
    to_item=to_item,
    trials=pair_trials,
    formulas=formulas,
    splits=("gpt", "claude"),
    rows_of={"claude": 270},
)
