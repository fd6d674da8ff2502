"""Eval sets as what must be kept out of a mix: their items with media, read from the raw files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import evalsets
from curate.contamination.material import Entry
from curate.errors import RawError, SkipRow
from curate.evalsets.base import Item, Options
from curate.evaluation.items import read_items, row_files
from curate.hashing import Hashes, inputs
from curate.hub import manifests as pins
from curate.hub.receipts import fetched
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.schema import Message
from curate.sources.base import MediaSource
from curate.workspace import Workspace

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalFiles:
    """The raw files of an eval set in `folder`, all its data splits; `cache` is for indexes of archives."""

    name: str
    folder: Path
    cache: Path

    def facts(self, hashes: Hashes) -> Any:
        """Its files. Raises RawError that says how to get them."""
        evalset = evalsets.get(self.name)
        media = [path for pattern in evalset.media for path in self.folder.glob(pattern)]
        rows = [file.path for options in self._splits() for file in row_files(evalset, self.folder, options)]
        return {"version": VERSION, "name": self.name, "inputs": inputs(self.folder, [*rows, *media], hashes)}

    def entries(self) -> Iterator[Entry]:
        """Every item of every split, with those of its images that are there."""
        evalset = evalsets.get(self.name)
        spec = MediaSpec(raw=self.folder, patterns=evalset.media, match="path", cache=self.cache)
        finder = spec.open()
        for options in self._splits():
            for _, item in read_items(evalset, self.folder, options):
                if isinstance(item, Item):
                    yield self._entry(item, finder)

    def _entry(self, item: Item, finder: MediaFinder) -> Entry:
        return Entry(
            of=self.name,
            key=item.key,
            prompts=(_text(item.prompt),),
            replies=tuple(map(_text, item.replies)),
            pictures=len(item.media),
            images=tuple(data for one in item.media for data in _bytes(one, finder)),
        )

    def _splits(self) -> list[Options]:
        """The first data split, and those others whose files are there."""
        evalset = evalsets.get(self.name)
        first, *others = (Options(split=name) for name in evalset.layouts)
        return [first, *(options for options in others if self._has(options))]

    def _has(self, options: Options) -> bool:
        try:
            return bool(row_files(evalsets.get(self.name), self.folder, options))
        except RawError:
            return False


def _text(turns: tuple[Message, ...]) -> str:
    return "\n".join(block.text for turn in turns for block in turn.content if block.text is not None)


def _bytes(one: MediaSource, finder: MediaFinder) -> list[bytes]:
    """The medium's images; none where they are not here: the text alone can still be kept out."""
    if one.data is not None:
        return [one.data]
    try:
        return finder.frames(one.path) if one.kind == "video" else [finder.find(one.path)]
    except SkipRow:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where a build finds eval sets: below --raw where that has them, else in the workspace, as fetched or put."""

    workspace: Workspace
    hashes: Hashes
    raw: Path | None = None
    manifests: Path | None = None

    @property
    def cache(self) -> Path:
        """The workspace's."""
        return self.workspace.cache

    def benchmark(self, name: str, where: str) -> EvalFiles:
        """An eval set by its name. Raises ConfigError for an unknown one."""
        evalsets.get(name, where)
        return EvalFiles(name=name, folder=self._folder(name), cache=self.cache)

    def _folder(self, name: str) -> Path:
        if self.raw is not None and (self.raw / name).is_dir():
            return self.raw / name
        pinned = pins.read(name, self.manifests).commit if self.manifests is not None else None
        there = fetched(self.workspace, name, pinned)
        return self.workspace.raw(name) if there is None else there.directory
