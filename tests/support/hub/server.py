"""HTTP on loopback: receives requests, lets faults strike, sends replies."""

import contextlib
import math
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import parse_qsl, unquote

from . import writes as _writes  # noqa: F401 - registers its routes
from .api import Answer, Api, find
from .faults import HOSTILE, STATUSES, WRITES, Fault, Plan
from .hostile import SHAPES, twisted
from .store import Refusal
from .wire import PIECE, Account, Reply, Request, answer, refusal

IDLE_SECONDS = 30.0  # seconds without a byte after which a connection is closed
LINGER_NONE = struct.pack("ii", 1, 0)  # close() then sends RST


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request that came in. `status` is 0 where no reply went out; `sent` counts bytes of the body written.

    `done` is whether it was carried out or refused, answered or not.
    """

    method: str
    path: str
    query: str
    endpoint: str
    user: str | None
    range: str | None
    status: int = 0
    sent: int = 0
    received: int = 0
    fault: str | None = None
    done: bool = False


class Server(ThreadingHTTPServer):
    """One thread per connection; knows its connections, so that it can end them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, plan: Plan, *, verbose: bool = False):
        super().__init__(("127.0.0.1", port), Handler)
        self.api: Api  # set once the port, and with it the endpoint, is known
        self.plan, self.verbose = plan, verbose
        self.away = "http://127.0.0.1:9"  # where hostile answers lead
        self.requests: list[Seen] = []
        self.crashes: list[BaseException] = []
        self.stopping = threading.Event()
        self._stall = threading.Event()  # set: the stalls of now are over
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True, name="hub").start()

    def stop(self) -> None:
        """Stop listening, end every connection, wait (at most 5 s) for the threads that hold them."""
        self.stopping.set()
        self.end_stalls()
        self.shutdown()
        self.server_close()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def stall(self, seconds: float) -> None:
        """Wait, until `end_stalls` at most."""
        self._stall.wait(seconds)

    def end_stalls(self) -> None:
        """Let every request go on that is stalled now; later ones stall again."""
        now, self._stall = self._stall, threading.Event()
        now.set()

    def next_change(self, seconds: float) -> None:
        """Wait until a request comes in or is answered, at most so long."""
        with self._changed:
            self._changed.wait(seconds)

    def changed(self) -> None:
        """Wake those that wait for a change."""
        with self._changed:
            self._changed.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()
        if request.fileno() != -1:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.crashes.append(error)
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "loopback-hub"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        if self.server.verbose:
            super().log_message(format, *args)

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        found = find("GET" if self.command == "HEAD" else self.command, path)
        if self.command == "HEAD" and found:
            found = ("head", *found[1:]) if found[0] == "get" else None
        endpoint = found[0] if found else "unknown"
        fault = self.server.plan.next(endpoint, unquote(path)) if found else None
        seen = Seen(
            method=self.command,
            path=unquote(path),
            query=query,
            endpoint=endpoint,
            user=None,
            range=self.headers.get("Range"),
            fault=fault.kind if fault else None,
        )
        self.server.requests.append(seen)
        self.server.changed()
        with tempfile.SpooledTemporaryFile(max_size=16 * PIECE) as body:
            if not self._receive(body, seen, fault):
                return self._cut(reset=True)
            if fault is not None and fault.kind == "drop":
                return self._cut()
            body.seek(0)
            request = self._request(path, query, body, found[2] if found else {}, fault)
            reply = self._answer(request, found[1] if found else None, fault, seen)
            seen.done = True
            self.server.changed()
            if fault is not None and fault.kind == "lost":
                return self._cut()
            return self._send(reply, seen, fault)

    # in

    def _receive(self, body: IO[bytes], seen: Seen, fault: Fault | None) -> bool:
        """Read the request's body; False if a reset strikes in the middle of it."""
        strikes = fault is not None and fault.kind == "reset" and seen.endpoint in WRITES
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces, total = self._chunks(), 2
        else:
            total = int(self.headers.get("Content-Length") or 0)
            pieces = self._plain(total)
        limit = (total // 2 if fault is None or fault.after is None else fault.after) if strikes else math.inf
        for piece in pieces:
            body.write(piece)
            seen.received += len(piece)
            if seen.received >= limit:
                return False
        return not strikes

    def _plain(self, left: int) -> Iterator[bytes]:
        piece = min(PIECE, max(left // 4, 1))  # small bodies too are cut in the middle
        while left > 0:
            data = self.rfile.read(min(piece, left))
            if not data:
                raise ConnectionResetError("the client left in the middle of its request")
            left -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            yield from self._plain(size)
            self.rfile.readline(100)
        while self.rfile.readline(1000).strip():
            pass

    # what

    def _request(
        self, path: str, query: str, body: IO[bytes], names: dict[str, str], fault: Fault | None
    ) -> Request:
        deaf = fault is not None and fault.kind in ("no-range", "anew")
        return Request(
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={k.title(): v for k, v in self.headers.items() if not (deaf and k.lower() == "range")},
            body=body,
            account=None,
            names=names,
        )

    def _answer(self, request: Request, function: Answer | None, fault: Fault | None, seen: Seen) -> Reply:
        api, kind = self.server.api, fault.kind if fault else None
        if fault is not None and fault.kind in STATUSES:
            return refused(fault.kind, fault.seconds)
        try:
            if not request.path.startswith(("/_lfs/", "/_cdn/")):  # those are signed
                request.account = self._account(api)
            seen.user = request.account.user if request.account else None
            if function is None:
                raise Refusal(404, "Not Found")
            if kind == "vanish":
                raise Refusal(404, "Entry not found", "EntryNotFound")
            if kind == "idle":
                return answer({})
            if fault is not None and kind == "race":
                race(api, request, fault)
            reply = function(api, request)
        except Refusal as error:
            reply = refusal(error)
        if kind in HOSTILE and (reply.status < 300 or kind not in SHAPES):
            return twisted(kind, reply, request, self.server.away)
        return refused("504", 0) if kind == "lost-504" else reply

    def _account(self, api: Api) -> Account | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        account = api.tokens.get(header.removeprefix("Bearer ").strip())
        if account is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return account

    # out

    def _send(self, reply: Reply, seen: Seen, fault: Fault | None) -> None:
        kind, size = (fault.kind if fault else None), reply.size
        silent = self.command == "HEAD" or reply.status in (204, 304)
        if fault is not None and kind == "stall" and (silent or size == 0):
            self.server.stall(fault.seconds)
        cuts = kind in ("fin", "anew") or (kind == "reset" and seen.endpoint not in WRITES)
        if cuts and size == 0:
            return self._cut(reset=kind == "reset")
        seen.status = reply.status
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(size), "X-Request-Id": f"loopback-{id(seen):x}"}.items():
            if reply.status != 204:
                self.send_header(name, value)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if silent:
            return None
        for piece in struck(reply, fault, self.server) if fault else reply.pieces():
            seen.sent += len(piece)
            self.wfile.write(piece)
        return self._cut(reset=kind == "reset") if cuts else None

    def _cut(self, *, reset: bool = False) -> None:
        self.close_connection = True
        if reset:
            time.sleep(0.05)  # let what was sent arrive: an RST overtakes it
            self.rfile.close()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
            self.connection.close()


def struck(reply: Reply, fault: Fault, server: Server) -> Iterator[bytes]:
    """The body's bytes as the fault lets them through."""
    size = reply.size
    half = size // 2
    if fault.kind in ("fin", "reset", "anew"):
        left = min(half if fault.after is None else fault.after, size - 1)
        yield from Reply(200, reply.body, {}, reply.start, left).pieces()
    elif fault.kind == "corrupt":
        done = 0
        for piece in reply.pieces():
            at = half - done
            yield piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :] if 0 <= at < len(piece) else piece
            done += len(piece)
    elif fault.kind == "trickle":
        for piece in reply.pieces(max(size // 8, 1)):
            yield piece
            server.stopping.wait(fault.seconds / 8)
    elif fault.kind == "stall":
        yield from Reply(200, reply.body, {}, reply.start, half).pieces()
        server.stall(fault.seconds)
        yield from Reply(200, reply.body, {}, reply.start + half, size - half).pieces()
    else:
        yield from reply.pieces()


def refused(kind: str, seconds: float) -> Reply:
    """429 and 5xx, as the Hub or the proxies in front of it would say it."""
    status, wait = STATUSES[kind], str(math.ceil(seconds))
    if kind in ("502", "504"):
        return Reply(status, b"<html><body>Bad gateway</body></html>", {"Content-Type": "text/html"})
    headers = {
        "429-retry-after": {"Retry-After": wait},
        "429-ratelimit": {
            "RateLimit": f'"api";r=0;t={wait}',
            "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
        },
    }
    message = "Too many requests" if status == 429 else "Internal Error - We are working hard to fix this"
    return answer({"error": message}, status, **headers.get(kind, {}))


def race(api: Api, request: Request, fault: Fault) -> None:
    """Let somebody else's commit land on the branch first; Refusal 412."""
    repo = api.mine(request)
    files = {path: None if data is None else repo.add(path, data) for path, data in (fault.files or {}).items()}
    repo.commit(
        request.names["rev"].removeprefix("refs/heads/"), files, title="another hand", author="somebody-else"
    )
    raise Refusal(412, "A commit has happened since. Please refresh and try again.")
