"""Quotas -> selected pairs -> global order: pure functions over key columns.

There is no random state anywhere. Whether a pair is in a mix, and where, follows from its id, the seed and the
number of its repeat, so a larger quota contains the smaller one and a removed source moves nobody else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.arrays import U64
from curate.mixing.holdout import hold_out
from curate.mixing.quotas import Plan, plan
from curate.order import descending, order_key
from curate.pairs.keys import framed, numpy_kind
from curate.recipe import Entry, Recipe

SELECTION = {
    "rank": pl.UInt32,
    "pool": pl.UInt16,
    "part": pl.UInt32,
    "position": pl.UInt32,
    "repeat": pl.Int32,
    "text_bytes": pl.UInt32,
    "media_bytes": pl.UInt64,
    "has_fields": pl.Boolean,
    "entry": pl.UInt16,
}
"""The columns of a selection, in global order.

`pool` and `entry` are positions in `recipe.pools` and `recipe.entries`; `part` and `position` are the pair's
place in the pool's files; `repeat` counts the earlier times that this pair was taken.
"""

CHANGES = {"flipped": False, "weight": 1.0}
"""Columns that a selection has where any pair of the mix has another value than this one.

flipped   whether the replies of the pair change places
weight    the factor of its loss in training
"""

CHUNK = 1 << 20

COPY = np.uint64(1 << 32)
"""Copies of one pair are ordered as further pairs: the number given to `order_key` is copy * COPY + repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Where the kept pairs of one entry's pools went: kept = held_out + distinct + unused.

    `selected` are rows of the mix, `distinct` the pairs among them.
    """

    label: str
    kept: int
    held_out: int
    selected: int
    distinct: int
    unused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The mix and the holdout as frames with the columns SELECTION, and the conservation law per entry.

    The mix may have columns of CHANGES; with its weights the holdout has some too, all 1.
    """

    plan: Plan
    mix: pl.DataFrame
    holdout: pl.DataFrame
    counts: tuple[Count, ...]


def select(recipe: Recipe, kept: Mapping[str, pl.DataFrame]) -> Selection:
    """Which pairs enter the mix, and in which order.

    `kept` gives the key columns (curate.pairs.keys) of the pairs that passed the steps, by pool label. The order
    of their rows changes nothing. Where they have the column `barred`, barred pairs can only be held out; where
    they have those of CHANGES, the mix has them. Raises InfeasibleError as `plan` does.
    """
    wanted = ("group", "prompt_key") if recipe.holdout or any(entry.per_group for entry in recipe.entries) else ()
    frames = {pool.label: _numbered(kept[pool.label], i, wanted) for i, pool in enumerate(recipe.pools)}
    held = hold_out(recipe, frames)
    barred = {label: ~held[label] & kept[label]["barred"] for label in frames if "barred" in kept[label].columns}
    taken = {label: held[label] | barred[label] if label in barred else held[label] for label in frames}
    free = {label: frame.filter(~taken[label]) if taken[label].any() else frame for label, frame in frames.items()}
    candidates = [_candidates(entry, free, recipe.seed) for entry in recipe.entries]
    sizes = {entry.label: len(frame) for entry, frame in zip(recipe.entries, candidates, strict=True)}
    planned = plan(recipe, sizes)
    chosen = [
        take(frame, line.rows or 0, recipe.seed).with_columns(pl.lit(i, pl.UInt16).alias("entry"))
        for i, (frame, line) in enumerate(zip(candidates, planned.lines, strict=True))
    ]
    del candidates, free
    mix = _number_doubly_chosen(recipe, pl.concat(chosen))
    if recipe.without:
        mix = mix.filter(~left_out(recipe))
        chosen = [frame.filter(~left_out(recipe)) for frame in chosen]
    dropped = {label: int(barred[label].sum()) if label in barred else 0 for label in frames}
    counts = tuple(
        _count(entry, frames, held, dropped, frame) for entry, frame in zip(recipe.entries, chosen, strict=True)
    )
    lines = [replace(line, rows=len(frame)) for line, frame in zip(planned.lines, chosen, strict=True)]
    del chosen
    keys = [kept[pool.label] for pool in recipe.pools]
    mix, holdout = (in_order(rows, recipe.seed, keys) for rows in (mix, _held_rows(recipe, frames, held)))
    mix = _with_changes(mix, keys)
    if "weight" in mix.columns:  # files of a mix have the same columns
        holdout = holdout.with_columns(weight=pl.lit(1.0))
    return Selection(plan=Plan(lines=tuple(lines), rows=len(mix)), mix=mix, holdout=holdout, counts=counts)


def _with_changes(mix: pl.DataFrame, keys: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The mix with those columns of CHANGES in which any of its pairs has another value than usual."""
    for name, usual in CHANGES.items():
        found = [
            of_pool.filter(pl.col(name) != usual).select(
                pl.lit(i, pl.UInt16).alias("pool"), "part", "position", name
            )
            for i, of_pool in enumerate(keys)
            if name in of_pool.columns
        ]
        if not found:
            continue
        joined = mix.join(
            pl.concat(found), on=["pool", "part", "position"], how="left", maintain_order="left", validate="m:1"
        )
        mix = joined.with_columns(pl.col(name).fill_null(usual)) if joined[name].count() else mix
    return mix


def left_out(recipe: Recipe) -> pl.Expr:
    """Whether a selected row is of `recipe.without`: of a named source or pool, else taken by a named entry.

    Rows are left out of the finished selection, so that every other row keeps its order key and repeat number.
    """
    named = set(recipe.without)
    pools = [i for i, pool in enumerate(recipe.pools) if named & {pool.label, pool.source}]
    named -= {name for pool in recipe.pools for name in (pool.label, pool.source)}
    entries = [i for i, entry in enumerate(recipe.entries) if named & {entry.label, f"entry:{entry.label}"}]
    return pl.col("pool").is_in(pools) | pl.col("entry").is_in(entries)


def _numbered(keys: pl.DataFrame, pool: int, wanted: Sequence[str]) -> pl.DataFrame:
    """What selection needs of each pair, `at` being its row of `keys`.

    Copies of a pair are numbered by their group, not by their place in files.
    """
    frame = keys.select(
        "id_hi", "id_lo", "copy", *wanted, pl.lit(pool, pl.UInt16).alias("pool"),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"),
    )  # fmt: skip
    if not (keys["copy"] > 0).any():
        return frame
    doubled = frame.join(frame.filter(pl.col("copy") > 0), on=["id_hi", "id_lo"], how="semi")
    doubled = doubled.with_columns(keys["group"].gather(doubled["at"])).sort("id_hi", "id_lo", "group", "copy")
    numbers = doubled.select(pl.int_range(pl.len(), dtype=pl.UInt32).over("id_hi", "id_lo")).to_series()
    return frame.with_columns(frame["copy"].scatter(doubled["at"], numbers))


def _ranking(frame: pl.DataFrame, seed: int, repeat: int | pl.Series = 0) -> npt.NDArray[np.intp]:
    """The rows of a frame by order key; equal ones by id and number."""
    key = np.empty(frame.height, np.uint64)
    for first in range(0, frame.height, CHUNK):  # what a key is computed from would take several times its memory
        some = frame[first : first + CHUNK]
        again = repeat if isinstance(repeat, int) else repeat[first : first + CHUNK]
        key[first : first + CHUNK] = order_key(*_words(some), seed, _number(some, again))

    def ties() -> tuple[U64, U64, U64]:
        return *_words(frame), _number(frame, repeat)

    return descending(key, ties)


def _words(frame: pl.DataFrame) -> tuple[U64, U64]:
    return frame["id_hi"].to_numpy(), frame["id_lo"].to_numpy()


def _number(frame: pl.DataFrame, repeat: int | pl.Series) -> U64:
    again = repeat if isinstance(repeat, int) else repeat.to_numpy()
    number: U64 = frame["copy"].to_numpy().astype(np.uint64) * COPY + np.asarray(again).astype(np.uint64)
    return number


def _candidates(entry: Entry, free: Mapping[str, pl.DataFrame], seed: int) -> pl.DataFrame:
    """The united pool of an entry, at most `per_group` pairs of one group, those with the largest keys."""
    united = pl.concat([free[label] for label in entry.pools])
    if entry.per_group is None:
        return united
    ordered = united[_ranking(united, seed)]
    return ordered.filter(pl.int_range(pl.len()).over("group") < entry.per_group)


def take(frame: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """The first `rows` candidates by order key; beyond their number every pair again, as repeat 1, 2, ..."""
    epochs, rest = divmod(rows, len(frame)) if len(frame) else (0, 0)
    whole = [frame.with_columns(pl.lit(i, pl.Int32).alias("repeat")) for i in range(epochs)]
    first = _ranking(frame, seed, epochs)[:rest] if rest else np.empty(0, np.intp)
    return pl.concat([*whole, frame[first].with_columns(pl.lit(epochs, pl.Int32).alias("repeat"))])


def _count(
    entry: Entry,
    frames: Mapping[str, pl.DataFrame],
    held: Mapping[str, pl.Series],
    dropped: Mapping[str, int],
    chosen: pl.DataFrame,
) -> Count:
    kept = sum(len(frames[label]) - dropped[label] for label in entry.pools)
    held_out = sum(int(held[label].sum()) for label in entry.pools)
    distinct = distinct_places(chosen["pool"], chosen["at"])
    assert distinct == (chosen["repeat"] == 0).sum(), f"{entry.label}: a pair was taken twice as the same repeat"
    unused = kept - held_out - distinct
    return Count(
        label=entry.label, kept=kept, held_out=held_out, selected=len(chosen), distinct=distinct, unused=unused
    )


def _number_doubly_chosen(recipe: Recipe, chosen: pl.DataFrame) -> pl.DataFrame:
    """Where two entries took the same pair, the later one's count goes on from the earlier one's."""
    sources = {pool.label: pool.source for pool in recipe.pools}
    reached = [sources[label] for entry in recipe.entries for label in entry.pools]
    if len(set(reached)) == len(reached):
        return chosen
    number = pl.int_range(pl.len(), dtype=pl.Int32).over("id_hi", "id_lo", "copy")
    return chosen.with_columns(number.alias("repeat"))


def _held_rows(recipe: Recipe, frames: Mapping[str, pl.DataFrame], held: Mapping[str, pl.Series]) -> pl.DataFrame:
    """The held out pairs; their entry is the first that draws from their pool."""
    first = {label: min(i for i, entry in enumerate(recipe.entries) if label in entry.pools) for label in frames}
    return pl.concat(
        frame.filter(held[label]).with_columns(
            pl.lit(0, pl.Int32).alias("repeat"), pl.lit(first[label], pl.UInt16).alias("entry")
        )
        for label, frame in frames.items()
    )


def distinct_places(upper: pl.Series, lower: pl.Series) -> int:
    """Return how many different pairs there are of these numbers below 2**32."""
    places = upper.to_numpy().astype(np.uint64) << np.uint64(32)
    places |= lower.to_numpy()
    places.sort()
    return int(np.count_nonzero(places[1:] != places[:-1])) + min(len(places), 1)


def in_order(rows: pl.DataFrame, seed: int, keys: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows (pool, at, repeat, entry, id_hi, id_lo, copy) in global order, as the columns SELECTION.

    `keys` are those of the pools; `at` is a row of them.
    """
    ranked = rows.select("pool", "at", "repeat", "entry")[_ranking(rows, seed, rows["repeat"])]
    names = ("part", "position", "text_bytes", "media_bytes", "has_fields")
    found = {name: np.empty(ranked.height, numpy_kind(SELECTION[name])) for name in names}
    pool, at = ranked["pool"].to_numpy(), ranked["at"].to_numpy()
    for number, of_pool in enumerate(keys):
        own = pool == number
        for name in names:
            found[name][own] = of_pool[name].to_numpy()[at[own]]
    made = framed({name: (array, SELECTION[name]) for name, array in found.items()})
    ranked = ranked.with_columns(*made, pl.int_range(pl.len(), dtype=pl.UInt32).alias("rank"))
    return ranked.select(pl.col(name).cast(kind) for name, kind in SELECTION.items())
