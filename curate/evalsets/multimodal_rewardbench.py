"""Multimodal RewardBench: 4,711 released pairs (the paper's 5,211 less 500 withheld); micro share over all.

Reasoning is math or coding, and safety is bias or toxicity, by the first letters of the id. The authors report the
micro share; the mean of seven columns (`macro`) is what others print as "overall". The released rows hold bias
only. The literal category strings were not all seen: words in them decide, and a category without such a word
counts under its own name.

The authors' repository is on GitHub and fetches its images from ten places; `repo` is the copy on the Hub that
lmms-eval reads, with the images inside.
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
    with_its_media,
)
from curate.sources.base import Row, text
from curate.sources.images import media_of

COLUMNS = {
    "correctness": ("correctness",), "preference": ("preference",), "knowledge": ("knowledge",), "math": ("math",),
    "coding": ("coding",), "safety": ("bias", "toxicity"), "vqa": ("vqa",),
}  # fmt: skip
BETTER = {"Output1": 0, "Output2": 1}


def subset_of(category: str, name: str) -> str:
    """The column that a row counts under, from its category and id."""
    words = category.lower()
    if "safety" in words:
        return "bias" if name.startswith("pairs") else "toxicity"
    if "reasoning" in words:
        return "math" if name.startswith("math") else "coding"
    return next((word for word in ("correctness", "preference", "knowledge", "vqa") if word in words), category)


def to_item(row: Row) -> Item:
    """The item of a row; Output1 is the first reply. Skip `better_not_an_output`."""
    better = row["Better"]
    if better not in BETTER:
        raise SkipRow("better_not_an_output", repr(better)[:80])
    name, category = name_of(row, "ID"), text(row, "Category")
    prompt, media = with_its_media(question(row, "Text"), media_of(row.get("Image")))
    return Item(
        id=name, prompt=prompt, replies=answers(text(row, "Output1"), text(row, "Output2")),
        correct=(BETTER[better],), category=category, subset=subset_of(category, name), cluster=name,
        media=media,
    )  # fmt: skip


def formulas(subsets: tuple[str, ...], _: Options) -> tuple[Formula, ...]:
    """The micro share, seven columns, the two kinds of safety, categories of other names, and the macro."""
    known = {subset for parts in COLUMNS.values() for subset in parts}
    others = [subset for subset in subsets if subset not in known]
    return (
        pooled("overall", subsets),
        *(pooled(name, parts) for name, parts in COLUMNS.items()),
        *(pooled(name, [name]) for name in ("bias", "toxicity") if name in subsets),
        *(pooled(name, [name]) for name in others),
        mean("macro", COLUMNS),
    )


EVALSET = EvalSet(
    name="multimodal_rewardbench",
    repo="syhuggingface/multimodal_rewardbench",
    files=("data/all_data.json", "all_data.json", "data/test-*.parquet"),
    license="cc-by-nc-4.0",
    paper="arXiv:2502.14191",
    rows=4711,
    to_item=to_item,
    trials=pair_trials,
    formulas=formulas,
    headline=("overall", "macro"),
    media=("data/images", "images"),
    modality="image",
)
