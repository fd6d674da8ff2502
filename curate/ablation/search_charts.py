"""Plots of a search as SVG: for each eval domain, the share of each source against accuracy, seen and fitted."""

from itertools import pairwise

import numpy as np

from curate.ablation.search import Outcome
from curate.arrays import F64
from curate.svg import CHOSEN, FAINT, INK, REJECTED, WIDTH, box, fitted, legend, line, svg, text

ACROSS, TALL, GAP, TOP = 4, 110, 34, 44
PATH = 24
"""Points of a predicted line."""


def surface_chart(found: Outcome, domain: int) -> str:
    """A panel for each source: every small run (boxes), and the surface where the others keep proportion."""
    shares, seen = found.seen.shares, found.seen.accuracies[:, domain]
    paths = [_path(found, i) for i in range(shares.shape[1])]
    lines = [found.fitted(path)[:, domain] for path in paths]
    low = min(float(seen.min()), *(float(one.min()) for one in lines))
    high = max(float(seen.max()), *(float(one.max()) for one in lines))
    wide = (WIDTH - 60) / ACROSS - GAP
    body = [legend([("seen", CHOSEN), ("predicted", REJECTED)])]
    for i, label in enumerate(found.search.within.labels):
        left, top = 50 + (i % ACROSS) * (wide + GAP), TOP + (i // ACROSS) * (TALL + GAP + 14)
        most = max(float(shares[:, i].max()), float(paths[i][:, i].max()), 1e-9)

        def at(share: float, value: float, left: float = left, top: float = top, most: float = most) -> Point:
            return left + wide * share / most, top + TALL * (1 - (value - low) / ((high - low) or 1.0))

        body += [line(left, top, left, top + TALL, FAINT), line(left, top + TALL, left + wide, top + TALL, INK)]
        body += [
            text(left, top + TALL + 16, fitted(label)),
            text(left + wide, top + TALL + 30, f"{most:.0%}", "end"),
        ]
        if i % ACROSS == 0:
            body += [
                text(left - 6, top + 8, f"{high:.0%}", "end"),
                text(left - 6, top + TALL, f"{low:.0%}", "end"),
            ]
        body += [_dot(*at(float(x), float(y))) for x, y in zip(shares[:, i], seen, strict=True)]
        points = [at(float(x), float(y)) for x, y in zip(paths[i][:, i], lines[i], strict=True)]
        body += [line(*a, *b, REJECTED) for a, b in pairwise(points)]
    rows = -(-shares.shape[1] // ACROSS)
    return svg(f"{found.seen.domains[domain]}: accuracy by share", TOP + rows * (TALL + GAP + 14) + 10, body)


Point = tuple[float, float]


def _dot(x: float, y: float) -> str:
    return box(x - 2, y - 2, 4, 4, CHOSEN)


def _path(found: Outcome, source: int) -> F64:
    """Mixes in which the share of a source grows and the others keep the proportions of the natural mix."""
    natural, most = found.seen.shares[0], float(found.search.within.most[source])
    others = np.where(np.arange(len(natural)) == source, 0.0, natural)
    others = others / max(float(others.sum()), 1e-9)
    grown = np.linspace(float(found.search.within.least[source]), most, PATH)[:, None]
    own = np.eye(len(natural))[source]
    return np.asarray(grown * own + (1 - grown) * others)
