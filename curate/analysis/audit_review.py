"""The review of an audit by people: the sheet that they fill in, and what their labels make of the audit."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.analysis import audit_noise
from curate.analysis.audit_files import read_audit, write_reviewed
from curate.arrays import F64
from curate.errors import ConfigError, RawError
from curate.evaluation.score_file import lines_of
from curate.inspect.targets import Target
from curate.labels import Label, latest, now, read_labels
from curate.pairs.files import column, rows_at
from curate.workspace import atomic

SHEET = ("pair_id", "source", "label", "note", "who", "when", "prompt", "chosen", "rejected")
"""The columns of a review sheet; people fill in label (agree, flip, tie or bad), note, who and when."""

COLUMNS = f"columns {', '.join(SHEET[:6])}"
TABLES, SPREADSHEETS = (".csv", ".tsv"), (".xlsx", ".xls", ".ods", ".numbers")
SHEET_FILES = ("sheet.csv", "sheet.jsonl")
SHEET_TEXT = 4000  # characters of a text in a sheet


def write_sheet(place: Path, targets: Sequence[Target], table: pl.DataFrame) -> None:
    """Write the pairs drawn for review, as CSV with empty labels and as JSON lines, in the order of their ids.

    Neither has a checksum: people change them. Where no pair is drawn the sheet of an earlier audit is removed.
    """
    if not table["in_sheet"].any():
        for name in SHEET_FILES:
            (place / name).unlink(missing_ok=True)
        return
    rows = [row for target in targets for row in _sheet_rows(target, table)]
    rows.sort(key=lambda row: str(row["pair_id"]))
    with atomic(place / "sheet.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SHEET)
        writer.writeheader()
        writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    with atomic(place / "sheet.jsonl") as temporary:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text("".join(lines), encoding="utf-8")


def check_sheet(place: Path) -> None:
    """Raise ConfigError where the audit's sheet.csv has labels, which another sheet would replace."""
    sheet = place / "sheet.csv"
    if not sheet.exists():
        return
    try:
        filled = bool(read_review(sheet))
    except (ConfigError, RawError):
        filled = True
    if filled:
        hint = f"read it with --reviewed {sheet}; move it away, or audit with another --name"
        raise ConfigError(str(sheet), "people have filled it in", "a sheet that may be replaced", hint)


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


def reviewed(place: Path, targets: Sequence[Target], labels: Sequence[Label]) -> dict[str, Any]:
    """Correct an audit by people's labels of its review sheet, keep that with its scores, and return the facts.

    Several people's labels of a pair count as their mean; what an earlier review made of the audit does not count.
    Raises ConfigError where the audit has no sheet, is not of the targets, or the labels are not of it.
    """
    record = read_audit(place)
    _check_targets(record, targets)
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
    names = list(record["sources"])
    found_wrong: F64 = np.array([answers[name] for name in known["pair_id"]])
    number = np.array([names.index(name) for name in known["source"]])
    made = audit_noise.calibrate(known["wrong"].to_numpy(), found_wrong, known["review_chance"].to_numpy(), number)
    groups = audit_noise.reliability(
        made.apply(known["wrong"].to_numpy()), found_wrong, known["review_chance"].to_numpy()
    )
    record["review"] = {
        "labels": known.height, "of": sheet.height, "bad": bad,
        "shift": made.shift, "slope": made.slope, "rate": made.rate.to_dict(),
        "rates": {names[one]: share.to_dict() for one, share in made.rates.items()},
        "calibration": [{"chance": chance, **share.to_dict()} for chance, share in groups],
    }  # fmt: skip
    write_reviewed(place, targets, table, record)
    return record


def _check_targets(record: Mapping[str, Any], targets: Sequence[Target]) -> None:
    """Raise ConfigError unless the audit is of just these pools."""
    here = {target.label: (target.pool.source, target.pool.directory.name) for target in targets}
    of = {label: (pool["source"], pool["pairs"]) for label, pool in record["pools"].items()}
    if here == of:
        return
    name, other = record["name"], ", ".join(sorted(label for label in of if here.get(label) != of[label]))
    found = (
        f"the audit {name!r} is of {other}, which are not its pairs" if other else f"the audit {name!r} lacks some"
    )
    hint = "name what was audited; where pairs were made again since, run curate audit again"
    raise ConfigError(", ".join(here), found, f"what was audited: {', '.join(of)}", hint)


WORTH = {"flip": 1.0, "agree": 0.0, "tie": 0.5}
"""How wrong a reader calls a label; a pair that is `bad` says nothing of it."""


def _answers(labels: Sequence[Label]) -> tuple[dict[str, float], int]:
    """How wrong the label of each pair is by its readers, and how many pairs have no reader who could say."""
    found: dict[str, float] = {}
    bad = 0
    for pair_id, by in latest(labels).items():
        given = [one.label for one in by.values() if one.label is not None]
        values = [WORTH[word] for word in given if word in WORTH]
        if values:
            found[pair_id] = sum(values) / len(values)
        elif given:
            bad += 1
    return found, bad


def read_review(path: Path) -> list[Label]:
    """The labels of a filled-in sheet, CSV or TSV as any spreadsheet saves it, or of a label file.

    Columns may be in any order and case, and those for reading left out. Raises ConfigError for a row that is no
    label, RawError for what cannot be read.
    """
    if path.suffix.lower() in SPREADSHEETS:
        raise ConfigError(str(path), "a spreadsheet's own format", "CSV", "save the sheet as CSV")
    if path.suffix.lower() not in TABLES:
        return read_labels(path)
    found = []
    for where, row in lines_of(path, COLUMNS):
        cells = {str(name).strip().lower(): str(value or "").strip() for name, value in row.items()}
        for name in ("pair_id", "label"):
            if name not in cells:
                raise ConfigError(where, f"no column {name} among {', '.join(map(str, row))}", COLUMNS)
        if cells["label"]:
            found.append(_label(cells, where))
    return found


def _label(cells: Mapping[str, str], where: str) -> Label:
    word: Any = cells["label"].lower()
    who, when = cells.get("who") or "reviewer", cells.get("when") or now()
    try:
        return Label(pair_id=cells["pair_id"], label=word, note=cells.get("note", ""), who=who, when=when)
    except ValueError as error:
        raise ConfigError(where, str(error), COLUMNS) from None
