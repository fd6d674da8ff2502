"""What a source's labels are, from how often models of itself and models of the other sources agree with them.

Noise lowers both; another taste is learned from the source itself but not from the others; and where the columns
are swapped the others agree with hardly any label. Agreement is measured against what models
reach elsewhere: `usual` on the other sources, `learned` within as many pairs of them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from curate.analysis.intervals import Share

Diagnosis = Literal["clean", "noisy", "other taste", "columns swapped", "unclear"]

FEWEST_PAIRS = 300
"""Pairs of a source below which nothing is concluded."""

READABLE = 0.53
"""Agreement elsewhere below which the features say too little about any label."""

CLEAN, DAMAGED, OWN, REVERSED = 0.8, 0.8, 0.6, -0.5
"""Agreement above chance in parts of what is usual: at least CLEAN, surely below DAMAGED, by itself at least OWN,
and REVERSED or less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAgreement:
    """How often margins agree with the labels of a source, with 95 % intervals over clusters of pairs.

    all      by models of all sources
    others   by models of the other sources; of 0 pairs where there is no other
    within   by models of the source itself
    usual    the median over the other sources of how often models agree with their labels; None without others
    learned  how often models agree that were fitted to as many pairs of other sources as this one has
    """

    pairs: int
    all: Share
    others: Share
    within: Share
    usual: float | None
    learned: float | None

    def diagnosis(self) -> tuple[Diagnosis, str]:
        """Return the diagnosis, and why."""
        if self.pairs < FEWEST_PAIRS:
            return "unclear", f"{self.pairs:,} pairs; {FEWEST_PAIRS} tell something"
        if self.usual is None or self.learned is None or self.others.value is None or self.within.value is None:
            return "unclear", "there is no other source to compare with"
        if self.usual < READABLE:
            return (
                "unclear",
                f"models agree with {self.usual:.0%} of the labels elsewhere: the features say too little",
            )
        found = self._compared(self.usual, self.learned)
        return found, self._why()

    def _compared(self, usual: float, learned: float) -> Diagnosis:
        others, within = self.others, self.within
        assert others.value is not None
        assert within.value is not None
        assert others.high is not None
        assert within.low is not None
        own = _part(within.value, learned) if learned >= READABLE else 0.0
        outside = _part(others.value, usual)
        if outside <= REVERSED and others.high < 0.5 and own >= OWN:
            return "columns swapped"
        if own >= OWN and within.low > others.high:
            return "other taste"
        if outside >= CLEAN:
            return "clean"
        low = 0.5 + DAMAGED * (usual - 0.5)
        if others.high < low and learned >= READABLE and (own < OWN or within.value <= others.high):
            return "noisy"
        return "unclear"

    def _why(self) -> str:
        return (
            f"models of the other sources agree with {self.others.value:.0%} of its labels, elsewhere with "
            f"{self.usual:.0%}; models of itself with {self.within.value:.0%}, of as many other pairs with "
            f"{self.learned:.0%}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Itself as JSON values, with the diagnosis."""
        found, why = self.diagnosis()
        return {**asdict(self), "diagnosis": found, "why": why}


def _part(agreement: float, whole: float) -> float:
    """Agreement above chance, in parts of another one."""
    return (agreement - 0.5) / (whole - 0.5)
