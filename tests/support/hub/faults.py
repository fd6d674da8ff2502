"""What goes wrong, where and how often: planned exactly, or drawn from a seed.

A draw depends on the seed, the endpoint, the path and the number of the visit, never on the order in which threads
arrive; every endpoint and path fails at most `most` times, so a client that repeats reaches the end.

kind                    what the client sees
`fin`, `reset`          the body ends after `after` bytes (default: half) with FIN, with RST; where something is
                        written, the reset comes in the middle of what the client sends, and nothing was done
`drop`                  the connection closes without a reply; nothing was done
`lost`                  it was done, and the connection closes without a reply
`lost-504`              it was done, and the reply is 504
`429`                   too many requests, no word on how long
`429-retry-after`       the same with `Retry-After: seconds`
`429-ratelimit`         the same with `RateLimit: "api";r=0;t=seconds`
`500` `502` `503` `504` nothing was done (502 and 504 have an HTML body, as a proxy in front would send)
`corrupt`               one byte of the body is wrong, the length is right
`vanish`                404 EntryNotFound for a file that was listed
`trickle`               the body comes in small pieces over `seconds`
`stall`                 half the body, then nothing for `seconds`, then the rest
`no-range`              a range is asked for, the whole file comes with 200
`anew`                  a range is asked for, the file comes from its first byte with 200 and ends after `after`
`race`                  another commit (`files`, default: none changes) lands first, and the reply is 412

These do not pass by themselves, and are drawn only where they are named (`kinds=HOSTILE`); see `hostile.py`:

`401` `403` `404`       a refusal without a code
`html`                  a login page with 200
`null` `list` `empty`   JSON of another shape: null, a list of nothing known, an object without fields
`digits` `negative`     every number as text; below 0
`surrogate` `deep`      half of a character at the end of every text; 100,000 lists in each other
`twice`                 every file of a listing twice
`gated-word`            a word for `gated` that is not known
`range-words`           a Content-Range of digits that are none
`link-away`             the next page of a listing is on another host
`link-self`             the next page of a listing is itself
`href-away`             uploads are to go to another host, and to be verified there
`idle`                  done, it says, and nothing was
`away`                  a redirect to another host
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

STATUSES = {
    "429": 429,
    "429-retry-after": 429,
    "429-ratelimit": 429,
    "500": 500,
    "502": 502,
    "503": 503,
    "504": 504,
}
REFUSED = (*STATUSES, "drop", "stall")
BODY = ("fin", "reset", "trickle")
FILE = ("corrupt", "vanish", "no-range")
ANEW = "anew"
WRITE = ("lost", "lost-504", "reset")
JSON = ("401", "403", "404", "html", "null", "list", "empty", "digits", "negative", "surrogate", "deep", "away")
KINDS = tuple(dict.fromkeys((*REFUSED, *BODY, *FILE, *WRITE, "race")))

HOSTILE = (*JSON, "idle", "twice", "gated-word", "range-words", "link-away", "link-self", "href-away")

# which endpoint can fail how; a fault planned elsewhere is a mistake in the test
ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("paths-info", "commits", "auth-check"), (*REFUSED, *BODY)),
    **dict.fromkeys(("refs", "whoami"), (*REFUSED, *BODY, *JSON)),
    "info": (*REFUSED, *BODY, *JSON, "gated-word"),
    "tree": (*REFUSED, *BODY, *JSON, "twice", "link-away", "link-self"),
    "head": (*REFUSED, "vanish"),
    "get": (*REFUSED, *BODY, *FILE, "401", "403", "404", "html", "away", "range-words", ANEW),
    **dict.fromkeys(("delete", "settings", "tag"), (*REFUSED, *WRITE)),
    **dict.fromkeys(("create", "verify"), (*REFUSED, *WRITE, *JSON)),
    "branch": (*REFUSED, *WRITE, *JSON, "idle"),
    "put": (*REFUSED, *WRITE, "401", "403", "404", "away"),
    **dict.fromkeys(("yaml", "preupload"), (*REFUSED, *BODY, *JSON)),
    "batch": (*REFUSED, *BODY, *JSON, "href-away"),
    "commit": (*REFUSED, *WRITE, "race", *JSON),
}
WRITES = frozenset(name for name, kinds in ENDPOINTS.items() if "lost" in kinds)  # here a reset strikes the upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong: its kind, where (endpoint and a glob on the path), and for how many requests."""

    kind: str
    on: str = "*"
    path: str = "*"
    skip: int = 0  # this many matching requests go well first
    times: int = 1
    after: int | None = None  # bytes before the cut; None: half
    seconds: float = 1
    files: Mapping[str, bytes | None] | None = None  # what the other hand commits in a race

    def __post_init__(self) -> None:
        if self.kind not in (*KINDS, *HOSTILE, ANEW):
            raise ValueError(f"no fault {self.kind!r}: one of {', '.join((*KINDS, *HOSTILE))}")
        if self.on != "*" and self.kind not in ENDPOINTS.get(self.on, ()):
            raise ValueError(
                f"{self.on!r} cannot fail with {self.kind!r}: {', '.join(ENDPOINTS.get(self.on, ()))}"
            )

    def fits(self, endpoint: str, path: str) -> bool:
        """Whether it may strike this request."""
        return (
            self.on in ("*", endpoint)
            and self.kind in ENDPOINTS.get(endpoint, ())
            and fnmatchcase(path, self.path)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """One fault that happened."""

    kind: str
    endpoint: str
    path: str
    visit: int


class Plan:
    """Which fault, if any, strikes a request.

    faults   planned exactly, first match first
    seed     draw more: a request fails with probability `rate`, at most `most` times per endpoint and path
    kinds    what is drawn; default: all that fits the endpoint
    seconds  how long a drawn stall or trickle takes, and what a drawn `Retry-After` says (rounded up)
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        seed: int | None = None,
        rate: float = 0.3,
        most: int = 2,
        kinds: Sequence[str] = KINDS,
        endpoints: Sequence[str] = tuple(ENDPOINTS),
        seconds: float = 0.2,
    ):
        self._faults = list(faults)
        self._seed, self._rate, self._most, self._seconds = seed, rate, most, seconds
        self._kinds, self._endpoints = frozenset(kinds), frozenset(endpoints)
        self._lock = threading.Lock()
        self._visits: Counter[tuple[str, str]] = Counter()
        self._drawn: Counter[tuple[str, str]] = Counter()
        self._seen: Counter[int] = Counter()
        self.log: list[Struck] = []

    def add(self, *faults: Fault) -> None:
        """Plan more faults."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Plan nothing any more, and draw nothing; `log` stays."""
        with self._lock:
            self._faults, self._seed = [], None

    def forgive(self) -> None:
        """Plan nothing any more; go on to draw."""
        with self._lock:
            self._faults = []

    def next(self, endpoint: str, path: str) -> Fault | None:
        """The fault that strikes this request, recorded in `log`; None if it goes well."""
        with self._lock:
            self._visits[endpoint, path] += 1
            visit = self._visits[endpoint, path]
            fault = self._planned(endpoint, path) or self._random(endpoint, path, visit)
            if fault is not None:
                self.log.append(Struck(kind=fault.kind, endpoint=endpoint, path=path, visit=visit))
            return fault

    def _planned(self, endpoint: str, path: str) -> Fault | None:
        for number, fault in enumerate(self._faults):
            if fault.fits(endpoint, path) and self._seen[number] < fault.skip + fault.times:
                self._seen[number] += 1
                if self._seen[number] > fault.skip:
                    return fault
        return None

    def _random(self, endpoint: str, path: str, visit: int) -> Fault | None:
        if self._seed is None or endpoint not in self._endpoints or self._drawn[endpoint, path] >= self._most:
            return None
        digest = hashlib.sha256(f"{self._seed}\0{endpoint}\0{path}\0{visit}".encode()).digest()
        kinds = [kind for kind in ENDPOINTS.get(endpoint, ()) if kind in self._kinds]
        if not kinds or int.from_bytes(digest[:8], "big") >= self._rate * 2**64:
            return None
        self._drawn[endpoint, path] += 1
        return Fault(kind=kinds[int.from_bytes(digest[8:16], "big") % len(kinds)], seconds=self._seconds)
