"""The plots of a card, from its lock."""

from collections.abc import Mapping
from typing import Any

from curate import svg


def plot(lock: Mapping[str, Any]) -> dict[str, str]:
    """The SVG plots of the card, by name."""
    summary = lock["summary"]
    sources = {label: figures for label, figures in summary["sources"].items() if figures["rows"]}
    sides = [("chosen", svg.CHOSEN), ("rejected", svg.REJECTED)]
    counts = {side: summary["all"][side]["histogram"] for side, _ in sides}
    bins = max((i + 1 for i in range(len(summary["edges"])) if any(c[i] for c in counts.values())), default=1)
    ends = [svg.short_bytes(edge) for edge in summary["edges"][1:]]
    labels = [f"{low}–{high}" for low, high in zip(["0", *ends], [*ends, ""], strict=True)][:bins]
    replies = [
        svg.Strip(label, [(colour, figures[side]["quantiles"]) for side, colour in sides])
        for label, figures in sources.items()
    ]
    three = [("chosen", svg.CHOSEN), ("neither", svg.NEITHER), ("rejected", svg.REJECTED)]
    out = {
        "lengths": svg.columns(
            "Replies by length in bytes", labels, [(side, colour, counts[side]) for side, colour in sides]
        ),
        "sources": svg.strips("Reply lengths in bytes by source", replies, sides, "bytes"),
        "longer": svg.shares(
            "Which reply is the longer one",
            [(label, [figures["longer"][name] for name, _ in three]) for label, figures in sources.items()],
            three,
        ),
    }
    margins = [
        svg.Strip(label, [(svg.CHOSEN, figures["margin"]["quantiles"])])
        for label, figures in sources.items()
        if figures["margin"]
    ]
    return {**out, "margins": svg.own_strips("Margins by source", margins)} if margins else out
