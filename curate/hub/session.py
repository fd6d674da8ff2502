"""The session through which the Hub's client and `datasets` send every request of this process.

The client follows any address that an answer names and sends the token there; some of its calls have no timeout,
others retry for minutes; none limits the size of an answer. The session decides these for all of them.
"""

import time
from typing import Any
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import OfflineModeIsEnabled

from curate.errors import HubError
from curate.hub.answers import NOT_THE_HUB
from curate.hub.retry import (
    CONNECT_SECONDS,
    RETRIED,
    RetryPolicy,
    TransientError,
    ratelimit_reset,
    retry_after,
)

WRITE_SECONDS = 300.0  # a commit of many files takes the Hub a while
LONGEST_ANSWER = 64 << 20  # bytes of an answer that is held in memory; a page of a listing has 0.3 MB
SENT_AWAY = frozenset({"GET", "HEAD", "PUT"})  # downloads, and uploads to a signed address

_answered: set[str] = set()  # hosts that have answered this process


class Session(httpx2.Client):
    """A session without retries: what may pass is a TransientError, for the caller's policy.

    Each request has timeouts, no token leaves the Hub's own host, and an answer that is read at once has a limit
    in bytes and in seconds.
    """

    def __init__(self, **settings: Any) -> None:
        hooks = {"request": [_check_request]}
        super().__init__(event_hooks=hooks, follow_redirects=True, **settings)
        self._seconds = RetryPolicy.from_env().seconds

    def send(self, request: httpx2.Request, *, stream: bool = False, **more: Any) -> httpx2.Response:
        """Send one request. Raises TransientError for a broken connection and for a status that may pass."""
        _limit_waits(request, self._seconds)
        try:
            response = super().send(request, stream=True, **more)
        except httpx2.TransportError as error:
            raise broken(error) from None
        except httpx2.TooManyRedirects:
            raise HubError(
                request.url.host, "redirects without end", "an answer of the Hub", NOT_THE_HUB
            ) from None
        _answered.add(response.url.host)
        try:
            if response.status_code in RETRIED:
                wait = _requested_wait(response.headers)
                raise TransientError(f"the Hub answers {response.status_code}", wait=wait)
            return response if stream else _read(response, self._seconds)
        except BaseException:
            response.close()
            raise


def make() -> Session:
    """A session by the settings for proxies and certificates. Raises HubError where they are not valid."""
    try:
        return Session()
    except (ValueError, ImportError, OSError, httpx2.InvalidURL) as error:
        hint = "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        found = f"not valid ({type(error).__name__})"  # no more: its text may have a proxy's password
        raise HubError("the network settings", found, "", hint) from None


def _limit_waits(request: httpx2.Request, most: float) -> None:
    """Give the request the timeouts that its caller left open."""
    reads = request.method in ("GET", "HEAD")
    seconds = float(constants.HF_HUB_DOWNLOAD_TIMEOUT) if reads else min(WRITE_SECONDS, most)
    usual = httpx2.Timeout(seconds, connect=CONNECT_SECONDS).as_dict()
    given = request.extensions.get("timeout", {})
    limits = {name: usual[name] if given.get(name) is None else given[name] for name in usual}
    request.extensions = {**request.extensions, "timeout": limits}


# ---------------------------------------------------------------------------------------------- the token


def is_hub(url: httpx2.URL) -> bool:
    """Whether an address is on the host that HF_ENDPOINT names, or is the https address of the same host."""
    hub = httpx2.URL(constants.ENDPOINT)
    upgraded = (hub.scheme, _port(hub)) == ("http", 80) and (url.scheme, _port(url)) == ("https", 443)
    return url.host == hub.host and ((url.scheme, _port(url)) == (hub.scheme, _port(hub)) or upgraded)


def _port(url: httpx2.URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _check_request(request: httpx2.Request) -> None:
    """Runs before every request and every redirect of it. Raises HubError where the token would leave the Hub."""
    if constants.is_offline_mode():
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
    if is_hub(request.url):
        return
    token = get_token()
    secret = "authorization" in request.headers or (token is not None and token in str(request.url))
    if secret or request.method not in SENT_AWAY:
        raise leads_away(request.url)


def leads_away(url: httpx2.URL) -> HubError:
    """The error for an answer that leads to another host, where only the Hub itself may be."""
    hub = urlsplit(constants.ENDPOINT).hostname or "the Hub"
    place = f"{url.host}:{_port(url)}"
    return HubError(hub, f"the answer leads to another host, {place}", "an address on its own host", NOT_THE_HUB)


# ------------------------------------------------------------------------------------------------ answers


def _read(response: httpx2.Response, seconds: float) -> httpx2.Response:
    """The answer with its whole body. Raises TransientError if it takes longer than so many seconds."""
    end, size, chunks = time.monotonic() + seconds, 0, []
    try:
        for chunk in response.iter_bytes():
            size += len(chunk)
            chunks.append(chunk)
            if size > LONGEST_ANSWER:
                found = f"the answer has more than {LONGEST_ANSWER:,} bytes"
                raise HubError(response.url.host, found, "an answer of the Hub", NOT_THE_HUB)
            if time.monotonic() > end:
                raise TransientError(f"the answer of {response.url.host} took more than {seconds:g} s")
    except httpx2.TransportError as error:
        raise broken(error) from None
    except httpx2.DecodingError:
        raise TransientError("the answer cannot be decompressed") from None
    response.close()
    coded = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in coded]
    return httpx2.Response(
        response.status_code,
        headers=headers,
        content=b"".join(chunks),
        request=response.request,
        history=response.history,
    )


def answered() -> None:
    """Record that the Hub has answered this process."""
    _answered.add(urlsplit(constants.ENDPOINT).hostname or "")


def broken(error: httpx2.TransportError) -> Exception:
    """A connection that broke, as a TransientError; a request that cannot be made as a HubError."""
    host = urlsplit(str(error.request.url)).hostname or ""
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return HubError(
            host or "the Hub", "no request can be made", "", "check HF_ENDPOINT, HF_TOKEN and the proxy"
        )
    seconds = error.request.extensions.get("timeout", {}).get("read") or 0.0
    what = {
        httpx2.ConnectError: f"no connection to {host}",
        httpx2.ConnectTimeout: f"no connection to {host} within {CONNECT_SECONDS:g} s",
        httpx2.ProxyError: "the proxy refuses",
        httpx2.ReadTimeout: f"{host} sent nothing for {seconds:g} s",
    }.get(type(error), f"the connection to {host} broke")
    never = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)
    return TransientError(what, reached=not never or host in _answered)


def _requested_wait(headers: httpx2.Headers) -> float | None:
    limit = ratelimit_reset(headers.get("RateLimit", ""))
    if limit is not None:
        return limit
    return retry_after(headers["Retry-After"], time.time()) if "Retry-After" in headers else None
