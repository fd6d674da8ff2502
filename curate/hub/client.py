"""The Hugging Face Hub, through its own client.

We use the client for addresses, tokens, proxies, offline mode and the cache. We do not use it for retries (most
calls have none), for snapshots (it silently returns an old one when the API fails) or for downloads (it accepts
wrong bytes of the right length, and discards a partial file when the process ends).

Nor do we use its upload over Xet: that is a library of its own, which has retries of its own, for minutes, and
requests that none of our limits reaches. Files are sent over the Hub's LFS protocol, whatever HF_HUB_DISABLE_XET
says. Every request goes through `curate.hub.session`.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from logging import ERROR
from pathlib import Path
from typing import Any, Literal
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
    set_client_factory,
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
    disable_progress_bars,
    fix_hf_endpoint_in_url,
    get_session,
    hf_raise_for_status,
    logging,
    validate_repo_id,
)

from curate import __version__
from curate.errors import HubError
from curate.hub import answers, session
from curate.hub.answers import NOT_THE_HUB, Gated
from curate.hub.manifests import COMMIT, File
from curate.hub.retry import CONNECT_SECONDS, RetryPolicy, TransientError, retried
from curate.hub.session import answered, broken, is_hub, leads_away

Add = CommitOperationAdd
Delete = CommitOperationDelete
PAGES = 2_000  # of one listing; a page has 1,000 entries
LOGIN = "run `hf auth login`, or set HF_TOKEN"
TOKEN = re.compile(r"[!-~]+")
REFUSALS = ("Invalid metadata in", "LFS batch API returned errors")  # the client's ValueErrors that the Hub meant

set_client_factory(session.make)
constants.HF_HUB_DISABLE_XET = True
logging.set_verbosity(ERROR)  # its log has signed addresses, and warnings that an answer may contain
if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
    disable_progress_bars()  # we have our own
else:  # then the client obeys the environment alone
    vars(import_module("huggingface_hub.utils.tqdm"))["HF_HUB_DISABLE_PROGRESS_BARS"] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A repository at one commit; `card` is the front matter of its README."""

    commit: str
    files: tuple[File, ...]
    gated: Gated
    card: dict[str, Any]


RepoKind = Literal["dataset", "model", "space"]
PAGES_OF: dict[RepoKind, str] = {"dataset": "datasets/", "model": "", "space": "spaces/"}


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a file from `start` on; the server may have begun earlier than requested."""

    start: int
    chunks: Iterator[bytes]


def page(repo: str, kind: RepoKind = "dataset") -> str:
    """The address of the repository's page, without user and password."""
    parts = urlsplit(constants.ENDPOINT)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/{PAGES_OF[kind]}{repo}"


def resolve(repo: str, revision: str, policy: RetryPolicy, kind: RepoKind = "dataset") -> Snapshot:
    """The repository at a branch, tag or commit. Raises HubError."""
    where, call = f"{repo}@{revision}", f"revision/{quote(revision, safe='')}"
    info = retried(policy, where, lambda: answers.info(repo, _answer(repo, revision, _api(repo, call, kind))[0]))
    if COMMIT.fullmatch(revision) and info.commit != revision:
        raise answers.not_the_hubs(where, "the same commit")
    files = _tree(repo, info.commit, policy, kind)
    return Snapshot(commit=info.commit, files=tuple(files), gated=info.gated, card=info.card)


def _tree(repo: str, commit: str, policy: RetryPolicy, kind: RepoKind) -> Iterator[File]:
    """All files at a commit, page by page: a page that fails does not restart the listing."""
    page, pages, paths = _api(repo, f"tree/{commit}?recursive=true&expand=false", kind), set[str](), set[str]()
    where = f"{repo}@{commit[:10]}"
    while page:
        if page in pages or len(pages) == PAGES:
            found = "names itself as the next one" if page in pages else f"is number {PAGES + 1:,}"
            raise HubError(where, f"a page of the listing {found}", "a listing that ends", NOT_THE_HUB)
        pages.add(page)
        entries, page = retried(policy, where, partial(_answer, repo, commit, page))
        for file in answers.files(repo, entries):
            if file.path in paths:
                raise answers.not_the_hubs(where, f"each file once, not {file.path!r} twice")
            paths.add(file.path)
            yield file


def _api(repo: str, call: str, kind: RepoKind = "dataset") -> str:
    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise HubError(repo, "not the name of a repository", "owner/name") from None
    return f"{constants.ENDPOINT}/api/{kind}s/{repo}/{call}".rstrip("/")


def _answer(repo: str, revision: str, url: str) -> tuple[Any, str]:
    """The JSON answer to one GET, and the address of its next page, empty after the last.

    Raises HubError where either of them is on another host than the Hub.
    """
    with translated(repo, revision):
        response = get_session().get(url, headers=_headers())
        hf_raise_for_status(response)
        following = response.links.get("next", {}).get("url", "")
        named = response.url.join(fix_hf_endpoint_in_url(following, constants.ENDPOINT))
    for address in (response.url, named):
        if not is_hub(address):
            raise leads_away(address)
    return answers.parse(repo, response.content), str(named) if following else ""


@contextmanager
def reading(repo: str, commit: str, path: str, start: int = 0, stop: int | None = None) -> Iterator[Body]:
    """The bytes of a file from `start` up to `stop`, as they arrive. Raises TransientError, HubError."""
    url = hf_hub_url(repo, path, repo_type="dataset", revision=commit)
    headers = {**_headers(), "Accept-Encoding": "identity"}
    if start or stop is not None:
        headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    with translated(repo, commit, path), get_session().stream("GET", url, headers=headers) as response:
        hf_raise_for_status(response)
        first = answers.first_byte(f"{repo}/{path}", response.status_code, response.headers.get("Content-Range"))
        yield Body(first, response.iter_raw())


def tail(repo: str, commit: str, file: File, length: int, policy: RetryPolicy) -> bytes:
    """The last bytes of a file; what the Hub sends before them is not kept. Raises HubError."""
    start = max(file.bytes - length, 0)
    where = f"{repo}/{file.path}"

    def read() -> bytes:
        with reading(repo, commit, file.path, start, file.bytes) as body:
            if body.start not in (0, start):
                raise TransientError(f"the answer begins at byte {body.start:,}, not {start:,}")
            position, kept = body.start, []
            for chunk in body.chunks:
                kept.append(chunk[max(start - position, 0) :])
                position += len(chunk)
                if position > file.bytes:
                    raise HubError(where, "longer than listed", f"{file.bytes:,} bytes")
        if position < file.bytes:
            raise TransientError("the answer ended early")
        return b"".join(kept)

    return retried(policy, where, read)


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

    def resolve() -> None:
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 443)
        except OSError:
            return  # the client raises a better error
        finally:
            found.set()

    threading.Thread(target=resolve, daemon=True).start()

    def wait() -> None:
        if not found.wait(CONNECT_SECONDS):
            raise TransientError("its name was not resolved in time", reached=False)

    retried(policy, str(parts.hostname), wait)


def token() -> str | None:
    """The token in use; never print it. Raises HubError for one that no header can hold."""
    try:
        found = get_token()
    except (
        HfHubHTTPError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # a token file, or a service that gives one
        raise HubError("the token", f"cannot be read ({type(error).__name__})", "", LOGIN) from None
    if found is not None and not TOKEN.fullmatch(found):
        raise HubError("the token", "has a space or a character that no token has", "hf_ and letters", LOGIN)
    return found


def _headers() -> dict[str, str]:
    token()
    return build_hf_headers(library_name="curate", library_version=__version__)


@contextmanager
def translated(repo: str, revision: str = "main", path: str = "") -> Iterator[None]:
    """Turn the client's errors into TransientError or HubError.

    Its messages are never printed: they contain signed addresses."""
    where = f"{repo}/{path}" if path else repo
    try:
        yield
    except OfflineModeIsEnabled:
        hint = "unset HF_HUB_OFFLINE, or bring the files into the Hub cache first"
        raise HubError(where, "HF_HUB_OFFLINE is set", "a network", hint) from None
    except HfHubHTTPError as error:
        answered()
        raise _refused(error, where, repo, revision) from None
    except httpx2.TransportError as error:
        raise broken(error) from None
    except httpx2.InvalidURL:
        raise HubError(where, "no request can be made", "", "check HF_ENDPOINT, HF_TOKEN and the proxy") from None
    except HFValidationError:
        raise HubError(where, "not the name of a repository", "owner/name") from None


def _refused(error: HfHubHTTPError, where: str, repo: str, revision: str) -> Exception:
    status = error.response.status_code
    if status == 416:
        return TransientError("the Hub has fewer bytes than it listed")
    denied = "your token may not read it" if get_token() else "you have no token"
    if isinstance(error, GatedRepoError):
        then = "" if get_token() else f", then {LOGIN}"
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
        return HubError(where, "the Hub does not know your token", "", LOGIN)
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
        hint = f"{LOGIN}; see {page(repo)}"
        return HubError(where, f"does not exist, or is private and {denied}", "", hint)
    return HubError(where, f"the Hub answers {status}", "", f"see {page(repo)}")


# -------------------------------------------------------------------------------------------------- writing


def account(repo: str) -> str:
    """The role of the token: `read`, `write`, `fineGrained`, or empty. Raises TransientError, HubError."""
    return answers.role(repo, _answer(repo, "main", f"{constants.ENDPOINT}/api/whoami-v2")[0])


def branches(repo: str, kind: RepoKind = "dataset") -> dict[str, str]:
    """Branch -> commit of a repository. Raises TransientError, HubError."""
    return answers.branches(repo, _answer(repo, "main", _api(repo, "refs", kind))[0])


def visibility(repo: str, kind: RepoKind = "dataset") -> bool | None:
    """Whether a repository of that kind is private; None if there is none. Raises TransientError, HubError."""
    with translated(repo):
        response = get_session().get(_api(repo, "", kind), headers=_headers())
        try:
            hf_raise_for_status(response)
        except GatedRepoError:
            return False
        except RepositoryNotFoundError:
            return None
    if not is_hub(response.url):
        raise leads_away(response.url)
    return answers.field(repo, answers.parse(repo, response.content), "private", bool)


def api() -> HfApi:
    """The client, for requests that change a repository; call it inside `writing`."""
    token()
    return HfApi(library_name="curate", library_version=__version__)


@contextmanager
def writing(repo: str, branch: str = "main") -> Iterator[None]:
    """Turn errors of `api()` into HubError or TransientError, also when another commit came first.

    An answer of the wrong shape is a TransientError: the request may have been carried out.
    """
    with translated(repo, branch):
        try:
            yield
        except RuntimeError as error:  # what the client raises for any failed upload
            raise _cause(error) from None
        except HfHubHTTPError as error:
            if error.response.status_code == 412:
                raise TransientError("another commit came first") from None
            if error.response.status_code == 403:
                hint = "use a token that may: run `hf auth login`, or set HF_TOKEN"
                raise HubError(repo, "your token may not write to it", "", hint) from None
            raise
        except HFValidationError:
            raise
        except json.JSONDecodeError:
            raise TransientError("the answer is not JSON") from None
        except (ValueError, LookupError, TypeError, AttributeError, NameError) as error:
            if str(error).startswith(REFUSALS):
                raise HubError(repo, f"refused: {_words(error)}", "", f"see {page(repo)}") from None
            raise TransientError("the answer is not the Hub's") from None  # the client uses it as it comes


def _cause(error: RuntimeError) -> Exception:
    """What made an upload fail."""
    cause = error.__cause__
    if isinstance(cause, TransientError | HubError | httpx2.TransportError | OfflineModeIsEnabled):
        return cause
    if isinstance(cause, HfHubHTTPError):  # an address that has run out is another one at the next attempt
        return TransientError(f"an upload is answered with {cause.response.status_code}")
    if isinstance(error, RecursionError):
        return TransientError("the answer is not the Hub's")
    return TransientError("an upload failed")


def _words(error: Exception) -> str:
    """The first words of a message of the client, without addresses."""
    return " ".join(re.sub(r"https?://\S+", "...", str(error)).split())[:200]
