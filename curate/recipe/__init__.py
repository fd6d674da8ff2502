"""The recipe: what to build, written by people. Sources and their quotas, priority, holdout, steps, shards.

name: quickstart              letters, digits, _ and -
about: One line
seed: 0
rows: 400                     total of the mix; required when a quota is a share
max_repeats: 1                how often one pair may occur in the mix; an entry may set its own
priority: [label, ...]        whose pair is kept when two collide; those not named follow in the order of sources
sources:
  rlaif_v: all                                      the label is the source's name
  mmpr: {rows: 2000000}
  shp: {share: 0.3, cap: 40000, per_group: 5}       of `rows`; what a cap cuts off goes to the other shares
  hard: {source: ultrafeedback, all: true, options: {pairing: ultra_hard}}
  r1: {of: [vlfeedback, povid], rows: 100000}       several sources, one quota
  tulu3_if: {epochs: 1.5, max_repeats: 2}
holdout: {rows_per_source: 20}                      or {share: 0.01}; whole groups, no prompt is in the mix too
without: [mmpr]                                     screened and held out, but not in the mix (curate ablate)
licenses: {exclude: [cc-by-nc-4.0, unknown]}        or {allow: [...]}; the first step
require: [critiques]                                pairs without one for each reply are dropped, the next step;
                                                    no_videos: pairs with a video
steps:
  - truncation: {max_length: 1000}                  `ties` comes first unless named; `- ties: false`: off
shards: {max_mb: 256, media: embed, content: auto}  or media: reference; content: text, blocks; videos: frames
max_skip: {llava_critic: 0.2}
raw: samples                  raw files, one folder per source, beside the recipe (or beside the folder `recipes`
                              that it is in); of a source without a folder there, those in the workspace
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from curate import bundled
from curate.config import build, check_key, closest, read_yaml, show
from curate.errors import ConfigError
from curate.recipe.entries import Entry, Pool, Quota, at_least, check_name, check_sum, read

__all__ = [
    "Entry", "Holdout", "Pool", "Quota", "Recipe", "ShardSettings", "check_sum", "from_table", "load", "material",
    "removable_names",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """How many pairs of each source are set aside, by groups and prompts: at most so many rows, or a share."""

    rows_per_source: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.rows_per_source is None) == (self.share is None):
            raise ValueError("a holdout is either {rows_per_source: 20} or {share: 0.01}")
        if self.rows_per_source is not None and self.rows_per_source < 1:
            raise ValueError(f"rows_per_source is {self.rows_per_source}, but must be at least 1")
        if self.share is not None and not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}, but must be between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """How the mix is cut: megabytes (10**6) of text and embedded media a shard, and where the media are.

    content   what the content of a message is: a text, as templates of text models take it, or a list of blocks,
              as those of multimodal models do; auto: text unless the mix has media
    videos    blocks: a video is one block and one of the media; frames: it is as many images as it has frames, for
              trainers without videos, such as TRL
    """

    max_mb: float = 256.0
    media: Literal["embed", "reference"] = "embed"
    content: Literal["auto", "text", "blocks"] = "auto"
    videos: Literal["blocks", "frames"] = "blocks"

    def __post_init__(self) -> None:
        if not 0 < self.max_mb <= 1000:  # a shard's text is held at once, under 32-bit offsets
            raise ValueError(f"max_mb is {self.max_mb:g}, but must be between 0 and 1000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe as read, with every default filled in.

    `where` names the file in errors, `raw` is the directory of raw files, if the recipe names one, and `arm_of` is
    the recipe of which this is an arm; they define nothing of the mix and are not compared. `priority` orders the
    labels of all pools, the winner first; `steps` are (name, value) pairs, in order. `without` names sources,
    pools or entries whose selected pairs are left out of the mix; nothing else changes.
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
    raw: Path | None = field(default=None, compare=False)
    arm_of: str = field(default="", compare=False)

    @classmethod
    def from_config(cls, value: Any, where: str) -> Self:
        """Read the grammar above. Raises ConfigError with the path of the fault."""
        raw: _RecipeFields = build(value, _RecipeFields, where)
        _check_scalars(raw, where)
        entries, pools = read(raw.sources, raw.rows, raw.max_repeats, where)
        for i, name in enumerate(raw.without):
            check_key(name, removable_names(entries, pools), f"{where}.without[{i}]")
        return cls(
            name=raw.name,
            about=raw.about,
            seed=raw.seed,
            rows=raw.rows,
            entries=entries,
            pools=pools,
            priority=_priority(raw.priority, entries, f"{where}.priority"),
            holdout=None if raw.holdout is None else build(raw.holdout, Holdout, f"{where}.holdout"),
            steps=_steps(raw.steps, where, {"licenses": raw.licenses, "require": _required(raw.require, where)}),
            shards=raw.shards,
            max_skip=_max_skip(raw.max_skip, pools, f"{where}.max_skip"),
            without=tuple(sorted(set(raw.without))),
            where=where,
            raw=None if raw.raw is None else _inside(raw.raw, f"{where}.raw"),
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, defaults included; equal recipes give equal values."""
        plain = asdict(self)
        for place in ("where", "raw", "arm_of"):
            plain.pop(place)
        value: dict[str, Any] = json.loads(json.dumps(plain))
        return value

    def material(self) -> dict[str, Any]:
        """What of it defines the mix, for the fingerprint: without the words and the guards."""
        return material(self.to_dict())


def material(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What of `Recipe.to_dict` defines the mix; `without` and `shards.videos` only where they are set."""
    idle = ("name", "about", "max_skip", *(() if plain["without"] else ("without",)))
    shards = {key: value for key, value in plain["shards"].items() if (key, value) != ("videos", "blocks")}
    return {key: value for key, value in {**plain, "shards": shards}.items() if key not in idle}


def removable_names(entries: Sequence[Entry], pools: Sequence[Pool]) -> list[str]:
    """What `without` may name: entries, sources, pools; `entry:LABEL` where a source has the name as well."""
    labels = [entry.label for entry in entries]
    names = [*labels, *(pool.source for pool in pools), *(pool.label for pool in pools)]
    return list(dict.fromkeys([*names, *(f"entry:{label}" for label in labels)]))


def load(recipe: str | Path) -> Recipe:
    """The recipe of that name or path. Raises ConfigError with the path of the fault inside the file."""
    path = bundled.find(recipe)
    return from_table(read_yaml(path), path)


def from_table(table: Any, path: Path) -> Recipe:
    """The recipe that a parsed YAML file says; its `raw` is found from the file's path."""
    recipe = Recipe.from_config(table, f"{path}: $")
    if recipe.raw is None:
        return recipe
    directory = path.absolute().parent
    return replace(recipe, raw=(directory.parent if directory.name == "recipes" else directory) / recipe.raw)


def _inside(folder: str, where: str) -> Path:
    """The folder as a relative path without `..`: a recipe from elsewhere must not reach other files here."""
    parts = PurePosixPath(folder).parts
    if not folder or folder.startswith(("/", "~")) or ".." in parts or "\\" in folder or "\0" in folder:
        expected = "a folder beside the recipe, such as raw: samples"
        raise ConfigError(where, f"found {show(folder)}", expected, "--raw DIR takes any directory")
    return Path(folder)


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
    require: Any = None
    steps: tuple[Any, ...] = ()
    shards: ShardSettings = field(default_factory=ShardSettings)
    max_skip: dict[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    raw: str | None = None


def _check_scalars(raw: _RecipeFields, where: str) -> None:
    check_name(raw.name, f"{where}.name")
    if not raw.sources:
        raise ConfigError(f"{where}.sources", "no source", "at least one", "curate sources lists them")
    at_least(1, raw.rows, f"{where}.rows")
    at_least(1, raw.max_repeats, f"{where}.max_repeats")
    if not 0 <= raw.seed < 2**63:
        raise ConfigError(f"{where}.seed", f"found {raw.seed}", "a whole number from 0 to 2**63 - 1")


def _priority(named: Sequence[str], entries: Sequence[Entry], where: str) -> tuple[str, ...]:
    """The pools in order of priority: those of the entries named, then the rest in the order of sources."""
    by_label = {entry.label: entry for entry in entries}
    for i, label in enumerate(named):
        if label not in by_label:
            close = closest(label, by_label)
            there = f"did you mean {close[0]}? If {label} is right, correct it under sources" if close else ""
            hint = there or f"labels: {', '.join(by_label)}"
            raise ConfigError(f"{where}[{i}]", f"no source is labelled {label}", "a label under sources", hint)
        if label in named[:i]:
            raise ConfigError(f"{where}[{i}]", f"{label} is named twice", "each label once")
    ordered = [by_label[label] for label in named] + [entry for entry in entries if entry.label not in named]
    return tuple(dict.fromkeys(pool for entry in ordered for pool in entry.pools))


def _required(named: Any, where: str) -> dict[str, Any] | None:
    """The value of the step `require`."""
    if named is None:
        return None
    if not isinstance(named, list):
        raise ConfigError(f"{where}.require", f"found {show(named)}", "a list, such as [critiques]")
    return {"what": named}


def _steps(items: Sequence[Any], where: str, keys: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """(name, value) pairs: those of the recipe's own keys, `ties` by default and unless it is false, the items."""
    first = {name: value for name, value in keys.items() if value is not None}
    where = f"{where}.steps"
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
