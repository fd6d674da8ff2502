"""Settings of servers: address, token, and the limits of requests."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from curate.errors import ConfigError

LEAST_TOKEN = 16  # characters
TOKEN = "CURATE_SERVE_TOKEN"
"""The environment variable that has the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a server listens. Requests must carry the token; None on loopback only."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    stop_seconds: int = 30

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise ConfigError("token", f"{len(self.token)} characters", f"{LEAST_TOKEN} or more")
        if self.token is None and not self.loopback:
            hint = f"put one into {TOKEN} or --token-file, or listen on 127.0.0.1"
            raise ConfigError("--host", f"{self.host} and no token", "a token, since others can reach it", hint)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Listening):
    """Settings of a server of scores.

    queue        dialogues that may wait; more are refused
    batch        dialogues that are scored together
    body_bytes   of one request
    body_seconds for it to arrive
    images       of one request, video frames included
    fallback     what /get_reward answers for a reply that cannot be scored, and for a full queue
    multi_turn   whether a rendered string may contain several replies (see `curate serve --help`)
    """

    queue: int = 1024
    batch: int = 64
    body_bytes: int = 32 << 20
    body_seconds: float = 30.0
    images: int = 64
    fallback: float = 0.0
    multi_turn: bool = False


def read_token(path: Path | None) -> str | None:
    """The token in a file, else that of the environment. Raises ConfigError for a file that cannot be read."""
    if path is None:
        return os.environ.get(TOKEN) or None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ConfigError(str(path), str(error.strerror), "a file with the token") from None
