"""Accounts of columns: which a file has, which of them are read, and which should not be passed over."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_ANYWHERE = {
    *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
    *("video", "videos", "audio", "audios"),
    *("score", "scores", "rating", "ratings", "reward", "rewards", "margin", "strength"),
    *("tool", "tools"),
}
_WHOLE = {
    *("input", "system", "system_prompt", "instruction", "instructions", "context", "history"),
    *("functions", "function_call", "reasoning", "reasoning_content", "thinking"),
}
_METADATA = {
    *("id", "ids", "idx", "index", "width", "height", "size", "num", "count", "hash", "md5", "sha256"),
    *("model", "type", "format", "source", "license"),
}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
EMPTY: tuple[Any, ...] = (None, "", [], {})


def matters(name: str) -> bool:
    """Whether a column of that name holds, by all appearance, media, scores, tool calls or part of a prompt."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return "_".join(words) in _WHOLE or (not _ANYWHERE.isdisjoint(words) and _METADATA.isdisjoint(words))


@dataclass(slots=True, kw_only=True)
class ColumnUse:
    """The columns of the rows that were read.

    reads    the columns that the adapter may read; None: not known, so all of them
    ignores  columns that it leaves out on purpose
    watch    whether other columns are watched if they matter
    seen     all columns, in the order in which they were met
    watched  those of them that are watched
    filled   in how many rows each watched column is neither null nor empty
    """

    reads: frozenset[str] | None = None
    ignores: frozenset[str] = frozenset()
    watch: bool = False
    seen: dict[str, None] = field(default_factory=dict)
    watched: tuple[str, ...] = ()
    filled: Counter[str] = field(default_factory=Counter)

    def wanted(self, names: Sequence[str]) -> list[str]:
        """The columns to convert of those that a file has: all that may be read."""
        return [name for name in names if self.reads is None or name in self.reads]

    def see(self, names: Iterable[str]) -> None:
        """Note the columns of a row or file."""
        self.seen |= dict.fromkeys(names)
        self.watched = tuple(name for name in self.seen if self._is_watched(name))

    def row(self, row: Mapping[str, Any]) -> None:
        """Note the columns of one row, and which of the watched ones are filled."""
        if not self.seen.keys() >= row.keys():
            self.see(row)
        for name in self.watched:
            if row.get(name) not in EMPTY:
                self.filled[name] += 1

    def _is_watched(self, name: str) -> bool:
        known = self.reads is None or name in self.reads or name in self.ignores
        return self.watch and not known and matters(name)
