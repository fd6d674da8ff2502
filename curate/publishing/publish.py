"""A finished mix onto the Hub: checked, uploaded to a branch of its own, read back, promoted in one commit.

Readers see the old mix or the new one, whole. What the Hub lists decides what is left to do; the receipt in the
workspace only saves hashing files twice, and remembers the commits.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from curate import __version__, config
from curate.errors import ConfigError, HubError
from curate.hub import client as hub
from curate.hub.retry import Patience
from curate.inspect.artefacts import Mix
from curate.publishing import bundle
from curate.publishing.bundle import Hashed, Item, Sharing
from curate.publishing.uploads import Repo, State, Tree, missing, portions
from curate.workspace import Workspace, read_json, write_json

SHARDS = re.compile(r"(shard|holdout)-.*\.parquet")
"""Names that the card's patterns take for files of the mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to publish where. `rights` says that the user answers for the licences."""

    mix: Mix
    repo: str
    branch: str = "main"
    private: bool = False
    rights: bool = False
    wait: bool = False

    @property
    def staging(self) -> str:
        """The branch that files gather on."""
        return f"curate-{self.mix.lock['fingerprint']}"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ConfigError(self.repo, "not the name of a repository", "owner/name")
        if self.branch.startswith("curate-"):
            found = "a name of the branches that files gather on"
            raise ConfigError(f"--revision {self.branch}", found, "a branch that people read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a publish would do; `delete` and `fresh` are None where the Hub could not be asked."""

    items: tuple[Item, ...]
    sharing: Sharing
    delete: tuple[str, ...] | None
    fresh: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the mix is; `fresh` is False where it was there already."""

    page: str
    commit: str
    fresh: bool


@dataclass(slots=True, kw_only=True)
class Receipt:
    """What earlier runs did; written after every step."""

    path: Path
    facts: dict[str, Any]
    files: list[dict[str, Any]] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    promoted: str | None = None

    def save(self) -> None:
        """Publish the file."""
        state = {"commits": self.commits, "promoted": self.promoted, "files": self.files}
        write_json(self.path, {**self.facts, **state})

    @property
    def known(self) -> list[Hashed]:
        """The files as hashed before. Raises ConfigError where the receipt was edited."""
        return [config.build(entry, Hashed, f"{self.path}: $.files") for entry in self.files]


def receipt(wish: Wish, workspace: Workspace) -> Receipt:
    """The receipt of a publish, blank if there is none."""
    fingerprint = wish.mix.lock["fingerprint"]
    path = workspace.root / "publish" / wish.repo / f"{fingerprint}.json"
    facts = {"repo": wish.repo, "revision": wish.branch, "fingerprint": fingerprint, "branch": wish.staging}
    before = read_json(path) if path.exists() else {}
    same = before.get("revision") == wish.branch
    return Receipt(
        path=path,
        facts=facts,
        files=before.get("files", []),
        commits=before.get("commits", []) if same else [],
        promoted=before.get("promoted") if same else None,
    )


# ------------------------------------------------------------------------------------------------ the command


def preview(wish: Wish, workspace: Workspace, patience: Patience, say: Callable[[str], None]) -> Preview:
    """What `publish` would do; nothing is written, and no token is needed.

    Raises CurateError for what is wrong with the mix itself; not for its licences.
    """
    found = bundle.sharing(wish.mix)
    items = _items(wish, workspace, receipt(wish, workspace), say)
    repo = Repo(name=wish.repo, patience=patience, say=say)
    try:
        hub.reachable(patience)
        state = repo.state()
        head, tree = _target(repo, wish, state)
        gone = _Obsolete(repo, items)(head, tree) if state is not None else ()
    except HubError as error:
        say(f"what is there already is not known: {error}")
        return Preview(items=tuple(items), sharing=found, delete=None, fresh=None)
    _check_visibility(wish, state)
    fresh = bool(missing(items, tree) or gone)
    return Preview(items=tuple(items), sharing=found, delete=tuple(gone), fresh=fresh)


def publish(wish: Wish, workspace: Workspace, patience: Patience, say: Callable[[str], None]) -> Published:
    """Put a mix onto a branch of a dataset repository; at most one commit is made there.

    Raises CurateError where the mix, its licences or its texts forbid it, HubError where the Hub does.
    """
    found = bundle.sharing(wish.mix)
    if not wish.rights:
        bundle.allow(wish.mix, found, private=wish.private)
    for line in bundle.notes(found, rights=wish.rights):
        say(line)
    repo = Repo(name=wish.repo, patience=patience, say=say)
    notes = workspace.root / "publish" / wish.repo
    with Workspace(notes).hold(wait=wish.wait):  # one publish to a repository at a time; a build may go on
        for half in notes.glob(".*.tmp"):
            half.unlink()
        record = receipt(wish, workspace)
        hub.reachable(patience)
        repo.sign_in()
        state = repo.state()
        _check_visibility(wish, state)
        items = _items(wish, workspace, record, say)
        record.files = bundle.hashed(wish.mix, items)
        record.save()
        if state is None:
            repo.create(private=wish.private)
            say(f"{wish.repo}: made, {'private' if wish.private else 'public'}")
            state = State(private=wish.private, branches=repo.branches())
        return _put(repo, wish, state, items, record)


def _items(wish: Wish, workspace: Workspace, record: Receipt, say: Callable[[str], None]) -> list[Item]:
    texts = bundle.texts(wish.mix)
    bundle.scan(texts, hub.token(), workspace.root)
    return bundle.items(wish.mix, texts, record.known, say)


def _check_visibility(wish: Wish, state: State | None) -> None:
    if state is None or state.private == wish.private:
        return
    found, hint = ("private", "add --private") if state.private else ("public", "leave --private out")
    hint = f"{hint}, or change it at {hub.page(wish.repo)}/settings"
    wanted = "a private one" if wish.private else "a public one"
    raise HubError(wish.repo, f"the repository is {found}", wanted, hint)


# --------------------------------------------------------------------------------------------------- the work


def _put(repo: Repo, wish: Wish, state: State, items: Sequence[Item], record: Receipt) -> Published:
    obsolete = _Obsolete(repo, items)
    head, tree = _target(repo, wish, state)
    there = wish.branch in state.branches and not missing(items, tree) and not obsolete(head, tree)
    if not there:
        _stage(repo, wish, head, items, record)
        head = repo.land(wish.branch, head, items, _title(wish), obsolete)
        _check(repo, wish.branch, head, items)
    record.promoted = head
    record.save()
    repo.drop(wish.staging)
    return Published(page=hub.page(wish.repo), commit=head, fresh=not there)


def _target(repo: Repo, wish: Wish, state: State | None) -> tuple[str, Tree]:
    """The head of the branch to publish on, or of the one that it will start from, and its files."""
    if state is None:
        return "", {}
    head = state.branches.get(wish.branch) or state.branches.get("main")
    if head is None:
        found = f"has no branch {wish.branch}, and no main to start one from"
        raise HubError(wish.repo, found, "a branch", f"see {hub.page(wish.repo)}")
    return head, repo.tree(head)


def _stage(repo: Repo, wish: Wish, start: str, items: Sequence[Item], record: Receipt) -> None:
    """All files onto the staging branch, in a few commits, and read back."""
    parts = portions(items)
    tree = repo.tree(repo.branch(wish.staging, start))
    for number, part in enumerate(parts, 1):
        wanted = missing(part, tree)
        if not wanted:
            continue
        repo.send(wanted, wish.staging)
        commit = repo.land(wish.staging, start, part, f"{_title(wish)}, part {number} of {len(parts)}")
        record.commits.append(commit)
        record.save()
        repo.say(f"{wish.repo}: part {number:,} of {len(parts):,} on branch {wish.staging}")
    _check(repo, wish.staging, repo.branch(wish.staging, start), items)


def _check(repo: Repo, branch: str, commit: str, items: Sequence[Item]) -> None:
    """Raise HubError unless every file reads back with its size and hash."""
    wrong = missing(items, repo.tree(commit))
    if wrong:
        more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        hint = "run the same command again; if it says so again, the Hub or its .gitattributes changes files"
        raise HubError(f"{repo.name}@{branch}", f"{wrong[0].path}{more} did not read back", "what was sent", hint)


def _title(wish: Wish) -> str:
    lock: Mapping[str, Any] = wish.mix.lock
    return f"{wish.mix.title}: {lock['rows']:,} pairs, by curate {__version__}"


@dataclass(frozen=True, slots=True)
class _Obsolete:
    """Which files of a commit were of an earlier mix, by its lock, and are not of this one."""

    repo: Repo
    items: Sequence[Item]

    def __call__(self, commit: str, tree: Tree) -> list[str]:
        """Their paths. Raises HubError where a file of nobody's would be read as part of the mix."""
        ours = {item.path for item in self.items}
        old = bundle.listed(self._lock(commit, tree))
        strange = sorted(path for path in tree if SHARDS.fullmatch(path) and path not in ours | old)
        if strange:
            found = f"has {strange[0]}, which no lock there lists and load_dataset would read with the mix"
            hint = f"delete it at {hub.page(self.repo.name)}, or choose another repository or --revision"
            raise HubError(self.repo.name, found, "shards of a mix only", hint)
        return sorted(path for path in old - ours if path in tree)

    def _lock(self, commit: str, tree: Tree) -> object:
        """The lock that lies there, without asking for it if it is ours; None where there is none."""
        there = tree.get("lock.json")
        if there is None:
            return None
        ours = next(item for item in self.items if item.path == "lock.json")
        if missing([ours], tree) or not isinstance(ours.content, bytes):
            return self.repo.document(commit, there)
        return orjson.loads(ours.content)
