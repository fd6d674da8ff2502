"""curate score."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.analysis import scoring
from curate.analysis.fold_models import CrossFit
from curate.analysis.score_processes import Processes
from curate.cli.options import MAX_TOKENS, JsonOption, MaxTokensOption, PoolsArgument, WorkOptions
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

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="MODEL|ENSEMBLE", help="A reward model's directory, or an ensemble.yaml."),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="JSONL, CSV or Parquet: pair_id, and chosen and rejected or margin."
    ),
]
ProvenanceOption = Annotated[str | None, typer.Option("--provenance", metavar="WORD", help=PROVENANCE)]
ScoresNameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What steps call them.  [default: the model's]")
]


@dataclass(frozen=True, slots=True)
class FoldOptions:
    """How scores are cross-fitted: what is trained for each fold of pairs, by which settings."""

    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, max=100, help="Cross-fit so many heads or models, with --preset."),
    ] = None
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", metavar="NAME", help="With --folds: what is trained.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --folds: a setting, such as head.layers=1."),
    ] = None
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="heads|models",
            help="With --folds: heads on cached features, or whole models, full or LoRA by the settings.",
        ),
    ] = "heads"
    nproc: Annotated[int, typer.Option("--nproc", min=1, help="With --by models: processes, one per GPU.")] = 1

    def cross_fit(self) -> CrossFit | None:
        """What is cross-fitted, None without --folds. Raises ConfigError for an option that nothing reads."""
        if self.folds is None and (self.preset or self.settings):
            option = "--preset" if self.preset else "--set"
            raise ConfigError(option, "given without --folds", "--folds K --preset NAME")
        if self.folds is not None and self.preset is None:
            raise ConfigError("--folds", "given without --preset", "--folds K --preset NAME")
        if self.by not in ("heads", "models"):
            raise ConfigError("--by", f"found {self.by!r}", "heads or models")
        if self.by == "models" and self.folds is None:
            raise ConfigError("--by models", "given without --folds", "--folds K --preset NAME")
        if self.nproc > 1 and self.by != "models":
            raise ConfigError("--nproc", "given without --by models", "--by models: heads take one process")
        if self.folds is None or self.preset is None:
            return None
        return CrossFit(folds=self.folds, preset=self.preset, settings=tuple(self.settings or ()))


def score(
    target: PoolsArgument,
    model: ModelOption = None,
    file: FileOption = None,
    *,
    folds: FoldOptions,
    provenance: ProvenanceOption = None,
    name: ScoresNameOption = None,
    max_tokens: MaxTokensOption = MAX_TOKENS,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Score both replies of every pair, by a model, anyone's file, or heads or models that did not see them.

    The scores are kept beside the pairs, with what is known of the model's training: steps refuse scores by a
    model that trained on the pairs. Parts that are scored are kept, the same command continues.
    """
    if sum(way is not None for way in (model, file, folds.folds)) != 1:
        raise ConfigError("curate score", "what scores is not clear", f"one of {WAYS}")
    fit = folds.cross_fit()
    if file is None and provenance is not None:
        raise ConfigError("--provenance", "given without --from", "--from FILE: of others it is known")
    if model is None and max_tokens != MAX_TOKENS:
        raise ConfigError("--max-tokens", "given without --model", "--model; with --folds --set max_tokens=N")
    count = _processes(work, scores_by_models=model is not None or folds.by == "models")
    inputs = work.inputs
    place = inputs.workspace
    called = check_name(name or _default_name(model, file, folds.by))
    bar = nullcontext(None) if count == 1 else progress("score", 0)  # one process prints lines of its own
    with work.open_engine() as engine, bar as listen:
        targets, processes = find([target], inputs), Processes(engine=engine, count=count, listen=listen)
        if model is not None:
            receipts = scoring.by_model(targets, model, called, place, max_tokens, processes)
        elif file is not None:
            receipts = scoring.by_file(targets, file, called, _provenance(provenance), say)
        else:
            assert fit is not None, "one of the three is given"
            if folds.by == "heads":
                receipts = scoring.by_heads(targets, called, place, fit)
            else:
                receipts = scoring.by_models(targets, called, place, fit, folds.nproc, processes, say)
    if as_json:
        data(receipts)
    else:
        show_table(receipts_table(receipts))


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


def _default_name(model: Path | None, file: Path | None, by: str) -> str:
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
