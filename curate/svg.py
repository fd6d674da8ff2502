"""Small SVG plots for cards, as text. Their colours can be read on a light and on a dark page alike."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from curate.text.inert import html_text

INK = "#767e87"
FAINT = "#767e8744"
CHOSEN, NEITHER, REJECTED = "#3f87d9", "#8b939c", "#d98032"

WIDTH, LEFT, RIGHT, ROW = 720, 174, 22, 30
NAME = 22
"""The most characters of a label at the left."""


class Strip(NamedTuple):
    """One row of a strip plot: its label and, by colour, five quantiles from low to high."""

    label: str
    ranges: Sequence[tuple[str, Sequence[float]]]


def columns(title: str, labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[int]]]) -> str:
    """Grouped columns over bins: `series` are (name, colour, count per label)."""
    top, floor, height = 52, 250, 292
    highest = max((n for _, _, counts in series for n in counts), default=0) or 1
    step = (WIDTH - 60 - RIGHT) / len(labels)
    bar = step * 0.8 / len(series)
    body = [legend([(name, colour) for name, colour, _ in series])]
    for share in (0.5, 1.0):
        y = floor - (floor - top) * share
        body += [line(60, y, WIDTH - RIGHT, y), text(54, y + 4, f"{round(highest * share):,}", "end")]
    for i, label in enumerate(labels):
        x = 60 + step * (i + 0.1)
        body.append(text(60 + step * (i + 0.5), floor + 18, label, "middle"))
        for j, (_, colour, counts) in enumerate(series):
            tall = (floor - top) * counts[i] / highest
            body.append(box(x + bar * j, floor - tall, max(bar - 1, 1), tall, colour))
    body.append(line(60, floor, WIDTH - RIGHT, floor, INK))
    return svg(title, height, body)


def strips(title: str, rows: Sequence[Strip], names: Sequence[tuple[str, str]], unit: str) -> str:
    """Ranges on one logarithmic scale: a thin line from 5 to 95 %, a thick one from 25 to 75 %, a dot at 50 %."""
    values = [max(value, 1.0) for row in rows for _, quantiles in row.ranges for value in quantiles] or [1.0]
    low, high = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
    high = max(high, low + 1)

    def at(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log2(max(value, 1.0)) - low) / (high - low)

    bottom = 44 + ROW * len(rows)
    body = [legend(names)]
    for n in range(low, high + 1, max(1, (high - low) // 7)):
        body += [
            line(at(2**n), 40, at(2**n), bottom),
            text(at(2**n), bottom + 18, short_bytes(2**n) if unit == "bytes" else f"{2**n:,}", "middle"),
        ]
    return svg(title, bottom + 42, [*body, *_strip_rows(rows, lambda _, value: at(value))])


def own_strips(title: str, rows: Sequence[Strip]) -> str:
    """The same, every row on a linear scale of its own from 0 to its highest value, printed at its end."""
    room = 70

    def at(row: Strip, value: float) -> float:
        values = [v for _, quantiles in row.ranges for v in quantiles]
        low, high = min(0.0, *values), max(0.0, *values)
        return LEFT + (WIDTH - LEFT - RIGHT - room) * ((value - low) / ((high - low) or 1.0))

    body = []
    for i, row in enumerate(rows):
        y, high = 44 + ROW * (i + 0.5), max(v for _, quantiles in row.ranges for v in quantiles)
        body += [line(at(row, 0), y, WIDTH - RIGHT - room, y), text(WIDTH - RIGHT, y + 4, f"{high:.4g}", "end")]
    return svg(title, 60 + ROW * len(rows), [*body, *_strip_rows(rows, at)])


def _strip_rows(rows: Sequence[Strip], at: Callable[[Strip, float], float]) -> list[str]:
    body = []
    for i, row in enumerate(rows):
        middle = 44 + ROW * (i + 0.5)
        body.append(beside(LEFT - 10, middle + 4, row.label))
        for j, (colour, quantiles) in enumerate(row.ranges):
            y = middle + (j - (len(row.ranges) - 1) / 2) * 9
            p5, p25, p50, p75, p95 = (at(row, value) for value in quantiles)
            body += [line(p5, y, p95, y, colour), box(p25, y - 3, max(p75 - p25, 1), 6, colour)]
            body.append(
                f'<circle cx="{p50:.1f}" cy="{y:.1f}" r="3" fill="#fff" stroke="{colour}" stroke-width="2"/>'
            )
    return body


def shares(title: str, rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[tuple[str, str]]) -> str:
    """Stacked bars that fill 100 %: `rows` are (label, count per name), `names` (name, colour)."""
    bottom = 44 + ROW * len(rows)
    body = [legend(names)]
    for i, (label, counts) in enumerate(rows):
        y, x, total = 44 + ROW * i + 6, float(LEFT), sum(counts) or 1
        body.append(beside(LEFT - 10, y + 13, label))
        for (_, colour), n in zip(names, counts, strict=True):
            wide = (WIDTH - LEFT - RIGHT) * n / total
            body.append(box(x, y, wide, ROW - 12, colour))
            x += wide
    for percent in (0, 50, 100):
        x = LEFT + (WIDTH - LEFT - RIGHT) * percent / 100
        body += [line(x, 40, x, bottom, INK), text(x, bottom + 18, f"{percent} %", "middle")]
    return svg(title, bottom + 28, body)


def short_bytes(size: int) -> str:
    """2048 as 2k, with k for 1024."""
    return f"{size // 1024}k" if size >= 1024 else str(size)


def legend(names: Sequence[tuple[str, str]]) -> str:
    """Coloured boxes with names, from the right."""
    out, x = [], WIDTH - RIGHT - sum(36.0 + 7 * len(name) for name, _ in names)
    for name, colour in names:
        out += [box(x, 14, 12, 12, colour), text(x + 18, 24, name)]
        x += 36 + 7 * len(name)
    return "".join(out)


def text(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Words at a point."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html_text(text)}</text>'


def beside(x: float, y: float, label: str, more: str = "") -> str:
    """A label and more that end at a point; a long label is cut in its middle, and whole in its tooltip."""
    whole = f"<title>{html_text(label)}</title>" if len(label) > NAME else ""
    visible = html_text(fitted(label) + more)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end">{whole}{visible}</text>'


def fitted(label: str) -> str:
    """The label in at most NAME characters, cut in its middle: names mostly differ at an end."""
    return label if len(label) <= NAME else f"{label[: NAME // 2]}…{label[NAME // 2 + 1 - NAME :]}"


def line(x1: float, y1: float, x2: float, y2: float, colour: str = FAINT) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'


def box(x: float, y: float, wide: float, tall: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{colour}"/>'


def svg(title: str, height: float, body: Sequence[str]) -> str:
    """The whole drawing."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
    )
    words = [f"<title>{html_text(title)}</title>", f'<g font-weight="600">{text(10, 24, title)}</g>']
    return "\n".join([head, *words, *body, "</svg>"]) + "\n"
