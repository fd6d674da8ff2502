"""When a network request is tried again, how long is waited before, and when it is given up.

The one place for this policy: the Hub's client retries some calls, some statuses and some broken connections, and
not the others.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import xxhash

from curate.errors import ConfigError, HubError

T = TypeVar("T")

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_WAIT = 30.0
CONNECT_SECONDS = 3.0  # a host that never answered is given up after this long


class Trouble(Exception):  # noqa: N818 - not yet an error: most of it goes away
    """A request failed in a way that may pass; `wait` is what the server asked for, in seconds.

    `reached` is false where no connection came about and the host has not answered this process before.
    """

    def __init__(self, what: str, *, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(what)
        self.what, self.wait, self.reached = what, wait, reached


class Unreachable(HubError):  # noqa: N818 - says what the host is
    """No connection to the host at all: there is no use in trying the next file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long to try without any progress; progress (a new byte) starts the count anew."""

    attempts: int = 8
    seconds: float = 600.0
    first_wait: float = 1.0

    @classmethod
    def from_env(cls) -> Self:
        """CURATE_HUB_ATTEMPTS, CURATE_HUB_SECONDS and CURATE_HUB_FIRST_WAIT. Raises ConfigError."""
        return cls(
            attempts=int(_positive("CURATE_HUB_ATTEMPTS", cls().attempts)),
            seconds=_positive("CURATE_HUB_SECONDS", cls().seconds),
            first_wait=_positive("CURATE_HUB_FIRST_WAIT", cls().first_wait),
        )


def _positive(name: str, default: float) -> float:
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigError(name, f"found {value!r}", "a number above 0")
    return number


class Tries:
    """The tries of one request. `key` names it; equal keys wait equally long, different ones apart."""

    def __init__(self, patience: Patience, key: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._patience, self._key, self._sleep = patience, key, sleep
        self._failed, self._since, self._best = 0, time.monotonic(), 0

    def progress(self, position: int) -> None:
        """Bytes came in up to this position; if none came so far before, count anew."""
        if position > self._best:
            self._failed, self._since, self._best = 0, time.monotonic(), position

    def after(self, trouble: Trouble, where: str) -> None:
        """Wait as long as is right after this failure. Raises HubError where patience ends."""
        self._failed += 1
        wait = self.wait(trouble)
        gone = time.monotonic() - self._since
        spent = self._failed >= self._patience.attempts
        if not trouble.reached and (spent or gone + wait > CONNECT_SECONDS):
            hint = "check the network, proxy and HF_ENDPOINT; files in the Hub cache work with HF_HUB_OFFLINE=1"
            raise Unreachable(where, trouble.what, "an answer", hint) from None
        if spent or gone + wait > self._patience.seconds:
            asked = f", and the server asks to wait {wait:,.0f} s" if trouble.wait is not None else ""
            times = f"{self._failed} times" if self._failed > 1 else "once"
            hint = "run the same command again later: it continues from what is there"
            raise HubError(where, f"{trouble.what} ({times} in {gone:,.0f} s{asked})", "an answer", hint) from None
        self._sleep(wait)

    def wait(self, trouble: Trouble) -> float:
        """Seconds: what the server asked for, else doubling from the first wait; with jitter from the key."""
        jitter = xxhash.xxh3_64_intdigest(f"{self._key}|{self._failed}".encode()) / 2**64
        if trouble.wait is not None:
            return trouble.wait + jitter * self._patience.first_wait
        doubled = self._patience.first_wait * 2.0 ** min(self._failed - 1, 30)
        return min(doubled, LONGEST_WAIT) * (0.5 + jitter / 2)


def trying(patience: Patience, where: str, call: Callable[[], T]) -> T:
    """The call's answer, however often that takes. Raises HubError where patience ends."""
    tries = Tries(patience, where)
    while True:
        try:
            return call()
        except Trouble as trouble:
            tries.after(trouble, where)


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a Retry-After header means at the time `now`: a number or a date; None where it is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except ValueError:
        return None
