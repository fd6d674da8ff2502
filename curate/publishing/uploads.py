"""Files into a dataset repository on the Hub, by way of a branch of their own that no reader uses.

Nothing is believed but what the Hub lists: before every commit, and after every one that failed, the branch is
read again. So a commit whose answer got lost is found, not repeated, and a killed run goes on from what is there.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson

from curate.errors import HubError
from curate.hub import client as hub
from curate.hub.manifests import File
from curate.hub.retry import Patience, Tries, Trouble, trying
from curate.hub.transfer import Digest
from curate.publishing.bundle import Item

COMMIT_BYTES = 5_000_000_000  # of one commit; the Hub takes 128 commits an hour
COMMIT_FILES = 100
SENDERS = 4
HANDFUL_BYTES = 100_000_000  # of small files that travel with one request to prepare them
HANDFUL_FILES = 25

Tree = dict[str, File]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A repository as it is: whether it is private, and its branches with their heads."""

    private: bool
    branches: dict[str, str]


def missing(items: Iterable[Item], tree: Tree) -> list[Item]:
    """The items that a tree has not, or has with other bytes."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """One dataset repository, and how patiently it is spoken to; `say` hears what is sent."""

    name: str
    patience: Patience
    say: Callable[[str], None]

    def sign_in(self) -> None:
        """Raise HubError where there is no token, or none that may write."""
        login = "make one with write access, then run `hf auth login` or set HF_TOKEN"
        if not hub.token():
            raise HubError(self.name, "no token", "a token that may write to it", login)
        account = self._call(lambda: hub.client().whoami())
        role = account.get("auth", {}).get("accessToken", {}).get("role")
        if role == "read":
            raise HubError(self.name, "your token may only read", "a token that may write to it", login)

    def state(self) -> State | None:
        """The repository; None if there is none. Raises HubError, also where one of another type has the name."""
        if not self._exists("dataset"):
            for kind in ("model", "space"):
                if self._exists(kind):
                    hint = "choose another name for the mix"
                    raise HubError(self.name, f"is a {kind}", "a dataset repository, or none", hint)
            return None
        info = self._call(lambda: hub.client().dataset_info(self.name))
        return State(private=bool(info.private), branches=self.branches())

    def create(self, *, private: bool) -> None:
        """Make the repository."""
        self._call(
            lambda: hub.client().create_repo(self.name, repo_type="dataset", private=private, exist_ok=True)
        )

    def branches(self) -> dict[str, str]:
        """Branch -> commit."""
        refs = self._call(lambda: hub.client().list_repo_refs(self.name, repo_type="dataset"))
        return {ref.name: ref.target_commit for ref in refs.branches}

    def tree(self, commit: str) -> Tree:
        """Every file at a commit."""
        return {file.path: file for file in hub.resolve(self.name, commit, self.patience).files}

    def document(self, commit: str, file: File) -> object:
        """A JSON file at a commit, its bytes verified; None where it is not JSON."""

        def ask() -> bytes:
            data = hub.tail(self.name, commit, file, file.bytes, self.patience)
            digest = Digest(file)
            digest.update(data)
            if digest.value != file.hash:
                raise Trouble("the bytes received are not those listed")
            return data

        try:
            return orjson.loads(trying(self.patience, f"{self.name}/{file.path}", ask))
        except orjson.JSONDecodeError:
            return None

    def branch(self, name: str, start: str) -> str:
        """The head of a branch, made from a commit if it is not there."""
        there = self.branches()
        while name not in there:
            self._call(
                lambda: hub.client().create_branch(
                    self.name, branch=name, revision=start, repo_type="dataset", exist_ok=True
                )
            )
            there = self.branches()
        return there[name]

    def drop(self, branch: str) -> None:
        """Delete a branch, if it is there."""
        tries = Tries(self.patience, f"{self.name}@{branch}")
        while branch in self.branches():
            try:
                with hub.writing(self.name, branch):
                    hub.client().delete_branch(self.name, branch=branch, repo_type="dataset")
            except Trouble as trouble:
                tries.after(trouble, self.name)

    def land(
        self,
        branch: str,
        start: str,
        items: Sequence[Item],
        message: str,
        obsolete: Callable[[str, Tree], Sequence[str]] | None = None,
    ) -> str:
        """See to it that a branch has exactly these bytes and none of the obsolete files; its head then.

        At most one commit is made. One that failed, came second or got no answer is looked for on the new head
        before the next try. Raises HubError where patience ends.
        """
        tries = Tries(self.patience, f"{self.name}@{branch}|{message}")
        while True:
            head = self.branch(branch, start)
            tree = self.tree(head)
            wanted, gone = missing(items, tree), obsolete(head, tree) if obsolete else ()
            if not wanted and not gone:
                return head
            additions = [_addition(item) for item in wanted]
            try:
                return self._commit(branch, head, additions, gone, message)
            except Trouble as trouble:
                tries.after(trouble, self.name)

    def _commit(
        self, branch: str, head: str, additions: Sequence[hub.Add], gone: Sequence[str], message: str
    ) -> str:
        with hub.writing(self.name, branch):
            made = hub.client().create_commit(
                self.name,
                [*additions, *(hub.Delete(path, is_folder=False) for path in gone)],
                repo_type="dataset",
                revision=branch,
                parent_commit=head,
                commit_message=message,
            )
        return made.oid

    def send(self, items: Sequence[Item], branch: str) -> None:
        """Upload the bytes of large files, some at once, each handful with tries of its own; nothing is committed.

        Threads that still send do not keep Ctrl-C from ending the process.
        """
        large = [item for item in items if isinstance(item.content, Path)]
        handfuls = portions(large, HANDFUL_BYTES, HANDFUL_FILES)
        todo: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        done: queue.SimpleQueue[list[Item] | BaseException] = queue.SimpleQueue()
        for handful in handfuls:
            todo.put(handful)

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    handful = todo.get_nowait()
                    try:
                        self._upload(handful, branch)
                    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                        done.put(error)
                    else:
                        done.put(handful)

        for _ in range(min(SENDERS, len(handfuls))):
            threading.Thread(target=work, daemon=True).start()
        sent = 0
        for _ in handfuls:
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            for item in found:
                sent += 1
                self.say(f"{self.name}: {item.path}, {item.size:,} bytes ({sent:,} of {len(large):,})")

    def _upload(self, items: Sequence[Item], branch: str) -> None:
        additions = [_addition(item) for item in items]

        def ask() -> None:
            hub.client().preupload_lfs_files(
                self.name, additions, repo_type="dataset", revision=branch, num_threads=SENDERS, free_memory=False
            )

        self._call(ask, items[0].path)

    def _exists(self, kind: str) -> bool:
        return bool(self._call(lambda: hub.client().repo_exists(self.name, repo_type=kind)))

    def _call(self, ask: Callable[[], T], what: str = "") -> T:
        def guarded() -> T:
            with hub.writing(self.name):
                return ask()

        return trying(self.patience, f"{self.name}/{what}" if what else self.name, guarded)


def _addition(item: Item) -> hub.Add:
    """The client's word for an item; the hash is known, so that nothing is read to find it."""
    one = hub.Add(item.path, str(item.content) if isinstance(item.content, Path) else item.content)
    one.upload_info.sha256 = bytes.fromhex(item.sha256)
    return one
