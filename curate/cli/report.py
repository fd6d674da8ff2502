"""curate report."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli.engines import at_work
from curate.cli.options import (
    ENGINE,
    MANIFESTS,
    WORKSPACE,
    AddressOption,
    EngineOption,
    ManifestsOption,
    RawOption,
    WaitOption,
    WorkersOption,
    WorkspaceOption,
)
from curate.cli.output import progress, say
from curate.html_report.analysis_sections import examined
from curate.html_report.page import page
from curate.inputs import Inputs
from curate.inspect.artefacts import find_mix
from curate.workspace import Workspace, atomic


def report(
    mix: Annotated[
        str, typer.Argument(help="A mix: name, name@fingerprint or its directory.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file.  [default: NAME-report.html]", dir_okay=False)
    ] = None,
    pairs: Annotated[
        int, typer.Option("--pairs", min=0, help="Sampled pairs of the mix; half as many dropped ones.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives another sample.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without what needs a pass over all pairs: rulers, faults, overlap.")
    ] = False,
    raw: RawOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    manifests: ManifestsOption = MANIFESTS,
    engine: EngineOption = ENGINE,
    address: AddressOption = None,
    workers: WorkersOption = None,
    wait: WaitOption = False,
) -> None:
    """Write a mix as one HTML file that opens offline: contents, rulers, overlap, leaks, pairs to read.

    What is computed of texts is cached beside the pairs, so that a second report takes seconds. Prints its path.
    """
    inputs = Inputs(workspace=Workspace(workspace), raw=raw, manifests=manifests)
    found, known = find_mix(mix, inputs.workspace), None
    if not quick:
        with (
            at_work(inputs.workspace, engine, address, workers, wait=wait) as crew,
            progress("report", 0) as listen,
        ):
            known = examined(found, inputs, crew, listen)
    text = page(found, inputs.workspace, known, pairs=pairs, seed=seed)
    path = out or Path(f"{found.lock['name']}-report.html")
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(path)
    say(f"{len(text.encode()) / 1e6:.1f} MB; open it in a browser")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(report)
