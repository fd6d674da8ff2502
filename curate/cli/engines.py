"""curate engines, and how other commands open one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import typer

from curate import engines as all_engines
from curate.cli.options import AddressOption, JsonOption
from curate.cli.output import data, show
from curate.engines.base import Engine
from curate.tables import Table
from curate.workspace import Workspace


@contextmanager
def at_work(
    workspace: Workspace, engine: all_engines.Name, address: str | None, workers: int | None, *, wait: bool
) -> Iterator[Engine]:
    """Hold the workspace and open an engine for work in it."""
    with workspace.hold(wait=wait), all_engines.open_engine(engine, workspace.root, workers, address) as opened:
        yield opened


def engines(address: AddressOption = None, as_json: JsonOption = False) -> None:
    """List the engines, and whether they can be used here; with --address, how large that cluster is."""
    found = [asdict(facts) for facts in all_engines.survey(address)]
    if as_json:
        data(found)
        return
    rows = [tuple("yes" if value is True else value for value in facts.values()) for facts in found]
    show(Table("engines", tuple(found[0]), rows))


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(engines)
