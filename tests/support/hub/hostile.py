"""Answers that are not the Hub's: of the wrong shape, or leading to another host. Applied to a right answer."""

import json
from collections.abc import Callable
from typing import Any

from .wire import Reply, Request, answer

LOGIN_PAGE = b"<html><body>Welcome! Please log in.</body></html>"
REFUSALS = {"401": 401, "403": 403, "404": 404}
DEEP = 100_000


def twisted(kind: str, reply: Reply, request: Request, away: str) -> Reply:
    """The reply as that kind of fault makes it; `away` is the address of the other host."""
    if kind in REFUSALS:
        return answer({"error": "no"}, REFUSALS[kind])
    if kind == "away":
        return Reply(307, b"", {"Location": f"{away}{request.path}{_query(request)}"})
    if kind in LINKS:
        return Reply(reply.status, reply.body, {**reply.headers, "Link": LINKS[kind](request, away)})
    if kind == "range-words":
        headers = {**reply.headers, "Content-Range": "bytes \u00b2-\u00b3/\u00b2".encode().decode("latin-1")}
        return Reply(206, reply.body, headers, reply.start, reply.length)
    if kind == "html":
        return Reply(200, LOGIN_PAGE, {"Content-Type": "text/html"})
    if kind == "deep":
        return Reply(200, b"[" * DEEP + b"]" * DEEP, {"Content-Type": "application/json"})
    body = json.loads(reply.body) if isinstance(reply.body, bytes) and reply.body else {}
    return answer(SHAPES[kind](body, away), reply.status if reply.status != 204 else 200)


def _query(request: Request) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in request.query.items()) if request.query else ""


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A JSON value with each of its numbers and texts changed."""
    if isinstance(value, dict):
        return {name: _each(part, change) for name, part in value.items()}
    if isinstance(value, list):
        return [_each(part, change) for part in value]
    return change(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _away(value: Any, away: str) -> Any:
    """Addresses of LFS actions on the other host, with their paths."""
    return _each(value, lambda x: f"{away}/{x.split('/', 3)[3]}" if str(x).startswith("http") else x)


LINKS: dict[str, Callable[[Request, str], str]] = {
    "link-away": lambda request, away: f'<{away}{request.path}?cursor=1>; rel="next"',
    "link-self": lambda request, _: f'<{request.path}{_query(request)}>; rel="next"',
}
SHAPES: dict[str, Callable[[Any, str], Any]] = {
    "null": lambda _, __: None,
    "list": lambda _, __: [[], 1],
    "empty": lambda _, __: {},
    "digits": lambda body, _: _each(body, lambda x: str(x) if _is_number(x) else x),
    "negative": lambda body, _: _each(body, lambda x: -1 - x if _is_number(x) else x),
    "surrogate": lambda body, _: _each(body, lambda x: f"{x}\ud800" if isinstance(x, str) else x),
    "twice": lambda body, _: body * 2 if isinstance(body, list) else body,
    "gated-word": lambda body, _: {**body, "gated": "by-raffle"},
    "href-away": lambda body, away: _away(body, away),
}
