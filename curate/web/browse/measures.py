"""Numbers and words of pairs that other commands have computed and cached beside them: scores of steps, rulers.

Nothing is computed here: what is not cached of every pair is not offered.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pyarrow.parquet as pq

from curate.analysis.audit_files import audits
from curate.analysis.rulers import RULERS, ruler_columns, ruler_values
from curate.analysis.traits import Traits
from curate.arrays import F32, frame
from curate.inspect.artefacts import Pairs
from curate.pairs import scores
from curate.pairs.files import column
from curate.pairs.pool import PairsPool
from curate.parquet import checked, count_rows
from curate.screening.row_steps import fingerprint_of
from curate.web.browse.table import NONE, Facet, PairTable
from curate.workspace import Workspace

RULER = "ruler: "


def add_cached_scores(table: PairTable) -> None:
    """Add what scorers of steps have cached of every pair: their numbers, and their words as facets."""
    for folder, name in _common_folders(list(table.pools.values()), "scores"):
        every = pl.concat([_whole(path) for path in _files(table, f"scores/{folder}")])
        for one in every.iter_columns():
            title = f"{name} {one.name}" if one.name in table.facets or one.name in table.numbers else one.name
            if one.dtype == pl.String:
                words = one.fill_null(NONE).cast(pl.Categorical)
                table.facets[title] = Facet(words.to_physical().to_numpy().astype(np.uint16), _names(words))
            elif one.dtype.is_numeric():
                add_number(table, title, one.cast(pl.Float32).fill_null(np.nan).to_numpy())


def add_rewards(table: PairTable) -> None:
    """Add what `curate score` and `curate audit` gave the pairs: margins, and chances that the label is wrong."""
    pools = table.pools.values()
    for name in sorted({name for pairs in pools for name in scores.names(pairs.directory)}):
        found = pl.concat([_rewards(pairs, name) for pairs in pools])
        for column_name, title in (("margin", f"score {name}"), ("wrong", f"{name}: label is wrong")):
            values = found[column_name].cast(pl.Float32).fill_null(np.nan).to_numpy()
            if not np.isnan(values).all():
                add_number(table, title, values)


def _rewards(pairs: Pairs, name: str) -> pl.DataFrame:
    """The scores of a pool, null where it has none of that name."""
    parts = tuple(part.name for part in pairs.parts)
    pool = PairsPool(label=pairs.source, source=pairs.source, directory=pairs.directory, priority=0, parts=parts)
    if name in scores.names(pairs.directory):
        return scores.read(pool, name, "browse").select("margin", "wrong")
    rows = sum(count_rows(part) for part in pairs.parts)
    nothing = pl.repeat(None, rows, dtype=pl.Float64, eager=True)
    return pl.DataFrame({"margin": nothing, "wrong": nothing})


def add_sheets(table: PairTable, workspace: Workspace) -> None:
    """Add the facet of pairs that audits drew for review, by the audit's name; of several the last by name."""
    names, codes = [NONE], np.zeros(len(table), np.uint16)
    for path in (place / "sheet.jsonl" for place in audits(workspace)):
        if not path.exists():
            continue
        names.append(path.parent.name)
        ids = [str(orjson.loads(line)["pair_id"]) for line in path.read_bytes().splitlines()]
        table.put(codes, dict.fromkeys(ids, len(names) - 1), str(path))
    if len(names) > 1:
        table.facets["drawn for review by"] = Facet(codes, names)


def add_number(table: PairTable, name: str, values: F32) -> None:
    """Add a number of every pair as an order, and as a facet of five parts with about as many pairs each."""
    table.numbers[name] = values
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, (0.2, 0.4, 0.6, 0.8))) if len(known) else np.zeros(0, np.float32)
    codes = np.searchsorted(edges, values, "left").astype(np.uint16)
    codes[np.isnan(values)] = len(edges) + 1
    texts = [f"{edge:.3g}" for edge in edges.tolist()]
    names = [f"up to {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts))] if texts else []
    table.facets[name] = Facet(codes, [*names, f"above {texts[-1]}" if texts else "", NONE])


def _whole(path: Path) -> pl.DataFrame:
    with checked(path, "a Parquet file"):
        return frame(pq.read_table(path))


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
