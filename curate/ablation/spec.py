"""Ablation files: a base recipe, a preset, and arms that differ by trainer settings, by datasets, or by both.

name: heads                          letters, digits, _ and -
about: One line
recipe: ../r1_reward_200k.yaml       relative to this file, or the name of a recipe
preset: basereward_7b
seeds: 3
budget: pairs=200000                 or steps=N; without it each arm has its preset's epochs
settings: {lr: 3e-6}                 of all arms; keys as `curate train` takes them, dots reach into them
baseline: two_silu                   one of the arms; the others are compared with it
arms:
  two_silu: {}
  three_silu: {settings: {head.layers: 3}}
  text: {only: [tulu3_if, olmo2_mix]}             of the recipe's datasets, or
  no_text: {without: [tulu3_if, olmo2_mix]}
grid: {head.layers: [1, 2], lr: [1e-6, 3e-6]}     in the place of arms: every combination, named by its values;
                                     `without` and `only` can be among its keys, with lists of datasets
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from curate import bundled, config, recipe
from curate.ablation.arms import Arm, all_but
from curate.ablation.study import Budget, Study
from curate.config import check_key
from curate.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9_=.,+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    settings: dict[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.only and self.without:
            raise ValueError("only beside without: one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    recipe: str
    preset: str
    baseline: str
    about: str = ""
    seeds: int = 3
    budget: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    arms: dict[str, _Arm] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.arms) == bool(self.grid):
            raise ValueError("arms or grid: one of them")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, but must be at least 1")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ValueError(f"name is {self.name!r}: letters, digits, _ and -")


def load(file: str | Path, base: str | None = None, preset: str | None = None) -> Study:
    """The study of an ablation file, by its name or path; `base` and `preset` replace its recipe and preset.

    Raises ConfigError.
    """
    path = bundled.find(file, "ablation")
    read = config.load(path, _File)
    of = recipe.load(base or _beside(read.recipe, path))
    wanted = read.arms or _grid(read.grid, f"{path}: $.grid")
    check_key(read.baseline, wanted, f"{path}: $.baseline")
    for name in wanted:
        if not NAME.fullmatch(name):
            raise ConfigError(f"{path}: $.arms", f"found {name!r}", "letters, digits and _=.,+-")
    arms = [_arm(name, one, of, f"{path}: $.arms.{name}") for name, one in wanted.items()]
    arms.sort(key=lambda arm: arm.name != read.baseline)  # stable: the baseline first, then as written
    return Study(
        title=read.name, about=read.about, recipe=of, arms=tuple(arms), seeds=read.seeds,
        preset=preset or _beside(read.preset, path), settings=settings(read.settings),
        budget=Budget.parse(read.budget) if read.budget else None,
    )  # fmt: skip


def settings(table: Mapping[str, Any]) -> tuple[str, ...]:
    """`key=value` as the trainer reads them; a value as JSON, which is YAML too."""
    return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in table.items())


def _beside(name: str, path: Path) -> str:
    """A recipe or preset that an ablation file names: a path is relative to the file, a name stays a name."""
    return str(path.parent / name) if bundled.is_path(name) else name


def _arm(name: str, one: _Arm, of: recipe.Recipe, where: str) -> Arm:
    known = recipe.removable_names(of.entries, of.pools)
    for kind in ("only", "without"):
        for i, dataset in enumerate(getattr(one, kind)):
            check_key(dataset, known, f"{where}.{kind}[{i}]")
    out = all_but(of, one.only) if one.only else one.without
    alone = bool(one.only) and not one.settings  # then it is also compared with chance
    return Arm(
        name=name, without=tuple(sorted({*of.without, *out})), settings=settings(one.settings),
        datasets=one.only if alone else (), mode="single" if alone else None,
    )  # fmt: skip


def _grid(grid: Mapping[str, list[Any]], where: str) -> dict[str, _Arm]:
    for key, values in grid.items():
        if not values:
            raise ConfigError(f"{where}.{key}", "no value", "one value or more")
    out = {}
    for combination in product(*grid.values()):
        chosen = dict(zip(grid, combination, strict=True))
        name = ",".join(f"{key.rpartition('.')[2]}={_value_text(value)}" for key, value in chosen.items())
        sides = {key: chosen.pop(key) for key in ("only", "without") if key in chosen}
        arm: _Arm = config.build({**sides, "settings": chosen}, _Arm, where)
        out[re.sub(r"[^A-Za-z0-9_=.,+-]", "_", name)] = arm
    return out


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "nothing"
    return f"{value:g}" if isinstance(value, float) else str(value)
