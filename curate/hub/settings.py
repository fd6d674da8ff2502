"""The environment's settings for the Hub, checked before its client is imported: it fails at some of them."""

import os
from urllib.parse import urlsplit

from curate.errors import ConfigError

EXAMPLE = "an address such as https://huggingface.co"
COUNTS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
PASSWORD = "an address with a password"


def check() -> None:
    """Raise ConfigError for an HF_ENDPOINT that is no address, and for a timeout that is no number of seconds."""
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint is not None and not _is_address(endpoint):
        found = PASSWORD if "@" in endpoint else repr(endpoint)
        raise ConfigError("HF_ENDPOINT", f"found {found}", EXAMPLE, "unset HF_ENDPOINT, or correct it")
    for name in COUNTS:
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdigit() and len(value) < 9 and int(value)):
            raise ConfigError(name, f"found {value!r}", "whole seconds above 0", f"unset {name}, or correct it")


def _is_address(text: str) -> bool:
    """Whether the text is an http or https address with a host, without spaces and in ASCII."""
    if not text.isascii() or not text.isprintable() or " " in text or "?" in text or "#" in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or half of an IPv6 address
        return False
