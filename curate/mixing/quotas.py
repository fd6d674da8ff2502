"""Quotas -> a plan: exact rows for every entry, checked before any text is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from curate.errors import InfeasibleError
from curate.recipe import Entry, Recipe, check_sum
from curate.tables import Table


def largest_remainder(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Whole numbers that sum to `total`, in proportion to `weights`; equal remainders go to the earlier one."""
    scale = sum(weights) or Fraction(1)
    exact = [total * weight / scale for weight in weights]
    whole = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: whole[i] - exact[i])
    for i in by_remainder[: total - sum(whole)]:
        whole[i] += 1
    return whole


def exact_fill(total: int, weights: Sequence[Fraction], caps: Sequence[int | None]) -> list[Fraction]:
    """The water-filling of `total` before rounding: in proportion to `weights`, none above its cap."""
    full: dict[int, int] = {}
    while True:
        rest = total - sum(full.values())
        scale = sum((w for i, w in enumerate(weights) if i not in full), Fraction(0))
        exact = [Fraction(full[i]) if i in full else rest * w / scale for i, w in enumerate(weights)]
        over = {i: cap for i, cap in enumerate(caps) if cap is not None and exact[i] > cap}
        if not over:
            return exact
        full |= over


def water_fill(total: int, weights: Sequence[Fraction], caps: Sequence[int | None]) -> list[int]:
    """Split `total` in proportion to `weights`, none above its cap; what a cap cuts off goes to the others.

    The sum is below `total` only where every entry is at its cap.
    """
    exact = exact_fill(total, weights, caps)
    return largest_remainder(int(sum(exact)), exact)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """What one entry gives: pairs in its pool and rows of the mix, None where unknown; `cap` bounds the rows."""

    label: str
    pool: int | None
    rows: int | None
    cap: int | None = None

    @property
    def epochs(self) -> float | None:
        """Rows per pair of the pool."""
        return self.rows / self.pool if self.pool and self.rows is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Exact rows for every entry, before any text is read."""

    lines: tuple[PlanLine, ...]
    rows: int | None

    def share(self, line: PlanLine) -> float | None:
        """The line's share of the mix."""
        return line.rows / self.rows if self.rows and line.rows is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json` and the lock."""
        lines = [
            {"label": x.label, "pool": x.pool, "rows": x.rows, "share": self.share(x), "epochs": x.epochs}
            for x in self.lines
        ]
        return {"rows": self.rows, "sources": lines}


def plan(recipe: Recipe, pools: Mapping[str, int | None]) -> Plan:
    """Rows for every entry, from the number of pairs in its pool (label -> pairs; None or absent: unknown).

    Raises InfeasibleError naming the entry that binds, and ConfigError where quotas that depend on a pool
    (`all`, `epochs`) do not add up to `rows`.
    """
    fixed = {e.label: _fixed_rows(e, pools.get(e.label)) for e in recipe.entries if e.quota.kind != "share"}
    for entry in recipe.entries:
        _check_entry(recipe, entry, fixed.get(entry.label), pools.get(entry.label))
    rows: dict[str, int | None] = dict(fixed)
    total = recipe.rows
    known = [n for n in fixed.values() if n is not None]
    if len(known) == len(fixed):
        check_sum(total, [entry.quota for entry in recipe.entries], sum(known), recipe.where)
        rows |= _shared_rows(recipe, sum(known), pools)
        total = sum(n for n in rows.values() if n is not None)
    lines = [
        PlanLine(label=e.label, pool=pools.get(e.label), rows=rows.get(e.label), cap=e.cap) for e in recipe.entries
    ]
    return Plan(lines=tuple(lines), rows=total)


def _fixed_rows(entry: Entry, pool: int | None) -> int | None:
    """The rows of an entry whose quota is no share."""
    if entry.quota.kind == "rows":
        return int(entry.quota.value)
    if pool is None:
        return None
    rows = int(Fraction(str(entry.quota.value)) * pool + Fraction(1, 2))
    return rows if entry.cap is None else min(rows, entry.cap)


def _check_entry(recipe: Recipe, entry: Entry, rows: int | None, pool: int | None) -> None:
    where = f"{recipe.where}.sources.{entry.label}"
    if entry.quota.kind == "epochs" and entry.quota.value > entry.max_repeats:
        raise InfeasibleError(
            where,
            f"{entry.quota.value:g} epochs with max_repeats {entry.max_repeats}",
            f"at most {entry.max_repeats} epochs",
            f"set max_repeats: {math.ceil(entry.quota.value)} on {entry.label}",
        )
    if rows is not None and pool is not None and rows > pool * entry.max_repeats:
        most = pool * entry.max_repeats
        hint = f"rows: {most}, or max_repeats: {math.ceil(rows / pool)} on {entry.label}" if pool else ""
        raise InfeasibleError(where, *_too_many(entry, rows, pool), hint or _empty(entry))


def _too_many(entry: Entry, rows: int, pool: int) -> tuple[str, str]:
    found = f"{rows:,} rows wanted of a pool of {pool:,} pairs"
    return found, f"at most {pool * entry.max_repeats:,} (max_repeats {entry.max_repeats})"


def _empty(entry: Entry) -> str:
    return f"leave {entry.label} out: no pair of it is left"


def _shared_rows(recipe: Recipe, fixed: int, pools: Mapping[str, int | None]) -> dict[str, int]:
    """The rows of the entries with a share, exact to one row."""
    entries = [entry for entry in recipe.entries if entry.quota.kind == "share"]
    if not entries or recipe.rows is None:
        return {}
    left = recipe.rows - fixed
    weights = [Fraction(str(entry.quota.value)) for entry in entries]
    caps = [entry.cap for entry in entries]
    rows = water_fill(left, weights, caps)
    if sum(rows) < left:
        raise InfeasibleError(
            f"{recipe.where}.sources",
            f"every share is at its cap, which gives {sum(rows):,} of {left:,} rows",
            "at least one share without a cap",
            f"rows: {fixed + sum(rows)} is the largest feasible total",
        )
    wanted = [_Wanted(entry, n, pools.get(entry.label)) for entry, n in zip(entries, rows, strict=True)]
    if any(item.short for item in wanted):
        raise _infeasible_shares(recipe, fixed, wanted)
    return {entry.label: n for entry, n in zip(entries, rows, strict=True)}


class _Wanted(NamedTuple):
    """What an entry with a share should give, and what it has."""

    entry: Entry
    rows: int
    pool: int | None

    @property
    def weight(self) -> Fraction:
        return Fraction(str(self.entry.quota.value))

    @property
    def limit(self) -> int | None:
        return None if self.pool is None else self.pool * self.entry.max_repeats

    @property
    def short(self) -> bool:
        return self.limit is not None and self.rows > self.limit


def _infeasible_shares(recipe: Recipe, fixed: int, wanted: Sequence[_Wanted]) -> InfeasibleError:
    """Names the entry that binds first as the total grows, and the largest total at which none does."""
    weights, caps = [item.weight for item in wanted], [item.entry.cap for item in wanted]

    def fits(total: int) -> bool:
        exact = exact_fill(total, weights, caps)
        return all(item.limit is None or n <= item.limit for item, n in zip(wanted, exact, strict=True))

    low, high = 0, sum(item.rows for item in wanted)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    short = [item for item in wanted if item.short]
    binding = min(short, key=lambda item: (item.limit or 0) / item.weight)
    repeats = [
        f"max_repeats: {math.ceil(item.rows / item.pool)} on {item.entry.label}" for item in short if item.pool
    ]
    hint = f"rows: {fixed + low} is the largest feasible total, or {' and '.join(repeats)}"
    return InfeasibleError(
        f"{recipe.where}.sources.{binding.entry.label}",
        *_too_many(binding.entry, binding.rows, binding.pool or 0),
        hint if binding.pool else _empty(binding.entry),
    )


def plan_table(plan: "Plan", basis: str) -> Table:
    """Rows, share and epochs per entry of a recipe; of a pool of unknown size, at most its cap."""
    rows = [(line.label, line.pool, _rows_cell(line), plan.share(line), line.epochs) for line in plan.lines]
    return Table(
        f"plan ({basis})",
        ("source", "pool", "rows", "share", "epochs"),
        rows,
        ("", "", "" if plan.rows is None else plan.rows, "", ""),
    )


def _rows_cell(line: PlanLine) -> int | str | None:
    return f"at most {line.cap:,}" if line.rows is None and line.cap is not None else line.rows
