"""Carries out a label audit: features by the trainer, the rulers, the mathematics, and what is kept of it.

<workspace>/audits/NAME/audit.json      the facts (`facts`), with its checksum
                        pairs.parquet   PAIRS, the most suspect first
                        sheet.csv       pairs to review, sheet.jsonl the same for a program; on demand
<pairs>/rewards/NAME/                   the same as scores (curate.pairs.scores), for the step label_audit
"""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import trainer_process
from curate.analysis import audit_noise, scoring
from curate.analysis.agreement import is_labelled
from curate.analysis.audit import Audited, AuditPairs, audit
from curate.analysis.intervals import linked
from curate.analysis.rulers import RULERS, difference
from curate.analysis.traits import Traits
from curate.arrays import F64, I64, U64, series
from curate.checksums import check, published, read_record, write_record
from curate.engines.base import Engine, Listener
from curate.errors import ConfigError
from curate.evaluation.score_file import lines_of
from curate.inspect.targets import Target
from curate.inspect.text import beginning
from curate.labels import Label, latest, now, read_labels
from curate.order import order_key
from curate.pairs import scores
from curate.pairs.files import column, rows_at
from curate.pairs.keys import load_keys
from curate.screening.screen import sketched
from curate.workspace import Workspace, read_json

VERSION = 1
SHEET = ("pair_id", "source", "label", "note", "who", "when", "prompt", "chosen", "rejected")
"""The columns of a review sheet; people fill in label (agree, flip, tie or bad), note, who and when."""

SHEET_TEXT = 4000  # characters of a text in a sheet
SEED, REVIEW_SEED = 0, 1

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


def carry_out(
    targets: Sequence[Target], name: str, workspace: Workspace, preset: str, settings: Sequence[str],
    review: int, engine: Engine, listen: Listener | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Audit the labelled pairs of the targets, keep the results, and return the facts.

    Raises ConfigError for wrong settings or fewer than 2 pairs with features, TrainError from the features.
    """
    pairs, whole, features = gather(targets, name, workspace, preset, settings, engine, listen)
    about = {"name": name, "preset": preset, "settings": list(settings), **features}
    return keep(targets, pairs, whole, about, workspace, review)


def keep(
    targets: Sequence[Target], pairs: AuditPairs, whole: pl.DataFrame, about: Mapping[str, Any],
    workspace: Workspace, review: int,
) -> dict[str, Any]:  # fmt: skip
    """Audit pairs, keep the results under the name in `about`, and return the facts.

    `whole` has at least the columns pair_id, at, id_hi and id_lo of the pairs. A sheet has `review` pairs, if any.
    """
    place = place_of(workspace, about["name"])
    found = audit(pairs, SEED)
    table = _table(pairs, found, whole, review)
    of = {target.label: {"source": target.pool.source, "pairs": target.pool.directory.name} for target in targets}
    told = facts(found, {**about, "pools": of})
    with published(place / "pairs.parquet") as temporary:
        table.write_parquet(temporary)
    write_record(place / "audit.json", told)
    for label, target in zip(pairs.labels, targets, strict=True):
        _keep_scores(target, about["name"], table.filter(pl.col("source") == label), told)
    if review:
        write_sheet(place, targets, table)
    return told


def gather(
    targets: Sequence[Target], name: str, workspace: Workspace, preset: str, settings: Sequence[str],
    engine: Engine, listen: Listener | None = None,
) -> tuple[AuditPairs, pl.DataFrame, dict[str, Any]]:  # fmt: skip
    """Return the labelled pairs of the targets with their features, their key columns, and facts of the features.

    Raises as `carry_out`.
    """
    frames = [
        _pairs(target, files) for target, files in zip(targets, _traits(targets, engine, listen), strict=True)
    ]
    values, features = _features(targets, frames, name, workspace, preset, settings)
    whole = pl.concat([frame.with_columns(number=pl.lit(i)) for i, frame in enumerate(frames)])
    pairs = AuditPairs(
        values=values, rulers={ruler: difference(ruler, whole) for ruler in RULERS},
        source=whole["number"].to_numpy().astype(np.int64), labels=[target.label for target in targets],
        clusters=linked(whole),
    )  # fmt: skip
    known = int((~np.isnan(values).any(axis=1)).sum()) if values.shape[1] else 0
    if known < 2:
        found = f"{known} of {whole.height:,} labelled pairs have features"
        raise ConfigError(name, found, "pairs to audit", "max_length may be too small: --set max_length=N")
    return pairs, whole, features


def facts(found: Audited, about: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an audit as JSON values.

    model_e  what the fit calls each source's noise: it ranks, and is no rate before a review
    """
    return {
        "version": VERSION,
        **about,
        "pairs": len(found.margin),
        "with_features": int((~np.isnan(found.margin)).sum()),
        "penalty": asdict(found.penalty),
        "self_check": found.self_check,
        "sources": {
            label: {**one.to_dict(), "model_e": float(found.noise.rates[number])}
            for number, (label, one) in enumerate(found.sources.items())
        },
        "strata": [
            {**asdict(one), "contrast": one.contrast} for one in found.strata if one.pairs[0] + one.pairs[2]
        ],
        "review": None,
    }


def _traits(targets: Sequence[Target], engine: Engine, listen: Listener | None) -> list[list[Path]]:
    sketch = Traits()
    return sketched([target.pool for target in targets], [sketch], 0, engine, listen).files(sketch)


def _pairs(target: Target, traits: Sequence[Path]) -> pl.DataFrame:
    """The labelled pairs of a target, each once: keys, traits, id, and `at`, the row of the pool."""
    parts = [target.pool.directory / part for part in target.pool.parts]
    frame: pl.DataFrame = pl.concat(
        [
            load_keys(target.pool.directory, target.pool.parts).with_row_index("at"),
            pl.concat([pl.read_parquet(path) for path in traits]),
            pl.concat([_stored(path) for path in parts]),
        ],
        how="horizontal",
    )
    rows = frame if target.rows is None else frame[target.rows.unique().sort()]
    return rows.filter(is_labelled())


def _stored(path: Path) -> pl.DataFrame:
    table = column(path, "pair_id", "margin")
    return pl.DataFrame({"pair_id": series(table["pair_id"]), "margin": series(table["margin"]).cast(pl.Float64)})


def _features(
    targets: Sequence[Target], frames: Sequence[pl.DataFrame], name: str, workspace: Workspace, preset: str,
    settings: Sequence[str],
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """The differences of the frames' pairs, one frame after the other, and what is known of their making."""
    config = scoring.head_config(workspace, name, preset, settings)
    place = workspace.cache / "audit_pairs" / name
    out = place / "differences.npy"
    wanted = [place / f"{number}.parquet" for number in range(len(targets))]
    for path, target, frame in zip(wanted, targets, frames, strict=True):
        _write_wanted(target, frame, path)
    files = ["--files", *map(str, wanted), "--images", str(workspace.images), "--out", str(out)]
    arguments = [str(config), "--features", str(workspace.root / "features"), *files]
    trainer_process.run_module("trainer.pair_features", arguments)
    check(out, "features as they were written", "run the same command again")
    values, made = np.load(out), read_json(out.with_suffix(".json"))
    shutil.rmtree(place)
    return values, {"features": made["features"], "without_features": made["unusable"]}


def _write_wanted(target: Target, frame: pl.DataFrame, path: Path) -> None:
    """The pairs of a frame, in its order, as one file for the trainer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start, at = 0, frame["at"].to_numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with published(path) as temporary:
        writer = None
        for part in target.pool.parts:
            table = pq.read_table(target.pool.directory / part)
            own = at[(at >= start) & (at < start + table.num_rows)] - start
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table.take(pa.array(own)))
            start += table.num_rows
        if writer is not None:
            writer.close()


def _table(pairs: AuditPairs, found: Audited, whole: pl.DataFrame, review: int) -> pl.DataFrame:
    chances = audit_noise.review_chances(found.wrong, review)
    key: U64 = order_key(whole["id_hi"].to_numpy(), whole["id_lo"].to_numpy(), REVIEW_SEED)
    order: I64 = np.argsort(key, kind="stable")
    start = float(order_key(key[:1], key[-1:], REVIEW_SEED)[0] >> np.uint64(11)) / (1 << 53)
    drawn = np.zeros(len(chances), np.bool_)
    drawn[audit_noise.draw(chances, order, start)] = True
    columns: dict[str, Any] = {
        "pair_id": whole["pair_id"], "source": np.array(pairs.labels)[pairs.source].tolist(),
        "wrong": found.wrong, "wrong_without_rulers": found.wrong_without_rulers, "margin": found.margin,
        "margin_without_rulers": found.without_rulers, "margin_others": found.others,
        "margin_within": found.within,
        "at": whole["at"], "review_chance": chances, "in_sheet": drawn,
    }  # fmt: skip
    numbers = [name for name, kind in PAIRS.items() if kind == pl.Float64]
    table = pl.DataFrame(columns, schema=PAIRS).with_columns(pl.col(numbers).fill_nan(None))
    return table.sort("wrong", "pair_id", descending=[True, False], nulls_last=True)


def _keep_scores(target: Target, name: str, own: pl.DataFrame, told: Mapping[str, Any]) -> None:
    """The audit as scores beside the pairs."""
    size = sum(column(target.pool.directory / part, "pair_id").num_rows for part in target.pool.parts)
    frame = pl.DataFrame({"at": pl.int_range(size, dtype=pl.UInt32, eager=True)}).join(
        own.select("at", "margin", "wrong", asked=pl.lit(True)), on="at", how="left", maintain_order="left"
    )
    problem = (
        pl.when(pl.col("margin").is_not_null()).then(None).when("asked").then(pl.lit("no_features"))
    ).otherwise(pl.lit(scores.NOT_WANTED))
    frame = frame.with_columns(chosen=None, rejected=None, problem=problem)
    place = scores.folder(target.pool.directory, name)
    scores.forget(place)
    scoring.write_parts(target, place, frame)
    by = {"kind": "audit", "preset": told["preset"], "settings": told["settings"]}
    more = {"by": by, "provenance": "cross-fitted", "trained_on": None, "overlap": None}
    scores.finish(target.pool, name, more)


# ------------------------------------------------------------------------------------------------------ the review


def write_sheet(place: Path, targets: Sequence[Target], table: pl.DataFrame) -> None:
    """Write the pairs drawn for review, as CSV with empty labels and as JSON lines, in the order of their ids."""
    rows = [row for target in targets for row in _sheet_rows(target, table)]
    rows.sort(key=lambda row: str(row["pair_id"]))
    with published(place / "sheet.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SHEET)
        writer.writeheader()
        writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    with published(place / "sheet.jsonl") as temporary:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text("".join(lines), encoding="utf-8")


def _sheet_rows(target: Target, table: pl.DataFrame) -> list[dict[str, Any]]:
    drawn = table.filter(pl.col("in_sheet") & (pl.col("source") == target.label)).sort("at")
    found, start = [], 0
    for part in target.pool.parts:
        path = target.pool.directory / part
        height = column(path, "pair_id").num_rows
        own = drawn.filter(pl.col("at").is_between(start, start + height, closed="left"))
        for row in rows_at(path, (own["at"].cast(pl.Int64) - start).to_list()):
            texts = {side: _text(row[side]) for side in ("prompt", "chosen", "rejected")}
            found.append({"pair_id": row["pair_id"], "source": target.label, **texts})
        start += height
    return found


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{turn['role']}: {block['text']}" for turn in messages for block in turn["content"] if block["text"]]
    text = "\n\n".join(lines)
    return text if len(text) <= SHEET_TEXT else f"{text[:SHEET_TEXT]} [{len(text) - SHEET_TEXT:,} characters more]"


def _inert(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def reviewed(place: Path, labels: Sequence[Label]) -> dict[str, Any]:
    """Recalibrate an audit by people's labels of its review sheet, keep that, and return the facts.

    Several people's labels of a pair count as their mean. Raises ConfigError where the audit has no sheet, or the
    labels are not of it.
    """
    told = read_audit(place)
    table = pl.read_parquet(place / "pairs.parquet")
    sheet = table.filter("in_sheet")
    if not sheet.height:
        raise ConfigError(
            str(place), "has no review sheet", "an audit with --review N", "run curate audit --review 200"
        )
    answers, bad = _answers(labels)
    known = sheet.filter(pl.col("pair_id").is_in(list(answers)), pl.col("wrong").is_not_null())
    if known.height < audit_noise.FEWEST:
        found = f"{known.height} of the {sheet.height} pairs of the sheet have a label"
        raise ConfigError(
            str(place), found, f"{audit_noise.FEWEST} or more", "fill in sheet.csv, or use curate browse"
        )
    names = list(told["sources"])
    found_wrong: F64 = np.array([answers[name] for name in known["pair_id"]])
    number = np.array([names.index(name) for name in known["source"]])
    made = audit_noise.calibrate(known["wrong"].to_numpy(), found_wrong, known["review_chance"].to_numpy(), number)
    told["review"] = {
        "labels": known.height, "of": sheet.height, "bad": bad,
        "shift": made.shift, "slope": made.slope, "rate": made.rate.to_dict(),
        "rates": {names[one]: share.to_dict() for one, share in made.rates.items()},
    }  # fmt: skip
    write_record(place / "audit.json", told)
    return told


WORTH = {"flip": 1.0, "agree": 0.0, "tie": 0.5}
"""How wrong a reader calls a label; a pair that is `bad` says nothing of it."""


def _answers(labels: Sequence[Label]) -> tuple[dict[str, float], int]:
    """How wrong the label of each pair is by its readers, and how many pairs have no reader who could say."""
    found: dict[str, float] = {}
    bad = 0
    for pair_id, by in latest(labels).items():
        said = [one.label for one in by.values() if one.label is not None]
        values = [WORTH[word] for word in said if word in WORTH]
        if values:
            found[pair_id] = sum(values) / len(values)
        elif said:
            bad += 1
    return found, bad


def read_review(path: Path) -> list[Label]:
    """The labels of a filled-in sheet.csv, or of a label file. Raises ConfigError for a row that is no label."""
    if path.suffix.lower() != ".csv":
        return read_labels(path)
    found = []
    for where, row in lines_of(path, ", ".join(SHEET[:6])):
        word = str(row.get("label") or "").strip().lower()
        if not word:
            continue
        who, when = (str(row.get(name) or "").strip() for name in ("who", "when"))
        try:
            label: Any = word
            note = str(row.get("note") or "")
            found.append(
                Label(
                    pair_id=str(row.get("pair_id")),
                    label=label,
                    note=note,
                    who=who or "reviewer",
                    when=when or now(),
                )
            )
        except ValueError as error:
            raise ConfigError(where, str(error), ", ".join(SHEET[:6])) from None
    return found


def read_audit(place: Path) -> dict[str, Any]:
    """The facts of a finished audit. Raises ConfigError where there is none, WorkspaceError for a damaged one."""
    if not (place / "audit.json").exists():
        raise ConfigError(place.name, "no such audit", "a finished audit", "curate audit makes one")
    for name in ("audit.json", "pairs.parquet"):
        check(place / name, "an audit as it was written", "run curate audit again")
    return read_record(place / "audit.json", "the facts of an audit", "run curate audit again")


def suspects(place: Path, targets: Sequence[Target], count: int) -> list[dict[str, Any]]:
    """The pairs most likely to have a wrong label: id, source, chance, margins, and the beginning of the text."""
    table = pl.read_parquet(place / "pairs.parquet").drop_nulls("wrong").head(count)
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
