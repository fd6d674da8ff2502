"""The Hub's answers in JSON, checked for their shape: what is not as expected is not from the Hub.

A proxy, a mirror or an intruder may answer in its place. Every value that is used is checked here, so that an
answer of the wrong shape is one line and never a wrong file, a path outside of the workspace or a traceback.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from curate.errors import HubError
from curate.hub.manifests import COMMIT, File

T = TypeVar("T")
Gated = Literal["auto", "manual"] | bool | None

NOT_THE_HUB = "check HF_ENDPOINT and the proxy: a login page may have answered"
SURROGATE = re.compile("[\ud800-\udfff]")
RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)", re.ASCII)
LARGEST = 1 << 62  # bytes of a file: more is no size


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the Hub says of a repository at a revision; `card` is the front matter of its README."""

    commit: str
    gated: Gated
    card: dict[str, Any]


def not_the_hubs(where: str, expected: str) -> HubError:
    """The error for an answer of the wrong shape."""
    return HubError(where, "the answer is not the Hub's", expected, NOT_THE_HUB)


def parse(where: str, body: bytes) -> Any:
    """The value of a JSON answer. Raises HubError for anything else, also for text that UTF-8 cannot hold."""
    try:
        text = body.decode()
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise not_the_hubs(where, "JSON") from None
    if "\\ud" in text.lower() and SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise not_the_hubs(where, "text without lone surrogates")
    return value


@overload
def field(where: str, of: object, name: str, kind: type[T]) -> T: ...
@overload
def field(where: str, of: object, name: str, kind: type[T], absent: T) -> T: ...
def field(where: str, of: object, name: str, kind: type[T], absent: T | None = None) -> T:
    """A value of an object in an answer, of exactly that type; `absent` if given and it is missing or null."""
    value = of.get(name) if isinstance(of, dict) else None
    if value is None and isinstance(of, dict) and absent is not None:
        return absent
    if type(value) is not kind:  # exactly: True is an int to isinstance
        raise not_the_hubs(where, f"{name!r} in it")
    return value


def info(repo: str, answer: object) -> Info:
    """The facts of a repository."""
    commit = field(repo, answer, "sha", str)
    if not COMMIT.fullmatch(commit):
        raise not_the_hubs(repo, "a commit of 40 hex digits")
    return Info(
        commit=commit,
        gated=_gated(repo, answer),
        card=field(repo, answer, "cardData", dict, {}),
    )


def _gated(repo: str, answer: object) -> Gated:
    """Whether and how it is gated; a word that is not known yet means that it is."""
    found = answer.get("gated") if isinstance(answer, dict) else None
    if found is None or isinstance(found, bool):
        return found
    if not isinstance(found, str):
        raise not_the_hubs(repo, "'gated' as a word or a truth value")
    known: dict[str, Gated] = {"auto": "auto", "manual": "manual"}
    return known.get(found, True)


def files(repo: str, entries: object) -> Iterator[File]:
    """The files of one page of a listing."""
    if not isinstance(entries, list):
        raise not_the_hubs(repo, "a list of files")
    for entry in entries:
        if field(repo, entry, "type", str) == "file":
            yield _file(repo, entry)


def _file(repo: str, entry: Mapping[str, Any]) -> File:
    path = field(repo, entry, "path", str)
    lfs = field(repo, entry, "lfs", dict, {})
    size = field(repo, lfs or entry, "size", int)
    oid = field(repo, lfs or entry, "oid", str)
    if not 0 <= size < LARGEST:
        raise not_the_hubs(repo, f"the size of a file, not {size}")
    try:
        return File(path=path, bytes=size, sha256=oid) if lfs else File(path=path, bytes=size, git_oid=oid)
    except ValueError as error:
        hint = "an older --revision may not have it"
        raise HubError(repo, f"lists a file that cannot be fetched: {error}", "", hint) from None


def branches(repo: str, answer: object) -> dict[str, str]:
    """Branch -> commit."""
    out = {}
    for entry in field(repo, answer, "branches", list):
        name, commit = field(repo, entry, "name", str), field(repo, entry, "targetCommit", str)
        if not COMMIT.fullmatch(commit):
            raise not_the_hubs(repo, "a commit of 40 hex digits for each branch")
        out[name] = commit
    return out


def role(where: str, answer: object) -> str:
    """What the token may do, `read`, `write` or `fineGrained`; empty if the Hub does not say."""
    auth = field(where, answer, "auth", dict, {})
    return field(where, field(where, auth, "accessToken", dict, {}), "role", str, "")


def first_byte(where: str, status: int, content_range: str | None) -> int:
    """The position of the first byte of a body: 0 for a 200, as stated for a 206. Raises HubError for others."""
    if status == 200:
        return 0
    found = RANGE.fullmatch(content_range or "")
    if status != 206 or found is None:
        raise not_the_hubs(where, "the bytes of a file")
    return int(found[1])
