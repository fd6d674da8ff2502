"""The examination as tables of at most 80 columns."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from curate.analysis.doctor import ALL, Examination
from curate.tables import Table

FEW = 8  # names of a category or language table


def tables(found: Examination) -> Iterator[Table]:
    """Yield every table, some without rows: what is counted, what differs, what is wrong, and who agrees."""
    each = found["sources"].items()
    counts = [(x, y["pairs"], y["groups"], y["clusters"], y["ties"]["value"]) for x, y in each]
    yield Table("pairs", ("source", "pairs", "groups", "clusters", "ties"), counts)
    for label, figures in each:
        mean = f", the mean of {len(each) - 1} sources" if label == ALL else ""
        yield Table(f"{label}: rulers{mean}", RULER_COLUMNS, list(_rulers(figures)))
        yield Table(f"{label}: faults", ("fault", "pairs", "share", "clusters", "95 %"), list(_faults(figures)))
    yield _numbers(found)
    for what, one in (("categories", "category"), ("languages", "language")):
        yield Table(what, ("source", one, "pairs", "share"), list(_names(found, what)))
    yield Table("images", ("source", "pairs with any", "different", "most prompts of one"), list(_images(found)))
    yield Table("agreement", AGREEMENT_COLUMNS, [agreement_row(row) for row in found["agreement"]])


RULER_COLUMNS = ("ruler", "differ", "wins", "clusters", "95 %", "AUC", "clusters", "95 %")
AGREEMENT_COLUMNS = ("left", "right", "shared", "agreeing", "opposed", "share", "prompts", "95 %")


def _rulers(figures: Examination) -> Iterator[tuple[Any, ...]]:
    for name, ruler in figures["rulers"].items():
        differs, wins, auc = (ruler[x] for x in ("differs", "wins", "auc"))
        if differs["hits"]:
            shares = ((one["value"], one["clusters"], interval(one)) for one in (wins, auc))
            yield name, differs["value"], *itertools.chain(*shares)


def _faults(figures: Examination) -> Iterator[tuple[Any, ...]]:
    for name, share in figures["faults"].items():
        if share["hits"]:
            yield name, share["hits"], share["value"], share["clusters"], interval(share)


def _numbers(found: Examination) -> Table:
    percents = [f"{percent} %" for percent in found["quantiles"]]
    rows = [
        (label, name, numbers["pairs"], *map(_short, numbers["quantiles"]))
        for label, figures in found["sources"].items()
        for name, numbers in figures["numbers"].items()
    ]
    return Table("numbers", ("source", "of", "pairs", *percents), rows)


def _short(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _names(found: Examination, what: str) -> Iterator[tuple[Any, ...]]:
    for label, figures in found["sources"].items():
        counts: Sequence[tuple[str, int]] = list(figures.get(what, {}).items())
        if [name for name, _ in counts] == ["none"]:
            continue
        for name, pairs in counts[:FEW]:
            yield label, name, pairs, pairs / figures["pairs"]
        if len(counts) > FEW:
            rest = sum(pairs for _, pairs in counts[FEW:])
            yield label, f"{len(counts) - FEW} others", rest, rest / figures["pairs"]


def _images(found: Examination) -> Iterator[tuple[Any, ...]]:
    for label, figures in found["sources"].items():
        images = figures["images"]
        if images["pairs"]:
            yield label, images["pairs"], images["different"], images["most_prompts"]


def agreement_row(row: Examination) -> tuple[Any, ...]:
    """Return AGREEMENT_COLUMNS of a row of agreement."""
    return (*(row[name] for name in AGREEMENT_COLUMNS[:-1]), interval(row))


def interval(share: Examination) -> str:
    """Return both ends as text, `0.512-0.538`; `-` without an interval."""
    if share["low"] is None:
        return "-"
    return f"{share['low']:.3f}-{share['high']:.3f}"
