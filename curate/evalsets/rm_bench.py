"""RM-Bench: three right and three wrong replies to 1,327 prompts, concise, detailed and with markdown.

Every right reply of style i is compared with every wrong reply of style j, strictly. Hard is where the wrong reply
has the richer style (i < j), normal the same style, easy the poorer one. A domain's number is the mean of its
three levels; overall is the mean of the four domains. Both halves of safety are one domain.

Others print the levels of the README's example, pooled over all prompts whatever their domain: `pooled: easy`,
`pooled: normal`, `pooled: hard`, and the share of all comparisons, `pooled`. Upstream's repository also has a
file for each domain, whose rows do not name it: the file's name does.
"""

from collections.abc import Sequence
from pathlib import Path

from curate.errors import SkipRow
from curate.evalsets.base import (
    EvalSet,
    Formula,
    Item,
    Options,
    Scores,
    Trial,
    answers,
    mean,
    name_of,
    pooled,
    question,
    texts,
)
from curate.sources.base import Row, text

STYLES = ("concise", "detailed", "markdown")
DOMAINS = ("chat", "code", "math", "safety")
DOMAIN_FILE = "_filtered.json"
CELLS = [(i, j) for i in range(3) for j in range(3)]
LEVELS = {
    "easy": [(i, j) for i, j in CELLS if i > j],
    "normal": [(i, j) for i, j in CELLS if i == j],
    "hard": [(i, j) for i, j in CELLS if i < j],
}


def to_item(row: Row) -> Item:
    """The item of a row: replies 0 to 2 are the right ones by style, 3 to 5 the wrong. Skip `not_three_styles`."""
    chosen, rejected = texts(row["chosen"], "chosen"), texts(row["rejected"], "rejected")
    if len(chosen) != 3 or len(rejected) != 3:
        raise SkipRow("not_three_styles", f"{len(chosen)} chosen, {len(rejected)} rejected")
    name, category = name_of(row, "id"), _domain(row)
    domain = "safety" if category.startswith("safety") else category
    if domain not in DOMAINS:
        raise SkipRow("unknown_domain", category[:80])
    return Item(
        id=name, prompt=question(row, "prompt"), replies=answers(*chosen, *rejected), correct=(0, 1, 2),
        category=category, subset=domain, cluster=f"{category}:{name}",
    )  # fmt: skip


def _domain(row: Row) -> str:
    """The domain of a row, by its column, else by a file's name such as `data/safety-refuse_filtered.json`."""
    name = Path(row.file).name
    if "domain" not in row and name.endswith(DOMAIN_FILE):
        return name.removesuffix(DOMAIN_FILE)
    return text(row, "domain")


def trials(items: Sequence[Item], scores: Scores) -> list[Trial]:
    """Nine comparisons for each item."""
    return [
        Trial(cell(item.subset, i, j), item.cluster, float(row[i] > row[3 + j]), row[i] == row[3 + j])
        for item, row in zip(items, scores, strict=True)
        for i, j in CELLS
    ]


def cell(name: str, right: int, wrong: int) -> str:
    """One cell of a domain's matrix, such as `chat: concise > markdown`."""
    return f"{name}: {STYLES[right]} > {STYLES[wrong]}"


def formulas(_: tuple[str, ...], __: Options) -> tuple[Formula, ...]:
    """Domains by level and pooled, the matrix as a mean over the domains, the three levels, overall, and
    the levels pooled over all prompts.

    All cells of a domain hold the same number of trials, so that pooling them is their mean.
    """
    out: list[Formula] = []
    for domain in DOMAINS:
        out += [
            pooled(f"{domain}: {level}", [cell(domain, *at) for at in cells]) for level, cells in LEVELS.items()
        ]
        out.append(pooled(domain, [cell(domain, *at) for at in CELLS]))
    out += [mean(cell("matrix", *at), [cell(domain, *at) for domain in DOMAINS]) for at in CELLS]
    out += [mean(level, [f"{domain}: {level}" for domain in DOMAINS]) for level in LEVELS]
    by_level = {f"pooled: {level}": _everywhere(cells) for level, cells in LEVELS.items()}
    by_prompt = [pooled(name, terms) for name, terms in {**by_level, "pooled": _everywhere(CELLS)}.items()]
    return (*out, mean("overall", DOMAINS), *by_prompt)


def _everywhere(cells: Sequence[tuple[int, int]]) -> list[str]:
    """The same cells of all domains."""
    return [cell(domain, *at) for domain in DOMAINS for at in cells]


EVALSET = EvalSet(
    name="rm_bench",
    repo="THU-KEG/RM-Bench",
    files=(
        "total_dataset.json",
        "data/total_dataset.json",
        "data/*.parquet",
        f"data/*{DOMAIN_FILE}",
        f"*{DOMAIN_FILE}",
    ),
    license="odc-by",
    paper="arXiv:2410.16184",
    rows=1327,
    to_item=to_item,
    trials=trials,
    formulas=formulas,
)
