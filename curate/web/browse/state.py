"""What a person looks at, as the query of a URL: filters, search, order, page, and how texts are drawn."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

PAGE = 10  # pairs
MOST_TEXT = 200  # characters of a query or a name
MOST_FILTERS = 50
MOST_DIGITS = 9

WAYS = ("rendered", "raw")


def number(text: str, other: int) -> int:
    """A whole number of an address, from 0; `other` for what is none, or has more than MOST_DIGITS."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else other


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a list of pairs. `prompt` and `cluster` are ids of the pair that the list is about,
    `arm` is the arm of an ablation.

    filters  (facet, value): a pair has one of the values of each facet that is named
    order    the name of a number, - before it for the largest first; "" for the order of the mix or of the files
    """

    filters: tuple[tuple[str, str], ...] = ()
    query: str = ""
    order: str = ""
    page: int = 1
    way: str = "rendered"
    blind: bool = False
    who: str = ""
    prompt: str = ""
    cluster: str = ""
    arm: str = ""

    @classmethod
    def read(cls, items: Iterable[tuple[str, str]]) -> Self:
        """The state of a query; what it does not know, or what is too long, is passed over."""
        given: dict[str, Any] = {}
        filters: list[tuple[str, str]] = []
        for name, value in items:
            facet, colon, wanted = value.partition(":")
            if name == "f" and colon and len(filters) < MOST_FILTERS:
                filters.append((facet[:MOST_TEXT], wanted[: 5 * MOST_TEXT]))
            elif name == "page":
                given["page"] = number(value, 1)
            elif name == "blind":
                given["blind"] = value == "1"
            elif name == "way":
                given["way"] = value if value in WAYS else WAYS[0]
            elif name in TEXTS:
                given[TEXTS[name]] = value[:MOST_TEXT].strip()
        given["page"] = max(given.get("page", 1), 1)
        return cls(filters=tuple(dict.fromkeys(filters)), **given)

    def url(self, path: str = "/", **changed: Any) -> str:
        """The address of this state, or of one that differs in these fields."""
        query = urlencode(list(dataclasses.replace(self, **changed).items()))
        return f"{path}?{query}" if query else path

    def pair_url(self, pair_id: str, **more: str) -> str:
        """The address of the page of a pair."""
        address = State(way=self.way, blind=self.blind, who=self.who, arm=self.arm).url(f"/pair/{pair_id}")
        return address + ("&" if "?" in address else "?") + urlencode(more) if more else address

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values of a query, without what is as by default."""
        for facet, value in self.filters:
            yield "f", f"{facet}:{value}"
        for name, field in TEXTS.items():
            if value := getattr(self, field):
                yield name, value
        if self.way != WAYS[0]:
            yield "way", self.way
        if self.blind:
            yield "blind", "1"
        if self.page > 1:
            yield "page", str(self.page)

    def toggled(self, facet: str, value: str) -> tuple[tuple[str, str], ...]:
        """The filters with this one added, or taken away."""
        one = (facet, value)
        return tuple(x for x in self.filters if x != one) if one in self.filters else (*self.filters, one)

    @property
    def wanted(self) -> Mapping[str, list[str]]:
        """The values that are wanted of each facet."""
        found: dict[str, list[str]] = {}
        for facet, value in self.filters:
            found.setdefault(facet, []).append(value)
        return found


TEXTS = {"q": "query", "order": "order", "who": "who", "prompt": "prompt", "cluster": "cluster", "arm": "arm"}
"""Parameters of a query that are texts, and the fields that they give."""
