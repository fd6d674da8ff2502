"""Facts as tables: columns and rows, no printing."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A titled table; `footer` is empty or one more row of totals."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    footer: tuple[Any, ...] = ()


def count(number: int, what: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def value_text(value: Any, null: str = "–") -> str:
    """A value as text for a table: floats with three decimals, whole numbers with thousands separators."""
    if value is None:
        return null
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
