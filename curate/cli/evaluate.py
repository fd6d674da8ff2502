"""curate evaluate."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from curate import evalsets
from curate.cli import completion
from curate.cli.evaluate_ensemble import EnsembleOptions, Evaluated, evaluated, scorers_of
from curate.cli.evaluate_files import FileOptions
from curate.cli.evaluate_sides import Side, read_side, without_missing
from curate.cli.evaluate_writing import WritingOptions
from curate.cli.options import InputOptions, JsonOption
from curate.cli.output import data, say, show_table
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet, Options
from curate.evalsets.orders import OrderCounts
from curate.evaluation import ensemble_scores, item_files, items, metrics, verdict_file, verdicts
from curate.evaluation.ensemble_scores import Questions
from curate.evaluation.ensembles import is_ensemble
from curate.evaluation.items import EvalSetFolders, LoadedEvalSet
from curate.evaluation.metrics import Delta, Line
from curate.workspace import Workspace

COLUMNS = (
    "JSONL, CSV or Parquet with columns benchmark, item (a key) or row (from 1), candidate (from 0), score; or "
    "unscored, a reason, for an item without scores."
)
MAX_TOKENS = 8192
SPLIT = "VL-RewardBench: official, r1_reward or unified_reward categories. JudgeBench: gpt or claude replies."


class Result(NamedTuple):
    """The measures of one side on one eval set; items in `unscored` count as wrong, those in `missing` as none."""

    loaded: LoadedEvalSet
    given: Path
    scores: Path
    lines: list[Line]
    unscored: dict[str, str]
    missing: list[str]
    orders: OrderCounts | None


def evaluate(
    eval_set: Annotated[
        list[str],
        typer.Option(
            "--eval-set",
            "-e",
            metavar="NAME",
            help="An eval set (curate sources --evalsets lists them); repeat for more.",
            show_default=False,
            autocompletion=completion.eval_sets,
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="A reward model or an ensemble.yaml; it is scored first."),
    ] = None,
    scores: Annotated[Path | None, typer.Option("--scores", metavar="FILE", help=COLUMNS)] = None,
    verdicts_file: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help=verdict_file.COLUMNS)
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="A B", help="Two of them, models or score files, to test B against A."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", metavar="NAME", help=SPLIT + " Repeat for several eval sets.")
    ] = None,
    prior_sets: Annotated[
        float | None,
        typer.Option(
            "--prior-sets", min=0, max=100, help="RewardBench: Prior Sets in percent, for the older overall."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=1,
            help=f"Tokens that a model reads at a time; changes no score.  [default: {MAX_TOKENS}]",
        ),
    ] = None,
    *,
    parts: EnsembleOptions,
    texts: WritingOptions,
    files: FileOptions,
    places: InputOptions,
    as_json: JsonOption = False,
) -> None:
    """Print the official metrics of eval sets (reward benchmarks) for a model, or for a file of scores.

    Every reply of every item needs one score. A comparison is strict, and equal scores are wrong and counted as
    ties. With --compare, the metrics of both and paired tests, Holm-corrected over the headline measures. With
    --ensemble METHOD A B ..., the metrics of the members and of the whole, the whole against its best member, and
    without each member.
    """
    parts.check(template=files.template is not None)
    files.check()
    given = {"--model": model, "--scores": scores, "--verdicts": verdicts_file}
    sides = () if files.template is not None else _sides(given, compare, ensemble=parts.given)
    _check_missing(sides, allow_missing=files.allow_missing)
    models = [side for side in sides if side.is_dir()]
    texts.check(models)
    if max_tokens is not None and not (models or parts.given or any(is_ensemble(side) for side in sides)):
        raise typer.BadParameter("--max-tokens is about a model, and none is scored")
    tokens = max_tokens or MAX_TOKENS
    sets = [evalsets.get(name, manifests=places.manifests) for name in dict.fromkeys(eval_set)]
    splits = _splits(sets, split or [])
    _check_prior(sets, prior_sets, compared=compare is not None or parts.given)
    place, folders = Workspace(places.workspace), places.inputs.eval_set_folders()
    loaded = [_loaded(one, splits.get(one.name), prior_sets, folders) for one in sets]
    if files.template is not None:
        pairs = parts.held_out(place, scorers_of(place, tokens))
        alone = not (any(given.values()) or compare or files.per_item)
        _write_template(files.template, loaded, pairs, alone=alone)
        return
    whole = evaluated(parts, loaded, place, tokens) if parts.given else None
    scored = {
        side: ensemble_scores.score_files(side, loaded, place, max_tokens=tokens, writing=texts.writing)
        for side in sides
    } or ({parts.save or Path("ensemble"): whole.files} if whole else {})
    allowed = {"allow_unscored": files.allow_unscored, "allow_missing": files.allow_missing}
    read = [read_side(side, scored[side], loaded, texts.rule, **allowed) for side in scored]
    loaded, read, left_out = without_missing(loaded, read)
    results, deltas = _compared(loaded, read, left_out)
    if files.per_item is not None:
        every = (item_files.per_item(one, [side.scores[one.evalset.name] for side in read]) for one in loaded)
        item_files.write(files.per_item, itertools.chain.from_iterable(every))
    if as_json:
        data(_plain(results, deltas) | (whole.plain() if whole else {}))
        return
    _show(results, deltas, whole)


def _show(results: Sequence[Result], deltas: Sequence[Delta], whole: Evaluated | None) -> None:
    """Print the tables: of an ensemble those of its members before, and their comparison after."""
    if whole:
        whole.show_members()
    for result in results:
        show_table(metrics.lines_table(_title(result), result.lines))
    judged = [(_title(result), result.orders) for result in results if result.orders is not None]
    for table in [*verdicts.orders_tables(judged), *metrics.deltas_tables(deltas)]:
        show_table(table)
    if whole:
        whole.show_comparison()


def _sides(
    given: Mapping[str, Path | None], compare: tuple[Path, Path] | None, *, ensemble: bool
) -> tuple[Path, ...]:
    """What is evaluated, besides an ensemble: directories are models, files are scores or an ensemble's."""
    options = [*given.items(), ("--compare", compare), ("--ensemble", ensemble)]
    named = [name for name, value in options if value]
    if len(named) != 1:
        found = " and ".join(named) + " given" if named else "no scores"
        expected = "one of --model DIR, --scores FILE, --verdicts FILE, --compare A B, --ensemble"
        raise ConfigError("evaluate", found, expected)
    for name, path in given.items():
        if path is None:
            continue
        if name == "--model" and not (path.is_dir() or is_ensemble(path)):
            raise ConfigError(name, f"{path} is no directory", "a reward model's", "--scores takes a file")
        if name != "--model" and path.is_dir():
            raise ConfigError(name, f"{path} is a directory", "a file", "--model takes a reward model")
        if name == "--verdicts" and not verdict_file.is_verdicts(path):
            expected = verdict_file.COLUMNS
            raise ConfigError(name, f"{path.name} has no column of verdicts", expected, "--scores takes scores")
    return compare or tuple(path for path in given.values() if path is not None)


def _check_missing(sides: Sequence[Path], *, allow_missing: bool) -> None:
    """Raise ConfigError where items may be missing and no file is read that could lack them."""
    if allow_missing and all(side.is_dir() or is_ensemble(side) for side in sides):
        raise ConfigError("--allow-missing", "given without a file of scores", "--scores, --verdicts or --compare")


def _splits(sets: list[EvalSet], given: list[str]) -> dict[str, str]:
    """The split of each eval set that one is given for. Raises ConfigError for one of none, and for two of one."""
    known = list(dict.fromkeys(split for one in sets for split in one.splits))
    for split in given:
        if split not in known:
            named = ", ".join(one.name for one in sets)
            raise ConfigError("--split", f"found {split!r} for {named}", f"one of {', '.join(known)}")
    found: dict[str, str] = {}
    for one in sets:
        own = [split for split in dict.fromkeys(given) if split in one.splits]
        if len(own) > 1:
            raise ConfigError("--split", f"{' and '.join(own)} for {one.name}", "one of them")
        if own:
            found[one.name] = own[0]
    return found


def _write_template(path: Path, loaded: Sequence[LoadedEvalSet], pairs: Questions | None, *, alone: bool) -> None:
    if not alone:
        raise ConfigError("--template", "given with scores", "--eval-set alone", "fill it, then --scores FILE")
    lines = item_files.template(loaded)
    if pairs is not None:
        lines = itertools.chain(lines, item_files.held_out_template(pairs, ensemble_scores.sampled(pairs)))
    item_files.write(path, lines)
    say(f"{path}: a line for each reply; fill in score, higher is better")


def _check_prior(sets: list[EvalSet], prior_sets: float | None, *, compared: bool) -> None:
    """Raise ConfigError where Prior Sets are given and nothing reads them."""
    if prior_sets is None:
        return
    if "rewardbench" not in {one.name for one in sets}:
        raise ConfigError("--prior-sets", "given without rewardbench", "--eval-set rewardbench")
    if compared:
        raise ConfigError("--prior-sets", "given with --compare", "one of them", "it is the score of one model")


def _loaded(
    evalset: EvalSet, split: str | None, prior_sets: float | None, folders: EvalSetFolders
) -> LoadedEvalSet:
    options = Options(
        split=evalset.split_of(Options(split=split)), prior_sets=None if prior_sets is None else prior_sets / 100
    )
    folder = folders.locate(evalset.name)
    folders.check(evalset, folder, options)
    loaded = items.load(evalset, folder, options)
    count, published = len(loaded.items.items), evalset.published(str(options.split))
    for reason, rows in loaded.skipped.most_common():
        say(f"{evalset.name}: {rows:,} rows skipped: {reason}")
    if published and count != published:
        say(f"{evalset.name}: {count:,} items, {published:,} published: not the whole eval set")
    return loaded


def _compared(
    loaded: Sequence[LoadedEvalSet], sides: Sequence[Side], left_out: Mapping[str, list[str]]
) -> tuple[list[Result], list[Delta]]:
    results: list[Result] = []
    deltas: list[Delta] = []
    draws = metrics.draws_for(sum(len(one.evalset.headline) for one in loaded))
    for one in loaded:
        evalset, name = one.evalset, one.evalset.name
        for side in sides:
            lines = metrics.evaluate(evalset, one.items, side.scores[name], one.options)
            orders = verdicts.counts(one.items, side.judged[name])
            lacking = side.unscored[name], left_out[name]
            results.append(Result(one, side.given, side.files[name], lines, *lacking, orders))
        if len(sides) == 2:
            first, second = (side.scores[name] for side in sides)
            deltas += metrics.compare(evalset, one.items, first, second, one.options, draws=draws)
    return results, metrics.corrected(deltas)


def _title(result: Result) -> str:
    evalset, count = result.loaded.evalset, len(result.loaded.items.items)
    split = f", {evalset.split_of(result.loaded.options)} split" if len(evalset.splits) > 1 else ""
    of = f", {count:,} of {count + len(result.missing):,} items" if result.missing else ""
    return f"{evalset.name}{split}: {result.given if result.given.is_dir() else result.given.name}{of}"


def _plain(results: Sequence[Result], deltas: Sequence[Delta]) -> dict[str, Any]:
    return {
        "results": [
            {
                "benchmark": one.loaded.evalset.name,
                "split": one.loaded.options.split if len(one.loaded.evalset.splits) > 1 else None,
                "model": str(one.given) if one.given.is_dir() or is_ensemble(one.given) else None,
                "scores": str(one.scores),
                "unscored": one.unscored,
                "items": len(one.loaded.items.items),
                "missing": one.missing,
                "measures": [metrics.line_values(line) for line in one.lines],
                **({} if one.orders is None else {"orders": one.orders.row()}),
            }
            for one in results
        ],
        "compare": [delta._asdict() for delta in deltas],
    }
