"""Bands: which min-hashes must agree for two pairs to be compared, chosen from what the user wants found.

`rows` min-hashes make a band; pairs that agree in all rows of one of `bands` bands are compared. Two of Jaccard
similarity s agree in one row with probability s, so they are compared with 1 - (1 - s^rows)^bands (the S-curve).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from curate.near_duplicates.sketch_format import SLOTS
from curate.tables import Table

OVERLOOKED = 1e-4
"""How many pairs at the stated similarity the estimate from all slots may turn away."""

SHOWN = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Banding:
    """`bands` of `rows` min-hashes each, made for pairs of at least this Jaccard similarity."""

    jaccard: float
    rows: int
    bands: int

    def compared(self, similarity: float) -> float:
        """The S-curve: the share of pairs with this similarity that are compared."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)

    @cached_property
    def least_equal(self) -> int:
        """How many slots must be equal before texts are compared: all pairs but OVERLOOKED have them."""
        missed, chance = 0.0, 0
        while True:
            missed += math.comb(SLOTS, chance) * self.jaccard**chance * (1 - self.jaccard) ** (SLOTS - chance)
            if missed > OVERLOOKED:
                return chance
            chance += 1

    def curve(self) -> list[tuple[float, float, float | None]]:
        """(similarity, share compared, share missed); nothing is missed below the stated similarity."""
        points = sorted({*SHOWN, self.jaccard})
        shares = [(point, self.compared(point)) for point in points]
        return [(point, share, 1 - share if point >= self.jaccard else None) for point, share in shares]

    def to_dict(self) -> dict[str, Any]:
        """Itself and its curve, as JSON values."""
        points = [{"jaccard": at, "compared": share, "missed": gone} for at, share, gone in self.curve()]
        return {"jaccard": self.jaccard, "rows": self.rows, "bands": self.bands, "curve": points}

    def __str__(self) -> str:
        missed = ", ".join(f"{gone:.2%} at {at:g}" for at, _, gone in self.curve() if gone is not None)
        return f"{self.bands} bands of {self.rows} min-hashes; expected misses: {missed} Jaccard similarity"


def choose(jaccard: float, recall: float) -> Banding:
    """The banding that compares the fewest other pairs among those that find `recall` of the pairs at `jaccard`.

    That is the one with most rows, since more rows make a steeper S-curve, and as few bands
    as will do. Raises ValueError where SLOTS min-hashes cannot reach that recall.
    """
    for rows in range(SLOTS, 0, -1):
        agree = jaccard**rows
        bands = 1 if agree >= recall else math.ceil(np.log1p(-recall) / np.log1p(-agree) - 1e-9)
        if rows * bands <= SLOTS:
            return Banding(jaccard=jaccard, rows=rows, bands=bands)
    raise ValueError(f"recall {recall} at jaccard {jaccard} is more than {SLOTS} min-hashes can give")


def curve_table(name: str, banding: "Banding") -> Table:
    """The S-curve of a step that looks for near-duplicates, and the misses to be expected."""
    title = f"{name}: what {banding.bands} bands of {banding.rows} min-hashes find"
    return Table(title, ("jaccard", "compared", "missed"), list(banding.curve()))
