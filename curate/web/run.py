"""Runs servers until they are stopped; requests that were accepted are answered first."""

import logging
import socket
from typing import Any

import uvicorn

from curate.errors import WorkspaceError
from curate.web.model import Model
from curate.web.routes import Server
from curate.web.settings import Listening, Settings


def serve(model: Model, settings: Settings) -> None:
    """Serve the scores of a model until SIGTERM or Ctrl-C. Raises WorkspaceError if the port is taken."""
    listen(Server(model, settings).app(), settings, f"serving {model.name} at", 4 * settings.queue)


def listen(app: Any, settings: Listening, line: str, at_once: int) -> None:
    """Run an application until SIGTERM or Ctrl-C, and log `line` with its address; so many requests at once.

    Raises WorkspaceError if the port is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise WorkspaceError(where, f"cannot listen ({error.strerror})", "", "--port names another") from None
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="on",
            timeout_graceful_shutdown=settings.stop_seconds, limit_concurrency=at_once,
        )  # fmt: skip
        port = listening.getsockname()[1]
        _Announced(config, f"{line} http://{settings.host}:{port}").run([listening])


class _Announced(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        logging.getLogger("curate").warning(self._line)
