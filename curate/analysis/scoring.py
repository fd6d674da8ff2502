"""Scores of pairs by a model, from a file, or by heads or models that did not see them.

curate.pairs.scores stores them.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from curate import trainer_process
from curate.analysis.audit import folds_of
from curate.analysis.fold_models import CrossFit, FoldModels
from curate.analysis.intervals import linked
from curate.analysis.score_processes import Processes, in_one, in_several
from curate.arrays import U64, series
from curate.checksums import record, write_record
from curate.errors import ConfigError
from curate.evaluation import ensembles
from curate.evaluation.score_file import absent, cell, lines_of, number
from curate.evaluation.score_model import model_id
from curate.hashing import Hashes, fingerprint
from curate.inspect.targets import Target
from curate.pairs import scores
from curate.pairs.files import column
from curate.pairs.keys import halves, load_keys
from curate.pairs.scores import NOT_WANTED, SCORES, Provenance
from curate.tables import count
from curate.workspace import Workspace, read_json

COLUMNS = "columns pair_id, and chosen and rejected or margin"
PAIR_ID = re.compile(r"[0-9a-f]{32}")

CROSS_FITTED = {"provenance": "cross-fitted", "trained_on": None, "overlap": None}
"""What receipts say of scores by heads or models that did not see the pair."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model was trained on, as far as is known: mixes by name, and those of them that are here."""

    mixes: tuple[str, ...]
    directories: tuple[Path, ...]
    known: bool


def rows_of(target: Target) -> pl.Series:
    """The rows of a target's pool, each once, ascending."""
    if target.rows is not None:
        return target.rows.unique().sort()
    return pl.int_range(load_keys(target.pool.directory, target.pool.parts).height, eager=True)


def by_model(
    targets: Sequence[Target], model: Path, name: str, workspace: Workspace, max_tokens: int, processes: Processes
) -> list[dict[str, Any]]:
    """Score pairs with a model or an ensemble and return the receipts; parts that are scored are kept.

    Raises ConfigError where there is no model, TrainError from scoring.
    """
    members = ensembles.read(model).paths if ensembles.is_ensemble(model) else [model]
    hashes = Hashes(workspace.cache)
    found = {str(one): model_id(one, hashes) for one in members}
    training = [training_of(one) for one in members]
    trained = Training(
        mixes=tuple(sorted({mix for one in training for mix in one.mixes})),
        directories=tuple(dict.fromkeys(path for one in training for path in one.directories)),
        known=all(one.known for one in training),
    )
    facts = {"by": {"kind": "model", "path": str(model), "models": found}}
    prepared = [_prepared(target, name, facts) for target in targets]
    jobs = [job for target, place in zip(targets, prepared, strict=True) for job in _jobs(target, place, None)]
    arguments = ["--model", str(model), "--max-tokens", str(max_tokens)]
    in_several(jobs, workspace, name, arguments, processes)
    return [_finished(target, name, facts, _overlap(target, trained)) for target in targets]


def by_heads(targets: Sequence[Target], name: str, workspace: Workspace, fit: CrossFit) -> list[dict[str, Any]]:
    """Score pairs by heads on cached features, each pair by one that saw no pair of its group or prompt.

    Raises ConfigError for wrong settings, TrainError from training.
    """
    given = [setting for setting in fit.settings if setting.startswith(("lora", "paradigm="))]
    if given:
        hint = "--by models trains whole models, which may have adapters and any paradigm"
        raise ConfigError(f"--set {given[0]}", "cross-fitted scores are by heads", "settings of a head", hint)
    config = head_config(workspace, name, fit.preset, fit.settings)
    facts = {"by": {"kind": "heads", **fit.facts()}, **CROSS_FITTED}
    prepared = [_prepared(target, name, facts) for target in targets]
    parts = _folds(targets, fit.folds)
    jobs = [
        job
        for target, place, own in zip(targets, prepared, parts, strict=True)
        for job in _jobs(target, place, own)
    ]
    arguments = [
        "--config",
        str(config),
        "--features",
        str(workspace.root / "features"),
        "--folds",
        str(fit.folds),
    ]
    in_one(jobs, workspace, name, arguments)
    return [_finished(target, name, facts, {}) for target in targets]


def by_models(
    targets: Sequence[Target], name: str, workspace: Workspace, fit: CrossFit, nproc: int, processes: Processes,
    say: Say,
) -> list[dict[str, Any]]:  # fmt: skip
    """Score pairs by whole models, each pair by one that was trained on no pair of its group or prompt.

    Raises ConfigError for wrong settings, TrainError from training.
    """
    trainer_process.check_installed()
    by = {"kind": "models", **fit.facts()}
    facts = {"by": by, **CROSS_FITTED}
    places = [_prepared(target, name, facts) for target in targets]
    of = _folds(targets, fit.folds)
    wanted = [np.isin(np.arange(len(own)), rows_of(target)) for target, own in zip(targets, of, strict=True)]
    models = FoldModels(targets, name, workspace, of, wanted)
    runs = models.train(models.folder({**by, "preset": _text(fit.preset)}), fit, processes.engine, nproc, say)
    for fold, run in enumerate(runs):
        model = ["--model", str((run.folder / "final").absolute())]
        in_several(models.jobs(run, fold), workspace, name, model, processes)
    models.write_scores(runs, places)
    say(f"the models are in {runs[0].folder.parent}; they may go, or stay for the same command")
    return [_finished(target, name, facts, {}) for target in targets]


def by_file(
    targets: Sequence[Target], file: Path, name: str, provenance: Provenance, say: Say
) -> list[dict[str, Any]]:
    """Take the scores of pairs from a JSONL, CSV or Parquet file and return the receipts.

    Raises RawError for a line that is no score, ConfigError where no pair of the targets has one.
    """
    given = _read_file(file)
    facts = {
        "by": {"kind": "file", "path": file.name, "lines": given.height},
        "provenance": provenance, "trained_on": None, "overlap": None,
    }  # fmt: skip
    out = []
    for target in targets:
        ids = pl.concat([_ids(target.pool.directory / part) for part in target.pool.parts])
        wanted = pl.Series("row", np.isin(np.arange(ids.height), rows_of(target).to_numpy()))
        found = ids.with_columns(wanted).join(given, on="pair_id", how="left", maintain_order="left")
        out.append((target, found))
    known = sum(int(found["margin"].count()) for _, found in out)
    if not known:
        raise ConfigError(str(file), "no line is about any of these pairs", "pair ids as curate show prints them")
    say(f"{file.name}: {count(given.height, 'line')}, scores of {count(known, 'pair')}")
    receipts = []
    for target, found in out:
        place = _prepared(target, name, facts)
        problem = pl.when(~pl.col("row")).then(pl.lit(NOT_WANTED)).when(pl.col("margin").is_null()).then(
            pl.lit("no_line")
        )  # fmt: skip
        frame = found.with_columns(problem=problem).with_columns(
            pl.when("row").then(pl.col(column)).alias(column)
            for column in ("chosen", "rejected", "margin", "wrong")
        )
        write_parts(target, place, frame)
        receipts.append(_finished(target, name, facts, {}))
    return receipts


def write_parts(target: Target, place: Path, frame: pl.DataFrame) -> None:
    """Write SCORES of all pairs of a pool, in file order, part by part."""
    start = 0
    for part in target.pool.parts:
        height = column(target.pool.directory / part, "pair_id").num_rows
        scores.write_part(frame.slice(start, height), place / part)
        start += height


def head_config(workspace: Workspace, name: str, preset: str, settings: Sequence[str]) -> Path:
    """Write the config of heads or features and return its path. Raises ConfigError for a fault in it."""
    trainer_process.check_installed()
    place = workspace.cache / "heads" / fingerprint([name, _text(preset), list(settings)])
    where = [f"{key}={json.dumps(str(place))}" for key in ("mix", "out")]
    images = f"images={json.dumps(str(workspace.images))}"
    trainer_process.prepare(preset, [*where, images, "eval_every_pairs=null", *settings])
    return place / "config.yaml"


def _text(preset: str) -> str:
    """What a preset is identified by: the text of its file, or the name of a bundled one."""
    return Path(preset).read_text(encoding="utf-8") if Path(preset).is_file() else preset


def training_of(model: Path) -> Training:
    """What a model's run says of its training: the lock of its mix, and where that was."""
    for place in (model, model.parent):
        lock, config = place / "mix.lock.json", place / "config.yaml"
        if lock.exists():
            named = read_json(lock)
            title = f"{named['name']}@{named['fingerprint'][:8]}"
            directory = Path(str(_mapping(config).get("mix", ""))) if config.exists() else Path()
            here = (directory,) if (directory / "lock.json").exists() else ()
            return Training(mixes=(title,), directories=here, known=bool(here))
    return Training(mixes=(), directories=(), known=False)


def _mapping(path: Path) -> Mapping[str, Any]:
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


# ------------------------------------------------------------------------------------------------------- the work


def _prepared(target: Target, name: str, facts: Mapping[str, Any]) -> Path:
    """The directory of the scores; what is there by other settings, or of other pairs, is removed.

    Raises ConfigError for a name that other scores have.
    """
    scores.check_free(target.pool, name, facts["by"])
    place = scores.folder(target.pool.directory, name)
    stamp = place / "settings.json"
    now = json.loads(json.dumps({"facts": facts, "rows": fingerprint(rows_of(target).to_list())}))
    if record(stamp) != now:
        if place.exists():
            scores.forget(place)
        write_record(stamp, now)
    return place


def _jobs(target: Target, place: Path, folds: Any) -> Iterator[dict[str, Any]]:
    rows, start = rows_of(target).to_numpy(), 0
    for part in target.pool.parts:
        height = column(target.pool.directory / part, "pair_id").num_rows
        own = rows[(rows >= start) & (rows < start + height)] - start
        yield {
            "pairs": str(target.pool.directory / part), "out": str(place / part),
            "rows": None if len(own) == height else own.tolist(),
            "folds": None if folds is None else folds[start : start + height].tolist(),
        }  # fmt: skip
        start += height


def _folds(targets: Sequence[Target], folds: int) -> list[Any]:
    """The fold of every pair of each pool: pairs linked by group or prompt, of any source, are in one."""
    keys = [
        load_keys(target.pool.directory, target.pool.parts).select("group", "prompt_key") for target in targets
    ]
    joined: U64 = linked(pl.concat(keys))
    ends = np.cumsum([frame.height for frame in keys])[:-1]
    return np.split(folds_of(joined, 0, folds), ends)


def _finished(target: Target, name: str, facts: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return scores.finish(target.pool, name, {**facts, **more})


def _overlap(target: Target, trained: Training) -> dict[str, Any]:
    """What is known of a model's training and these pairs: whether it saw some of them."""
    keys = load_keys(target.pool.directory, target.pool.parts)[rows_of(target)].select("id_hi", "id_lo")
    seen = [_mix_ids(directory) for directory in trained.directories]
    count = keys.join(pl.concat(seen).unique(), on=["id_hi", "id_lo"], how="semi").height if seen else 0
    return {
        "provenance": "in-sample" if count else "external",
        "trained_on": list(trained.mixes) if trained.mixes else None,
        "overlap": count if trained.known or count else None,
    }


def _mix_ids(directory: Path) -> pl.DataFrame:
    frames = []
    for path in sorted(directory.glob("shard-*.parquet")):
        high, low = halves(column(path, "pair_id")["pair_id"].combine_chunks(), str(path))
        frames.append(pl.DataFrame({"id_hi": high, "id_lo": low}))
    return pl.concat([pl.DataFrame(schema={"id_hi": pl.UInt64, "id_lo": pl.UInt64}), *frames])


def _ids(path: Path) -> pl.DataFrame:
    return pl.DataFrame({"pair_id": series(column(path, "pair_id")["pair_id"])})


def _read_file(file: Path) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for where, row in lines_of(file, COLUMNS):
        pair_id = cell(row, "pair_id", where, COLUMNS)
        if not PAIR_ID.fullmatch(pair_id):
            raise ConfigError(where, f"pair_id {pair_id[:40]!r}", "32 hex digits, as curate show prints them")
        if pair_id in seen:
            raise ConfigError(where, f"a second score of {pair_id}", f"one; the first is {seen[pair_id]}")
        seen[pair_id] = where
        rows.append({"pair_id": pair_id, **_scored(row, where)})
    kinds = {name: kind for name, kind in SCORES.items() if name != "problem"}
    return pl.DataFrame(rows, schema={"pair_id": pl.String, **kinds}, orient="row")


def _scored(row: Mapping[str, Any], where: str) -> dict[str, float | None]:
    values = {
        name: None if absent(row.get(name)) else number(row[name], f"{where}, {name}")
        for name in ("chosen", "rejected", "margin", "wrong")
    }
    chosen, rejected = values["chosen"], values["rejected"]
    if (chosen is None) != (rejected is None) or (chosen is None and values["margin"] is None):
        raise ConfigError(where, "no score of both replies", COLUMNS)
    if chosen is not None and rejected is not None:
        values["margin"] = _margin(chosen - rejected, values["margin"], where)
    if values["wrong"] is not None and not 0 <= values["wrong"] <= 1:
        raise ConfigError(where, f"wrong {values['wrong']}", "a chance from 0 to 1")
    return values


def _margin(difference: float, given: float | None, where: str) -> float:
    """The margin of two scores. Raises ConfigError where it is not finite, or differs from the one given too."""
    if not math.isfinite(difference):
        raise ConfigError(where, "chosen less rejected is not finite", "scores whose difference a float holds")
    if given is not None and not math.isclose(given, difference, rel_tol=1e-3, abs_tol=1e-3):
        found = f"margin {given:g}, but chosen less rejected is {difference:g}"
        raise ConfigError(where, found, "one of them, or equal ones")
    return difference
