"""Plots of an ablation as SVG: differences with their intervals."""

from collections.abc import Sequence

from curate.ablation.effects import ALPHA, Against, Effect
from curate.ablation.eval_items import title
from curate.svg import CHOSEN, FAINT, INK, LEFT, NEITHER, REJECTED, RIGHT, ROW, WIDTH, box, line, svg, text

TOP = 44


def charts(tests: Sequence[Effect]) -> dict[str, str]:
    """File names and their SVG."""
    kinds: dict[Against, tuple[str, str]] = {
        "baseline": ("effects.svg", "Difference from the baseline, in points"),
        "chance": ("above_chance.svg", "Above chance, in points"),
        "random": ("over_random.svg", "Over as many pairs dropped at random, in points"),
    }
    found = {kind: [one for one in tests if one.against == kind] for kind in kinds}
    return {file: forest(found[kind], heading) for kind, (file, heading) in kinds.items() if found[kind]}


def forest(tests: Sequence[Effect], heading: str) -> str:
    """One line for each test, by arm: its interval and its middle; coloured if it is significant after Holm."""
    low = min(0.0, *(one.interval.low for one in tests))
    high = max(0.0, *(one.interval.high for one in tests))
    left = LEFT + 130

    def at(value: float) -> float:
        return left + (WIDTH - left - RIGHT) * (value - low) / ((high - low) or 1.0)

    bottom = TOP + ROW * len(tests) * 0.7
    body = [line(at(0), TOP - 6, at(0), bottom, INK)]
    for value in (low, high):
        body += [
            line(at(value), TOP - 6, at(value), bottom, FAINT),
            text(at(value), bottom + 16, f"{100 * value:+.1f}", "middle"),
        ]
    for i, one in enumerate(tests):
        y = TOP + ROW * 0.7 * (i + 0.5)
        colour = NEITHER if one.holm >= ALPHA else CHOSEN if one.difference > 0 else REJECTED
        first = i == 0 or tests[i - 1].arm != one.arm
        body += [
            text(10, y + 4, one.arm) if first else "",
            text(left - 10, y + 4, title(one.eval_set, one.measure), "end"),
            line(at(one.interval.low), y, at(one.interval.high), y, colour),
            box(at(one.difference) - 3, y - 3, 6, 6, colour),
        ]
    return svg(heading, bottom + 26, body)
