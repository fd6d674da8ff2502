"""Figures of a mix for its lock: licences, lengths, margins, modalities, and the origin of its sources.

Read are a few scalar columns of the selected parts, never text. A row that is in the mix twice counts
twice.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.arrays import frame
from curate.arrow_compute import pc
from curate.licenses import blend_terms
from curate.mixing.select import Selection
from curate.pairs.normalize import Artefact
from curate.parquet import opened
from curate.recipe import Recipe
from curate.statistics import quantiles

QUANTILES = (5, 25, 50, 75, 95)
"""Percent. A quantile is the smallest value that at least so many percent of the values do not exceed."""

EDGES = (0, *(1 << n for n in range(5, 17)))
"""Where the bins of a histogram begin, in bytes; the last one is open."""

SIDES = ("prompt", "chosen", "rejected")
MODALITIES = ("text", "image", "video")

READ = ("text_bytes", "chosen_bytes", "rejected_bytes", "margin", "license", "media.list.element.kind")
FRAME = {
    "text_bytes": pl.UInt32,
    "chosen_bytes": pl.UInt32,
    "rejected_bytes": pl.UInt32,
    "margin": pl.Float64,
    "license": pl.String,
    "modality": pl.String,
}
"""What is known of every selected pair, and `prompt_bytes`, the rest of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The selected rows of one pool, as FRAME."""

    label: str
    mix: pl.DataFrame
    holdout: pl.DataFrame


def summary(recipe: Recipe, artefacts: Mapping[str, Artefact], selection: Selection) -> dict[str, Any]:
    """The entries `origins`, `licenses` and `summary` of a lock.

    origins    per pool: source, repo, paper, languages, annotator, license and revision of its source.
    licenses   table: per pool and licence id the rows in the mix and held out; share of the mix; and the verdict
               over both.
    summary    quantiles and edges that the figures of `all` and of each pool in `sources` are for: rows,
               modality, lengths in bytes (UTF-8) of prompt, chosen and rejected, how often which reply is the
               longer one, and the margins where upstream has any. `held_out`: rows and modality.

    Raises WorkspaceError where a part is missing or damaged.
    """
    pools = [_read(label, number, artefacts[label], selection) for number, label in enumerate(artefacts)]
    assert [pool.label for pool in recipe.pools] == list(artefacts), "artefacts in the order of recipe.pools"
    held = pl.concat([pool.holdout for pool in pools])
    return {
        "origins": {label: _origin(artefact) for label, artefact in artefacts.items()},
        "licenses": _licenses(pools),
        "summary": {
            "quantiles": list(QUANTILES),
            "edges": list(EDGES),
            "all": _figures(pl.concat([pool.mix for pool in pools])),
            "sources": {
                pool.label: {**_figures(pool.mix), "margin": _margins(pool.mix["margin"])} for pool in pools
            },
            "held_out": {"rows": len(held), "modality": _modalities(held)},
        },
    }


def _origin(artefact: Artefact) -> dict[str, Any]:
    source, facts = artefact.job.source, artefact.facts
    return {
        "source": facts["source"],
        "repo": source.repo,
        "paper": source.paper,
        "languages": list(source.languages),
        **{name: facts[name] for name in ("annotator", "license", "revision")},
    }


# ------------------------------------------------------------------------------------------------- reading


def _read(label: str, number: int, artefact: Artefact, selection: Selection) -> _Rows:
    rows = [frame.filter(pl.col("pool") == number) for frame in (selection.mix, selection.holdout)]
    where = pl.concat([frame.select("part", "position") for frame in rows]).with_row_index("at")
    parts = list(_parts(artefact.directory, artefact.parts, where))
    both = pl.concat(parts).sort("at").drop("at") if parts else pl.DataFrame(schema=FRAME)
    if "flipped" in rows[0].columns:
        both = _flipped(both, pl.concat([rows[0]["flipped"], pl.repeat(False, len(rows[1]), eager=True)]))
    both = both.with_columns(
        (pl.col("text_bytes") - pl.col("chosen_bytes") - pl.col("rejected_bytes")).alias("prompt_bytes")
    )
    return _Rows(label=label, mix=both[: len(rows[0])], holdout=both[len(rows[0]) :])


def _flipped(rows: pl.DataFrame, flips: pl.Series) -> pl.DataFrame:
    """The rows with the replies of some exchanged, as curate.mixing.flips does it."""
    chosen, rejected = rows["chosen_bytes"], rows["rejected_bytes"]
    return rows.with_columns(
        chosen_bytes=pl.when(flips).then(rejected).otherwise(chosen),
        rejected_bytes=pl.when(flips).then(chosen).otherwise(rejected),
        margin=pl.when(~flips).then(rows["margin"]),
    )


def _parts(directory: Path, parts: Sequence[str], where: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows wanted, part by part, with the number `at` of each."""
    for (part,), rows in where.partition_by("part", as_dict=True, maintain_order=True).items():
        yield _part(directory / parts[int(part)])[rows["position"]].with_columns(rows["at"])


def _part(path: Path) -> pl.DataFrame:
    """A whole part as FRAME."""
    with opened(path) as file:  # read_table takes no column inside a column
        table = file.read(columns=list(READ))
    scalars = frame(table.drop_columns(["media"]))
    return scalars.with_columns(_modality(table.column("media").combine_chunks())).select(
        pl.col(name).cast(kind) for name, kind in FRAME.items()
    )


def _modality(media: Any) -> pl.Series:
    """`video` where a pair has one, else `image` where it has one, else `text`."""
    rows = pc.list_parent_indices(media).to_numpy()
    is_video = pc.equal(pc.struct_field(pc.list_flatten(media), "kind"), "video").to_numpy(zero_copy_only=False)
    codes = np.zeros(len(media), np.uint8)
    codes[rows] = 1
    codes[rows[is_video]] = 2
    return pl.Series("modality", np.array(MODALITIES)[codes])


# ------------------------------------------------------------------------------------------------- figures


def _licenses(pools: Sequence[_Rows]) -> dict[str, Any]:
    total = sum(len(pool.mix) for pool in pools)
    table, everything = [], Counter[tuple[str, str | None]]()
    for pool in pools:
        mixed, held = (Counter[str | None](frame["license"].to_list()) for frame in (pool.mix, pool.holdout))
        for name, n in sorted((mixed + held).items(), key=lambda item: (-item[1], item[0] or "")):
            everything[pool.label, name] += n
            share = mixed[name] / total if total else 0.0
            line = {"label": pool.label, "license": name, "pairs": mixed[name], "held_out": held[name]}
            table.append({**line, "share": share})
    return {"table": table, "verdict": blend_terms(everything).to_dict()}


def _figures(rows: pl.DataFrame) -> dict[str, Any]:
    chosen, rejected = rows["chosen_bytes"], rows["rejected_bytes"]
    return {
        "rows": len(rows),
        "modality": _modalities(rows),
        **{side: _lengths(rows[f"{side}_bytes"].to_numpy()) for side in SIDES},
        "longer": {
            "chosen": int((chosen > rejected).sum()),
            "rejected": int((chosen < rejected).sum()),
            "neither": int((chosen == rejected).sum()),
        },
    }


def _modalities(rows: pl.DataFrame) -> dict[str, int]:
    found = Counter[str](dict(rows["modality"].value_counts().iter_rows()))
    return {name: found[name] for name in MODALITIES}


def _lengths(sizes: npt.NDArray[Any]) -> dict[str, Any]:
    bins = np.searchsorted(np.array(EDGES), sizes, side="right") - 1
    return {
        "quantiles": [int(value) for value in quantiles(sizes, QUANTILES)],
        "histogram": np.bincount(bins, minlength=len(EDGES)).tolist(),
    }


def _margins(margins: pl.Series) -> dict[str, Any] | None:
    known = margins.drop_nulls().drop_nans().to_numpy()
    if not len(known):
        return None
    return {"pairs": len(known), "quantiles": quantiles(known, QUANTILES)}
