"""The Hugging Face Hub, through its own client; the only module that imports it.

We use the client for addresses, tokens, proxies, offline mode and the cache. We do not use it for retries (most
calls have none), for snapshots (it silently returns an old one when the API fails) or for downloads (it accepts
wrong bytes of the right length, and discards a partial file when the process ends).
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from logging import ERROR
from pathlib import Path
from typing import Any, Literal, TypeGuard
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, though not marked for type checkers
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    logging,
    parse_ratelimit_headers,
)

from curate import __version__
from curate.errors import HubError
from curate.hub.manifests import File
from curate.hub.retry import CONNECT_SECONDS, RETRIED, RetryPolicy, TransientError, retried, retry_after

Gated = Literal["auto", "manual"] | bool | None

NOT_THE_HUB = "check HF_ENDPOINT and the proxy: a login page may have answered"

Add = CommitOperationAdd
Delete = CommitOperationDelete
ANSWER_SECONDS = 300.0  # a commit of many files takes the Hub a while

_answered: set[str] = set()  # hosts that have answered this process


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A dataset repository at one commit; `card` is the front matter of its README."""

    commit: str
    files: tuple[File, ...]
    gated: Gated
    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a file from `start` on; the server may have begun earlier than requested."""

    start: int
    chunks: Iterator[bytes]


def page(repo: str) -> str:
    """The address of the dataset's page, without user and password."""
    parts = urlsplit(constants.ENDPOINT)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/datasets/{repo}"  # no user or password


def resolve(repo: str, revision: str, policy: RetryPolicy) -> Snapshot:
    """The repository at a branch, tag or commit. Raises HubError."""
    call = partial(_json, repo, revision, f"revision/{quote(revision, safe='')}")
    info, _ = retried(policy, f"{repo}@{revision}", call)
    if not isinstance(info, dict) or not isinstance(info.get("sha"), str):
        raise HubError(repo, "the answer is not the Hub's", "a commit", NOT_THE_HUB)
    card = info.get("cardData")
    return Snapshot(
        commit=info["sha"],
        files=tuple(_tree(repo, info["sha"], policy)),
        gated=info.get("gated"),
        card=card if isinstance(card, dict) else {},
    )


def _tree(repo: str, commit: str, policy: RetryPolicy) -> Iterator[File]:
    """All files at a commit, page by page: a page that fails does not restart the listing."""
    call = f"tree/{commit}?recursive=true&expand=false"
    while call:
        entries, call = retried(policy, f"{repo}@{commit[:10]}", partial(_json, repo, commit, call))
        for entry in entries:
            if entry["type"] == "file":
                yield _file(repo, entry)


def _json(repo: str, revision: str, call: str) -> tuple[Any, str]:
    """The answer to one API call, and the address of its next page, empty after the last."""
    url = call if "://" in call else f"{constants.ENDPOINT}/api/datasets/{repo}/{call}"
    with _translated(repo, revision):
        response = get_session().get(url, headers=_headers(), timeout=_timeout())
        _answered.add(response.url.host)
        hf_raise_for_status(response)
        return response.json(), response.links.get("next", {}).get("url", "")


def _file(repo: str, entry: dict[str, Any]) -> File:
    lfs = entry.get("lfs")
    try:
        if lfs:
            return File(path=entry["path"], bytes=lfs["size"], sha256=lfs["oid"])
        return File(path=entry["path"], bytes=entry["size"], git_oid=entry["oid"])
    except ValueError as error:
        raise HubError(repo, f"lists a file that cannot be fetched: {error}") from None


@contextmanager
def reading(repo: str, commit: str, path: str, start: int = 0, stop: int | None = None) -> Iterator[Body]:
    """The bytes of a file from `start` up to `stop`, as they arrive. Raises TransientError, HubError."""
    url = hf_hub_url(repo, path, repo_type="dataset", revision=commit)
    headers = {**_headers(), "Accept-Encoding": "identity"}
    if start or stop is not None:
        headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    with (
        _translated(repo, commit, path),
        get_session().stream("GET", url, headers=headers, timeout=_timeout()) as response,
    ):
        _answered.add(response.url.host)
        hf_raise_for_status(response)
        yield Body(_first_byte(response), response.iter_raw())


def _first_byte(response: httpx2.Response) -> int:
    """The position of the first byte: as a 206 states it, 0 for a 200."""
    span = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(span) if response.status_code == 206 and span.isdigit() else 0


def tail(repo: str, commit: str, file: File, length: int, policy: RetryPolicy) -> bytes:
    """The last bytes of a file. Raises HubError."""
    start = max(file.bytes - length, 0)

    def read() -> bytes:
        with reading(repo, commit, file.path, start, file.bytes) as body:
            data = b"".join(body.chunks)
            if len(data) < file.bytes - body.start:
                raise TransientError("the answer ended early")
            return data[start - body.start :]

    return retried(policy, f"{repo}/{file.path}", read)


def cached(repo: str, commit: str, path: str) -> Path | None:
    """The file in the Hub cache at that commit, if it is there; its bytes are not verified."""
    found = try_to_load_from_cache(repo, path, revision=commit, repo_type="dataset")
    return Path(found).resolve() if isinstance(found, str) else None


def reachable(policy: RetryPolicy) -> None:
    """Raise Unreachable if the Hub's host name is not resolved within CONNECT_SECONDS.

    A resolver may take much longer, and no timeout of the client applies to it.
    """
    parts = urlsplit(constants.ENDPOINT)
    if constants.is_offline_mode() or getproxies():
        return
    found = threading.Event()

    def look() -> None:
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 443)
        except OSError:
            return  # the client raises a better error
        finally:
            found.set()

    threading.Thread(target=look, daemon=True).start()

    def wait() -> None:
        if not found.wait(CONNECT_SECONDS):
            raise TransientError("its name was not resolved in time", reached=False)

    retried(policy, str(parts.hostname), wait)


def _headers() -> dict[str, str]:
    return build_hf_headers(library_name="curate", library_version=__version__)


def _timeout() -> httpx2.Timeout:
    return httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT, connect=CONNECT_SECONDS)


@contextmanager
def _translated(repo: str, revision: str, path: str = "") -> Iterator[None]:
    """Turn the client's errors into TransientError or HubError.

    Its messages are never printed: they contain signed addresses."""
    where = f"{repo}/{path}" if path else repo
    try:
        yield
    except OfflineModeIsEnabled:
        hint = "unset HF_HUB_OFFLINE, or bring the files into the Hub cache first"
        raise HubError(where, "HF_HUB_OFFLINE is set", "a network", hint) from None
    except HfHubHTTPError as error:
        _answered.add(urlsplit(constants.ENDPOINT).hostname or "")
        raise _refused(error, where, repo, revision) from None
    except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.TooManyRedirects, httpx2.InvalidURL):
        raise HubError(where, "no request can be made", "", "check HF_ENDPOINT, HF_TOKEN and the proxy") from None
    except httpx2.TransportError as error:
        raise _broken(error) from None
    except json.JSONDecodeError:
        raise HubError(where, "the answer is not the Hub's", "JSON", NOT_THE_HUB) from None
    except HFValidationError:
        raise HubError(where, "not the name of a repository", "owner/name") from None


def _broken(error: httpx2.TransportError) -> TransientError:
    host = urlsplit(str(error.request.url)).hostname or ""
    what = {
        httpx2.ConnectError: f"no connection to {host}",
        httpx2.ConnectTimeout: f"no connection to {host} within {CONNECT_SECONDS:g} s",
        httpx2.ProxyError: "the proxy refuses",
        httpx2.ReadTimeout: f"{host} sent nothing for {constants.HF_HUB_DOWNLOAD_TIMEOUT:g} s",
    }.get(type(error), f"the connection to {host} broke")
    never = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)
    return TransientError(what, reached=not never or host in _answered)


def _refused(error: HfHubHTTPError, where: str, repo: str, revision: str) -> Exception:
    status, headers = error.response.status_code, error.response.headers
    if status in RETRIED:
        return TransientError(f"the Hub answers {status}", wait=_requested_wait(headers))
    if status == 416:
        return TransientError("the Hub has fewer bytes than it listed")
    denied = "your token may not read it" if get_token() else "you have no token"
    login = "run `hf auth login`, or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        then = "" if get_token() else f", then {login}"
        hint = f"accept the terms at {page(repo)}{then}"
        return HubError(where, f"gated, and {denied}", "", hint)
    if isinstance(error, RevisionNotFoundError):
        return HubError(where, f"no revision {revision}", "", f"curate pin --check; or see {page(repo)}")
    if isinstance(error, EntryNotFoundError):
        hint = "it was removed upstream; curate pin --check lists what else changed"
        return HubError(where, f"no such file at {revision[:10]}", "", hint)
    if isinstance(error, DisabledRepoError):
        return HubError(where, "disabled by the Hub", "", f"see {page(repo)}")
    if status == 401 and get_token():  # the Hub answers 404 where a good token may not read
        return HubError(where, "the Hub does not know your token", "", login)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
        hint = f"{login}; see {page(repo)}"
        return HubError(where, f"does not exist, or is private and {denied}", "", hint)
    return HubError(where, f"the Hub answers {status}", "", f"see {page(repo)}")


def _requested_wait(headers: httpx2.Headers) -> float | None:
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return retry_after(headers["Retry-After"], time.time()) if "Retry-After" in headers else None


# -------------------------------------------------------------------------------------------------- writing


def token() -> str | None:
    """The token in use; never print it."""
    return get_token()


def api() -> HfApi:
    """The client, with timeouts and without its log of signed addresses; call it inside `writing`."""
    get_session().timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    logging.set_verbosity(ERROR)
    return HfApi(library_name="curate", library_version=__version__)


@contextmanager
def writing(repo: str, branch: str = "main") -> Iterator[None]:
    """Turn errors of `api()` into HubError or TransientError, also when another commit came first."""
    with _translated(repo, branch):
        try:
            yield
        except RuntimeError as error:  # what the client raises for any failed upload
            cause = error.__cause__
            if isinstance(cause, httpx2.TransportError) or _passes(cause):
                raise cause from None
            raise TransientError("an upload failed") from None
        except HfHubHTTPError as error:
            if error.response.status_code == 412:
                raise TransientError("another commit came first") from None
            if error.response.status_code == 403:
                hint = "use a token that may: run `hf auth login`, or set HF_TOKEN"
                raise HubError(repo, "your token may not write to it", "", hint) from None
            raise
        except json.JSONDecodeError:
            raise TransientError("the answer is not JSON") from None


def _passes(cause: BaseException | None) -> TypeGuard[HfHubHTTPError]:
    return isinstance(cause, HfHubHTTPError) and cause.response.status_code in RETRIED
