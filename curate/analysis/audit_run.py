"""Carries out a label audit: features by the trainer, rulers, mathematics; audit_files keeps what it finds."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import trainer_process
from curate.analysis import audit_files, audit_noise, scoring
from curate.analysis.agreement import is_labelled
from curate.analysis.audit import Audited, AuditPairs, audit
from curate.analysis.audit_files import PAIRS
from curate.analysis.audit_review import check_sheet, write_sheet
from curate.analysis.intervals import linked
from curate.analysis.rulers import RULERS, difference
from curate.analysis.traits import Traits
from curate.arrays import I64, U64, series
from curate.checksums import check, published
from curate.engines.base import Engine, Listener
from curate.errors import ConfigError
from curate.inspect.targets import Target
from curate.order import order_key
from curate.pairs import scores
from curate.pairs.files import column
from curate.pairs.keys import load_keys
from curate.screening.screen import sketched
from curate.workspace import Workspace, read_json

VERSION = 1
SEED, REVIEW_SEED = 0, 1


def carry_out(
    targets: Sequence[Target], name: str, workspace: Workspace, preset: str, settings: Sequence[str],
    review: int, engine: Engine, listen: Listener | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Audit the labelled pairs of the targets, keep the results, and return the facts.

    Raises ConfigError for wrong settings, fewer than 2 pairs with features, a sheet of that name that people have
    filled in, or scores of that name by anything else; TrainError from the features.
    """
    check_sheet(audit_files.place_of(workspace, name))
    for target in targets:
        scores.check_free(target.pool, name, {"kind": "audit"})
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
    place = audit_files.place_of(workspace, about["name"])
    found = audit(pairs, SEED)
    table = _table(pairs, found, whole, review)
    of = {target.label: {"source": target.pool.source, "pairs": target.pool.directory.name} for target in targets}
    record = facts(found, {**about, "pools": of})
    write_sheet(place, targets, table)
    audit_files.write(place, targets, table, record)
    return record


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
