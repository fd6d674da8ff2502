"""How many pairs each pool has, how that is known, and which quotas rest on what nobody knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from curate.mixing.quotas import Plan
from curate.recipe import Entry, Recipe
from curate.tables import Table

Basis = Literal["counted", "published", "derived", "unknown"]
MOST = 0.95
"""The share of a pool that was not counted which a quota may take without a warning: rows are lost on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """The pairs of one pool before screening.

    counted    in its finished pairs files
    published  a number of rows that give one pair each, by the publisher
    derived    computed from published rows; where rows may give none, it is an upper bound
    unknown    no number that could be trusted; `pairs` is None
    """

    pairs: int | None
    basis: Basis


def doubts(recipe: Recipe, plan: Plan, sizes: Mapping[str, PoolSize]) -> list[str]:
    """One warning per entry whose exact quota rests on an unknown pool or takes nearly all of one not counted.

    Quotas that take what there is (`all`, `epochs`) cannot be too large and give no warning.
    """
    rows = {line.label: line.rows for line in plan.lines}
    found = [_doubt(entry, rows[entry.label], [sizes[label] for label in entry.pools])
             for entry in recipe.entries if entry.quota.kind in ("rows", "share")]  # fmt: skip
    return [line for line in found if line]


def _doubt(entry: Entry, rows: int | None, sizes: Sequence[PoolSize]) -> str:
    where, wanted = f"$.sources.{entry.label}", "a share" if rows is None else f"{rows:,} rows"
    remedy = "" if rows is None else f"; {{all: true, cap: {rows}}} takes what there is, up to that"
    unknown = [label for label, size in zip(entry.pools, sizes, strict=True) if size.pairs is None]
    if unknown:
        return f"{where}: {wanted} rest on pools of unknown size: {', '.join(unknown)}{remedy}"
    pairs = sum(size.pairs or 0 for size in sizes) * entry.max_repeats
    if rows is None or not pairs or rows <= MOST * pairs or all(size.basis == "counted" for size in sizes):
        return ""
    known = "published" if all(size.basis != "derived" for size in sizes) else "derived"
    return f"{where}: {wanted} are {rows / pairs:.0%} of {pairs:,} pairs as {known}, before any is dropped{remedy}"


def pools_table(recipe: Recipe, sizes: Mapping[str, PoolSize]) -> Table:
    """Each pool with its size and how that is known."""
    rows = [(pool.label, pool.source, sizes[pool.label].pairs, sizes[pool.label].basis) for pool in recipe.pools]
    return Table("pools", ("pool", "source", "pairs", "size"), rows)
