"""Tables of facts in Markdown."""

from collections.abc import Sequence
from typing import Any

from curate.tables import Table, value_text


def markdown(table: Table) -> str:
    """A table of curate.tables in Markdown; numbers are aligned right, with thousands separators."""
    numeric = [_all_numbers([row[i] for row in table.rows]) for i in range(len(table.columns))]
    lines = [list(table.columns), ["--:" if number else "---" for number in numeric]]
    lines += [[cell(value) for value in row] for row in table.rows]
    if table.footer:
        lines.append([f"**{cell(value)}**" if value != "" else "" for value in table.footer])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _all_numbers(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) or str(value).endswith(" %") for value in known)


def cell(value: Any) -> str:
    """A value as text for a cell of a Markdown table."""
    return value_text(value).replace("|", "\\|").replace("\n", " ")


def percent(share: float) -> str:
    """One decimal: 11.8 %."""
    return f"{100 * share:.1f} %"
