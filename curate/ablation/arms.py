"""Arms: mixes of one recipe that differ by exactly the pairs of named datasets, and trainer settings for each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from curate import bundled, sources
from curate import recipe as recipes
from curate.config import check_key, did_you_mean, parse_yaml, read_yaml
from curate.errors import ConfigError
from curate.hashing import fingerprint
from curate.recipe import Quota, Recipe, ShardSettings
from curate.steps import build, is_score_step

Mode = Literal["single", "leave-one-out", "add-one"]
BASELINE = "baseline"
PREFIX: dict[Mode, str] = {"single": "only", "leave-one-out": "without", "add-one": "with"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One thing to train: the mix of a recipe `without` some datasets, with trainer settings of its own.

    With a `step`, the recipe's steps and this one, the last; `control` names the arm that drops as many pairs at
    random, with which it is compared as well as with the baseline.
    `datasets` is what the arm is about and `mode` how: nothing for the baseline and for arms that differ by
    settings. `rows`, by entry, replace the recipe's quotas; without any the arm has the recipe's.
    """

    name: str
    without: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    mode: Mode | None = None
    step: tuple[str, Any] | None = None
    control: str | None = None
    rows: tuple[tuple[str, int], ...] = ()

    @property
    def lacks(self) -> bool:
        """Whether the arm lacks a dataset that the baseline has: its effect then has the opposite sign."""
        return self.mode == "leave-one-out"

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe of its mix: the base's own where nothing is left out, else one that refers to its images.

        One that is not the base's own has a name of its own too.
        """
        if self.step is not None:
            base = replace(base, steps=(*base.steps, self.step), arm_of=base.arm_of or base.name)
            return self._named(base)
        if self.rows:
            return self._named(with_rows(replace(base, without=tuple(sorted(self.without))), dict(self.rows)))
        same = set(self.without) == set(base.without)
        if same and not base.arm_of:
            return base
        if same:
            return replace(base, name=self._name(base))
        return self._named(replace(base, without=tuple(sorted(self.without))))

    def _name(self, base: Recipe) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "_", f"{base.arm_of or base.name}-{self.name}")

    def _named(self, base: Recipe) -> Recipe:
        """The arm's own recipe; it refers to images, so that there is no second copy of them on disk."""
        shards = ShardSettings(max_mb=base.shards.max_mb, media="reference")
        return replace(base, name=self._name(base), arm_of=base.arm_of or base.name, shards=shards)


def with_rows(base: Recipe, rows: Mapping[str, int]) -> Recipe:
    """The recipe with exactly so many rows of each entry, in the place of its quotas.

    An entry of 0 rows stays, screened and held out as before, and is left out of the mix.
    """
    entries = tuple(
        replace(entry, quota=Quota(kind="rows", value=max(rows[entry.label], 1)), cap=None)
        for entry in base.entries
    )
    nothing = (f"entry:{label}" for label, count in rows.items() if not count)
    return replace(base, entries=entries, rows=None, without=tuple(sorted({*base.without, *nothing})))


def load(
    name: str | Path, datasets: Sequence[str], manifests: Path | None = None
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of that name or path with those datasets added that it does not name; and the names of these.

    What is added comes last in priority, so that of equal pairs the recipe's own stay. Raises ConfigError for a
    dataset that is neither in the recipe nor a source.
    """
    path = bundled.find(name)
    base = recipes.load(path)
    new = tuple(
        name for name in dict.fromkeys(datasets) if name not in recipes.removable_names(base.entries, base.pools)
    )
    if not new:
        return base, ()
    entries, known = recipes.removable_names(base.entries, base.pools), [*sources.names(), *sources.own(manifests)]
    for one in new:
        if one not in known:
            hint = did_you_mean(
                one, [*entries, *known], f"entries: {', '.join(entries)}; curate sources lists more"
            )
            raise ConfigError(
                "--dataset", f"{one!r} is no entry of {base.name} and no source", "one of them", hint
            )
    table: Any = read_yaml(path)
    table["sources"] = {**table["sources"], **dict.fromkeys(new, "all")}
    recipe = recipes.from_table(table, path)
    return replace(recipe, arm_of=recipe.name), new


def choose(
    recipe: Recipe, added: Sequence[str], datasets: Sequence[str], mode: Mode | None, baseline: Sequence[str]
) -> list[Arm]:
    """The baseline and one arm for each dataset.

    `baseline` names the recipe's entries that the baseline is made of; by default all of them but those `added`,
    and in add-one without the datasets themselves. Without a mode, datasets that were added are added one by one,
    others are left out one by one: both ask what a dataset does in this blend.
    """
    labels = [entry.label for entry in recipe.entries]
    for i, name in enumerate(baseline):
        check_key(name, labels, f"--baseline-mix[{i}]")
    for name in datasets:
        check_key(name, recipes.removable_names(recipe.entries, recipe.pools), "--dataset")
    if mode is None:
        mode = "add-one" if added else "leave-one-out"
    aside = set(labels) - set(baseline) if baseline else set(added)
    if mode == "add-one" and not baseline:
        aside |= set(datasets)
    _check_sides(mode, datasets, aside, len(labels))
    kept = tuple(sorted({*recipe.without, *aside}))
    return [Arm(name=BASELINE, without=kept), *(_arm(mode, name, kept, recipe) for name in datasets)]


def with_step(recipe: Recipe, text: str) -> list[Arm]:
    """The arms that ask whether a step that reads scores helps: without it, with it, and as few pairs at random.

    `text` is the step as a recipe would list it. Raises ConfigError for another step or one already there.
    """
    where = f"--with-step {text}"
    value = parse_yaml(text, "--with-step")
    name, fields = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
    if not isinstance(name, str) or not (fields is None or isinstance(fields, dict)):
        raise ConfigError(where, "no step", "a step that reads scores", "such as 'label_audit: {above: 0.95}'")
    if name in dict(recipe.steps):
        raise ConfigError(
            where, f"{recipe.name} has {name} already", "a recipe without it", "take it out of steps"
        )
    if not is_score_step(build(name, fields, where)):
        hint = "--dataset compares datasets; reward_margin and label_audit read scores"
        raise ConfigError(where, f"{name} reads no scores", "a step that does", hint)
    short = fingerprint([name, fields])[:6]
    drawn = {**(fields or {}), "at_random": True}
    control = f"random-{name}-{short}"
    filtered = Arm(name=f"with-{name}-{short}", without=recipe.without, step=(name, fields), control=control)
    at_random = Arm(name=control, without=recipe.without, step=(name, drawn))
    return [Arm(name=BASELINE, without=recipe.without), filtered, at_random]


def _check_sides(mode: Mode, datasets: Sequence[str], aside: set[str], entries: int) -> None:
    """A dataset can be left out only of a baseline that has it, and added only to one that lacks it."""
    for name in datasets:
        if mode == "leave-one-out" and name in aside:
            raise ConfigError("--mode leave-one-out", f"the baseline has no {name}", "a dataset of the baseline",
                              "--mode add-one adds it")  # fmt: skip
        if mode == "add-one" and name not in aside:
            raise ConfigError("--mode add-one", f"the baseline has {name} already", "a baseline without it",
                              "leave it out of --baseline-mix")  # fmt: skip
    if len(aside) >= entries or (mode == "leave-one-out" and entries - len(aside) < 2):
        raise ConfigError(
            f"--mode {mode}", "nothing would be left to train on", "a recipe of two datasets or more"
        )


def _arm(mode: Mode, name: str, aside: tuple[str, ...], recipe: Recipe) -> Arm:
    if mode == "add-one":
        without = [other for other in aside if other != name]
    elif mode == "leave-one-out":
        without = [*aside, name]
    else:
        without = all_but(recipe, [name])
    return Arm(name=f"{PREFIX[mode]}-{name}", without=tuple(sorted(without)), datasets=(name,), mode=mode)


def all_but(recipe: Recipe, names: Sequence[str]) -> list[str]:
    """What to leave out to keep only these: other entries, and the other pools of an entry they are part of."""
    kept = {entry.label for entry in recipe.entries if {entry.label, f"entry:{entry.label}"} & set(names)}
    inside = [pool for pool in recipe.pools if {pool.label, pool.source} & set(names) - kept]
    labels = {pool.label for pool in inside}
    reached = {entry.label for entry in recipe.entries if labels & set(entry.pools)}
    out = [f"entry:{entry.label}" for entry in recipe.entries if entry.label not in kept | reached]
    partly = {pool for entry in recipe.entries if entry.label in reached - kept for pool in entry.pools}
    return out + sorted(partly - labels)


def sources_of(recipe: Recipe, names: Sequence[str]) -> set[str]:
    """The sources that the pairs of these datasets come from."""
    out: set[str] = set()
    for name in (name.removeprefix("entry:") for name in names):
        named = {pool.source for pool in recipe.pools if name in (pool.source, pool.label)}
        drawn = {pool for entry in recipe.entries if entry.label == name for pool in entry.pools}
        out |= named or {pool.source for pool in recipe.pools if pool.label in drawn}
    return out


def removed(baseline: Sequence[object], arm: Sequence[object]) -> list[int] | None:
    """Positions of the baseline's pairs that an arm lacks; None if the rest is not the arm, in its order."""
    out, at = [], 0
    for i, pair in enumerate(baseline):
        if at < len(arm) and arm[at] == pair:
            at += 1
        else:
            out.append(i)
    return out if at == len(arm) else None
