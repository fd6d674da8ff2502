"""One plain request, without any client's policy."""

import http.client
from typing import NamedTuple
from urllib.parse import urlsplit


class Raw(NamedTuple):
    """What came back, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def send(endpoint: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Raw:
    """Send a request on a connection of its own. Raises IncompleteRead (it holds what came) or OSError."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return Raw(reply.status, reply.headers, reply.read())
    finally:
        connection.close()
