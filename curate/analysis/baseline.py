"""Compares an examination with an earlier one: a line for everything that got worse."""

import json
import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

from curate.analysis.doctor import ALL, VERSION, Examination
from curate.errors import ConfigError
from curate.statistics import LEVEL

LEAST = 0.01
"""The least change of a share or an AUC that counts, where a user gives no other."""


ERROR = 1 - LEVEL
"""The chance of any line between two samples of one source."""


class Side(NamedTuple):
    """How bad something is, with both ends of its interval; 0 is best."""

    value: float
    low: float
    high: float


NONE = Side(0.0, 0.0, 0.0)


class Change(NamedTuple):
    """A figure of both, and the line that says so if it got worse."""

    line: str
    now: Side
    before: Side


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


def worse(now: Examination, before: Examination, least: float = LEAST) -> list[str]:
    """Return a line for everything that got worse, of the sources that both have.

    Worse is a fault that more pairs have, a ruler that predicts the label better (in either direction, by its AUC
    or by the share of pairs in which the chosen reply has more), or two sources that agree less; where the change
    is at least `least` and beyond chance. Two samples of one source give any line at all in at most 5 %: each
    interval of a difference (Newcombe 1998) is widened for as many figures as are compared (Bonferroni).
    """
    changes = [*_changes(now, before), *_agreement(now["agreement"], before["agreement"])]
    wider = _normal(ERROR / max(len(changes), 1)) / _normal(ERROR)
    return [change.line for change in changes if _got_worse(change, least, wider)]


def _normal(chance: float) -> float:
    """The distance from the mean, in standard deviations, that a normal number exceeds with this chance."""
    return NormalDist().inv_cdf(1 - chance / 2)


def _got_worse(change: Change, least: float, wider: float) -> bool:
    """Whether the difference is at least `least` and exceeds its widened margin of error (Newcombe)."""
    _, now, before = change
    difference = now.value - before.value
    margin = wider * math.hypot(now.value - now.low, before.high - before.value)
    return difference >= least and difference > margin


def _changes(now: Examination, before: Examination) -> Iterator[Change]:
    for label, figures in now["sources"].items():
        if label in before["sources"]:
            earlier = before["sources"][label]
            yield from _faults(f"{label}: ", figures["faults"], earlier["faults"])
            yield from _rulers(f"{label}: ", figures["rulers"], earlier["rulers"])


def _faults(label: str, now: Examination, before: Examination) -> Iterator[Change]:
    for name, share in now.items():
        if name in before:
            line = f"{label}{name}: {_text(share)} of pairs, was {_text(before[name])}"
            yield Change(line, _side(share), _side(before[name]))


def _rulers(label: str, now: Examination, before: Examination) -> Iterator[Change]:
    for name, ruler in now.items():
        for what, title in (("wins", "chosen has more in"), ("auc", "AUC")):
            if name in before:
                was = before[name][what]
                line = f"{label}ruler {name}: {title} {_text(ruler[what])}, was {_text(was)}"
                yield Change(line, _bias(ruler[what]), _bias(was))


def _agreement(now: list[Examination], before: list[Examination]) -> Iterator[Change]:
    earlier = {(row["left"], row["right"]): row for row in before}
    for row in now:
        other = earlier.get((row["left"], row["right"]))
        if other is not None:
            line = f"{row['left']} and {row['right']} agree on {_text(row, 'share')}, was {_text(other, 'share')}"
            yield Change(line, _dissent(row), _dissent(other))


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
