"""Whether an examination is worse than an earlier one: what got worse, in one line each."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from curate.analysis.doctor import ALL, VERSION
from curate.errors import ConfigError

LEAST = 0.01
"""The least change of a share or an AUC that counts, where a user gives no other."""

Found = Mapping[str, Any]


class Side(NamedTuple):
    """How bad something is, with both ends of its interval; 0 is best."""

    value: float
    low: float
    high: float


NONE = Side(0.0, 0.0, 0.0)


def checked(before: Any) -> Found:
    """The baseline as it was read. Raises ConfigError for what is none, or is one of another version."""
    if not (isinstance(before, dict) and isinstance(before.get("sources"), dict)):
        raise ConfigError("--baseline", "it holds something else", "a file that --write made")
    if before.get("version") != VERSION:
        found = f"it is of version {before.get('version')}"
        raise ConfigError("--baseline", found, f"version {VERSION}", "write it anew with --write")
    return before


def uncompared(now: Found, before: Found) -> Iterator[str]:
    """A line for everything that only one of both has, of sources and settings."""
    for label in sorted((now["sources"].keys() ^ before["sources"].keys()) - {ALL}):
        yield f"{label}: only {'here' if label in now['sources'] else 'in the baseline'}"
    for name, value in now["settings"].items():
        if value != (was := before["settings"].get(name)):
            yield f"{name}: {json.dumps(value)}, in the baseline {json.dumps(was)}"


def worse(now: Found, before: Found, least: float = LEAST) -> Iterator[str]:
    """A line for everything that got worse, of the sources that both have.

    Worse is a fault that more pairs have, a ruler that predicts the label better (in either direction, by its AUC
    and by the pairs that it wins), or two sources that agree less; if the 95 % intervals do not overlap, and the
    change is at least `least`.
    """
    for label, figures in now["sources"].items():
        if label in before["sources"]:
            earlier = before["sources"][label]
            yield from (f"{label}: {line}" for line in _faults(figures["faults"], earlier["faults"], least))
            yield from (f"{label}: {line}" for line in _rulers(figures["rulers"], earlier["rulers"], least))
    yield from _agreement(now["agreement"], before["agreement"], least)


def _got_worse(now: Side, before: Side, least: float) -> bool:
    return now.low > before.high and now.value - before.value >= least


def _faults(now: Found, before: Found, least: float) -> Iterator[str]:
    for name, share in now.items():
        if name in before and _got_worse(_side(share), _side(before[name]), least):
            yield f"{name}: {_told(share)} of pairs, was {_told(before[name])}"


def _rulers(now: Found, before: Found, least: float) -> Iterator[str]:
    for name, ruler in now.items():
        for what, said in (("auc", "AUC"), ("wins", "chosen has more in")):
            if name in before and _got_worse(_bias(ruler[what]), _bias(before[name][what]), least):
                yield f"ruler {name}: {said} {_told(ruler[what])}, was {_told(before[name][what])}"


def _agreement(now: list[Found], before: list[Found], least: float) -> Iterator[str]:
    earlier = {(row["left"], row["right"]): row for row in before}
    for row in now:
        other = earlier.get((row["left"], row["right"]))
        if other is not None and _got_worse(_dissent(row), _dissent(other), least):
            yield f"{row['left']} and {row['right']} agree on {_told(row, 'share')}, was {_told(other, 'share')}"


def _side(share: Found) -> Side:
    """Of a share that should be small."""
    return NONE if share["value"] is None else Side(share["value"], share["low"], share["high"])


def _bias(share: Found) -> Side:
    """Of a share that should be a half: how far it is away."""
    if share["value"] is None:
        return NONE
    low, high = share["low"] - 0.5, share["high"] - 0.5
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Side(abs(share["value"] - 0.5), least, max(abs(low), abs(high)))


def _dissent(row: Found) -> Side:
    """Of a share that should be all."""
    return NONE if row["share"] is None else Side(1 - row["share"], 1 - row["high"], 1 - row["low"])


def _told(share: Found, name: str = "value") -> str:
    if share[name] is None:
        return "nothing"
    return f"{share[name]:.3f} ({share['low']:.3f}-{share['high']:.3f})"
