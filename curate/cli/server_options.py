"""What the commands that serve HTTP share: the options of the address, and the check of their libraries."""

import importlib.util
from typing import Annotated

import typer

from curate.errors import ConfigError
from curate.installation import install_command

LOOPBACK = "127.0.0.1"
HostOption = Annotated[
    str, typer.Option("--host", help="Address to listen on; others than loopback need a token.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")]


def check_server_installed(command: str, *more: str) -> None:
    """Raise ConfigError where a library of the server, or one of `more`, is not installed."""
    missing = [name for name in ("starlette", "uvicorn", *more) if importlib.util.find_spec(name) is None]
    if missing:
        found = f"{', '.join(missing)} not installed"
        raise ConfigError(command, found, "the server's libraries", install_command("web"))
