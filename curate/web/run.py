"""Runs the server until it is told to stop; requests that were taken are answered first."""

import logging
import socket

import uvicorn

from curate.errors import WorkspaceError
from curate.web.model import Model
from curate.web.routes import Server
from curate.web.settings import Settings


def serve(model: Model, settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises WorkspaceError if the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise WorkspaceError(where, f"cannot listen ({error.strerror})", "", "--port names another") from None
        app = Server(model, settings).app()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="on",
            timeout_graceful_shutdown=settings.stop_seconds, limit_concurrency=4 * settings.queue,
        )  # fmt: skip
        port = listening.getsockname()[1]
        _Announced(config, f"serving {model.name} at http://{settings.host}:{port}").run([listening])


class _Announced(uvicorn.Server):
    """A server that says when it takes requests."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        logging.getLogger("curate").warning(self._line)
