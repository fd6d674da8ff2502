"""Upload files to a repository on the Hub, through a staging branch that no reader uses.

The branch is listed again before every commit and after every failed one. So a commit whose answer was lost is
found and not repeated, and a killed run continues.
"""

import io
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, get_args

import orjson

from curate.errors import HubError
from curate.hub import client
from curate.hub.client import RepoKind
from curate.hub.manifests import COMMIT, File
from curate.hub.retry import Attempts, RetryPolicy, TransientError, retried
from curate.hub.transfer import Digest
from curate.publishing.bundle import Item

COMMIT_BYTES = 5_000_000_000  # of one commit; the Hub takes 128 commits an hour
COMMIT_FILES = 100
LOCK_BYTES = 64_000_000
SENDERS = 4
GROUP_BYTES = 100_000_000  # of small files that are prepared with one request
GROUP_FILES = 25

Tree = dict[str, File]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A repository as it is: whether it is private, and its branches with their heads."""

    private: bool
    branches: dict[str, str]


def missing(items: Iterable[Item], tree: Tree) -> list[Item]:
    """The items that a tree lacks or has with other bytes."""
    return [item for item in items if not _is(item, tree.get(item.path))]


def _is(item: Item, file: File | None) -> bool:
    if file is None or file.bytes != item.size:
        return False
    return file.sha256 == item.sha256 if file.sha256 else file.git_oid == item.git_oid


def portions(items: Iterable[Item], size: int = COMMIT_BYTES, files: int = COMMIT_FILES) -> list[list[Item]]:
    """The items in their order, cut into commits of at most so many bytes (or one file) and files."""
    out: list[list[Item]] = []
    filled = 0
    for item in items:
        if not out or len(out[-1]) == files or filled + item.size > size:
            out.append([])
            filled = 0
        out[-1].append(item)
        filled += item.size
    return out


class Display(Protocol):
    """Shows the progress of a publish; threads may call `moved` at the same time."""

    def say(self, text: str) -> None:
        """Print one line."""
        ...

    def files(self, name: str, sizes: Mapping[str, int]) -> AbstractContextManager[None]:
        """Show files, path -> bytes, while they are sent."""
        ...

    def moved(self, path: str, done: int) -> None:
        """The first `done` bytes of a file have been sent."""
        ...


class _Sent(io.BufferedReader):
    """A file that says how far it was read."""

    def __init__(self, path: Path, moved: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._moved = moved

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._moved(self.tell())
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """One repository; `say` receives one line for each file that is sent, `show` the bytes."""

    name: str
    policy: RetryPolicy
    say: Callable[[str], None]
    show: Display | None = None
    kind: RepoKind = "dataset"

    def sign_in(self) -> None:
        """Raise HubError if there is no token, or one that may only read."""
        login = "make one with write access, then run `hf auth login` or set HF_TOKEN"
        if not client.token():
            raise HubError(self.name, "no token", "a token that may write to it", login)
        if self._call(lambda: client.account(self.name)) == "read":
            raise HubError(self.name, "your token may only read", "a token that may write to it", login)

    def state(self) -> State | None:
        """The repository; None if there is none. Raises HubError, also if one of another kind has the name."""
        private = self._call(lambda: client.visibility(self.name, self.kind))
        if private is not None:
            return State(private=private, branches=self.branches())
        for kind in (one for one in get_args(RepoKind) if one != self.kind):
            if self._call(partial(client.visibility, self.name, kind)) is not None:
                hint = f"choose another name for the {'mix' if self.kind == 'dataset' else self.kind}"
                raise HubError(self.name, f"is a {kind}", f"a {self.kind} repository, or none", hint)
        return None

    def create(self, *, private: bool) -> None:
        """Make the repository."""
        self._call(
            lambda: client.api().create_repo(self.name, repo_type=self.kind, private=private, exist_ok=True)
        )

    def branches(self) -> dict[str, str]:
        """Branch -> commit."""
        return self._call(lambda: client.branches(self.name, self.kind))

    def tree(self, commit: str) -> Tree:
        """Every file at a commit."""
        return {file.path: file for file in client.resolve(self.name, commit, self.policy, self.kind).files}

    def document(self, commit: str, file: File) -> object:
        """A JSON file at a commit, its bytes verified; None if it is not JSON, or too large to be a lock."""
        if file.bytes > LOCK_BYTES:
            return None

        def read() -> bytes:
            data = client.tail(self.name, commit, file, file.bytes, self.policy)
            digest = Digest(file)
            digest.update(data)
            if digest.value != file.hash:
                raise TransientError("the bytes received have another hash than listed")
            return data

        try:
            return orjson.loads(retried(self.policy, f"{self.name}/{file.path}", read))
        except orjson.JSONDecodeError:
            return None

    def branch(self, name: str, start: str) -> str:
        """The head of a branch, which is created from the commit `start` if it does not exist."""

        def found() -> str:
            there = client.branches(self.name, self.kind)
            if name not in there:
                with client.writing(self.name, name):
                    client.api().create_branch(
                        self.name, branch=name, revision=start, repo_type=self.kind, exist_ok=True
                    )
                there = client.branches(self.name, self.kind)
            if name not in there:
                raise TransientError(f"the branch {name} was made and is not listed")
            return there[name]

        return retried(self.policy, f"{self.name}@{name}", found)

    def drop(self, branch: str) -> None:
        """Delete a branch if it exists."""

        def dropped() -> None:
            if branch in client.branches(self.name, self.kind):
                with client.writing(self.name, branch):
                    client.api().delete_branch(self.name, branch=branch, repo_type=self.kind)
                if branch in client.branches(self.name, self.kind):
                    raise TransientError(f"the branch {branch} was deleted and is listed")

        retried(self.policy, f"{self.name}@{branch}", dropped)

    def land(
        self,
        branch: str,
        start: str,
        items: Sequence[Item],
        message: str,
        obsolete: Callable[[str, Tree], Sequence[str]] | None = None,
    ) -> str:
        """Commit the items to a branch and delete the obsolete files there; return its head.

        At most one commit is made: after one that failed, came second or got no answer, the new head is listed
        before the next attempt. Raises HubError when the policy gives up.
        """
        attempts = Attempts(self.policy, f"{self.name}@{branch}|{message}")
        while True:
            head = self.branch(branch, start)
            tree = self.tree(head)
            wanted, deletions = missing(items, tree), obsolete(head, tree) if obsolete else ()
            if not wanted and not deletions:
                return head
            additions = [_addition(item) for item in wanted]
            try:
                return self._commit(branch, head, additions, deletions, message)
            except TransientError as error:
                attempts.sleep_after(error, self.name)

    def _commit(
        self, branch: str, head: str, additions: Sequence[client.Add], deletions: Sequence[str], message: str
    ) -> str:
        with client.writing(self.name, branch):
            made = client.api().create_commit(
                self.name,
                [*additions, *(client.Delete(path, is_folder=False) for path in deletions)],
                repo_type=self.kind,
                revision=branch,
                parent_commit=head,
                commit_message=message,
            )
        if not COMMIT.fullmatch(str(made.oid)):
            raise TransientError("the answer is not the Hub's")
        return made.oid

    def send(self, items: Sequence[Item], branch: str) -> None:
        """Upload the bytes of large files in parallel, in groups that are retried separately; commit nothing.

        Threads that are still sending do not keep Ctrl-C from ending the process.
        """
        large = [item for item in items if isinstance(item.content, Path)]
        groups = portions(large, GROUP_BYTES, GROUP_FILES)
        todo: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        done: queue.SimpleQueue[list[Item] | BaseException] = queue.SimpleQueue()
        for group in groups:
            todo.put(group)

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    group = todo.get_nowait()
                    try:
                        self._upload(group, branch)
                    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                        done.put(error)
                    else:
                        done.put(group)

        for _ in range(min(SENDERS, len(groups))):
            threading.Thread(target=work, daemon=True).start()
        sent = 0
        with self._progress(large):
            for _ in groups:
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                for item in found:
                    sent += 1
                    self.say(f"{self.name}: {item.path}, {item.size:,} bytes ({sent:,} of {len(large):,})")

    def _progress(self, items: Sequence[Item]) -> AbstractContextManager[None]:
        sizes = {item.path: item.size for item in items}
        return self.show.files(self.name, sizes) if self.show and sizes else nullcontext()

    def _upload(self, items: Sequence[Item], branch: str) -> None:
        with ExitStack() as opened:
            additions = [_addition(item) for item in items]
            for addition, item in zip(additions, items, strict=True):
                if self.show and isinstance(item.content, Path):
                    source = _Sent(item.content, partial(self.show.moved, item.path))
                    addition.path_or_fileobj = opened.enter_context(source)
            self._send_large(additions, items[0].path, branch)

    def _send_large(self, additions: Sequence[client.Add], first: str, branch: str) -> None:
        def upload() -> None:
            for addition in additions:
                if isinstance(addition.path_or_fileobj, _Sent):  # an attempt that failed stopped anywhere in it
                    addition.path_or_fileobj.seek(0)
            client.api().preupload_lfs_files(
                self.name, additions, repo_type=self.kind, revision=branch, num_threads=SENDERS, free_memory=False
            )

        self._call(upload, first)

    def _call(self, call: Callable[[], T], what: str = "") -> T:
        def guarded() -> T:
            with client.writing(self.name):
                return call()

        return retried(self.policy, f"{self.name}/{what}" if what else self.name, guarded)


def _addition(item: Item) -> client.Add:
    """The client's form of an item, with its known hash, so that the file is not read for it."""
    one = client.Add(item.path, str(item.content) if isinstance(item.content, Path) else item.content)
    one.upload_info.sha256 = bytes.fromhex(item.sha256)
    return one
