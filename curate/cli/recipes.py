"""curate recipes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curate import bundled, recipe
from curate.cli.options import JsonOption
from curate.cli.output import data, say, show_table
from curate.errors import ConfigError
from curate.tables import Table


def recipes(
    ablations: Annotated[bool, typer.Option("--ablations", help="List the ablations instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the recipes that have a name: your own in ./recipes, and the bundled ones.

    Every command that takes a recipe takes such a name. Your own come first where both have a name.
    """
    kind: bundled.Kind = "ablation" if ablations else "recipe"
    facts = []
    for name, path in bundled.named(kind).items():
        try:
            facts.append(_ablation(name, path) if ablations else _recipe(name, path))
        except ConfigError as error:
            say(f"not listed: {error}")
    if as_json:
        data(facts)
        return
    columns = (kind, "about", *(("recipe", "arms", "preset") if ablations else ("sources", "rows")), "from")
    show_table(Table(f"{kind}s", columns, [tuple(fact[column] for column in columns) for fact in facts]))


def _recipe(name: str, path: Path) -> dict[str, Any]:
    read = recipe.load(path)
    sources = sorted({pool.source for pool in read.pools})
    return {"recipe": name, "about": read.about, "sources": len(sources), "rows": read.rows, **_from(path)}


def _ablation(name: str, path: Path) -> dict[str, Any]:
    from curate.ablation import spec  # half a second: the other list needs none of it

    study = spec.load(path)
    facts = {"recipe": study.recipe.name, "arms": len(study.arms), "preset": study.preset, "seeds": study.seeds}
    return {"ablation": name, "about": study.about, **facts, **_from(path)}


def _from(path: Path) -> dict[str, str]:
    bundled_one = path.resolve().is_relative_to(bundled.folder("recipes").resolve())
    return {"from": "bundled" if bundled_one else str(path), "file": str(path)}
