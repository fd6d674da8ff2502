"""Tables of facts in Markdown."""

from collections.abc import Sequence
from typing import Any

from curate.tables import Table, value_text
from curate.text.inert import Markdown, link, markdown_text


def markdown(table: Table) -> str:
    """A table of curate.tables in Markdown; numbers are aligned right, with thousands separators.

    Cells that are no `Markdown` are shown as they are, whatever they contain.
    """
    numeric = [_all_numbers([row[i] for row in table.rows]) for i in range(len(table.columns))]
    lines = [[cell(name) for name in table.columns], ["--:" if number else "---" for number in numeric]]
    lines += [[cell(value) for value in row] for row in table.rows]
    if table.footer:
        lines.append([f"**{cell(value)}**" if value != "" else "" for value in table.footer])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _all_numbers(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, int | float) or str(value).endswith(" %") for value in known)


def cell(value: Any) -> str:
    """A value as a cell of a Markdown table."""
    text = value if isinstance(value, Markdown) else markdown_text(value_text(value))
    return text.replace("|", "\\|")


def percent(share: float) -> str:
    """One decimal: 11.8 %."""
    return f"{100 * share:.1f} %"


HUB = "https://huggingface.co/datasets/"


def hub_page(repo: str) -> Markdown:
    """A link to a dataset on the Hub; of own data whose manifest names no repository, its name alone."""
    return link(repo, HUB, repo) if "/" in repo else Markdown(markdown_text(repo))
