"""Facts as tables: columns and rows, no printing."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A titled table; `footer` is empty or one more row of totals."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    footer: tuple[Any, ...] = ()
