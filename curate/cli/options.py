"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from curate.engines import Name

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", envvar="CURATE_HOME", help="Directory of raw files, pairs, images and mixes."),
]
RawOption = Annotated[
    Path | None,
    typer.Option("--raw", help="Raw files, one folder per source, as published.  [default: WORKSPACE/raw]"),
]
ManifestsOption = Annotated[
    Path, typer.Option("--manifests", help="Your own sources: manifests that name an adapter and a column map.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Tasks at work at the same time.  [default: one for each CPU, here or of the cluster]",
    ),
]
EngineOption = Annotated[
    Name, typer.Option("--engine", help="Where the work runs; with any engine and workers the result is the same.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray: HOST:PORT of the cluster's head, or auto for the cluster of this machine.  "
        "[default: RAY_ADDRESS, else a Ray of its own]",
    ),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait while another run holds the workspace.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RecipeArgument = Annotated[Path, typer.Argument(help="Recipe file.", show_default=False)]

WORKSPACE = Path("data")
MANIFESTS = Path("manifests")
ENGINE: Name = "local"
