"""Losses of reward pairs, in fp32: Bradley-Terry, and the terms that papers add to it (all off by default)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Which terms the loss has.

    `margin`: subtract a pair's margin from its difference. `center`: λ of λ·mean((r_w + r_l)²). `length_norm`:
    divide a score by ln(reply tokens + 1). `tie_weight`: weight of (r_w - r_l)² for ties, which have no
    Bradley-Terry term.
    """

    margin: bool = False
    center: float = 0.0
    length_norm: bool = False
    tie_weight: float = 0.0
