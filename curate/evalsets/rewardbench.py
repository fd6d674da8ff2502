"""RewardBench: 2,985 pairs in 23 subsets and four sections, each section a mean weighted by fixed counts.

The counts are upstream's: they are not the numbers of rows, since math-prm (447 rows) weighs as much as all code
together (984). A subset without rows is left out of its section. Overall is the mean of the four sections; the
older leaderboard added Prior Sets at half weight, which `prior_sets` brings back.

Others print a section as the share of its rows: `chat: plain counts` and so on, and the mean of these four as
`overall: plain counts`.
"""

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

SECTIONS: dict[str, dict[str, float]] = {
    "chat": {
        "alpacaeval-easy": 100, "alpacaeval-length": 95, "alpacaeval-hard": 95, "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "chat_hard": {
        "mt-bench-hard": 37, "llmbar-natural": 100, "llmbar-adver-neighbor": 134, "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47, "llmbar-adver-manual": 46,
    },
    "safety": {
        "refusals-dangerous": 100, "refusals-offensive": 100, "xstest-should-refuse": 154,
        "xstest-should-respond": 250, "donotanswer": 136,
    },
    "reasoning": {
        "math-prm": 984, "hep-cpp": 164, "hep-go": 164, "hep-java": 164, "hep-js": 164, "hep-python": 164,
        "hep-rust": 164,
    },
}  # fmt: skip
"""Upstream's EXAMPLE_COUNTS, by section."""

PRIOR_WEIGHT = 0.5


def to_item(row: Row) -> Item:
    """The item of a row; the chosen reply is the first."""
    name, subset = name_of(row, "id"), text(row, "subset")
    section = next((section for section, subsets in SECTIONS.items() if subset in subsets), "")
    return Item(
        id=name, prompt=question(row, "prompt"), replies=answers(text(row, "chosen"), text(row, "rejected")),
        correct=(0,), category=section, subset=subset, cluster=f"{subset}:{name}",
    )  # fmt: skip


def formulas(subsets: tuple[str, ...], options: Options) -> tuple[Formula, ...]:
    """The sections and their mean, the mean with Prior Sets if they are given, the sections by plain counts and
    their mean, and every subset."""
    sections = tuple(Formula(name=name, terms=terms, kind="present") for name, terms in SECTIONS.items())
    prior: tuple[Formula, ...] = ()
    if options.prior_sets is not None:
        given = ((PRIOR_WEIGHT, options.prior_sets),)
        terms = dict.fromkeys(SECTIONS, 1.0)
        prior = (Formula(name="overall_with_prior_sets", terms=terms, kind="weighted", given=given),)
    plain = tuple(pooled(f"{name}: plain counts", terms) for name, terms in SECTIONS.items())
    return (
        *sections,
        mean("overall", SECTIONS),
        *prior,
        *plain,
        mean("overall: plain counts", [formula.name for formula in plain]),
        pooled("all_pairs", subsets),
        *(pooled(subset, [subset]) for subset in subsets),
    )


EVALSET = EvalSet(
    name="rewardbench",
    repo="allenai/reward-bench",
    files=("data/filtered-*.parquet",),
    license="odc-by",
    paper="arXiv:2403.13787",
    rows=2985,
    to_item=to_item,
    trials=pair_trials,
    formulas=formulas,
)
