"""The plots of a label audit: margins by source, noise by ruler, and after a review, chances against what it
found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from curate.svg import CHOSEN, FAINT, INK, LEFT, REJECTED, RIGHT, ROW, WIDTH, beside, box, line, svg, text

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 44
NUMBERS = 60  # room for a number at the right
SIDE = 260  # of the square plot

Facts = Mapping[str, Any]


def charts(table: pl.DataFrame, record: Facts) -> dict[str, str]:
    """File names and SVGs of an audit with these pairs (audit_files.PAIRS) and facts."""
    found = {"margins.svg": margins(table, list(record["sources"]))}
    if record["strata"]:
        found["strata.svg"] = contrasts([(one["ruler"], one["contrast"]) for one in record["strata"]])
    if record["review"] and "calibration" in record["review"]:  # reviews of earlier versions lack it
        found["calibration.svg"] = calibration(record["review"]["calibration"])
    return found


def margins(table: pl.DataFrame, sources: Sequence[str]) -> str:
    """Of each source the range of cross-fitted margins: 5 to 95 %, 25 to 75 %, the median. Below 0 they
    contradict."""
    by_source = {
        label: table.filter(pl.col("source") == label)["margin"].drop_nulls().drop_nans() for label in sources
    }
    rows: list[tuple[str, list[float], float]] = [
        (label, np.quantile(values.to_numpy(), QUANTILES).tolist(), float(np.mean(values.to_numpy() < 0)))
        for label, values in by_source.items()
        if len(values)
    ]
    low = min([0.0, *(quantiles[0] for _, quantiles, _ in rows)])
    high = max([0.0, *(quantiles[-1] for _, quantiles, _ in rows)])

    def at(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT - NUMBERS) * (value - low) / ((high - low) or 1.0)

    bottom = TOP + ROW * len(rows)
    body = [line(at(0), TOP - 6, at(0), bottom, INK), text(at(0), bottom + 18, "0", "middle")]
    body += [text(at(value), bottom + 18, f"{value:.2g}", "middle") for value in (low, high) if value]
    for i, (label, (p5, p25, p50, p75, p95), below) in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        body += [beside(LEFT - 10, y + 4, label), line(at(p5), y, at(p95), y, CHOSEN)]
        body += [box(at(p25), y - 3, max(at(p75) - at(p25), 1), 6, CHOSEN), _dot(at(p50), y, CHOSEN)]
        body.append(text(WIDTH - RIGHT, y + 4, f"{below:.0%} below 0", "end"))
    return svg("Margins of models that did not see the pair, by source", bottom + 28, body)


def contrasts(rows: Sequence[tuple[str, float]]) -> str:
    """Noise where the chosen reply has less of each ruler, less that where it has more: a ranking, no rate."""
    most = max([abs(value) for _, value in rows] or [0.0]) or 1.0
    zero, reach = (LEFT + WIDTH - RIGHT - NUMBERS) / 2, (WIDTH - LEFT - RIGHT - NUMBERS) / 2
    bottom = TOP + ROW * len(rows)
    body = [line(zero, TOP - 6, zero, bottom, INK)]
    for i, (label, value) in enumerate(rows):
        y, wide = TOP + ROW * (i + 0.5), reach * abs(value) / most
        body += [
            beside(LEFT - 10, y + 4, label),
            box(zero if value > 0 else zero - wide, y - 6, max(wide, 1), 12, REJECTED if value > 0 else CHOSEN),
            text(WIDTH - RIGHT, y + 4, f"{value:+.2f}", "end"),
        ]
    return svg("Noise where the chosen reply has less of it, less that where it has more", bottom + 12, body)


def calibration(groups: Sequence[Facts]) -> str:
    """By groups of reviewed pairs: the corrected chance against the share of wrong labels, with its interval."""
    left, bottom = float(LEFT), TOP + SIDE

    def x(value: float) -> float:
        return left + SIDE * value

    def y(value: float) -> float:
        return bottom - SIDE * value

    body = [line(x(0), y(0), x(1), y(1), INK)]
    for mark in (0.0, 0.5, 1.0):
        body += [line(x(0), y(mark), x(1), y(mark), FAINT), text(left - 10, y(mark) + 4, f"{mark:.0%}", "end")]
        body.append(text(x(mark), bottom + 18, f"{mark:.0%}", "middle"))
    for i, one in enumerate(groups):
        at = x(one["chance"])
        body += [line(at, y(one["low"]), at, y(one["high"]), CHOSEN), _dot(at, y(one["value"]), CHOSEN)]
        words = f"chance {one['chance']:.0%}: {one['value']:.0%} wrong, {one['clusters']:,} read"
        body.append(text(x(1) + 24, TOP + 16 + 20 * i, words))
    body.append(text(x(0.5), bottom + 36, "chance that the label is wrong", "middle"))
    return svg("What readers found, by chance", bottom + 48, body)


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#fff" stroke="{colour}" stroke-width="2"/>'
