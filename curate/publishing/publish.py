"""Publish a finished mix to the Hub: check it, upload it to a staging branch, promote it in one commit.

Readers see either the old mix or the new one. What remains to be done follows from what the Hub lists; the receipt
in the workspace only keeps hashes and commits.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from curate import __version__, config
from curate.errors import ConfigError, HubError
from curate.hub import client
from curate.hub.retry import RetryPolicy
from curate.inspect.artefacts import Mix
from curate.publishing import bundle
from curate.publishing.bundle import Hashed, Item, Sharing
from curate.publishing.uploads import Display, Repo, State, Tree, missing, portions
from curate.workspace import Workspace, read_json, write_json

SHARDS = re.compile(r"(shard|holdout)-.*\.parquet")
"""Names that the patterns of the card match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """What to publish, and where. `rights`: the user takes responsibility for the licences."""

    mix: Mix
    repo: str
    branch: str = "main"
    private: bool = False
    rights: bool = False
    wait: bool = False

    @property
    def staging(self) -> str:
        """The staging branch."""
        return f"curate-{self.mix.lock['fingerprint']}"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ConfigError(self.repo, "not the name of a repository", "owner/name")
        if self.branch.startswith("curate-"):
            found = "a name reserved for staging branches"
            raise ConfigError(f"--revision {self.branch}", found, "a branch for readers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a publish would do; `delete` and `fresh` are None if the Hub could not be read."""

    items: tuple[Item, ...]
    sharing: Sharing
    delete: tuple[str, ...] | None
    fresh: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the mix was published; `fresh` is False if the Hub had it already."""

    page: str
    commit: str
    fresh: bool


@dataclass(slots=True, kw_only=True)
class Receipt:
    """The state of a publish, written after every step."""

    path: Path
    facts: dict[str, Any]
    files: list[dict[str, Any]] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    promoted: str | None = None

    def save(self) -> None:
        """Write the file."""
        state = {"commits": self.commits, "promoted": self.promoted, "files": self.files}
        write_json(self.path, {**self.facts, **state})

    @property
    def known(self) -> list[Hashed]:
        """The files as hashed before. Raises ConfigError if the receipt was edited and is invalid."""
        return [config.build(entry, Hashed, f"{self.path}: $.files") for entry in self.files]


def receipt(request: PublishRequest, workspace: Workspace) -> Receipt:
    """The receipt of a publish, blank if there is none."""
    fingerprint = request.mix.lock["fingerprint"]
    path = workspace.root / "publish" / request.repo / f"{fingerprint}.json"
    facts = {
        "repo": request.repo,
        "revision": request.branch,
        "fingerprint": fingerprint,
        "branch": request.staging,
    }
    before = read_json(path) if path.exists() else {}
    same = before.get("revision") == request.branch
    return Receipt(
        path=path,
        facts=facts,
        files=before.get("files", []),
        commits=before.get("commits", []) if same else [],
        promoted=before.get("promoted") if same else None,
    )


# ------------------------------------------------------------------------------------------------ the command


def preview(
    request: PublishRequest, workspace: Workspace, policy: RetryPolicy, say: Callable[[str], None]
) -> Preview:
    """What `publish_mix` would do; nothing is written, and no token is needed.

    Raises CurateError for faults of the mix itself, not for its licences.
    """
    found = bundle.sharing(request.mix)
    items = _items(request, workspace, receipt(request, workspace), say)
    repo = Repo(name=request.repo, policy=policy, say=say)
    try:
        client.reachable(policy)
        state = repo.state()
        head, tree = _target(repo, request, state)
        gone = _Obsolete(repo, items)(head, tree) if state is not None else ()
    except HubError as error:
        say(f"the present contents of the repository are unknown: {error}")
        return Preview(items=tuple(items), sharing=found, delete=None, fresh=None)
    _check_visibility(request, state)
    fresh = bool(missing(items, tree) or gone)
    return Preview(items=tuple(items), sharing=found, delete=tuple(gone), fresh=fresh)


def publish_mix(request: PublishRequest, workspace: Workspace, policy: RetryPolicy, show: Display) -> Published:
    """Publish a mix on a branch of a dataset repository, with at most one commit there.

    Raises CurateError if the mix, its licences or its texts forbid it, HubError for what the Hub refuses.
    """
    found = bundle.sharing(request.mix)
    if not request.rights:
        bundle.allow(request.mix, found, private=request.private)
    for line in bundle.notes(found, rights=request.rights):
        show.say(line)
    repo = Repo(name=request.repo, policy=policy, say=show.say, show=show)
    notes = workspace.root / "publish" / request.repo
    with Workspace(notes).hold(wait=request.wait):  # one publish to a repository at a time; a build may go on
        for half in notes.glob(".*.tmp"):
            half.unlink()
        record = receipt(request, workspace)
        client.reachable(policy)
        repo.sign_in()
        state = repo.state()
        _check_visibility(request, state)
        items = _items(request, workspace, record, show.say)
        record.files = bundle.hashed(request.mix, items)
        record.save()
        if state is None:
            repo.create(private=request.private)
            show.say(f"{request.repo}: made, {'private' if request.private else 'public'}")
            state = State(private=request.private, branches=repo.branches())
        return _put(repo, request, state, items, record)


def _items(
    request: PublishRequest, workspace: Workspace, record: Receipt, say: Callable[[str], None]
) -> list[Item]:
    texts = bundle.texts(request.mix)
    bundle.scan(texts, client.token(), workspace.root)
    return bundle.items(request.mix, texts, record.known, say)


def _check_visibility(request: PublishRequest, state: State | None) -> None:
    if state is None or state.private == request.private:
        return
    found, hint = ("private", "add --private") if state.private else ("public", "leave --private out")
    hint = f"{hint}, or change it at {client.page(request.repo)}/settings"
    wanted = "a private one" if request.private else "a public one"
    raise HubError(request.repo, f"the repository is {found}", wanted, hint)


# --------------------------------------------------------------------------------------------------- the work


def _put(repo: Repo, request: PublishRequest, state: State, items: Sequence[Item], record: Receipt) -> Published:
    obsolete = _Obsolete(repo, items)
    head, tree = _target(repo, request, state)
    there = request.branch in state.branches and not missing(items, tree) and not obsolete(head, tree)
    if not there:
        _stage(repo, request, head, items, record)
        head = repo.land(request.branch, head, items, _title(request), obsolete)
        _check(repo, request.branch, head, items)
    record.promoted = head
    record.save()
    repo.drop(request.staging)
    return Published(page=client.page(request.repo), commit=head, fresh=not there)


def _target(repo: Repo, request: PublishRequest, state: State | None) -> tuple[str, Tree]:
    """The head of the branch to publish on, or of main if it does not exist yet, and the files there."""
    if state is None:
        return "", {}
    head = state.branches.get(request.branch) or state.branches.get("main")
    if head is None:
        found = f"has no branch {request.branch}, and no main to create it from"
        raise HubError(request.repo, found, "a branch", f"see {client.page(request.repo)}")
    return head, repo.tree(head)


def _stage(repo: Repo, request: PublishRequest, start: str, items: Sequence[Item], record: Receipt) -> None:
    """Upload all files to the staging branch in a few commits, then check them there."""
    parts = portions(items)
    tree = repo.tree(repo.branch(request.staging, start))
    for number, part in enumerate(parts, 1):
        wanted = missing(part, tree)
        if not wanted:
            continue
        repo.send(wanted, request.staging)
        commit = repo.land(request.staging, start, part, f"{_title(request)}, part {number} of {len(parts)}")
        record.commits.append(commit)
        record.save()
        repo.say(f"{request.repo}: part {number:,} of {len(parts):,} on branch {request.staging}")
    _check(repo, request.staging, repo.branch(request.staging, start), items)


def _check(repo: Repo, branch: str, commit: str, items: Sequence[Item]) -> None:
    """Raise HubError unless the Hub lists every file with its size and hash."""
    wrong = missing(items, repo.tree(commit))
    if wrong:
        more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        hint = "run the same command again; if it says so again, the Hub or its .gitattributes changes files"
        raise HubError(f"{repo.name}@{branch}", f"{wrong[0].path}{more} did not read back", "what was sent", hint)


def _title(request: PublishRequest) -> str:
    lock: Mapping[str, Any] = request.mix.lock
    return f"{request.mix.title}: {lock['rows']:,} pairs, by curate {__version__}"


@dataclass(frozen=True, slots=True)
class _Obsolete:
    """Finds the files of a commit that an earlier mix has, by its lock, and this one has not."""

    repo: Repo
    items: Sequence[Item]

    def __call__(self, commit: str, tree: Tree) -> list[str]:
        """Their paths. Raises HubError if another file there would be loaded as part of the mix."""
        ours = {item.path for item in self.items}
        old = bundle.listed(self._lock(commit, tree))
        strange = sorted(path for path in tree if SHARDS.fullmatch(path) and path not in ours | old)
        if strange:
            found = f"has {strange[0]}, which no lock there lists and load_dataset would read with the mix"
            hint = f"delete it at {client.page(self.repo.name)}, or choose another repository or --revision"
            raise HubError(self.repo.name, found, "shards of a mix only", hint)
        return sorted(path for path in old - ours if path in tree)

    def _lock(self, commit: str, tree: Tree) -> object:
        """The lock of that commit, not downloaded if it equals ours; None if there is none."""
        there = tree.get("lock.json")
        if there is None:
            return None
        ours = next(item for item in self.items if item.path == "lock.json")
        if missing([ours], tree) or not isinstance(ours.content, bytes):
            return self.repo.document(commit, there)
        return orjson.loads(ours.content)
