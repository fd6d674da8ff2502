"""Where the server listens, who may ask, and the limits of what it takes."""

from dataclasses import dataclass
from ipaddress import ip_address

from curate.errors import ConfigError

LEAST_TOKEN = 16  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a server.

    token        what requests must carry; None on loopback only
    queue        dialogues that may wait; more are refused
    batch        dialogues that are scored together
    body_bytes   of one request
    body_seconds for it to arrive
    images       of one request, video frames included
    fallback     what /get_reward answers for a reply that cannot be scored, and for a full queue
    multi_turn   whether a rendered string may contain several replies (see `curate serve --help`)
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    queue: int = 1024
    batch: int = 64
    body_bytes: int = 32 << 20
    body_seconds: float = 30.0
    images: int = 64
    fallback: float = 0.0
    multi_turn: bool = False
    stop_seconds: int = 30

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise ConfigError("token", f"{len(self.token)} characters", f"{LEAST_TOKEN} or more")
        if self.token is None and not self.loopback:
            hint = "put one into CURATE_SERVE_TOKEN or --token-file, or listen on 127.0.0.1"
            raise ConfigError("--host", f"{self.host} and no token", "a token, since others can reach it", hint)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
