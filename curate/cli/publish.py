"""curate publish."""

from typing import Annotated, Any

import typer

from curate import tables
from curate.cli.options import WORKSPACE, JsonOption, MixArgument, PrivateOption, WaitOption, WorkspaceOption
from curate.cli.output import data, say, show_table
from curate.cli.transfer_progress import TransferProgress
from curate.hub.retry import RetryPolicy
from curate.inspect.artefacts import find_mix
from curate.workspace import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:  # the Hub's client takes a third of a second to import: only the command pays for it
    from curate.publishing.publish import Preview, PublishRequest


def publish(
    mix: MixArgument,
    repo: Annotated[str, typer.Argument(help="Dataset repository, owner/name.", show_default=False)],
    private: PrivateOption = False,
    revision: Annotated[str, typer.Option("--revision", metavar="NAME", help="Branch to publish on.")] = "main",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent and deleted; send and write nothing.")
    ] = False,
    rights: Annotated[
        bool, typer.Option("--i-have-the-rights", help="Publish whatever the licences say; you answer for it.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a finished mix onto the Hub, with its card, recipe and lock.

    Files are sent over the Hub's LFS protocol, never over Xet, whatever HF_HUB_DISABLE_XET says.
    Files gather on a branch of their own and are promoted in one commit when all of them read back with the right
    hashes. A stopped run continues; a mix that is there already makes no commit.
    """
    place, policy = Workspace(workspace), RetryPolicy.from_env()
    from curate.publishing.publish import PublishRequest, publish_mix  # fails at settings that are checked by now

    request = PublishRequest(
        mix=find_mix(mix, place), repo=repo, branch=revision, private=private, rights=rights, wait=wait
    )
    if dry_run:
        _preview(request, place, policy, as_json=as_json)
        return
    done = publish_mix(request, place, policy, TransferProgress("send", each=False))
    if as_json:
        data({"repo": repo, "revision": revision, "commit": done.commit, "fresh": done.fresh})
    words = "published" if done.fresh else "already there, no commit made"
    say(f"{request.mix.title}: {words}: {done.page} at {done.commit[:10]}")
    say(f"open:  load_dataset({repo!r}{'' if revision == 'main' else f', revision={revision!r}'})")


def _preview(request: "PublishRequest", place: Workspace, policy: RetryPolicy, *, as_json: bool) -> None:
    from curate.publishing import bundle
    from curate.publishing.publish import preview

    found = preview(request, place, policy, say)
    if as_json:
        data(_plain(request, found))
    else:
        rows = [(item.path, item.size) for item in found.items]
        total = ("all", sum(item.size for item in found.items))
        show_table(
            tables.Table(f"would be sent to {request.repo}@{request.branch}", ("file", "bytes"), rows, total)
        )
        show_table(tables.Table("would be deleted there", ("file",), [(path,) for path in found.delete or ()]))
        if found.fresh is False:
            say("all of it is there already: no commit would be made")
    for line in bundle.notes(found.sharing, rights=request.rights):
        say(line)
    if not request.rights:
        bundle.allow(request.mix, found.sharing, private=request.private)


def _plain(request: "PublishRequest", found: "Preview") -> dict[str, Any]:
    return {
        "repo": request.repo,
        "revision": request.branch,
        "private": request.private,
        "files": [{"path": item.path, "bytes": item.size, "sha256": item.sha256} for item in found.items],
        "sharing": found.sharing.to_dict(),
        "delete": None if found.delete is None else list(found.delete),
        "fresh": found.fresh,
    }
