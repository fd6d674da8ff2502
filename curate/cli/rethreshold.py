"""curate rethreshold."""

from typing import Annotated

import typer

from curate.analysis.rethreshold import USUAL, tables, try_thresholds
from curate.cli.options import JsonOption, RecipeArgument, WorkOptions
from curate.cli.output import data, progress, say, show_table
from curate.errors import ConfigError
from curate.recipe import load

JACCARD = "A threshold, or several with commas; repeat for more.  [default: " + ", ".join(map(str, USUAL)) + "]"


def rethreshold(
    recipe: RecipeArgument,
    jaccard: Annotated[list[str] | None, typer.Option("--jaccard", help=JACCARD)] = None,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Show what near_dedup would drop at other thresholds, from cached sketches; nothing is built.

    The pairs that the next stricter threshold keeps are counted as new, those that only it drops as spared.

    A pair may be spared because the pair that it is near to is dropped. The recipe's own threshold is always among
    them.
    """
    read = load(recipe)
    jaccards = [_number(text) for given in jaccard or () for text in given.split(",")] or USUAL
    inputs = work.inputs
    with work.open_engine() as engine, progress("rethreshold", 0) as listen:
        found = try_thresholds(read, inputs, jaccards, engine, listen, say)
    if as_json:
        data(found.to_dict())
        return
    for table in tables(found):
        show_table(table)
    if any(one.samples for one in found.found):
        say("curate why PAIR explains a pair, curate show SOURCE --pair PAIR shows its texts")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError("--jaccard", f"found {text!r}", "numbers, such as 0.75,0.8") from None
