"""The lines under `sources` of a recipe: entries with their quotas, and the pools that they draw from."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.config import build, check_key, show
from curate.errors import ConfigError

QUOTAS = ("rows", "share", "epochs", "all")
QUOTA_HINT = "a quota is typed: all, {rows: 1000}, {share: 0.3} or {epochs: 1.5}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of an entry's pool enters the mix: so many rows, a share of the mix, epochs, or all of it."""

    kind: Literal["rows", "share", "epochs", "all"]
    value: int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line under `sources`: one source, or several that share a quota.

    `pools` are the labels of the pairs artefacts it draws from (see `Recipe.pools`); `cap` bounds its rows,
    `per_group` the pairs of one group that enter its pool, `max_repeats` how often it may give one pair.
    """

    label: str
    pools: tuple[str, ...]
    quota: Quota
    cap: int | None
    per_group: int | None
    max_repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pairs artefact: a source with its options. The label is the source's name where there are none."""

    label: str
    source: str
    options: Mapping[str, Any]


def read(
    sources: Mapping[str, Any], rows: int | None, max_repeats: int, where: str
) -> tuple[tuple[Entry, ...], tuple[Pool, ...]]:
    """The entries of a recipe of that many rows in all, and the pools that they draw from, both in its order.

    Raises ConfigError with the path of the fault.
    """
    lines = [_read_entry(label, item, f"{where}.sources.{label}") for label, item in sources.items()]
    pools = _pools(lines, where)
    entries = tuple(_entry(line, pools, max_repeats) for line in lines)
    _check_reached_once(entries, where)
    _check_total(rows, [entry.quota for entry in entries], where)
    return entries, tuple(pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EntryFields:
    rows: int | None = None
    share: float | None = None
    epochs: float | None = None
    all: bool | None = None
    cap: int | None = None
    per_group: int | None = None
    max_repeats: int | None = None
    source: str | None = None
    of: tuple[str, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An entry whose pools have no labels yet."""

    label: str
    sources: tuple[str, ...]
    quota: Quota
    fields: _EntryFields


def check_name(name: str, where: str) -> None:
    """Raise ConfigError unless the name can be part of a path and of a command line as it is."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(where, f"found {show(name)}", "letters, digits, _ and -")


def at_least(least: int, value: int | None, where: str) -> None:
    """Raise ConfigError where a number is given and smaller than `least`."""
    if value is not None and value < least:
        raise ConfigError(where, f"found {value}", f"{least} or more")


def _read_entry(label: str, value: Any, where: str) -> _Read:
    check_name(label, where)
    if value == "all":
        value = {"all": True}
    if not isinstance(value, dict):
        raise ConfigError(where, f"found {show(value)}", "a typed quota", QUOTA_HINT)
    quota = _quota(value, where)
    fields: _EntryFields = build(value, _EntryFields, where)
    for name in ("cap", "per_group", "max_repeats"):
        at_least(1, getattr(fields, name), f"{where}.{name}")
    if fields.cap is not None and quota.kind == "rows":
        raise ConfigError(f"{where}.cap", "a cap beside rows", "one of them", "rows: N takes exactly N")
    return _Read(label=label, sources=_sources(label, fields, where), quota=quota, fields=fields)


def _quota(table: Mapping[Any, Any], where: str) -> Quota:
    """The one quota of an entry, typed."""
    for key in table:
        check_key(key, _EntryFields.__dataclass_fields__, where)
    given = [kind for kind in QUOTAS if kind in table]
    if len(given) != 1:
        found = " and ".join(given) if given else "no quota"
        raise ConfigError(where, f"found {found}", "exactly one of rows, share, epochs, all", QUOTA_HINT)
    value = table[given[0]]
    good, expected = _QUOTA_RULES[given[0]]
    if isinstance(value, bool) != (given[0] == "all") or not good(value):
        raise ConfigError(f"{where}.{given[0]}", f"found {show(value)}", expected, QUOTA_HINT)
    return Quota(kind=given[0], value=1 if given[0] == "all" else value)  # type: ignore[arg-type]  # one of QUOTAS


_QUOTA_RULES: dict[str, tuple[Any, str]] = {
    "rows": (lambda v: isinstance(v, int) and v >= 1, "a whole number of rows, such as rows: 1000"),
    "share": (lambda v: isinstance(v, int | float) and 0 < v <= 1, "a share of the mix, such as share: 0.3"),
    "epochs": (lambda v: isinstance(v, int | float) and 0 < v < 1e6, "a number of epochs, such as epochs: 1.5"),
    "all": (lambda v: v is True, "all: true"),
}


def _sources(label: str, fields: _EntryFields, where: str) -> tuple[str, ...]:
    if fields.of is None:
        return (fields.source or label,)
    if fields.source is not None or fields.options:
        other = "source" if fields.source is not None else "options"
        raise ConfigError(where, f"{other} beside of", "one or the other", "of: [a, b] names sources as they are")
    twice = [name for name in fields.of if fields.of.count(name) > 1]
    if twice or not fields.of:
        found = f"{twice[0]} is named twice" if twice else "an empty list"
        raise ConfigError(f"{where}.of", found, "each source once")
    return fields.of


def _identity(source: str, options: Mapping[str, Any]) -> str:
    return json.dumps([source, options], sort_keys=True)


def _pools(read: Iterable[_Read], where: str) -> list[Pool]:
    """One pool per source and options, in the order of sources."""
    pools: dict[str, Pool] = {}
    for item in read:
        for source in item.sources:
            label = item.label if item.fields.options else source
            pool = Pool(label=label, source=source, options=item.fields.options)
            pools.setdefault(_identity(source, pool.options), pool)
    labels = [pool.label for pool in pools.values()]
    for label in labels:
        if labels.count(label) > 1:
            found = "the label of an entry with options is the name of another source in this recipe"
            hint = f"name it, for example, {label}_2: {{source: ..., options: ...}}"
            raise ConfigError(f"{where}.sources.{label}", found, "a label of its own", hint)
    return list(pools.values())


def _entry(item: _Read, pools: Iterable[Pool], max_repeats: int) -> Entry:
    labels = {_identity(pool.source, pool.options): pool.label for pool in pools}
    return Entry(
        label=item.label,
        pools=tuple(labels[_identity(source, item.fields.options)] for source in item.sources),
        quota=item.quota,
        cap=item.fields.cap,
        per_group=item.fields.per_group,
        max_repeats=item.fields.max_repeats or max_repeats,
    )


def _check_reached_once(entries: Sequence[Entry], where: str) -> None:
    """Two entries that draw from one pool repeat pairs, so the later one must allow repeats."""
    first: dict[str, str] = {}
    for entry in entries:
        for pool in entry.pools:
            if pool in first and entry.max_repeats < 2:
                found = f"{pool} is already reached through {first[pool]}"
                hint = f"set max_repeats: 2 on {entry.label} if its pairs may occur in the mix twice"
                raise ConfigError(f"{where}.sources.{entry.label}", found, "each source once", hint)
            first.setdefault(pool, entry.label)


def _check_total(rows: int | None, quotas: Sequence[Quota], where: str) -> None:
    """What can be said of the sum before any pool is known."""
    if rows is None and any(quota.kind == "share" for quota in quotas):
        raise ConfigError(
            f"{where}.rows", "not given", "the total that the shares are of", f"add rows: {_a_total(quotas)}"
        )
    if all(quota.kind in ("rows", "share") for quota in quotas):
        check_sum(rows, quotas, sum(int(q.value) for q in quotas if q.kind == "rows"), where)


def _a_total(quotas: Sequence[Quota]) -> str:
    """A total that fits the quotas where they leave one, else what to put there."""
    share = sum(quota.value for quota in quotas if quota.kind == "share")
    fixed = sum(quota.value for quota in quotas if quota.kind == "rows")
    if all(quota.kind in ("rows", "share") for quota in quotas) and fixed and share < 1:
        return f"{round(fixed / (1 - share))}"
    return "N, as many as the mix shall have"


def check_sum(rows: int | None, quotas: Sequence[Quota], fixed: int, where: str) -> None:
    """Raise ConfigError unless `fixed` rows and the shares of `rows` make `rows`, to half a row."""
    shares = [quota.value for quota in quotas if quota.kind == "share"]
    if rows is None or abs(sum(shares) * rows + fixed - rows) <= 0.5:
        return
    if not shares:
        raise ConfigError(
            f"{where}.rows", f"found {rows:,}", f"{fixed:,}, the sum of the quotas", "leave rows out"
        )
    due = (rows - fixed) / rows
    raise ConfigError(
        f"{where}.sources",
        f"the shares sum to {sum(shares):.6g}, the other quotas to {fixed:,} of {rows:,} rows",
        f"shares that sum to {due:.6g}" if due > 0 else f"rows above {fixed:,}",
    )
