"""curate publish-model."""

from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import JsonOption, PrivateOption
from curate.cli.output import data, say
from curate.cli.transfer_progress import TransferProgress
from curate.hub.retry import RetryPolicy


def publish_model(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A model with its card, as `curate export` writes it.", show_default=False
        ),
    ],
    repo: Annotated[str, typer.Argument(help="Model repository, owner/name.", show_default=False)],
    private: PrivateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put an exported reward model onto the Hub, with its card.

    The card has the licences of the data. Files are sent over the Hub's LFS protocol and appear in one commit; the
    same files again make none. Files with a secret or a path of this machine are refused.
    """
    from curate.publishing import publish_model as publishing  # the Hub's client takes a third of a second

    request = publishing.ModelRequest(directory=model, repo=repo, private=private)
    done = publishing.publish_model(request, RetryPolicy.from_env(), TransferProgress("send", each=False))
    if as_json:
        data({"repo": repo, "commit": done.commit, "fresh": done.fresh})
    words = "published" if done.fresh else "already there, no commit made"
    say(f"{model}: {words}: {done.page} at {done.commit[:10]}")
