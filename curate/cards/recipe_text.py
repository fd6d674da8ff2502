"""Writes the recipe in a lock as YAML, without defaults; reading it gives an equal recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """The YAML of `Recipe.to_dict()`."""
    return yaml.safe_dump(
        _written(recipe), sort_keys=False, default_flow_style=None, allow_unicode=True, width=100
    )


def _written(recipe: Mapping[str, Any]) -> dict[str, Any]:
    pools = {pool["label"]: pool for pool in recipe["pools"]}
    out = {name: recipe[name] for name in ("name", "about", "seed", "rows") if recipe[name] not in (None, "")}
    priority = _priority(recipe["priority"], recipe["entries"])
    if priority:
        out["priority"] = priority
    out["sources"] = {entry["label"]: _entry(entry, pools) for entry in recipe["entries"]}
    if recipe["holdout"]:
        out["holdout"] = {name: value for name, value in recipe["holdout"].items() if value is not None}
    steps = [name if value is None else {name: value} for name, value in recipe["steps"]]
    if "ties" not in dict(recipe["steps"]):
        steps.append({"ties": False})
    out["steps"] = steps
    out["shards"] = recipe["shards"]
    if recipe.get("without"):
        out["without"] = recipe["without"]
    return {**out, "max_skip": recipe["max_skip"]} if recipe["max_skip"] else out


def _entry(entry: Mapping[str, Any], pools: Mapping[str, Mapping[str, Any]]) -> Any:
    drawn = [pools[label] for label in entry["pools"]]
    out: dict[str, Any] = {}
    if len(drawn) > 1:
        out["of"] = [pool["source"] for pool in drawn]
    elif drawn[0]["source"] != entry["label"]:
        out["source"] = drawn[0]["source"]
    quota = entry["quota"]
    out[quota["kind"]] = True if quota["kind"] == "all" else quota["value"]
    out |= {name: entry[name] for name in ("cap", "per_group") if entry[name] is not None}
    if entry["max_repeats"] != 1:
        out["max_repeats"] = entry["max_repeats"]
    if drawn[0]["options"]:
        out["options"] = drawn[0]["options"]
    return "all" if out == {"all": True} else out


def _priority(pools: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of entries that put the pools into this order; none where the order of entries does."""
    if list(pools) == list(dict.fromkeys(pool for entry in entries for pool in entry["pools"])):
        return []
    named: list[str] = []
    seen: list[str] = []
    while len(seen) < len(pools):
        for entry in entries:
            new = [pool for pool in entry["pools"] if pool not in seen]
            if new and new == list(pools[len(seen) : len(seen) + len(new)]):
                named.append(entry["label"])
                seen += new
                break
        else:
            raise AssertionError(f"no order of entries gives the priority {', '.join(pools)}")
    return named
