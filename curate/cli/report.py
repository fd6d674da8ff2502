"""curate report."""

from pathlib import Path
from typing import Annotated

import typer

from curate.checksums import published
from curate.cli.options import MixArgument, WorkOptions
from curate.cli.output import progress, say, show_text
from curate.html_report.analysis_sections import examined
from curate.html_report.page import page
from curate.inspect.artefacts import find_mix
from curate.workspace import atomic


def report(
    mix: MixArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file.  [default: report.html in the mix's directory]",
            dir_okay=False,
        ),
    ] = None,
    pairs: Annotated[
        int, typer.Option("--pairs", min=0, help="Sampled pairs of the mix; half as many dropped ones.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives another sample.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without what needs a pass over all pairs: rulers, faults, overlap.")
    ] = False,
    *,
    work: WorkOptions,
) -> None:
    """Write a mix as one HTML file that opens offline: contents, rulers, overlap, leaks, pairs to read.

    What is computed of texts is cached beside the pairs, so that a second report takes seconds. Prints its path.
    """
    inputs = work.inputs
    found, known = find_mix(mix, inputs.workspace), None
    found.check("shard", "holdout", "decisions", "review")
    if not quick:
        with (
            work.open_engine() as engine,
            progress("report", 0) as listen,
        ):
            known = examined(found, inputs, engine, listen)
    text = page(found, inputs.workspace, known, pairs=pairs, seed=seed)
    path = out or found.directory / "report.html"
    with published(path) if out is None else atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    show_text(str(path))
    say(f"{len(text.encode()) / 1e6:.1f} MB; open it in a browser")
