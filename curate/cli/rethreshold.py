"""curate rethreshold."""

from typing import Annotated

import typer

from curate.analysis.rethreshold import USUAL, tables
from curate.analysis.rethreshold import rethreshold as decide
from curate.cli.engines import at_work
from curate.cli.options import (
    ENGINE,
    MANIFESTS,
    WORKSPACE,
    AddressOption,
    EngineOption,
    JsonOption,
    ManifestsOption,
    RawOption,
    RecipeArgument,
    WaitOption,
    WorkersOption,
    WorkspaceOption,
)
from curate.cli.output import data, progress, say, show
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace

JACCARD = "A threshold, or several with commas; repeat for more.  [default: " + ", ".join(map(str, USUAL)) + "]"


def rethreshold(
    recipe: RecipeArgument,
    jaccard: Annotated[list[str] | None, typer.Option("--jaccard", help=JACCARD)] = None,
    raw: RawOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    manifests: ManifestsOption = MANIFESTS,
    engine: EngineOption = ENGINE,
    address: AddressOption = None,
    workers: WorkersOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what near_dedup would drop at other thresholds, from cached sketches; nothing is built.

    The pairs that the next stricter threshold keeps are counted as new, those that only it drops as spared.

    A pair may be spared because what it is near to goes; the recipe's own threshold is always among them.
    """
    read = load(recipe)
    jaccards = [_number(text) for given in jaccard or () for text in given.split(",")] or USUAL
    inputs = Inputs(workspace=Workspace(workspace), raw=raw, manifests=manifests)
    with (
        at_work(inputs.workspace, engine, address, workers, wait=wait) as crew,
        progress("rethreshold", 0) as listen,
    ):
        found = decide(read, inputs, jaccards, crew, listen, say)
    if as_json:
        data(found.to_dict())
        return
    for table in tables(found):
        show(table)
    if any(one.samples for one in found.found):
        say("curate why PAIR tells of a pair, curate show SOURCE --pair PAIR has its texts")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError("--jaccard", f"found {text!r}", "numbers, such as 0.75,0.8") from None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(rethreshold)
