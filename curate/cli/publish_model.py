"""curate publish-model."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli.hub import Terminal
from curate.cli.options import JsonOption
from curate.cli.output import data, say
from curate.hub.retry import RetryPolicy


def publish_model(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A model with its card, as `curate export` writes it.", show_default=False
        ),
    ],
    repo: Annotated[str, typer.Argument(help="Model repository, owner/name.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make or expect a private repository.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put an exported reward model onto the Hub, with its card.

    The card has the licences of the data. Files are sent over the Hub's LFS protocol and appear in one commit; the
    same files again make none. Files with a secret or a path of this machine are refused.
    """
    from curate.publishing import publish_model as publishing  # the Hub's client takes a third of a second

    request = publishing.ModelRequest(directory=model, repo=repo, private=private)
    done = publishing.publish_model(request, RetryPolicy.from_env(), Terminal("send", each=False))
    if as_json:
        data({"repo": repo, "commit": done.commit, "fresh": done.fresh})
    words = "published" if done.fresh else "already there, no commit made"
    say(f"{model}: {words}: {done.page} at {done.commit[:10]}")
