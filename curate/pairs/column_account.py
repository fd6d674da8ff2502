"""The account of a source's columns: those that were read, those ignored on purpose, and those not used."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate.errors import ConfigError
from curate.rawfiles.column_use import ColumnUse, matters
from curate.sources.base import Source


def column_use(source: Source) -> ColumnUse:
    """An empty account for the rows of a source."""
    reads = None if source.reads is None else frozenset(source.reads)
    return ColumnUse(reads=reads, ignores=frozenset(source.ignores), watch=bool(source.manifest))


def account(source: Source, receipts: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The columns of all parts, sorted: used, ignored, not_used; each column is in one of them.

    Where it is not known what the adapter reads, all are used.
    """
    columns = sorted({name for receipt in receipts for name in receipt["columns"]})
    used = [name for name in columns if source.reads is None or name in source.reads]
    ignored = [name for name in columns if name not in used and name in source.ignores]
    return {
        "used": used,
        "ignored": ignored,
        "not_used": [name for name in columns if name not in used and name not in ignored],
    }


def check_columns(source: Source, use: ColumnUse, rows: int) -> None:
    """Raise ConfigError where a column that matters is filled, and neither read nor ignored (Source.manifest)."""
    found = [name for name in use.watched if use.filled[name]]
    if found:
        counts = ", ".join(
            f"{name!r} (filled in {use.filled[name]:,} of the first {rows:,} rows)" for name in found
        )
        raise _passed_over(source, found, counts)


def check_finished(source: Source, columns: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError where a column that was ignored when the pairs were made is ignored no more."""
    known = {*source.ignores, *(source.reads or ())}
    found = [name for name in columns.get("ignored", ()) if matters(name) and name not in known]
    if source.manifest and found:
        raise _passed_over(source, found, ", ".join(map(repr, found)))


def not_used(names: Sequence[str]) -> str:
    """One line that names the columns that nothing reads; "" where there are none."""
    return f"columns not used: {', '.join(names)}" if names else ""


def _passed_over(source: Source, names: Sequence[str], found: str) -> ConfigError:
    listed = ", ".join(names)
    return ConfigError(
        f"{source.manifest}: $.columns",
        f"nothing reads {'the column' if len(names) == 1 else 'the columns'} {found}",
        "every column that may hold media, scores, tool calls or part of a prompt mapped or ignored",
        f"map it under columns, or leave it out of the pairs with ignore: [{listed}]",
    )
