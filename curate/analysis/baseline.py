"""Compares an examination with an earlier one: a line for everything that got worse."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from curate.analysis.doctor import ALL, VERSION, Examination
from curate.errors import ConfigError

LEAST = 0.01
"""The least change of a share or an AUC that counts, where a user gives no other."""


class Side(NamedTuple):
    """How bad something is, with both ends of its interval; 0 is best."""

    value: float
    low: float
    high: float


NONE = Side(0.0, 0.0, 0.0)


def checked(before: Any) -> Examination:
    """Return the baseline. Raises ConfigError where it is no examination, or one of another version."""
    if not (isinstance(before, dict) and isinstance(before.get("sources"), dict)):
        raise ConfigError("--baseline", "is no examination", "a file that curate doctor --write made")
    if before.get("version") != VERSION:
        found = f"is of version {before.get('version')}"
        raise ConfigError("--baseline", found, f"version {VERSION}", "write it anew with --write")
    return before


def uncompared(now: Examination, before: Examination) -> Iterator[str]:
    """Yield a line for each source that only one of the two has, and for each setting that differs."""
    for label in sorted((now["sources"].keys() ^ before["sources"].keys()) - {ALL}):
        yield f"{label}: only {'here' if label in now['sources'] else 'in the baseline'}"
    for name, value in now["settings"].items():
        if value != (was := before["settings"].get(name)):
            yield f"{name}: {json.dumps(value)}, in the baseline {json.dumps(was)}"


def worse(now: Examination, before: Examination, least: float = LEAST) -> Iterator[str]:
    """Yield a line for everything that got worse, of the sources that both have.

    Worse is a fault that more pairs have, a ruler that predicts the label better (in either direction, by its AUC
    or by the share of pairs in which the chosen reply has more), or two sources that agree less; where the 95 %
    intervals do not overlap and the change is at least `least`.
    """
    for label, figures in now["sources"].items():
        if label in before["sources"]:
            earlier = before["sources"][label]
            yield from (f"{label}: {line}" for line in _faults(figures["faults"], earlier["faults"], least))
            yield from (f"{label}: {line}" for line in _rulers(figures["rulers"], earlier["rulers"], least))
    yield from _agreement(now["agreement"], before["agreement"], least)


def _got_worse(now: Side, before: Side, least: float) -> bool:
    return now.low > before.high and now.value - before.value >= least


def _faults(now: Examination, before: Examination, least: float) -> Iterator[str]:
    for name, share in now.items():
        if name in before and _got_worse(_side(share), _side(before[name]), least):
            yield f"{name}: {_text(share)} of pairs, was {_text(before[name])}"


def _rulers(now: Examination, before: Examination, least: float) -> Iterator[str]:
    for name, ruler in now.items():
        for what, title in (("auc", "AUC"), ("wins", "chosen has more in")):
            if name in before and _got_worse(_bias(ruler[what]), _bias(before[name][what]), least):
                yield f"ruler {name}: {title} {_text(ruler[what])}, was {_text(before[name][what])}"


def _agreement(now: list[Examination], before: list[Examination], least: float) -> Iterator[str]:
    earlier = {(row["left"], row["right"]): row for row in before}
    for row in now:
        other = earlier.get((row["left"], row["right"]))
        if other is not None and _got_worse(_dissent(row), _dissent(other), least):
            yield f"{row['left']} and {row['right']} agree on {_text(row, 'share')}, was {_text(other, 'share')}"


def _side(share: Examination) -> Side:
    """How far a share that should be 0 is from it."""
    return NONE if share["value"] is None else Side(share["value"], share["low"], share["high"])


def _bias(share: Examination) -> Side:
    """How far a share that should be a half is from it."""
    if share["value"] is None:
        return NONE
    low, high = share["low"] - 0.5, share["high"] - 0.5
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Side(abs(share["value"] - 0.5), least, max(abs(low), abs(high)))


def _dissent(row: Examination) -> Side:
    """How far a share that should be 1 is from it."""
    return NONE if row["share"] is None else Side(1 - row["share"], 1 - row["high"], 1 - row["low"])


def _text(share: Examination, name: str = "value") -> str:
    if share[name] is None:
        return "nothing"
    return f"{share[name]:.3f} ({share['low']:.3f}-{share['high']:.3f})"
