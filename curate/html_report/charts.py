"""The plots that only a report has, as SVG drawn with curate.svg."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from curate.svg import CHOSEN, FAINT, NEITHER, REJECTED, ROW, WIDTH, beside, box, line, svg, text
from curate.text.inert import html_text

HELD = "#3aa39a"
COLOURS = {"in the mix": CHOSEN, "held out": HELD, "unused": NEITHER}
"""Colours of the ends of a flow; every other end is a loss."""

TALL, TOP, SLOT, GAP = 380, 46, 15, 5
FROM, TO, NODE = 190, 510, 10


class Band(NamedTuple):
    """A node of a flow: where it begins and how tall it is."""

    top: float
    tall: float


def flow(title: str, sources: Mapping[str, Mapping[str, int]], notes: Mapping[str, str] | None = None) -> str:
    """The flow of each source's pairs (left) to their ends (right); a ribbon is as high as its number of pairs.

    `notes` stand behind the numbers of some ends.
    """
    sources = {label: ends for label, ends in sources.items() if sum(ends.values())}
    ends = _ends(sources)
    scale = TALL / (sum(ends.values()) or 1)
    left = _stacked({label: sum(counts.values()) for label, counts in sources.items()}, scale)
    right = _stacked(ends, scale)
    bottom = max([band.top + max(band.tall, SLOT) for band in (*left.values(), *right.values())], default=TOP)
    body = [*_ribbons(sources, left, right, scale)]
    for label, band in left.items():
        body += [box(FROM, band.top, NODE, max(band.tall, 1), "#767e87")]
        body.append(beside(FROM - 8, _middle(band), label, f"  {sum(sources[label].values()):,}"))
    for label, band in right.items():
        body += [box(TO - NODE, band.top, NODE, max(band.tall, 1), COLOURS.get(label, REJECTED))]
        body.append(text(TO + 8, _middle(band), f"{label}  {ends[label]:,}{(notes or {}).get(label, '')}"))
    return svg(title, bottom + 16, body)


def _ends(sources: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The total of each end: the ends in COLOURS first, then the losses, the largest first."""
    totals: dict[str, int] = {}
    for counts in sources.values():
        for end, count in counts.items():
            totals[end] = totals.get(end, 0) + count
    order = list(COLOURS)
    ranked = sorted(totals, key=lambda end: (order.index(end) if end in order else len(order), -totals[end], end))
    return {end: totals[end] for end in ranked if totals[end]}


def _stacked(counts: Mapping[str, int], scale: float) -> dict[str, Band]:
    """Nodes one below the other, each with room for a label."""
    out, top = {}, float(TOP)
    for name, count in counts.items():
        tall = count * scale
        room = max(tall, SLOT)
        out[name] = Band(top + (room - tall) / 2, tall)
        top += room + GAP
    return out


def _ribbons(
    sources: Mapping[str, Mapping[str, int]], left: Mapping[str, Band], right: Mapping[str, Band], scale: float
) -> Sequence[str]:
    used_left = {name: band.top for name, band in left.items()}
    used_right = {name: band.top for name, band in right.items()}
    out = []
    for end in right:
        for label, counts in sources.items():
            if count := counts.get(end, 0):
                tall = count * scale
                title = f"{label}, {end}: {count:,}"
                out.append(_ribbon(used_left[label], used_right[end], tall, COLOURS.get(end, REJECTED), title))
                used_left[label] += tall
                used_right[end] += tall
    return out


def _ribbon(start: float, end: float, tall: float, colour: str, title: str) -> str:
    x, y, middle, tall = FROM + NODE, TO - NODE, (FROM + TO) / 2, max(tall, 0.6)
    path = (
        f"M{x} {start:.1f}C{middle:.0f} {start:.1f} {middle:.0f} {end:.1f} {y} {end:.1f}"
        f"V{end + tall:.1f}C{middle:.0f} {end + tall:.1f} {middle:.0f} {start + tall:.1f} {x} {start + tall:.1f}Z"
    )
    return f'<path d="{path}" fill="{colour}" fill-opacity=".45"><title>{html_text(title)}</title></path>'


def _middle(band: Band) -> float:
    """The height of a label beside it."""
    return band.top + band.tall / 2 + 4


class Bar(NamedTuple):
    """One bar: its label, its value, and the text at its end."""

    label: str
    value: float
    text: str


def bars(title: str, rows: Sequence[Bar], colour: str = CHOSEN) -> str:
    """Horizontal bars from zero."""
    left, right, pitch = 170, 130, 24
    longest = max((row.value for row in rows), default=0) or 1
    body = []
    for i, row in enumerate(rows):
        y = TOP + pitch * i
        wide = (WIDTH - left - right) * row.value / longest
        body += [
            beside(left - 10, y + 12, row.label),
            box(left, y, max(wide, 1), pitch - 8, colour),
        ]
        body.append(text(left + wide + 8, y + 12, row.text))
    return svg(title, TOP + pitch * len(rows) + 8, body)


class Dot(NamedTuple):
    """A value from 0 to 1 with both ends of its interval."""

    label: str
    value: float
    low: float
    high: float


def dots(title: str, rows: Sequence[Dot], middle: float = 0.5) -> str:
    """Values with their intervals on a scale from 0 to 1; a darker line marks `middle`."""
    left, right = 170, 150
    bottom = TOP + ROW * len(rows)

    def at(value: float) -> float:
        return left + (WIDTH - left - right) * value

    body = []
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        colour = "#767e87" if mark == middle else FAINT
        body += [
            line(at(mark), TOP - 6, at(mark), bottom, colour),
            text(at(mark), bottom + 16, f"{mark:g}", "middle"),
        ]
    for i, row in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        colour = CHOSEN if row.value >= middle else REJECTED
        body += [
            beside(left - 10, y + 4, row.label),
            box(at(row.low), y - 3, at(row.high) - at(row.low), 6, colour),
        ]
        body.append(f'<circle cx="{at(row.value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        body.append(text(WIDTH - right + 14, y + 4, f"{row.value:.3f} ({row.low:.3f}–{row.high:.3f})"))
    return svg(title, bottom + 28, body)
