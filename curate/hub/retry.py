"""Retries of network requests: which failures are retried, how long to sleep before, and when to give up.

Every request uses this policy: the Hub's own client retries only some calls, statuses and broken connections.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

import xxhash

from curate.errors import ConfigError, HubError
from curate.hub import settings

T = TypeVar("T")

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_WAIT = 30.0
RATELIMIT = re.compile(r";\s*r\s*=\s*(\d{1,9})\s*;\s*t\s*=\s*(\d{1,9})(?!\d)", re.ASCII)  # requests left, seconds
CONNECT_SECONDS = 3.0  # after this long, give up a host that has never answered


class TransientError(Exception):
    """A request failed, but may succeed later; `wait` is the delay in seconds that the server requested.

    `reached` is False if there was no connection and the host has not answered this process before.
    """

    def __init__(self, what: str, *, wait: float | None = None, reached: bool = True) -> None:
        super().__init__(what)
        self.what, self.wait, self.reached = what, wait, reached


class Unreachable(HubError):  # noqa: N818 - says what the host is
    """The host cannot be reached at all, so that no other file of it can be fetched either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The limits of attempts without progress, by number and by seconds. A new byte resets both."""

    attempts: int = 8
    seconds: float = 600.0
    first_wait: float = 1.0

    @classmethod
    def from_env(cls) -> Self:
        """The policy by CURATE_HUB_ATTEMPTS, CURATE_HUB_SECONDS, CURATE_HUB_FIRST_WAIT.

        Raises ConfigError, also for settings of the Hub's client that are not valid.
        """
        settings.check()
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


class Attempts:
    """The attempts of one request. `key` seeds the jitter: requests retry at different times."""

    def __init__(
        self,
        policy: RetryPolicy,
        key: str,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._key, self._sleep, self._clock = policy, key, sleep, clock
        self._failed, self._since, self._best = 0, clock(), 0

    def progress(self, position: int) -> None:
        """Record that bytes up to `position` arrived; more than ever before resets the limits."""
        if position > self._best:
            self._failed, self._since, self._best = 0, self._clock(), position

    def sleep_after(self, error: TransientError, where: str) -> None:
        """Sleep before the next attempt. Raises HubError when the policy gives up."""
        self._failed += 1
        wait = self.wait(error)
        elapsed = self._clock() - self._since
        spent = self._failed >= self._policy.attempts
        if not error.reached and (spent or elapsed + wait > CONNECT_SECONDS):
            hint = "check the network, proxy and HF_ENDPOINT; files in the Hub cache work with HF_HUB_OFFLINE=1"
            raise Unreachable(where, error.what, "an answer", hint) from None
        if spent or elapsed + wait > self._policy.seconds:
            requested = f", and the server asks to wait {wait:,.0f} s" if error.wait is not None else ""
            times = f"{self._failed} times" if self._failed > 1 else "once"
            hint = "run the same command again later: it continues from what is there"
            raise HubError(
                where, f"{error.what} ({times} in {elapsed:,.0f} s{requested})", "an answer", hint
            ) from None
        self._sleep(wait)

    def wait(self, error: TransientError) -> float:
        """Seconds to sleep: as the server requested, else doubling from the first wait; with jitter."""
        jitter = xxhash.xxh3_64_intdigest(f"{self._key}|{self._failed}".encode()) / 2**64
        if error.wait is not None:
            return error.wait + jitter * self._policy.first_wait
        doubled = self._policy.first_wait * 2.0 ** min(self._failed - 1, 30)
        return min(doubled, LONGEST_WAIT) * (0.5 + jitter / 2)


def retried(policy: RetryPolicy, where: str, call: Callable[[], T]) -> T:
    """Repeat `call` while it raises TransientError. Raises HubError when the policy gives up."""
    attempts = Attempts(policy, where)
    while True:
        try:
            return call()
        except TransientError as error:
            attempts.sleep_after(error, where)


def ratelimit_reset(value: str) -> float | None:
    """The seconds until the limit of a RateLimit header ends; None if requests are left, or it states no limit."""
    found = RATELIMIT.search(value)
    return float(found[2]) if found and int(found[1]) == 0 else None


def retry_after(value: str, now: float) -> float | None:
    """The seconds from `now` that a Retry-After header states as a number or a date; None if it is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError, OSError):  # a year that no clock has
        return None
