"""The Hub as a test uses it."""

import atexit
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from .api import Api
from .faults import Fault, Plan, Struck
from .server import Seen, Server
from .store import Commit, Repo, Store
from .wire import Account


class Running(Protocol):
    """A command that runs."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        ...

    def communicate(self) -> tuple[str, str]:
        """What it wrote to stdout and stderr."""
        ...


class Hub:
    """A Hub on 127.0.0.1 that keeps its repos under `root`; `with Hub(root) as hub` starts and stops it.

    faults   planned faults, or a Plan; see `faults.py`. `hub.fail(...)` plans more
    page     entries per page of a tree listing
    cdn      large files come by redirect from another origin, as on the real Hub
    verbose  one line per request on stderr
    away     another host's address, to which hostile faults lead

    `hub.requests` lists what came in, `hub.log` which faults struck.
    """

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        faults: Plan | Iterable[Fault] = (),
        page: int = 1000,
        cdn: bool = False,
        verbose: bool = False,
        away: str | None = None,
    ):
        self.store = Store(Path(root))
        plan = faults if isinstance(faults, Plan) else Plan(faults)
        self._server = Server(port, plan, verbose=verbose)
        self._server.away = away or self._server.away
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.tokens: dict[str, Account] = {}
        secret = os.urandom(16).hex()
        self._server.api = Api(
            store=self.store, tokens=self.tokens, endpoint=self.endpoint, secret=secret, page=page, cdn=cdn
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._server.crashes:
            raise AssertionError("the hub itself failed") from self._server.crashes[0]

    def start(self) -> None:
        """Serve until `stop`, or the end of the process."""
        self._server.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """End every connection and free the port."""
        atexit.unregister(self.stop)
        self._server.stop()

    # what a test plants

    def add_token(self, token: str, user: str, *, orgs: Iterable[str] = (), write: bool = True) -> None:
        """Let a token stand for a user, who may write to his own namespace and those of `orgs`."""
        self.tokens[token] = Account(user, tuple(orgs), write)

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        type: str = "dataset",  # noqa: A002 - the Hub's word
        license: str | None = "mit",  # noqa: A002
        gated: bool | str = False,
        private: bool = False,
    ) -> str:
        """A repo with one commit, and the commit's id. Without a README.md in `files`, one says the licence."""
        repo = self.store.create(type, repo_id, private=private, gated=gated)
        card = {"README.md": f"---\nlicense: {license}\n---\n".encode()} if license is not None else {}
        return self._commit(repo, {**card, **files}, "main", "first files").id

    def commit(
        self,
        repo_id: str,
        changes: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        title: str = "change",
        type: str = "dataset",  # noqa: A002
    ) -> str:
        """One more commit by the owner (None deletes a file); its id."""
        return self._commit(self.repo(repo_id, type), changes, branch, title).id

    def _commit(self, repo: Repo, changes: Mapping[str, bytes | None], branch: str, title: str) -> Commit:
        entries = {path: None if data is None else repo.add(path, data) for path, data in changes.items()}
        return repo.commit(branch, entries, title=title, author=repo.id.split("/")[0])

    def grant(self, repo_id: str, user: str, *, type: str = "dataset") -> None:  # noqa: A002
        """Let a user download from a gated repo."""
        repo = self.repo(repo_id, type)
        repo.set(granted=[*repo.settings["granted"], user])

    def fail(self, kind: str, on: str = "*", path: str = "*", **more: Any) -> None:
        """Plan a fault; the arguments are those of `Fault`."""
        self._server.plan.add(Fault(kind=kind, on=on, path=path, **more))

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._server.plan.clear()

    def forgive(self) -> None:
        """Let nothing fail any more but what is drawn."""
        self._server.plan.forgive()

    def set_pages(self, entries: int, link: str | None = None) -> None:
        """Give listings in pages of so many entries, whose links begin with `link` (default: the endpoint)."""
        self._server.api.page, self._server.api.link = entries, link

    def end_stalls(self) -> None:
        """Let every request go on that is stalled now."""
        self._server.end_stalls()

    def wait(self, holds: Callable[[], object], running: Running) -> None:
        """Wait until something holds, which is looked at after every request and every tenth of a second.

        Raises AssertionError where the command that `running` is ends before.
        """
        while not holds():
            if running.poll() is not None and not holds():
                raise AssertionError(f"the command ended first: {running.communicate()}")
            self._server.next_change(0.1)

    # what a test asks

    def repo(self, repo_id: str, type: str = "dataset") -> Repo:  # noqa: A002
        """The repo itself."""
        return self.store.repo(type, repo_id)

    def commits(self, repo_id: str, branch: str = "main", *, type: str = "dataset") -> list[Commit]:  # noqa: A002
        """The history, newest first."""
        return list(self.repo(repo_id, type).history(branch))

    def branches(self, repo_id: str, *, type: str = "dataset") -> dict[str, str]:  # noqa: A002
        """Branch -> commit id."""
        return self.repo(repo_id, type).refs["branches"]

    def files(self, repo_id: str, revision: str = "main", *, type: str = "dataset") -> dict[str, bytes]:  # noqa: A002
        """Every file of a revision."""
        repo = self.repo(repo_id, type)
        return {path: repo.read(entry) for path, entry in repo.resolve(revision).tree.items()}

    @property
    def requests(self) -> list[Seen]:
        """What came in, oldest first; clear it to start anew."""
        return self._server.requests

    def seen(self, endpoint: str, path: str = "") -> list[Seen]:
        """The requests of one endpoint whose path ends so."""
        return [seen for seen in self.requests if seen.endpoint == endpoint and seen.path.endswith(path)]

    @property
    def log(self) -> list[Struck]:
        """Which faults struck, oldest first."""
        return self._server.plan.log

    def env(self, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
        """The environment of a client in a subprocess: this Hub, a home of its own, no proxy, Xet, telemetry."""
        dropped = ("HF_", "HUGGING", "TRANSFORMERS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)}
        ours = {
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        off = ("XET", "TELEMETRY", "UPDATE_CHECK", "PROGRESS_BARS", "SYMLINKS_WARNING")
        given = {"HF_TOKEN": token} if token else {}
        return {**kept, **ours, **{f"HF_HUB_DISABLE_{name}": "1" for name in off}, **given, **more}
