"""What an audit keeps: its facts and its pairs, and the same as scores beside the pairs.

<workspace>/audits/NAME/audit.json      the facts (audit_run.facts), with its checksum
                        pairs.parquet   PAIRS, the most suspect first
                        *.svg           plots (audit_charts)
                        sheet.csv       pairs to review, sheet.jsonl the same for a program; on demand
<pairs>/rewards/NAME/                   the same as scores (curate.pairs.scores), for the step label_audit

`wrong` in pairs.parquet is what the fit gives, before any review; `read_pairs` and the scores have it as the last
review corrects it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.analysis import audit_noise, scoring
from curate.analysis.audit_charts import charts
from curate.checksums import check, published, read_record, write_record
from curate.errors import ConfigError
from curate.inspect.targets import Target
from curate.inspect.text import beginning
from curate.pairs import scores
from curate.pairs.files import column, rows_at
from curate.workspace import Workspace

Facts = Mapping[str, Any]

PAIRS: dict[str, Any] = {
    "pair_id": pl.String,
    "source": pl.String,
    "wrong": pl.Float64,
    "wrong_without_rulers": pl.Float64,
    "margin": pl.Float64,
    "margin_without_rulers": pl.Float64,
    "margin_others": pl.Float64,
    "margin_within": pl.Float64,
    "at": pl.UInt32,
    "review_chance": pl.Float64,
    "in_sheet": pl.Boolean,
}
"""Columns of an audit's pairs, see audit.Audited: `at` is the pair's row in its pool, `review_chance` its chance
of being in the review sheet, and `in_sheet` whether it is."""


def place_of(workspace: Workspace, name: str) -> Path:
    """The directory of an audit."""
    return workspace.root / "audits" / name


def audits(workspace: Workspace) -> list[Path]:
    """The directories of the finished audits, by name."""
    return sorted(path.parent for path in workspace.root.glob("audits/*/audit.json"))


def by(record: Facts) -> dict[str, Any]:
    """What an audit's scores are by, for their receipt and the locks of mixes that read them."""
    review = record["review"]
    corrected = {name: review[name] for name in ("labels", "shift", "slope")} if review else None
    return {"kind": "audit", "preset": record["preset"], "settings": record["settings"], "review": corrected}


def write(place: Path, targets: Sequence[Target], table: pl.DataFrame, record: Facts) -> None:
    """Keep an audit: PAIRS as `table`, the scores beside the pairs of the targets, plots, and last the facts."""
    for old in place.glob("*.svg*"):
        old.unlink()
    with published(place / "pairs.parquet") as temporary:
        table.write_parquet(temporary)
    write_reviewed(place, targets, table, record)


def write_reviewed(place: Path, targets: Sequence[Target], table: pl.DataFrame, record: Facts) -> None:
    """Keep the scores beside the pairs as the review in the facts corrects them, plots, and last the facts."""
    table = _corrected(table, record)
    for target in targets:
        _write_scores(target, record["name"], table.filter(pl.col("source") == target.label), record)
    for name, drawing in charts(table, record).items():
        with published(place / name) as temporary:
            temporary.write_text(drawing, encoding="utf-8")
    write_record(place / "audit.json", dict(record))


def _write_scores(target: Target, name: str, own: pl.DataFrame, record: Facts) -> None:
    size = sum(column(target.pool.directory / part, "pair_id").num_rows for part in target.pool.parts)
    frame = pl.DataFrame({"at": pl.int_range(size, dtype=pl.UInt32, eager=True)}).join(
        own.select("at", "margin", "wrong", listed=pl.lit(True)), on="at", how="left", maintain_order="left"
    )
    problem = (
        pl.when(pl.col("margin").is_not_null()).then(None).when("listed").then(pl.lit("no_features"))
    ).otherwise(pl.lit(scores.NOT_WANTED))
    frame = frame.with_columns(chosen=None, rejected=None, problem=problem)
    place = scores.folder(target.pool.directory, name)
    scores.forget(place)
    scoring.write_parts(target, place, frame)
    more = {"by": by(record), "provenance": "cross-fitted", "trained_on": None, "overlap": None}
    scores.finish(target.pool, name, more)


def read_audit(place: Path) -> dict[str, Any]:
    """The facts of a finished audit. Raises ConfigError where there is none, WorkspaceError for a damaged one."""
    if not (place / "audit.json").exists():
        raise ConfigError(place.name, "no such audit", "a finished audit", "curate audit makes one")
    for name in ("audit.json", "pairs.parquet"):
        check(place / name, "an audit as it was written", "run curate audit again")
    return read_record(place / "audit.json", "the facts of an audit", "run curate audit again")


def read_pairs(place: Path, record: Facts) -> pl.DataFrame:
    """The PAIRS of an audit, the most suspect first, `wrong` as the review in its facts corrects it."""
    table = _corrected(pl.read_parquet(place / "pairs.parquet"), record)
    return table.sort("wrong", descending=True, nulls_last=True, maintain_order=True)


def _corrected(table: pl.DataFrame, record: Facts) -> pl.DataFrame:
    review = record["review"]
    if review is None:
        return table
    wrong = audit_noise.corrected(
        table["wrong"].cast(pl.Float64).fill_null(float("nan")).to_numpy(), review["shift"], review["slope"]
    )
    return table.with_columns(wrong=pl.Series(wrong).fill_nan(None))


def suspects(place: Path, record: Facts, targets: Sequence[Target], count: int) -> list[dict[str, Any]]:
    """The pairs most likely to have a wrong label: id, source, chance, margins, and the beginning of the text."""
    table = read_pairs(place, record).drop_nulls("wrong").head(count)
    pools = {target.label: target.pool for target in targets}
    return [{**row, "text": _beginning(pools[row["source"]], row["at"])} for row in table.to_dicts()]


def _beginning(pool: Any, at: int) -> str:
    for part in pool.parts:
        path = pool.directory / part
        height = column(path, "pair_id").num_rows
        if at < height:
            return beginning(rows_at(path, [at])[0])
        at -= height
    raise AssertionError("a row that no part has")
