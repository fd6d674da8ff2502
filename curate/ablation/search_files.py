"""What a search leaves on disk: recipes of the candidates with exact rows, and its result as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from curate import bundled
from curate.ablation.search import Candidate, Outcome
from curate.config import read_yaml
from curate.recipe.entries import QUOTAS
from curate.workspace import atomic, write_json


def recipe_text(recipe: str, name: str, rows: Mapping[str, int], why: str) -> str:
    """The recipe file with exact rows in the place of its quotas; a source of 0 rows is left out of the mix."""
    table: Any = read_yaml(bundled.find(recipe))
    sources = {label: _entry(value, max(rows[label], 1)) for label, value in table["sources"].items()}
    nothing = [f"entry:{label}" for label, count in rows.items() if not count]
    without = sorted({*table.get("without", ()), *nothing})
    named = {key: value for key, value in table.items() if key not in ("rows", "without", "raw")}
    named |= {"name": f"{table['name']}-{name}", "about": why, "sources": sources}
    text: str = yaml.safe_dump(
        named | ({"without": without} if without else {}), sort_keys=False, allow_unicode=True
    )
    return text


def _entry(value: Any, rows: int) -> dict[str, Any]:
    kept = value if isinstance(value, dict) else {}
    return {key: one for key, one in kept.items() if key not in (*QUOTAS, "cap")} | {"rows": rows}


def write(found: Outcome, recipe: str, folder: Path) -> list[Path]:
    """Write search.json and the candidates' recipes; return the paths of these."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in found.candidates:
        path = folder / f"{one.name}.yaml"
        about = f"Candidate of a search, {one.effect.difference * 100:+.1f} points against the natural mix"
        with atomic(path) as temporary:
            temporary.write_text(recipe_text(recipe, one.name, one.rows, about), encoding="utf-8")
        written.append(path)
    write_json(folder / "search.json", to_dict(found))
    return written


def to_dict(found: Outcome) -> dict[str, Any]:
    """Plain values."""
    seen = found.seen
    return {
        "recipe": found.search.template.recipe.name, "rows": found.search.rows, "small_rows": found.search.small,
        "probe": found.search.template.probe, "chosen": found.chosen, "why": found.why, "tau": found.tau,
        "confirming_items": found.items, "seeds": found.seeds,
        "labels": list(found.search.within.labels), "domains": list(seen.domains), "natural": dict(found.natural),
        "seen": [
            {"mix": name, "shares": seen.shares[i].tolist(), "accuracy": seen.accuracies[i].tolist()}
            for i, name in enumerate(seen.names)
        ],
        "surface": {"c": found.fitted.c.tolist(), "b": found.fitted.b.tolist()},
        "candidates": [_plain(one) for one in found.candidates],
    }  # fmt: skip


def _plain(one: Candidate) -> dict[str, Any]:
    return {
        "name": one.name, "rows": dict(one.rows), "predicted": one.predicted, "small": one.small,
        "effect": one.effect.to_dict(), "domains": [part.to_dict() for part in one.parts],
    }  # fmt: skip
