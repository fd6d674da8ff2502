"""What is to be kept out of a mix, as entries: the items of benchmarks, and texts and images that a user names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from curate.errors import ConfigError, RawError
from curate.hashing import Hashes, inputs
from curate.rawfiles import rows
from curate.sources.base import Row, RowFile

PROMPTS = ("prompt", "question", "query", "instruction")
REPLIES = ("chosen", "rejected", "response", "answer", "output")
LINES = ".txt"

FLOOR = 0.5
"""The least share of a text that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that must not be trained on.

    of, key   the set's name, and what the set calls it
    prompts   texts that are asked; `replies` texts that answer; `texts` are either
    pictures  how many images or videos belong to it; `images` are those that could be read
    """

    of: str
    key: str
    prompts: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    pictures: int = 0
    images: tuple[bytes, ...] = ()


class Kept(Protocol):
    """A set of entries; frozen, and small enough to travel to a worker."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def facts(self, hashes: Hashes) -> Any:
        """What its entries depend on, as JSON values. Raises RawError or ConfigError where it is not there."""
        ...

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Where the entries are, and where their index lies; `fingerprint` says what is in it."""

    fingerprint: str
    sets: tuple[Kept, ...] = field(metadata={"place": True})
    cache: Path = field(metadata={"place": True})

    @property
    def directory(self) -> Path:
        """The index's directory."""
        return self.cache / "contamination" / self.fingerprint


class Library(Protocol):
    """Where steps find benchmarks, and keep what they made of them."""

    @property
    def cache(self) -> Path:
        """A directory that may be deleted at any time."""
        ...

    @property
    def hashes(self) -> Hashes:
        """Content hashes of files."""
        ...

    def benchmark(self, name: str, where: str) -> Kept:
        """An eval set; ConfigError at `where` for an unknown one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A user's texts: lines of a .txt; rows of JSONL, CSV or Parquet with `text`, PROMPTS or REPLIES.

    An entry is called by its `id`, or by its row.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's name, in one word."""
        return "_".join(self.path.name.split())

    def facts(self, hashes: Hashes) -> Any:
        """The file's bytes."""
        if not self.path.is_file():
            raise ConfigError(str(self.path), "no such file", "a .txt, JSONL, CSV or Parquet file of texts")
        return inputs(self.path.parent, [self.path], hashes)

    def entries(self) -> Iterator[Entry]:
        """One of each line or row that has text. Raises RawError where no column is known."""
        if self.path.suffix == LINES:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            yield from (Entry(of=self.name, key=str(i), texts=(line,)) for i, line in enumerate(lines, 1) if line)
            return
        for part in rows.slices(self.path.parent, [RowFile(path=self.path)]):
            for number, row in rows.rows(part):
                if row is not None:
                    yield self._entry(number, row)

    def _entry(self, number: int, row: Row) -> Entry:
        prompts, replies, texts = (_said(row, names) for names in (PROMPTS, REPLIES, ("text",)))
        if not prompts and not replies and not texts:
            known = ", ".join(("text", *PROMPTS, *REPLIES))
            raise RawError(f"{self.path}:{number}", f"columns {', '.join(row)}", f"a text in one of {known}")
        key = str(row.get("id", number))
        return Entry(of=self.name, key=key, prompts=prompts, replies=replies, texts=texts)


def _said(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names if isinstance(row.get(name), str) and row[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """A user's images: all files below a directory that are images."""

    path: Path

    @property
    def name(self) -> str:
        """The directory's name, in one word."""
        return "_".join(self.path.name.split())

    def facts(self, hashes: Hashes) -> Any:
        """The bytes of every file."""
        if not self.path.is_dir():
            raise ConfigError(str(self.path), "no such directory", "a directory of images")
        return [entry for file in self._files() for entry in inputs(self.path, [file], hashes)]

    def entries(self) -> Iterator[Entry]:
        """One of each file."""
        for file in self._files():
            name = file.relative_to(self.path).as_posix()
            yield Entry(of=self.name, key=name, pictures=1, images=(file.read_bytes(),))

    def _files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file() and not path.name.startswith("."))
