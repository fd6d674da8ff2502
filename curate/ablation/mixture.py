"""Mixes of a recipe's entries as shares of the whole: within bounds, with exact rows, drawn by Dirichlet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from curate.arrays import F64
from curate.errors import InfeasibleError

CONCENTRATIONS = (0.3, 1.0, 3.0)
"""How even the mixes of a design are: below 1 a few sources have most of a mix, above it all have some."""

SMALL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The least and the most share of each entry; mixes that sum to 1 are possible.

    `natural` is the recipe's own mix, which floors and caps do not bind; `have` is what its pools can give.
    """

    labels: tuple[str, ...]
    least: F64
    most: F64
    natural: F64
    have: F64

    def own(self, total: int) -> tuple[int, ...]:
        """Exact rows of the natural mix."""
        return replace(self, least=np.zeros(len(self.labels)), most=self.have).rows(self.natural, total)

    def rows(self, shares: F64, total: int) -> tuple[int, ...]:
        """Exact rows of one mix: whole numbers that sum to `total`, within the bounds, by largest remainder."""
        exact = shares * total
        most = np.floor(self.most * total + SMALL)
        whole = np.clip(np.floor(exact + SMALL), np.ceil(self.least * total - SMALL), most)
        while (left := round(total - whole.sum())) != 0:  # one more round where a bound was in the way
            free = whole < most if left > 0 else whole > np.ceil(self.least * total - SMALL)
            order = np.argsort((whole - exact) * np.sign(left), kind="stable")
            chosen = [i for i in order if free[i]][: abs(left)]
            if not chosen:
                raise InfeasibleError("--budget", f"{total} rows are too few for the floors and caps", "more rows")
            whole[chosen] += np.sign(left)
        return tuple(int(count) for count in whole)


def bounds(
    pools: Mapping[str, int], natural: Mapping[str, int], total: int, *,
    repeats: Mapping[str, int], floors: Mapping[str, float], caps: Mapping[str, float], where: str,
) -> Bounds:  # fmt: skip
    """The bounds of mixes of `total` rows: what pools can give with their repeats, and what the user asks for.

    `natural` are the rows of the recipe's own mix. Raises InfeasibleError that names what binds.
    """
    labels = tuple(pools)
    have = np.array([pools[label] * repeats[label] for label in labels]) / total
    least = np.array([floors.get(label, 0.0) for label in labels])
    most = np.minimum(np.minimum(have, [caps.get(label, 1.0) for label in labels]), 1.0)
    for i, label in enumerate(labels):
        if least[i] > most[i]:
            _refuse_floor(label, float(least[i]), float(most[i]), caps, where)
    if least.sum() > 1 + SMALL:
        given = ", ".join(f"{label} {floors[label]:g}" for label in labels if floors.get(label))
        raise InfeasibleError("--floor", f"the floors sum to {least.sum():.3g} ({given})", "at most 1")
    _check_most(labels, most, caps, total, where)
    own = np.array([natural[label] for label in labels], float)
    have = np.minimum(have, 1.0)
    free = Bounds(labels=labels, least=np.zeros(len(labels)), most=have, natural=own / own.sum(), have=have)
    natural_shares = fit(free.natural[None], free)[0]
    return Bounds(labels=labels, least=least, most=most, natural=natural_shares, have=have)


def _refuse_floor(label: str, least: float, most: float, caps: Mapping[str, float], where: str) -> None:
    if caps.get(label, 2.0) <= most:
        raise InfeasibleError(f"--floor {label}={least:g}", f"its cap is {caps[label]:g}", "a floor below the cap")
    found, hint = f"its pool gives at most {most:.3g} of the mix", f"fewer --rows, or max_repeats on {label}"
    raise InfeasibleError(f"{where}.sources.{label}", found, f"its floor, {least:g}", hint)


def _check_most(labels: Sequence[str], most: F64, caps: Mapping[str, float], total: int, where: str) -> None:
    """Raise InfeasibleError where the entries together give fewer rows than asked for, or exactly these."""
    rows = int(most.sum() * total + SMALL)
    capped = [label for i, label in enumerate(labels) if caps.get(label, 2.0) <= most[i]]
    binding = f"the caps of {', '.join(capped)}" if capped else "the pools with their repeats"
    if rows < total:
        hint = "raise a --cap" if capped else f"--rows {rows}, or max_repeats: 2 in the recipe"
        raise InfeasibleError(
            f"{where}.sources", f"{binding} give at most {rows:,} of {total:,} rows", "all", hint
        )
    if most.sum() < 1.02:
        found = f"{binding} give {rows:,} rows, so that there is one mix of {total:,} and nothing to search"
        hint = f"--rows {max(1, total // 2)}, or max_repeats: 2 in the recipe"
        raise InfeasibleError(f"{where}.sources", found, "pools larger than the mix", hint)


def fit(shares: F64, within: Bounds) -> F64:
    """Each row of shares, scaled as a whole and then held within the bounds so that it sums to 1."""
    weights = np.maximum(shares, 0) + SMALL
    low, high = np.full(len(weights), -30.0), np.full(len(weights), 30.0)
    for _ in range(80):  # the sum grows with the scale: bisection of its logarithm
        middle = (low + high) / 2
        total = np.clip(np.exp(middle)[:, None] * weights, within.least, within.most).sum(axis=1)
        low, high = np.where(total < 1, middle, low), np.where(total < 1, high, middle)
    return np.asarray(np.clip(np.exp(high)[:, None] * weights, within.least, within.most))


def draw(within: Bounds, count: int, seed: int, spread: Sequence[float] = CONCENTRATIONS) -> F64:
    """`count` mixes, half of them around even shares and half around the natural mix; more begin with the same."""
    random = np.random.Generator(np.random.PCG64(seed))
    size = len(within.labels)
    centres = (np.ones(size), within.natural * size)
    drawn = [
        random.dirichlet(centres[int(random.random() < 0.5)] * spread[int(random.integers(len(spread)))] + 0.02)
        for _ in range(count)
    ]
    return fit(np.array(drawn).reshape(count, size), within)


def design(within: Bounds, count: int, total: int, seed: int) -> list[tuple[int, ...]]:
    """The rows of `count` different mixes of `total` rows, none of them the natural one.

    Raises InfeasibleError where the bounds allow fewer.
    """
    natural = within.own(total)
    found = dict.fromkeys(within.rows(shares, total) for shares in draw(within, 4 * count + 64, seed))
    found.pop(natural, None)
    if len(found) < count:
        hint = "fewer --arms, wider caps, or a larger --budget"
        raise InfeasibleError("--arms", f"the bounds allow {len(found)} different mixes", f"{count} of them", hint)
    return list(found)[:count]


def distance(a: F64, b: F64) -> float:
    """The sum of the absolute differences of shares: 0 for equal mixes, 2 for mixes that share nothing."""
    return float(np.abs(a - b).sum())


def shares(rows: Sequence[Sequence[int]]) -> F64:
    """Rows of mixes as shares of each."""
    counts = np.array(rows, float)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
