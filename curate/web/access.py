"""Access to a server: with its token, or where it has none, under the names of its own address."""

import hmac
from typing import NamedTuple

from starlette.requests import Request

from curate.web.settings import Listening

LOCAL = ("localhost", "127.0.0.1", "[::1]")
COOKIE = "curate_token"


class Refusal(NamedTuple):
    """What a request that is refused gets."""

    status: int
    message: str
    headers: dict[str, str] | None = None


def refusal(request: Request, settings: Listening, *, cookie: bool = False) -> Refusal | None:
    """Why a request is refused; None where it is not. The token may be in a header, the query, or a `cookie`.

    Without a token, the host that the request names must be this one: another name may be of a web page whose
    owner lets it resolve to this machine.
    """
    if settings.token is None:
        host = host_of(request)
        if host not in (*LOCAL, settings.host):
            return Refusal(403, "this server answers to its own address only")
        return None
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = given or request.query_params.get("token", "")
    given = given or (request.cookies.get(COOKIE, "") if cookie else "")
    if not hmac.compare_digest(given.encode(), settings.token.encode()):
        return Refusal(401, "no token, or another one", {"WWW-Authenticate": "Bearer"})
    return None


def host_of(request: Request) -> str:
    """The host that a request names, without the port."""
    named = request.headers.get("host", "")
    return named.rpartition(":")[0] or named


def is_same_origin(request: Request) -> bool:
    """Whether a request comes from a page of this server: browsers say so, and others must name it too."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return origin == own and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
