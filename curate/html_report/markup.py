"""Pieces of HTML. Every text goes through `words`: none becomes markup or changes the direction of text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.tables import Table, value_text
from curate.text.inert import html_text


def words(text: str) -> str:
    """The text for a page."""
    return html_text(text)


def cell(value: Any) -> str:
    """A value as text for a cell of an HTML table."""
    return words(value_text(value))


def percent(share: float | None) -> str:
    """One decimal: 11.8 %; `<0.1 %` for a small share, a dash for None."""
    if share is None:
        return "–"
    return "<0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def table(table: Table) -> str:
    """A table under its title; numbers are aligned right. A table wider than the page scrolls."""
    right = [_is_number([row[i] for row in table.rows]) for i in range(len(table.columns))]
    rows = "".join(f"<tr>{_cells(row, right)}</tr>" for row in table.rows)
    foot = f"<tfoot><tr>{_cells(table.footer, right)}</tr></tfoot>" if table.footer else ""
    return _scrolling(
        table.title, f"<thead><tr>{_heads(table.columns, right)}</tr></thead><tbody>{rows}</tbody>{foot}"
    )


def _scrolling(caption: str, inside: str) -> str:
    label = words(caption)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}</caption>'
        f"{inside}</table></div>"
    )


def _heads(names: Sequence[str], right: Sequence[bool]) -> str:
    cells = (
        f'<th scope="col"{_class(number)}>{words(name)}</th>' for name, number in zip(names, right, strict=True)
    )
    return "".join(cells)


def _cells(row: Sequence[Any], right: Sequence[bool]) -> str:
    first = f'<th scope="row">{cell(row[0])}</th>'
    rest = (f"<td{_class(number)}>{cell(x)}</td>" for x, number in zip(row[1:], right[1:], strict=True))
    return first + "".join(rest)


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _is_number(values: Sequence[Any]) -> bool:
    known = [value for value in values if value not in (None, "", "–")]
    return bool(known) and all(isinstance(value, int | float) or str(value).endswith(" %") for value in known)


class Shade(NamedTuple):
    """A cell of a heat map: its text, its colour from -1 (orange) over 0 to 1 (blue), and a tooltip."""

    text: str
    depth: float = 0.0
    more: str = ""


def heat(title: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Shade]]]) -> str:
    """A table whose cells are coloured by their depth."""
    heads = "".join(f'<th scope="col"><span>{words(name)}</span></th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{words(label)}</th>{"".join(map(_shade, shades))}</tr>' for label, shades in rows
    )
    head = f'<thead class="slanted"><tr><th scope="col">{words(corner)}</th>{heads}</tr></thead>'
    return _scrolling(title, f'{head}<tbody class="heat">{body}</tbody>')


def _shade(shade: Shade) -> str:
    depth = min(abs(shade.depth), 1.0)
    colour = f' style="--depth:{80 * depth:.0f}%"' if depth >= 0.005 else ""
    side = ' class="less"' if shade.depth < 0 else ""
    more = f' title="{words(shade.more)}"' if shade.more else ""
    return f"<td{side}{colour}{more}>{words(shade.text)}</td>"


def fold(title: str, body: str) -> str:
    """A part that opens on a click, also without a script."""
    return f"<details><summary>{words(title)}</summary>\n{body}\n</details>"


def figure(drawing: str) -> str:
    """An SVG that scrolls where it is wider than the page."""
    return f'<figure class="wide" tabindex="0">\n{drawing}</figure>'


def paragraph(text: str) -> str:
    """One paragraph."""
    return f"<p>{words(text)}</p>"


class Section(NamedTuple):
    """A part of the page under a heading; `name` is its anchor."""

    name: str
    title: str
    body: str

    @property
    def html(self) -> str:
        """The section as HTML."""
        head = f'<h2 id="{self.name}-head">{words(self.title)}</h2>'
        return f'<section id="{self.name}" aria-labelledby="{self.name}-head">\n{head}\n{self.body}\n</section>'
