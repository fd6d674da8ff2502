"""curate pin, curate fetch."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import bundled, evalsets, recipe, sources, tables
from curate.cli import completion
from curate.cli.options import MANIFESTS, WORKSPACE, JsonOption, ManifestsOption, WaitOption, WorkspaceOption
from curate.cli.output import data, say, show_table
from curate.cli.transfer_progress import TransferProgress
from curate.config import did_you_mean
from curate.errors import ConfigError, HubError
from curate.hub.retry import RetryPolicy, Unreachable
from curate.licenses import with_condition
from curate.tables import count
from curate.workspace import Workspace

if TYPE_CHECKING:  # the Hub's client takes a third of a second to import: only the commands pay for it
    from curate.hub.manifests import Drift, Manifest

ConnectionsOption = Annotated[int, typer.Option("--workers", min=1, help="Files to download at the same time.")]
CONNECTIONS = 4


PinnedArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Sources and eval sets to pin.  [default: all]",
        autocompletion=completion.any_of(completion.sources, completion.eval_sets),
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        "--revision", metavar="NAME", help="Branch, tag or commit.  [default: as pinned before, or main]"
    ),
]
DriftOption = Annotated[bool, typer.Option("--check", help="Change nothing; list what changed upstream.")]
FetchedArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE|RECIPE...",
        help="Sources, eval sets, or recipes (their names or files).",
        autocompletion=completion.any_of(completion.sources, completion.eval_sets, completion.recipes),
    ),
]
MaxRowsOption = Annotated[
    int | None,
    typer.Option("--max-rows", min=1, help="Fetch only as many files of each source as give N rows."),
]
UnpinnedOption = Annotated[
    bool, typer.Option("--unpinned", help="Fetch sources without a pinned commit as they are today.")
]


def pin(
    names: PinnedArgument = None,
    revision: RevisionOption = None,
    check: DriftOption = False,
    manifests: ManifestsOption = MANIFESTS,
    workers: ConnectionsOption = CONNECTIONS,
    as_json: JsonOption = False,
) -> None:
    """Record what the Hub has in manifests: commit, files with hashes, licence, rows.

    With --check, exit 1 if anything changed upstream.
    """
    if check and revision is not None:
        raise ConfigError(
            "--revision", "given with --check", "one of them", "--check uses the manifest's revision"
        )
    policy = RetryPolicy.from_env()
    from curate.hub import client  # fails at settings that the policy has checked

    client.reachable(policy)
    if check:
        _check(names or [], manifests, workers, policy, as_json=as_json)
    else:
        _pin(names or _all(), manifests, revision, workers, policy, as_json=as_json)


def _pin(
    names: list[str], directory: Path, revision: str | None, workers: int, policy: RetryPolicy, *, as_json: bool
) -> None:
    from curate.hub import manifests, pinning

    done: list[Manifest] = []
    failures: list[HubError] = []
    for name in names:
        try:
            done.append(pinning.pin(name, directory, revision, workers, policy))
        except Unreachable:
            raise
        except HubError as error:
            failures.append(error)
            continue
        _print_surprises(done[-1], manifests.subject(name, directory).license)
    if as_json:
        data([asdict(manifest) for manifest in done])
    else:
        columns = ("source", "commit", "files", "bytes", "rows", "license")
        show_table(tables.Table("pinned", columns, [_row(manifest) for manifest in done]))
    _raise_last(failures)


def _all() -> list[str]:
    return [*sources.names(), *evalsets.core()]


def _row(manifest: "Manifest") -> tuple[object, ...]:
    size = sum(file.bytes for file in manifest.files)
    commit = str(manifest.commit)[:10]
    return manifest.source, commit, len(manifest.files), size, manifest.rows.counted, manifest.license


def _print_surprises(manifest: "Manifest", license: str | None) -> None:  # noqa: A002 - the column's name
    """Print what differs from the facts in the adapter."""
    rows = manifest.rows
    if None not in (rows.counted, rows.expected) and rows.counted != rows.expected:
        say(f"{manifest.source}: {rows.counted:,} rows by {rows.counted_by}, {rows.expected:,} expected")
    pinned = manifest.license and with_condition(manifest.license, license)
    if license is not None and pinned != license:
        say(f"{manifest.source}: licence {manifest.license or 'unknown'}, {license} expected")


def _raise_last(failures: list[HubError]) -> None:
    for error in failures[:-1]:
        say(f"error: {error}; hint: {error.hint}" if error.hint else f"error: {error}")
    if failures:
        raise failures[-1]


def _check(names: list[str], directory: Path, workers: int, policy: RetryPolicy, *, as_json: bool) -> None:
    from curate.hub import manifests, pinning

    read = [manifests.read(name, directory) for name in names or _all()]
    blank = [manifest.source for manifest in read if manifest.commit is None]
    if blank and (names or len(blank) == len(read)):
        one = blank[0] if names else "no source"
        raise HubError(one, "not pinned" if names else "is pinned", "", f"curate pin {' '.join(names)}".strip())
    found: list[Drift] = []
    for manifest in read:
        if manifest.commit is not None:
            found += pinning.drift(manifest, workers, policy)
    if as_json:
        data([asdict(drift) for drift in found])
    else:
        rows = [(drift.source, drift.what, drift.pinned, drift.upstream) for drift in found]
        show_table(tables.Table("drift", ("source", "what", "pinned", "upstream"), rows))
    pinned = len(read) - len(blank)
    say(f"{len({drift.source for drift in found})} of {pinned} pinned sources drifted")
    if found:
        raise typer.Exit(1)


def fetch(
    names: FetchedArgument,
    max_rows: MaxRowsOption = None,
    unpinned: UnpinnedOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    manifests: ManifestsOption = MANIFESTS,
    workers: ConnectionsOption = CONNECTIONS,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch the pinned files of sources and eval sets into the workspace, verified by hash.

    A fetch that was stopped or broke off continues, also in the middle of a file.
    """
    policy = RetryPolicy.from_env()
    from curate.hub.fetch import FetchRequest, fetch_all  # fails at settings that the policy has checked

    request = FetchRequest(
        names=_sources(names, manifests),
        manifests=manifests,
        max_rows=max_rows,
        unpinned=unpinned,
        workers=workers,
        wait=wait,
    )
    place = Workspace(workspace)
    done = fetch_all(request, place, policy, TransferProgress())
    if as_json:
        data([{"directory": str(place.raw(name) / one.commit), **asdict(one)} for name, one in done.items()])
        return
    for name, one in done.items():
        size = sum(file.bytes for file in one.files)
        notes = ("" if one.pinned else ", not pinned") + ("" if one.complete else ", not all files")
        say(f"{name}: {place.raw(name) / one.commit} ({count(len(one.files), 'file')}, {size:,} bytes{notes})")


def _sources(names: list[str], manifests: Path) -> tuple[str, ...]:
    """The sources named, and those of the recipes named, each once; a name of both is the source.

    Raises ConfigError for a name that is neither.
    """
    known, recipes = (
        [*sources.names(), *evalsets.names(), *sources.own(manifests), *evalsets.own(manifests)],
        bundled.named("recipe"),
    )
    found: list[str] = []
    for name in names:
        if name in known:
            found.append(name)
        elif bundled.is_path(name) or name in recipes:
            found += [pool.source for pool in recipe.load(name).pools if _on_the_hub(pool.source, manifests)]
        else:
            listed = "curate sources, curate sources --evalsets and curate recipes list them"
            hint = did_you_mean(name, [*known, *recipes], listed, most=3)
            raise ConfigError(name, "no source, eval set or recipe has this name", "", hint)
    return tuple(dict.fromkeys(found))


def _on_the_hub(source: str, manifests: Path) -> bool:
    """Whether the files of a source that a recipe names are on the Hub; prints a line where they are not."""
    on_hub = "/" in sources.get(source, manifests).repo
    if not on_hub:
        say(f"{source}: its files are your own, nothing to fetch")
    return on_hub
