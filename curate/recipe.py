"""The recipe: what to build, written by people. Sources and their quotas, priority, holdout, steps, shards.

name: quickstart              letters, digits, _ and -
about: One line
seed: 0
rows: 400                     total of the mix; due when a quota is a share
max_repeats: 1                how often one pair may stand in the mix; an entry may set its own
priority: [label, ...]        who wins a collision; those not named follow in the order of sources
sources:
  rlaif_v: all                                      the label is the source's name
  mmpr: {rows: 2000000}
  shp: {share: 0.3, cap: 40000, per_group: 5}       of `rows`; what a cap cuts off goes to the other shares
  hard: {source: ultrafeedback, all: true, options: {pairing: ultra_hard}}
  r1: {of: [vlfeedback, povid], rows: 100000}       several sources, one quota
  tulu3_if: {epochs: 1.5, max_repeats: 2}
holdout: {rows_per_source: 20}                      or {share: 0.01}; whole groups, never in the mix
without: [mmpr]                                     judged and held out as ever, but not in the mix (curate ablate)
licenses: {exclude: [cc-by-nc-4.0, unknown]}        or {allow: [...]}; the first step
steps:
  - reply_length: {min_chars: 2}                    `ties` comes first unless named; `- ties: false`: off
shards: {max_mb: 256, media: embed}                 or media: reference
max_skip: {llava_critic: 0.2}
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from curate.config import build, check_key, did_you_mean, show
from curate.config import load as load_config
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """How many pairs of each source are set aside, by whole groups: at most so many rows, or a share."""

    rows_per_source: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.rows_per_source is None) == (self.share is None):
            raise ValueError("a holdout is either {rows_per_source: 20} or {share: 0.01}")
        if self.rows_per_source is not None and self.rows_per_source < 1:
            raise ValueError(f"rows_per_source is {self.rows_per_source}, at least 1 makes sense")
        if self.share is not None and not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}, it must lie between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """How the mix is cut: megabytes (10**6) of text and embedded media a shard, and where the media are."""

    max_mb: float = 256.0
    media: Literal["embed", "reference"] = "embed"

    def __post_init__(self) -> None:
        if not 0 < self.max_mb <= 1000:  # a shard's text is held at once, under 32-bit offsets
            raise ValueError(f"max_mb is {self.max_mb:g}, it must lie between 0 and 1000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe as read, with every default filled in. `where` names the file in errors and is not compared.

    `priority` orders the labels of all pools, the winner first; `steps` are (name, value) pairs, in order.
    `without` names sources, pools or entries whose selected pairs are left out of the mix; nothing else changes.
    """

    name: str
    about: str
    seed: int
    rows: int | None
    entries: tuple[Entry, ...]
    pools: tuple[Pool, ...]
    priority: tuple[str, ...]
    holdout: Holdout | None
    steps: tuple[tuple[str, Any], ...]
    shards: ShardSettings
    max_skip: Mapping[str, float]
    without: tuple[str, ...] = ()
    where: str = field(default="$", compare=False)

    @classmethod
    def from_config(cls, value: Any, where: str) -> Self:
        """Read the grammar above. Raises ConfigError with the path of the fault."""
        raw: _RecipeFields = build(value, _RecipeFields, where)
        _check_scalars(raw, where)
        read = [_read_entry(label, item, f"{where}.sources.{label}") for label, item in raw.sources.items()]
        pools = _pools(read, where)
        entries = tuple(_entry(item, pools, raw.max_repeats) for item in read)
        _check_reached_once(entries, where)
        _check_total(raw.rows, [entry.quota for entry in entries], where)
        for i, name in enumerate(raw.without):
            check_key(name, datasets(entries, pools), f"{where}.without[{i}]")
        return cls(
            name=raw.name,
            about=raw.about,
            seed=raw.seed,
            rows=raw.rows,
            entries=entries,
            pools=tuple(pools),
            priority=_priority(raw.priority, entries, f"{where}.priority"),
            holdout=None if raw.holdout is None else build(raw.holdout, Holdout, f"{where}.holdout"),
            steps=_steps(raw.steps, f"{where}.steps", raw.licenses),
            shards=raw.shards,
            max_skip=_max_skip(raw.max_skip, pools, f"{where}.max_skip"),
            without=tuple(sorted(set(raw.without))),
            where=where,
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, defaults included; equal recipes give equal values."""
        plain = asdict(self)
        plain.pop("where")
        value: dict[str, Any] = json.loads(json.dumps(plain))
        return value

    def material(self) -> dict[str, Any]:
        """What of it defines the mix, for the fingerprint: without the words and the guards."""
        plain = self.to_dict()
        idle = ("name", "about", "max_skip", *(() if self.without else ("without",)))
        return {key: value for key, value in plain.items() if key not in idle}


def datasets(entries: Sequence[Entry], pools: Sequence[Pool]) -> list[str]:
    """What `without` may name: entries, sources, pools; `entry:LABEL` where a source has the name as well."""
    labels = [entry.label for entry in entries]
    names = [*labels, *(pool.source for pool in pools), *(pool.label for pool in pools)]
    return list(dict.fromkeys([*names, *(f"entry:{label}" for label in labels)]))


def load(path: Path) -> Recipe:
    """The recipe in a YAML file. Raises ConfigError with the path of the fault inside the file."""
    return load_config(path, Recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecipeFields:
    name: str
    sources: dict[str, Any]
    about: str = ""
    seed: int = 0
    rows: int | None = None
    max_repeats: int = 1
    priority: tuple[str, ...] = ()
    holdout: Any = None
    licenses: Any = None
    steps: tuple[Any, ...] = ()
    shards: ShardSettings = field(default_factory=ShardSettings)
    max_skip: dict[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()


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


def _check_scalars(raw: _RecipeFields, where: str) -> None:
    _check_name(raw.name, f"{where}.name")
    if not raw.sources:
        raise ConfigError(f"{where}.sources", "no source", "at least one", "curate sources lists them")
    _at_least(1, raw.rows, f"{where}.rows")
    _at_least(1, raw.max_repeats, f"{where}.max_repeats")
    if not 0 <= raw.seed < 2**63:
        raise ConfigError(f"{where}.seed", f"found {raw.seed}", "a whole number from 0 to 2**63 - 1")


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(where, f"found {show(name)}", "letters, digits, _ and -")


def _at_least(least: int, value: int | None, where: str) -> None:
    if value is not None and value < least:
        raise ConfigError(where, f"found {value}", f"{least} or more")


def _read_entry(label: str, value: Any, where: str) -> _Read:
    _check_name(label, where)
    if value == "all":
        value = {"all": True}
    if not isinstance(value, dict):
        raise ConfigError(where, f"found {show(value)}", "a typed quota", QUOTA_HINT)
    quota = _quota(value, where)
    fields: _EntryFields = build(value, _EntryFields, where)
    for name in ("cap", "per_group", "max_repeats"):
        _at_least(1, getattr(fields, name), f"{where}.{name}")
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
                hint = f"set max_repeats: 2 on {entry.label} if its pairs may stand in the mix twice"
                raise ConfigError(f"{where}.sources.{entry.label}", found, "each source once", hint)
            first.setdefault(pool, entry.label)


def _check_total(rows: int | None, quotas: Sequence[Quota], where: str) -> None:
    """What can be said of the sum before any pool is known."""
    if rows is None and any(quota.kind == "share" for quota in quotas):
        raise ConfigError(f"{where}.rows", "not given", "the total that the shares are of", "add rows: 100000")
    if all(quota.kind in ("rows", "share") for quota in quotas):
        check_sum(rows, quotas, sum(int(q.value) for q in quotas if q.kind == "rows"), where)


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


def _priority(named: Sequence[str], entries: Sequence[Entry], where: str) -> tuple[str, ...]:
    """The pools in order of priority: those of the entries named, then the rest in the order of sources."""
    by_label = {entry.label: entry for entry in entries}
    for i, label in enumerate(named):
        if label not in by_label:
            hint = did_you_mean(label, by_label, f"labels: {', '.join(by_label)}")
            raise ConfigError(f"{where}[{i}]", f"no source is labelled {label}", "a label under sources", hint)
        if label in named[:i]:
            raise ConfigError(f"{where}[{i}]", f"{label} is named twice", "each label once")
    ordered = [by_label[label] for label in named] + [entry for entry in entries if entry.label not in named]
    return tuple(dict.fromkeys(pool for entry in ordered for pool in entry.pools))


def _steps(items: Sequence[Any], where: str, licenses: Any) -> tuple[tuple[str, Any], ...]:
    """(name, value) pairs: `licenses` if any, `ties` by default, left out where it is false, and the items."""
    first = {} if licenses is None else {"licenses": licenses}
    steps: dict[str, Any] = dict(first)
    for i, item in enumerate(items):
        if isinstance(item, dict) and len(item) == 1:
            [(name, value)] = item.items()
        else:
            name, value = item, None
        if not isinstance(name, str):
            raise ConfigError(f"{where}[{i}]", f"found {show(name)}", "a step: `- name` or `- name: {...}`")
        if name in steps:
            raise ConfigError(f"{where}[{i}]", f"{name} is listed twice", "each step once")
        if value is False and name != "ties":
            raise ConfigError(f"{where}[{i}]", f"{name}: false", "a step that is on by default", "remove the line")
        steps[name] = value
    if "ties" not in steps:
        steps = {**first, "ties": None, **steps}
    return tuple((name, value) for name, value in steps.items() if value is not False)


def _max_skip(shares: Mapping[str, float], pools: Iterable[Pool], where: str) -> dict[str, float]:
    for source, share in shares.items():
        check_key(source, sorted({pool.source for pool in pools}), where)
        if not 0 <= share <= 1:
            raise ConfigError(f"{where}.{source}", f"found {share}", "a share from 0 to 1")
    return dict(shares)
