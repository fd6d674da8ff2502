"""A second host on loopback that answers anything and records all it is sent: it must never see a token."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from .wire import PIECE


class Handler(BaseHTTPRequestHandler):
    """One connection; what comes in is kept whole."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: "OtherHost"

    def do_GET(self) -> None:
        body = b""
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, PIECE))):
            body += piece
            left -= len(piece)
        head = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        self.server.seen.append(f"{self.command} {self.path}\n{head}\n".encode() + body)
        answer = json.dumps([] if "/tree/" in self.path else {"sha": "f" * 40, "private": False}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class OtherHost(ThreadingHTTPServer):
    """`with OtherHost() as other_host`: another host at `other_host.endpoint`; `seen` has its requests, raw."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.seen: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True, name="other_host").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is none of our faults."""

    def saw(self, token: str) -> list[bytes]:
        """The requests that have the token anywhere: in the address, a header or the body."""
        return [request for request in self.seen if token.encode() in request]
