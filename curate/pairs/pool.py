"""A pool: the pairs files of one source of a recipe, as corpus steps see them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsPool:
    """A finished pairs artefact in a recipe: files `directory/part` in the order of `parts`; priority 0 wins."""

    label: str
    source: str
    directory: Path
    priority: int
    parts: tuple[str, ...]
