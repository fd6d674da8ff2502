"""Files that come with curate (manifests, recipes, data cards, sample rows) and a user's own beside them, by name.

They are at the top of the repository in a checkout, and in curate/bundled_files in a wheel (see setup.py). A user
keeps files of the same kind in folders of the same name in the current directory; those come first.
"""

import os
from pathlib import Path
from typing import Literal

from curate.config import did_you_mean, did_you_mean_path
from curate.errors import ConfigError

Kind = Literal["recipe", "ablation"]
FOLDERS: dict[Kind, str] = {"recipe": "recipes", "ablation": "recipes/ablations"}


def folder(name: str) -> Path:
    """The bundled folder of that name: manifests, recipes, recipes/ablations, data_cards or samples."""
    here = Path(__file__).parent
    inside = here / "bundled_files"
    return (inside if inside.is_dir() else here.parent) / name


def own_or_bundled(own: Path, name: str) -> Path:
    """The path of a user's own file, or that of the file that is bundled in `name` where the user has none."""
    return own if own.exists() else folder(name) / own.name


def named(kind: Kind) -> dict[str, Path]:
    """The files that `find` knows by a name, the user's own before the bundled, sorted by name."""
    places = (folder(FOLDERS[kind]), Path(FOLDERS[kind]))
    return dict(sorted((path.stem, path) for place in places for path in place.glob("*.yaml")))


def is_path(text: str) -> bool:
    """Whether the text is the path of a recipe and not a name: paths of recipes end in .yaml or .yml."""
    return text.endswith((".yaml", ".yml"))


def find(text: str | Path, kind: Kind = "recipe") -> Path:
    """The recipe or ablation file that a path or a name means. Raises ConfigError that lists the names."""
    text = str(text)
    if os.path.isfile(text):  # noqa: PTH113 - unlike Path.is_file it is false, not an error, for a name too long
        return Path(text)
    there = named(kind)
    if text in there:
        return there[text]
    hint = did_you_mean(Path(text).stem, there, f"the path of a YAML file is {_article(kind)} too")
    hint = did_you_mean_path(Path(text), hint) if is_path(text) else hint
    found = "no such file" if is_path(text) else f"no {kind} has this name, and it is not a file"
    raise ConfigError(text, found, f"a file, or one of {', '.join(there)}", hint)


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind == "ablation" else f"a {kind}"
