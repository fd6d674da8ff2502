"""How much of a text must be found: what each strength finds, and how surely, by benchmarks/leaks.py."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from curate.tables import Table

Strength = Literal["low", "medium", "high"]

SHARES: Mapping[Strength, float] = {"low": 0.7, "medium": 0.5, "high": 0.4}
"""The share of a document of 26 words or more that must be found, weighed by rarity."""

CHANGED = ("none", "5 %", "10 %", "20 %", "30 %")
WORDS = ("13-25", "26-60", "61+")


class Measured(NamedTuple):
    """What was measured of a strength.

    every, short, middle, long   for each of CHANGED, the share of the leaks that are found: of all documents of 13
                                 words or more, and of those of WORDS
    precision                    the share of the dropped pairs that hold a planted leak
    """

    every: tuple[float, ...]
    short: tuple[float, ...]
    middle: tuple[float, ...]
    long: tuple[float, ...]
    precision: float


MEASURED: Mapping[Strength, Measured] = {
    "low": Measured(
        (1.0, 0.99, 0.97, 0.69, 0.13),
        (1.0, 1.0, 0.91, 0.47, 0.12),
        (1.0, 0.98, 0.98, 0.64, 0.17),
        (1.0, 1.0, 0.99, 0.82, 0.1),
        precision=1.0,
    ),
    "medium": Measured(
        (1.0, 0.99, 0.99, 0.96, 0.65),
        (1.0, 1.0, 1.0, 0.88, 0.38),
        (1.0, 0.98, 0.98, 0.95, 0.64),
        (1.0, 1.0, 0.99, 1.0, 0.84),
        precision=0.997,
    ),
    "high": Measured(
        (1.0, 0.99, 0.99, 0.98, 0.77),
        (1.0, 1.0, 1.0, 0.94, 0.53),
        (1.0, 0.98, 0.98, 0.98, 0.79),
        (1.0, 1.0, 0.99, 1.0, 0.93),
        precision=0.984,
    ),
}
"""With 2,866 planted leaks among 2,936 real pairs; where leaks are rarer, precision is lower."""


def strength_of(share: float) -> Strength | None:
    """Return the strength that has this share, None where none has."""
    return next((name for name, one in SHARES.items() if one == share), None)


def recall_line(share: float) -> str:
    """Return one line on what a step that wants this share finds."""
    strength = strength_of(share)
    if strength is None:
        return f"share {share:g}: what it finds was measured only for strength {', '.join(SHARES)}"
    measured = MEASURED[strength]
    verbatim, *others = measured.every
    found = ", ".join(f"{one:.2f} with {changed}" for one, changed in zip(others, CHANGED[1:], strict=True))
    return (
        f"strength {strength}: of leaks of 13 words or more, {verbatim:.2f} are found word for word, {found} of "
        f"their words changed; {measured.precision:.3f} of what is dropped is a leak (benchmarks/leaks.py)"
    )


def strength_table(name: str, share: float) -> Table:
    """Return what a step finds, by the share of changed words and the document's length; no lines if unknown."""
    strength = strength_of(share)
    rows = list(zip(CHANGED, *MEASURED[strength][:4], strict=True)) if strength else []
    columns = ("words changed", "found", *(f"of {words} words" for words in WORDS))
    return Table(f"{name}, {recall_line(share)}", columns, rows)
