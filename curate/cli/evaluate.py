"""curate evaluate."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from curate.cli import completion
from curate.cli.evaluate_ensemble import EnsembleOptions, Evaluated, evaluated, scorers_of
from curate.cli.evaluate_files import FileOptions
from curate.cli.evaluate_items import ItemOptions
from curate.cli.evaluate_sides import Side, SideOptions, check_missing, read_side, without_missing
from curate.cli.evaluate_writing import WritingOptions
from curate.cli.options import MAX_TOKENS, InputOptions, JsonOption
from curate.cli.output import data, say, show_table
from curate.errors import ConfigError
from curate.evalsets.orders import OrderCounts
from curate.evaluation import ensemble_scores, item_files, metrics, verdicts
from curate.evaluation.ensemble_scores import Questions
from curate.evaluation.ensembles import is_ensemble
from curate.evaluation.items import LoadedEvalSet
from curate.evaluation.metrics import Delta, Line
from curate.workspace import Workspace


class Result(NamedTuple):
    """The measures of one side on one eval set; items in `unscored` count as wrong, those in `missing` as none."""

    loaded: LoadedEvalSet
    given: Path
    scores: Path
    lines: list[Line]
    unscored: dict[str, str]
    missing: list[str]
    orders: OrderCounts | None


EvalSetOption = Annotated[
    list[str],
    typer.Option(
        "--eval-set",
        "-e",
        metavar="NAME",
        help="An eval set (curate sources --evalsets lists them); repeat for more.",
        show_default=False,
        autocompletion=completion.eval_sets,
    ),
]
TokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        min=1,
        help=f"Tokens that a model reads at a time; changes no score.  [default: {MAX_TOKENS}]",
    ),
]


def evaluate(
    eval_set: EvalSetOption,
    *,
    subjects: SideOptions,
    items: ItemOptions,
    max_tokens: TokensOption = None,
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
    sides = () if files.template is not None else subjects.sides(ensemble=parts.given)
    check_missing(sides, allow_missing=files.allow_missing)
    texts.check([side for side in sides if side.is_dir()])
    tokens = _max_tokens(max_tokens, sides, ensemble=parts.given)
    loaded = items.load(eval_set, places, compared=subjects.compare is not None or parts.given)
    place = Workspace(places.workspace)
    if files.template is not None:
        pairs = parts.held_out(place, scorers_of(place, tokens))
        _write_template(files.template, loaded, pairs, alone=not (subjects.given or files.per_item))
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
        _write_per_item(files.per_item, loaded, read)
    if as_json:
        data(_plain(results, deltas) | (whole.plain() if whole else {}))
    else:
        _show(results, deltas, whole)


def _max_tokens(given: int | None, sides: Sequence[Path], *, ensemble: bool) -> int:
    """The tokens of a forward pass. Raises BadParameter where they are given and no model is scored."""
    if given is not None and not (ensemble or any(side.is_dir() or is_ensemble(side) for side in sides)):
        raise typer.BadParameter("--max-tokens is about a model, and none is scored")
    return given or MAX_TOKENS


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


def _write_template(path: Path, loaded: Sequence[LoadedEvalSet], pairs: Questions | None, *, alone: bool) -> None:
    if not alone:
        raise ConfigError("--template", "given with scores", "--eval-set alone", "fill it, then --scores FILE")
    lines = item_files.template(loaded)
    if pairs is not None:
        lines = itertools.chain(lines, item_files.held_out_template(pairs, ensemble_scores.sampled(pairs)))
    item_files.write(path, lines)
    say(f"{path}: a line for each reply; fill in score, higher is better")


def _write_per_item(path: Path, loaded: Sequence[LoadedEvalSet], sides: Sequence[Side]) -> None:
    every = (item_files.per_item(one, [side.scores[one.evalset.name] for side in sides]) for one in loaded)
    item_files.write(path, itertools.chain.from_iterable(every))


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
