"""curate gc."""

from dataclasses import asdict
from typing import Annotated

import typer

from curate.cli.options import WORKSPACE, JsonOption, WaitOption, WorkspaceOption
from curate.cli.output import data, say, show_table
from curate.inspect.usage import Entry, entries, removable, remove, usage_table
from curate.workspace import Workspace


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what nothing refers to.")] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="Caches too, which are made again when they are needed.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """List what is in the workspace, how large it is and what refers to it; remove the rest on demand.

    What a mix, a run, a study or a score needs is never removed.
    """
    place = Workspace(workspace)
    if not yes:
        found = entries(place)
        _show(found, removable(found, caches=caches), as_json=as_json, done="would be removed: --yes removes them")
        return
    with place.hold(wait=wait):
        found = entries(place)
        chosen = removable(found, caches=caches)
        remove(chosen)
    _show(found, chosen, as_json=as_json, done="removed")


def _show(found: list[Entry], chosen: list[Entry], *, as_json: bool, done: str) -> None:
    if as_json:
        data([{**asdict(entry), "paths": [str(path) for path in entry.paths]} for entry in found])
    else:
        show_table(usage_table(found))
    files, size = sum(entry.files for entry in chosen), sum(entry.bytes for entry in chosen)
    say(f"{files:,} of {sum(entry.files for entry in found):,} files, {size / 1e6:,.1f} MB, {done}")
