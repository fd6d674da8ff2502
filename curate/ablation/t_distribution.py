"""Student's t distribution: with few seeds a normal interval would be too narrow."""

import math

_STEPS = 300


def chance(t: float, freedom: float) -> float:
    """Two-sided p of a t value: I_x(freedom/2, 1/2), x = freedom / (freedom + t²) (Abramowitz, Stegun 26.5.27)."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(share: float, freedom: float) -> float:
    """The quantile of the distribution at a share above 1/2, by bisection."""
    low, high = 0.0, 2.0
    while chance(high, freedom) / 2 > 1 - share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle, freedom) / 2 > 1 - share else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # evaluated from its far end: below the bound above, a few dozen terms settle every digit
    value = 1.0
    for m in range(_STEPS, 0, -1):
        half, odd = divmod(m, 2)
        if odd:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        value = 1 + term / value
    return front / (a * value)
