"""A request as the API sees it, and the reply it gives; who is asking and what they may do."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, unquote

from .store import Refusal, Repo

PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Account:
    """Who a token stands for; `orgs` are further namespaces they may write to."""

    user: str
    orgs: tuple[str, ...] = ()
    write: bool = True

    def owns(self, repo: str) -> bool:
        """Whether the repo (or namespace) is theirs."""
        return repo.split("/")[0] in (self.user, *self.orgs)


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, its body spooled to `body`. `names` are the parts of the path, unquoted."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: IO[bytes]
    account: Account | None
    names: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; Refusal 400 if it is none."""
        try:
            found = json.loads(self.body.read() or b"{}")
        except ValueError as error:
            raise Refusal(400, f"Invalid JSON: {error}") from None
        if not isinstance(found, dict):
            raise Refusal(400, "Expected a JSON object")
        return found

    def form(self) -> dict[str, list[str]]:
        """The body as a form, or as JSON with lists (the client has sent both)."""
        if "json" in self.headers.get("Content-Type", ""):
            return {
                name: value if isinstance(value, list) else [str(value)] for name, value in self.json().items()
            }
        return parse_qs(self.body.read().decode(), keep_blank_values=True)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The body as ndjson."""
        for line in self.body:
            if line.strip():
                yield json.loads(line)

    def flag(self, name: str) -> bool:
        """A query parameter that is true."""
        return self.query.get(name, "").lower() in ("1", "true")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: `body` from `start`, `size` bytes (a HEAD reply says the size and sends nothing)."""

    status: int
    body: bytes | Path = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    length: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the body."""
        if self.length is not None:
            return self.length
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def pieces(self, piece: int = PIECE) -> Iterator[bytes]:
        """The body, bit by bit."""
        left = self.size
        if isinstance(self.body, bytes):
            whole = self.body[self.start : self.start + left]
            yield from (whole[i : i + piece] for i in range(0, left, piece))
            return
        with open(self.body, "rb") as file:
            file.seek(self.start)
            while left > 0 and (data := file.read(min(piece, left))):
                left -= len(data)
                yield data


def answer(body: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON reply."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8", **named})


def refusal(error: Refusal) -> Reply:
    """The reply that makes the client raise what the Hub would make it raise."""
    headers = {"X-Error-Message": error.message.splitlines()[0], **error.headers}
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    return answer({"error": error.message}, error.status, **headers)


def may_read(repo: Repo, account: Account | None) -> None:
    """Refusal 404, as if it did not exist, for a private repo of somebody else."""
    if repo.settings["private"] and not (account and account.owns(repo.id)):
        raise Refusal(404, "Repository not found", "RepoNotFound")


def may_write(repo_id: str, account: Account | None) -> None:
    """Refusal 401 without a token, 403 with somebody else's or a read-only one."""
    if account is None:
        raise Refusal(401, "Invalid username or password.")
    if not account.owns(repo_id) or not account.write:
        raise Refusal(403, f"Forbidden: {account.user} has no right to write to {repo_id.split('/')[0]}")


def may_download(repo: Repo, account: Account | None) -> None:
    """Refusal GatedRepo: 401 without a token, 403 for a user who has not been let in."""
    settings = repo.settings
    if not settings["gated"] or (account and (account.owns(repo.id) or account.user in settings["granted"])):
        return
    where = f"Access to {repo.type} {repo.id} is restricted"
    if account is None:
        raise Refusal(401, f"{where}. You must have access to it and be authenticated to access it.", "GatedRepo")
    raise Refusal(
        403, f"{where} and you are not in the authorized list. Visit its page to ask for access.", "GatedRepo"
    )


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and length of the one range asked for; None for all of it; Refusal 416 outside of the file."""
    if not header or not header.startswith("bytes=") or "," in header:
        return None
    first, _, last = header.removeprefix("bytes=").strip().partition("-")
    if not first.isdigit() and not last.isdigit():
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or end < start:
        raise Refusal(416, "Range not satisfiable", None, Content_Range=f"bytes */{size}")
    return start, end - start + 1


def signature(secret: str, path: str) -> str:
    """What makes a URL good without a token."""
    return hashlib.sha256(f"{secret}\0{unquote(path)}".encode()).hexdigest()[:16]
