"""Servers of scores on loopback, and requests to them."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from curate.web.routes import Server
from curate.web.settings import Settings
from trainer.serve import ServedModel, loaded


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Running:
    """A server that runs in this process."""

    url: str
    server: Server

    def post(self, route: str, body: Any, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        return self._open(urllib.request.Request(self.url + route, data, given))

    def get(self, route: str, **headers: str) -> Answer:
        return self._open(urllib.request.Request(self.url + route, headers=headers))

    @staticmethod
    def _open(request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return _answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), dict(error.headers))


def _answer(status: int, data: bytes, headers: dict[str, str]) -> Answer:
    text = data.decode()
    return Answer(status, json.loads(text) if "json" in headers.get("content-type", "") else text, headers)


@contextmanager
def running(model: Any, **settings: Any) -> Iterator[Running]:
    """Serve a model (its directory, or one that is loaded) until the block ends."""
    served = loaded(model, 4096) if isinstance(model, Path) else model
    server = Server(served, Settings(**settings))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(server.app(), log_level="warning", access_log=False, timeout_graceful_shutdown=30)
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, args=([listening],))
    thread.start()
    while not web.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", server)
    finally:
        web.should_exit = True
        thread.join()
        listening.close()


@dataclass
class Held:
    """A served model that scores only when `go` is set, and fails for replies that say so."""

    inner: ServedModel
    go: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)
    name: str = "held"

    def score(self, dialogues, media):
        self.go.wait(30)
        self.sizes.append(len(dialogues))
        if any("break" in (messages[-1].content[0].text or "") for messages in dialogues):
            raise RuntimeError("broken\nin two lines")
        return self.inner.score(dialogues, media)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
