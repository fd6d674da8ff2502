"""curate score."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.analysis import scoring
from curate.cli.options import JsonOption, WorkOptions
from curate.cli.output import data, progress, say, show_table
from curate.errors import ConfigError
from curate.inspect.targets import find
from curate.pairs.scores import PROVENANCES, Provenance, check_name
from curate.tables import Table

WAYS = "--model, --from or --folds"
PROVENANCE = (
    "With --from: external, cross-fitted (by models that did not see the pair's group) or in-sample, which steps "
    "refuse."
)


def score(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="A mix, a source, or a recipe whose sources are normalized."),
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="MODEL|ENSEMBLE", help="A reward model's directory, or an ensemble.yaml."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="JSONL, CSV or Parquet: pair_id, and chosen and rejected or margin."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, max=100, help="Cross-fit so many heads or models, with --preset."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", metavar="NAME", help="With --folds: what is trained.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --folds: a setting, such as head.layers=1."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="heads|models",
            help="With --folds: heads on cached features, or whole models, full or LoRA by the settings.",
        ),
    ] = "heads",
    nproc: Annotated[int, typer.Option("--nproc", min=1, help="With --by models: processes, one per GPU.")] = 1,
    provenance: Annotated[str | None, typer.Option("--provenance", metavar="WORD", help=PROVENANCE)] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What steps call them.  [default: the model's]")
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of one forward pass.")] = 8192,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Score both replies of every pair, by a model, anyone's file, or heads or models that did not see them.

    The scores are kept beside the pairs, with what is known of the model's training: steps refuse scores by a
    model that trained on the pairs. Parts that are scored are kept, the same command continues.
    """
    if sum(way is not None for way in (model, file, folds)) != 1:
        raise ConfigError("curate score", "what scores is not clear", f"one of {WAYS}")
    _check(model, file, folds, preset, settings, provenance, max_tokens)
    _check_by(by, nproc, cross_fit=folds is not None)
    processes = _processes(work, scores_by_models=model is not None or by == "models")
    inputs = work.inputs
    workspace = inputs.workspace
    called = check_name(name or _default(model, file, by))
    bar = nullcontext(None) if processes == 1 else progress("score", 0)  # one process prints lines of its own
    with work.open_engine() as engine, bar as listen:
        targets = find([target], inputs)
        if model is not None:
            receipts = scoring.by_model(targets, model, called, workspace, max_tokens, engine, processes, listen)
        elif file is not None:
            receipts = scoring.by_file(targets, file, called, _provenance(provenance), say)
        elif by == "heads":
            receipts = scoring.by_heads(targets, called, workspace, folds or 0, preset or "", settings or [])
        else:
            receipts = scoring.by_models(
                targets,
                called,
                workspace,
                folds or 0,
                preset or "",
                settings or [],
                engine,
                nproc,
                say,
                processes,
                listen,
            )
    if as_json:
        data(receipts)
    else:
        show_table(receipts_table(receipts))


def _check(
    model: Path | None,
    file: Path | None,
    folds: int | None,
    preset: str | None,
    settings: list[str] | None,
    provenance: str | None,
    max_tokens: int,
) -> None:
    """Raise ConfigError for an option that this way of scoring would not read."""
    if folds is None and (preset or settings):
        raise ConfigError("--preset" if preset else "--set", "given without --folds", "--folds K --preset NAME")
    if folds is not None and preset is None:
        raise ConfigError("--folds", "given without --preset", "--folds K --preset NAME")
    if file is None and provenance is not None:
        raise ConfigError("--provenance", "given without --from", "--from FILE: of others it is known")
    if model is None and max_tokens != 8192:
        raise ConfigError("--max-tokens", "given without --model", "--model; with --folds --set max_tokens=N")


def _check_by(by: str, nproc: int, *, cross_fit: bool) -> None:
    """Raise ConfigError for what is no way of cross-fitting, or an option that it would not read."""
    if by not in ("heads", "models"):
        raise ConfigError("--by", f"found {by!r}", "heads or models")
    if by == "models" and not cross_fit:
        raise ConfigError("--by models", "given without --folds", "--folds K --preset NAME")
    if nproc > 1 and by != "models":
        raise ConfigError("--nproc", "given without --by models", "--by models: heads take one process")


def _processes(work: WorkOptions, *, scores_by_models: bool) -> int | None:
    """How many processes score with models: without --workers one here, and one for each part on a cluster.

    Raises ConfigError for an engine or workers where no model scores.
    """
    if not scores_by_models and (work.engine != "local" or work.workers is not None):
        option = "--workers" if work.engine == "local" else f"--engine {work.engine}"
        raise ConfigError(option, "given without --model or --by models", "one of them: others take one process")
    return work.workers or (1 if work.engine == "local" else None)


def _provenance(word: str | None) -> Provenance:
    found: Provenance | None = next((one for one in PROVENANCES if one == word), None)
    if found is None:
        known = f"found {word!r}" if word else "not given"
        raise ConfigError("--provenance", known, f"{', '.join(PROVENANCES)}: how a file's scores were made")
    return found


def _default(model: Path | None, file: Path | None, by: str) -> str:
    if model is not None:
        return model.stem if model.suffix else model.parent.name if model.name == "final" else model.name
    return by if file is None else file.name.partition(".")[0]


def receipts_table(receipts: list[dict[str, Any]]) -> Table:
    """What was scored, by pool."""
    rows = [
        (
            one["source"], one["name"], one["scored"], sum(one["unscored"].values()), one["provenance"],
            ", ".join(one["trained_on"]) if one["trained_on"] else None, one["overlap"],
        )
        for one in receipts
    ]  # fmt: skip
    columns = ("source", "name", "scored", "not scored", "provenance", "trained on", "of these pairs")
    return Table("scores", columns, rows)
