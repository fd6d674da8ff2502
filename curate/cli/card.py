"""curate card."""

from pathlib import Path
from typing import Annotated

import typer

from curate import sources
from curate.cards import mix_card
from curate.cards.source_card import source_card
from curate.cli import completion
from curate.cli.options import MANIFESTS, WORKSPACE, ManifestsOption, WorkspaceOption
from curate.cli.output import show_text
from curate.inspect.artefacts import find_mix
from curate.workspace import Workspace


def card(
    target: Annotated[
        str,
        typer.Argument(
            help="A mix (name, name@fingerprint or its directory) or a source.",
            show_default=False,
            autocompletion=completion.any_of(completion.mixes, completion.sources),
        ),
    ],
    workspace: WorkspaceOption = WORKSPACE,
    manifests: ManifestsOption = MANIFESTS,
    folder: Annotated[
        Path,
        typer.Option(
            "--cards",
            metavar="DIR",
            help="Your own cards of sources, NAME.md each; they come before the bundled ones.",
        ),
    ] = Path("data_cards"),
) -> None:
    """Print the card of a mix, made from its lock, or of a source.

    A name that is both a source's and a mix's is the source; write the mix as name@fingerprint.
    """
    if target in sources.names() or target in sources.own(manifests):
        show_text(source_card(target, sources.get(target, manifests), folder).removesuffix("\n"))
    else:
        show_text(mix_card.card(find_mix(target, Workspace(workspace)).lock).removesuffix("\n"))
