"""Compare two mixes: their rows, source by source, with reasons, and their definitions. Reads no text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate.inspect.artefacts import SHORT, Mix, pools
from curate.inspect.text import shorten
from curate.pairs import keys
from curate.pairs.files import column
from curate.tables import Table
from curate.workspace import Workspace

ID = ("id_hi", "id_lo")  # the halves of a pair id: sixteen bytes a pair in memory
REPEATS, HELD_OUT, UNUSED = "fewer repeats", "held out", "unused"
NO_SOURCE, NO_PAIRS = "source not in the recipe", "not in the pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDiff:
    """Rows of one source in both mixes, only in A, only in B; and what the other mix did with the latter two."""

    source: str
    both: int
    only_a: int
    only_b: int
    left: Mapping[str, int]
    entered: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of the definition that differs; None if a mix does not have it."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Two mixes compared; `rows_a` and `rows_b` are their rows."""

    a: str
    b: str
    rows_a: int
    rows_b: int
    sources: tuple[SourceDiff, ...]
    changes: tuple[Change, ...]


def compare_mixes(a: Mix, b: Mix, workspace: Workspace) -> Diff:
    """Compare the rows of two mixes by pair id; a pair that occurs twice counts twice. |A| = both + only A.

    Raises WorkspaceError if a file is damaged, or the pairs that a mix was made from are needed and missing.
    """
    for mix in (a, b):
        mix.check("shard", "holdout", "decisions")
    rows_a, rows_b = _rows(a), _rows(b)
    joined = rows_a.join(rows_b, on=ID, how="full", coalesce=True, suffix="_b").with_columns(
        pl.col("rows", "rows_b").fill_null(0), pl.coalesce("source", "source_b").alias("source")
    )
    both = pl.min_horizontal("rows", "rows_b")
    joined = joined.with_columns(both=both, left=pl.col("rows") - both, entered=pl.col("rows_b") - both)
    left = _reasons(joined.filter(pl.col("left") > 0), "left", a, b, workspace)
    entered = _reasons(joined.filter(pl.col("entered") > 0), "entered", b, a, workspace)
    sums = joined.group_by("source").agg(pl.col("both", "left", "entered").sum())
    totals = {source: counts for source, *counts in sums.iter_rows()}
    order = list(dict.fromkeys(pool.source for mix in (a, b) for pool in mix.pools))
    assert set(totals) <= set(order), "every row of a mix is of a source of its lock"
    found = Diff(
        a=a.title,
        b=b.title,
        rows_a=a.lock["rows"],
        rows_b=b.lock["rows"],
        sources=tuple(
            _of_source(source, totals.get(source, [0, 0, 0]), left.get(source, {}), entered.get(source, {}))
            for source in order
        ),
        changes=tuple(changes(definition(a), definition(b))),
    )
    _check(found)
    return found


def _of_source(
    source: str, counts: Sequence[int], left: Mapping[str, int], entered: Mapping[str, int]
) -> SourceDiff:
    both, only_a, only_b = counts
    return SourceDiff(source=source, both=both, only_a=only_a, only_b=only_b, left=left, entered=entered)


def _check(found: Diff) -> None:
    """The totals reconcile."""
    both = sum(x.both for x in found.sources)
    assert found.rows_a == both + sum(x.only_a for x in found.sources), "|A| = both + only A"
    assert found.rows_b == both + sum(x.only_b for x in found.sources), "|B| = both + only B"
    for x in found.sources:
        assert x.only_a == sum(x.left.values()), f"{x.source}: every row that left has a reason"
        assert x.only_b == sum(x.entered.values()), f"{x.source}: every row that entered has a reason"


def _ids(path: Path, *names: str) -> pl.DataFrame:
    """The halves of the pair ids of a file, and some of its columns."""
    table = column(path, "pair_id", *names)
    high, low = keys.halves(table["pair_id"].combine_chunks(), str(path))
    frame = pl.DataFrame({"id_hi": pl.Series(high, dtype=pl.UInt64), "id_lo": pl.Series(low, dtype=pl.UInt64)})
    return frame.hstack(pl.DataFrame(table.select(names))) if names else frame


def _rows(mix: Mix) -> pl.DataFrame:
    """How often each pair occurs in a mix; an id belongs to one source."""
    empty = pl.DataFrame(schema={**dict.fromkeys(ID, pl.UInt64), "source": pl.String})
    rows = pl.concat([empty, *(_ids(path, "source") for path in mix.files("shard"))])
    return rows.group_by(ID).agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("source").first())


def _drops(mix: Mix) -> pl.DataFrame:
    """How many copies of each pair a mix has dropped, and a reason."""
    frames = [_ids(mix.decisions(pool.label), "step", "reason") for pool in mix.pools]
    empty = pl.DataFrame(schema={"id_hi": pl.UInt64, "id_lo": pl.UInt64, "step": pl.String, "reason": pl.String})
    why = pl.format("dropped by {}/{}", "step", "reason")
    return (
        pl.concat([empty, *frames])
        .group_by(ID)
        .agg(pl.len().cast(pl.Int64).alias("drops"), why.min().alias("why"))
    )


def _reasons(
    rows: pl.DataFrame, name: str, mine: Mix, other: Mix, workspace: Workspace
) -> dict[str, dict[str, int]]:
    """What `other` did with the rows that only `mine` has (`name` of each), by source, the commonest first.

    If the other mix has the pair too, the row was lost because a copy was dropped there, or by fewer repeats.
    """
    here = "rows" if name == "entered" else "rows_b"  # how often the pair occurs in the other mix
    frame = rows.select("source", *ID, pl.col(name).alias("lost"), pl.col(here).alias("here"))
    frame = frame.join(_drops(other), on=ID, how="left").join(
        _drops(mine).select(*ID, pl.col("drops").alias("before")), on=ID, how="left"
    )
    more = pl.col("drops").fill_null(0) - pl.col("before").fill_null(0)
    by_drop = (
        pl.when(pl.col("drops").is_null())
        .then(0)
        .when(pl.col("here") == 0)
        .then(pl.col("lost"))
        .otherwise(more.clip(0, pl.col("lost")))
    )
    frame = frame.with_columns(by_drop.alias("by_drop"))
    rest = frame.filter(pl.col("lost") > pl.col("by_drop"))
    answers = pl.concat(
        [
            frame.filter(pl.col("by_drop") > 0).select("source", "why", pl.col("by_drop").alias("count")),
            _undropped(rest, other, workspace)
            .with_columns(pl.col("lost") - pl.col("by_drop"))
            .select("source", "why", pl.col("lost").alias("count")),
        ]
    )
    sums = (
        answers.group_by("source", "why").agg(pl.col("count").sum()).sort("count", "why", descending=[True, False])
    )
    out: dict[str, dict[str, int]] = {}
    for source, why, count in sums.iter_rows():
        out.setdefault(source, {})[why] = count
    return out


def _undropped(rows: pl.DataFrame, other: Mix, workspace: Workspace) -> pl.DataFrame:
    """`why` for rows that no step of the other mix has dropped."""
    known = sorted({pool.source for pool in other.pools})
    rows = rows.with_columns(
        pl.when(pl.col("here") > 0)
        .then(pl.lit(REPEATS))
        .when(~pl.col("source").is_in(known))
        .then(pl.lit(NO_SOURCE))
        .alias("why")
    )
    rows = _with_reason(rows, other.files("holdout"), HELD_OUT)
    wanted = set(rows.filter(pl.col("why").is_null())["source"].unique())
    if not wanted:
        return rows
    there = zip(other.pools, pools(other, workspace).values(), strict=True)
    parts = [part for pool, pairs in there if pool.source in wanted for part in pairs.parts]
    return _with_reason(rows, parts, UNUSED).with_columns(pl.col("why").fill_null(NO_PAIRS))


def _with_reason(rows: pl.DataFrame, paths: Sequence[Path], why: str) -> pl.DataFrame:
    """The rows, those without a reason whose pairs are in one of the files with the reason `why`."""
    open_rows = rows.filter(pl.col("why").is_null()).select(ID)
    found = pl.concat([open_rows.clear(), *map(_ids, paths)]).join(open_rows, on=ID, how="semi").unique()
    joined = rows.join(found.with_columns(pl.lit(why).alias("found")), on=ID, how="left")
    return joined.with_columns(pl.coalesce("why", "found").alias("why")).drop("found")


# ------------------------------------------------------------------------------------------ what defines a mix


def definition(mix: Mix) -> dict[str, Any]:
    """The parts of a lock that define the mix, as nested mappings."""
    lock = mix.lock
    return {
        **{name: lock[name] for name in ("curate", "schema", "order", "shards")},
        # steps with their defaults and versions, not as the recipe spells them
        "recipe": {name: value for name, value in lock["recipe"].items() if name != "steps"},
        "steps": lock["steps"],
        "sources": lock["sources"],
    }


def changes(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """Every leaf that differs; lists of labelled entries, of inputs and of steps are compared by their names."""
    old_table, new_table = _table(old), _table(new)
    if old_table is None or new_table is None:
        if old != new:
            yield Change(path=path, old=old, new=new)
        return
    for name in dict.fromkeys([*old_table, *new_table]):
        where = f"{path}.{name}" if path else name
        yield from changes(old_table.get(name), new_table.get(name), where)
    shared = [name for name in old_table if name in new_table]
    if isinstance(old, list) and shared != [name for name in new_table if name in old_table]:
        yield Change(path=f"{path} (order)", old=list(old_table), new=list(new_table))


def _table(value: Any) -> dict[str, Any] | None:
    """A mapping, or a list whose entries have names, as a mapping."""
    if isinstance(value, dict):
        return value or None
    if not isinstance(value, list) or not value:
        return None
    for name in ("label", "path"):
        if all(isinstance(item, dict) and name in item for item in value):
            return {item[name]: {key: x for key, x in item.items() if key != name} for item in value}
    if all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in value):
        return dict(value)
    return None


# ------------------------------------------------------------------------------------------------- as tables


def diff_tables(found: Diff) -> list[Table]:
    """The rows, and the reasons of those that only one mix has, as tables."""
    rows = [(x.source, x.both, x.only_a, x.only_b) for x in found.sources]
    totals = [sum(counts) for counts in zip(*((x.both, x.only_a, x.only_b) for x in found.sources), strict=True)]
    return [
        Table("rows", ("source", "both", "only A", "only B"), rows, ("all", *totals)),
        _reasons_table("A", "B", {x.source: x.left for x in found.sources}),
        _reasons_table("B", "A", {x.source: x.entered for x in found.sources}),
    ]


def change_lines(found: Diff) -> list[str]:
    """The differences of the definitions, one `path: old -> new` a line."""
    return [f"{change.path}: {_short(change.old)} -> {_short(change.new)}" for change in found.changes]


def _reasons_table(mine: str, other: str, reasons: Mapping[str, Mapping[str, int]]) -> Table:
    rows = [(source, why, count) for source, counts in reasons.items() for why, count in counts.items()]
    return Table(f"only in {mine}", ("source", f"in {other}", "rows"), rows)


def _short(value: Any) -> str:
    if isinstance(value, dict) and "fingerprint" in value:
        return str(value["fingerprint"][:SHORT])
    if isinstance(value, str | None):
        return value or "-"
    return shorten(json.dumps(value, ensure_ascii=False), 40)
