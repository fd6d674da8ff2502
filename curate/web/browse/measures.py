"""Numbers and words of pairs that other commands have computed and cached beside them: scores of steps, rulers.

Nothing is computed here: what is not cached of every pair is not offered.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from curate.analysis.rulers import RULERS, ruler_columns, ruler_values
from curate.analysis.traits import Traits
from curate.arrays import F32
from curate.inspect.artefacts import Pairs
from curate.pairs.files import column
from curate.screening.row_steps import fingerprint_of
from curate.web.browse.table import NONE, Facet, PairTable

RULER = "ruler: "


def add_cached_scores(table: PairTable) -> None:
    """Add what scorers of steps have cached of every pair: their numbers, and their words as facets."""
    for folder, name in _common_folders(list(table.pools.values()), "scores"):
        frame = pl.concat([pl.DataFrame(column(path)) for path in _files(table, f"scores/{folder}")])
        for one in frame.iter_columns():
            title = f"{name} {one.name}" if one.name in table.facets or one.name in table.numbers else one.name
            if one.dtype == pl.String:
                words = one.fill_null(NONE).cast(pl.Categorical)
                table.facets[title] = Facet(words.to_physical().to_numpy().astype(np.uint16), _names(words))
            elif one.dtype.is_numeric():
                table.numbers[title] = one.cast(pl.Float32).fill_null(np.nan).to_numpy()


def _names(words: pl.Series) -> list[str]:
    numbered = pl.DataFrame({"name": words.cast(pl.String), "number": words.to_physical()}).unique().sort("number")
    names = [""] * (int(numbered["number"].max() or 0) + 1)  # type: ignore[arg-type]
    for name, number in numbered.iter_rows():
        names[number] = name
    return names


def _common_folders(pools: Sequence[Pairs], kind: str) -> Iterator[tuple[str, str]]:
    """The folders of this kind that every pool has with a file for each part, and the name of each."""
    first = pools[0].directory / kind if pools else Path()
    for path in sorted(first.glob("*")):
        if all((one.directory / kind / path.name / part.name).exists() for one in pools for part in one.parts):
            yield path.name, path.name.rpartition("-")[0]


def _files(table: PairTable, folder: str) -> list[Path]:
    return [path.parent / folder / path.name for path in table.paths]


def rulers_known(table: PairTable) -> Mapping[str, str]:
    """The rulers that can be read, and what each measures; none before `curate doctor` or `curate report` ran."""
    return RULERS if table.paths and all(path.exists() for path in _files(table, _traits())) else {}


def _traits() -> str:
    return f"sketches/traits-{fingerprint_of(Traits())}"


def ruler_difference(table: PairTable, name: str) -> F32:
    """How much more of a ruler the chosen reply has than the rejected one, of every pair; NaN where not known."""
    found = []
    for path in _files(table, _traits()):
        chosen, rejected, known = ruler_values(name, pl.DataFrame(column(path, *ruler_columns(name))))
        difference = (chosen - rejected).astype(np.float32)
        found.append(difference if known is None else np.where(known > 0, difference, np.float32(np.nan)))
    return np.concatenate(found) if found else np.zeros(0, np.float32)
