"""What must be kept out of a mix: the items of eval sets, and texts and images that a user names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from curate.errors import ConfigError, RawError
from curate.hashing import Hashes, input_facts
from curate.rawfiles import rows
from curate.sources.base import Row, RowFile

PROMPTS = ("prompt", "question", "query", "instruction")
REPLIES = ("chosen", "rejected", "response", "answer", "output")
LINES = ".txt"

FLOOR = 0.35
"""The least share of a text that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedItem:
    """One thing that must not be trained on.

    of, key   the name of its set, and its own name in that set
    prompts   texts that are prompts; `replies` are replies; `texts` may be either
    pictures  how many images or videos belong to it; `images` are those that could be read
    """

    of: str
    key: str
    prompts: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    pictures: int = 0
    images: tuple[bytes, ...] = ()


class ProtectedSet(Protocol):
    """A set of items; frozen, and small enough to be sent to a worker."""

    @property
    def name(self) -> str:
        """The set's name in reports: one word."""
        ...

    def facts(self, hashes: Hashes) -> Any:
        """What its items depend on, as JSON values. Raises RawError or ConfigError where its files are missing."""
        ...

    def items(self) -> Iterator[ProtectedItem]:
        """All of its items."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedSets:
    """The sets that a step compares pairs with, and where their index is; `fingerprint` identifies the index."""

    fingerprint: str
    sets: tuple[ProtectedSet, ...] = field(metadata={"place": True})
    cache: Path = field(metadata={"place": True})

    @property
    def directory(self) -> Path:
        """The index's directory."""
        return self.cache / "contamination" / self.fingerprint


class Library(Protocol):
    """Where steps find eval sets, and keep the indexes that they make of them."""

    @property
    def cache(self) -> Path:
        """A directory that may be deleted at any time."""
        ...

    @property
    def hashes(self) -> Hashes:
        """Content hashes of files."""
        ...

    def eval_set(self, name: str, where: str) -> ProtectedSet:
        """The eval set of that name. Raises ConfigError at `where` for an unknown one."""
        ...


def _one_word(path: Path) -> str:
    return "_".join(path.name.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A user's texts: lines of a .txt; rows of JSONL, CSV or Parquet with `text`, PROMPTS or REPLIES.

    An item's key is its `id`, or its row number.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's name, in one word."""
        return _one_word(self.path)

    def facts(self, hashes: Hashes) -> Any:
        """The file with its hash. Raises ConfigError where it is missing."""
        if not self.path.is_file():
            raise ConfigError(str(self.path), "no such file", "a .txt, JSONL, CSV or Parquet file of texts")
        return input_facts(self.path.parent, [self.path], hashes)

    def items(self) -> Iterator[ProtectedItem]:
        """One of each line or row that has text. Raises RawError for a row without a known column."""
        if self.path.suffix == LINES:
            for number, line in enumerate(self._lines(), 1):
                if line:
                    yield ProtectedItem(of=self.name, key=str(number), texts=(line,))
            return
        for part in rows.slices(self.path.parent, [RowFile(path=self.path)]):
            for number, row in rows.rows(part):
                if isinstance(row, Row):
                    yield self._item(number, row)

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise RawError(str(self.path), f"not UTF-8 at byte {error.start:,}", "lines of UTF-8 text") from None

    def _item(self, number: int, row: Row) -> ProtectedItem:
        prompts, replies, texts = (_texts(row, names) for names in (PROMPTS, REPLIES, ("text",)))
        if not prompts and not replies and not texts:
            known = ", ".join(("text", *PROMPTS, *REPLIES))
            raise RawError(f"{self.path}:{number}", f"columns {', '.join(row)}", f"a text in one of {known}")
        key = str(row.get("id", number))
        return ProtectedItem(of=self.name, key=key, prompts=prompts, replies=replies, texts=texts)


def _texts(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names if isinstance(row.get(name), str) and row[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """A user's images: every file below a directory is one."""

    path: Path

    @property
    def name(self) -> str:
        """The directory's name, in one word."""
        return _one_word(self.path)

    def facts(self, hashes: Hashes) -> Any:
        """Every file with its hash. Raises ConfigError where the directory is missing."""
        if not self.path.is_dir():
            raise ConfigError(str(self.path), "no such directory", "a directory of images")
        return [entry for file in self._files() for entry in input_facts(self.path, [file], hashes)]

    def items(self) -> Iterator[ProtectedItem]:
        """One of each file."""
        for file in self._files():
            name = file.relative_to(self.path).as_posix()
            yield ProtectedItem(of=self.name, key=name, pictures=1, images=(file.read_bytes(),))

    def _files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file() and not path.name.startswith("."))
