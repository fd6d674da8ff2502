"""curate browse."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from curate.cli import completion
from curate.cli.options import InputOptions
from curate.cli.output import say
from curate.cli.server_options import LOOPBACK, HostOption, PortOption, check_server_installed

BrowseArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MIX|SOURCE|ABLATION",
        help="What to look at: a mix or a source as for curate show, or a study.  [default: the last mix]",
        show_default=False,
        autocompletion=completion.any_of(completion.mixes, completion.sources),
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="Labels are appended to it.  [default: WORKSPACE/labels.jsonl]"),
]
WhoOption = Annotated[
    str | None, typer.Option("--who", metavar="NAME", help="Who labels.  [default: the user's name]")
]
ScoresOption = Annotated[
    list[Path] | None,
    typer.Option("--scores", metavar="FILE", help="A score file of eval sets, besides those of the workspace."),
]
VisitorTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Visitors must open the page once with ?token= and the token in FILE (or CURATE_SERVE_TOKEN).",
    ),
]


def browse(
    target: BrowseArgument = None,
    labels: LabelsOption = None,
    who: WhoOption = None,
    scores: ScoresOption = None,
    host: HostOption = LOOPBACK,
    port: PortOption = 8001,
    token_file: VisitorTokenOption = None,
    *,
    where: InputOptions,
) -> None:
    """Look at pairs in a browser: filter, search, compare, label; nothing but the label file is ever written.

    A page on this machine (Ctrl-C ends it): pairs side by side with the words that differ, images, what became of
    each pair and why, items of eval sets with what two models scored.
    Labels are used by the step `labels` of a recipe.
    """
    check_server_installed("browse", "markdown_it")
    from curate.evaluation.items import EvalSetFolders
    from curate.web.browse.evals import EvalSets
    from curate.web.browse.labelling import LabelBook
    from curate.web.browse.routes import Browser, Choices
    from curate.web.browse.site import Site, targets
    from curate.web.run import listen
    from curate.web.settings import Listening, read_token

    settings = Listening(host=host, port=port, token=read_token(token_file), stop_seconds=2)
    inputs = where.inputs
    place = inputs.workspace
    site = Site(targets(target, place), place, LabelBook(labels or place.root / "labels.jsonl"))
    evals = EvalSets(EvalSetFolders(workspace=place, raw=inputs.raw, manifests=inputs.manifests), scores or ())
    choices = Choices(who=who or getpass.getuser(), manifests=inputs.manifests)
    say(f"{site.title}: {site.loaded():,} pairs; labels go to {site.book.path}")
    listen(Browser(site, evals, settings, choices).app(), settings, "look at", 64)
