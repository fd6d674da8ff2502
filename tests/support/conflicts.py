"""Pairs that repeat and contradict each other, and what the steps decide that look at one prompt at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.pairs.pool import PairsPool
from curate.screening.screen import screen
from curate.screening.screened import Screened
from curate.steps import build
from tests.support.pairs import write_pairs

STEPS: list[tuple[str, Any]] = [
    ("label_conflicts", {"policy": "keep_majority"}),
    ("exact_duplicates", {"on": ["pair", "unordered", "prompt_chosen"]}),
]


def conflicting(root: Path, seed: int = 5, count: int = 400) -> list[PairsPool]:
    """Two pools of few prompts and replies, so that pairs repeat and contradict each other."""
    rng = np.random.default_rng(seed)
    pools = []
    for priority, label in enumerate("ab"):
        rows = [
            {"source": label, "row": f"{label}:{i}", "prompt": f"p{p}", "chosen": f"c{c}", "rejected": f"c{r}"}
            for i, (p, c, r) in enumerate(rng.integers(0, [40, 4, 4], (count, 3)).tolist())
        ]
        parts = write_pairs(root / label, rows, part_rows=90)
        pools.append(PairsPool(label=label, source=label, directory=root / label, priority=priority, parts=parts))
    return pools


def decided(pools: Sequence[PairsPool], engine: Any) -> Screened:
    return screen(pools, [(name, build(name, value, "$")) for name, value in STEPS], 3, engine)


def assert_same(one: Screened, other: Screened) -> None:
    for mine, its in zip(one.pools, other.pools, strict=True):
        assert mine.decisions.equals(its.decisions)
        assert mine.funnel == its.funnel
