"""Writes files with a line for each reply or item, as JSONL or CSV: empty score files, and who won what."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.errors import ConfigError
from curate.evalsets.base import Scores
from curate.evaluation.ensemble_scores import Questions
from curate.evaluation.items import LoadedEvalSet
from curate.workspace import atomic

SUFFIXES = (".jsonl", ".csv")
SIDES = ("a", "b")


def check_suffix(option: str, path: Path) -> None:
    """Raise ConfigError for a file that is neither JSONL nor CSV by its name."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(option, str(path), "a file that ends in .jsonl or .csv")


def template(loaded: Iterable[LoadedEvalSet]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a score file without scores: one for each reply of each item."""
    for one in loaded:
        for key, number, item in zip(one.items.keys, one.items.numbers, one.items.items, strict=True):
            for candidate in range(len(item.replies)):
                names = {"benchmark": one.evalset.name, "item": key, "row": number}
                yield {**names, "candidate": candidate, "score": None}


def held_out_template(pairs: Questions, positions: Iterable[int]) -> Iterator[dict[str, Any]]:
    """The same lines for held-out pairs at these positions."""
    for at in positions:
        names = {"benchmark": pairs.name, "item": pairs.items.keys[at], "row": pairs.items.numbers[at]}
        yield from ({**names, "candidate": candidate, "score": None} for candidate in range(2))


def per_item(loaded: LoadedEvalSet, sides: Sequence[Scores]) -> Iterator[dict[str, Any]]:
    """Yield for each item what it earns with each side's scores, as `a` and `b`, and who of two earns more.

    An item earns the mean of the credits of its own comparisons, 0 to 1.
    """
    trials = loaded.evalset.trials
    for at, (key, item) in enumerate(zip(loaded.items.keys, loaded.items.items, strict=True)):
        earned = []
        for scores in sides:
            credits_of = [trial.credit for trial in trials([item], [scores[at]])]
            earned.append(sum(credits_of) / len(credits_of))
        line: dict[str, Any] = {
            "benchmark": loaded.evalset.name, "item": key, "row": loaded.items.numbers[at],
            "category": item.category, **dict(zip(SIDES, earned, strict=False)),
        }  # fmt: skip
        if len(earned) == len(SIDES):
            line["more"] = "" if earned[0] == earned[1] else SIDES[earned[0] < earned[1]]
        yield line


def write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Publish lines, all with the same keys, as JSONL or, by the suffix, as CSV."""
    rows = list(lines)
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            table = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        else:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
