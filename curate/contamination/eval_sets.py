"""Eval sets as what must be kept out of a mix: their items with media, read from the raw files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import evalsets
from curate.contamination.protected import ProtectedItem
from curate.errors import SkipRow
from curate.evalsets.base import EvalSet, Item, Options
from curate.evaluation.items import EvalSetFolders, files_of, has_rows, media_bytes, media_finder, read_items
from curate.hashing import Hashes, Upstream, input_facts
from curate.hub.receipts import upstream
from curate.rawfiles.media_finder import MediaFinder
from curate.schema import Message
from curate.sources.base import MediaSource

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedEvalSet:
    """The items of an eval set, of all its data splits, in the raw directory `folder`.

    `cache` is the directory for indexes of archives; `upstream` is what the Hub has of fetched files,
    `manifests` the directory of the user's own.
    """

    name: str
    folder: Path
    cache: Path
    upstream: Upstream | None = None
    manifests: Path | None = None

    @property
    def _evalset(self) -> EvalSet:
        return evalsets.get(self.name, manifests=self.manifests)

    def facts(self, hashes: Hashes) -> Any:
        """Its files with their hashes. Raises RawError, with a hint how to get them, where there are none."""
        evalset = self._evalset
        files = files_of(evalset, self.folder, self._splits())
        return {
            **({} if evalset.version is None else {"manifest": evalset.version}),
            "version": VERSION,
            "name": self.name,
            "inputs": input_facts(self.folder, files, hashes, self.upstream),
        }

    def items(self) -> Iterator[ProtectedItem]:
        """Every item of every split, with those of its images that are there."""
        evalset = self._evalset
        finder = media_finder(evalset, self.folder, self.cache)
        for options in self._splits():
            for _, item in read_items(evalset, self.folder, options):
                if isinstance(item, Item):
                    yield self._protected(item, finder)

    def _protected(self, item: Item, finder: MediaFinder) -> ProtectedItem:
        return ProtectedItem(
            of=self.name,
            key=item.key,
            prompts=(_text(item.prompt),),
            replies=tuple(map(_text, item.replies)),
            pictures=len(item.media),
            images=tuple(data for one in item.media for data in _images(one, finder)),
        )

    def _splits(self) -> list[Options]:
        """The first data split, and those others whose files are there."""
        evalset = self._evalset
        first, *others = (Options(split=name) for name in evalset.layouts)
        return [first, *(options for options in others if has_rows(evalset, self.folder, options))]


def _text(turns: tuple[Message, ...]) -> str:
    return "\n".join(block.text for turn in turns for block in turn.content if block.text is not None)


def _images(one: MediaSource, finder: MediaFinder) -> tuple[bytes, ...]:
    """The medium's images; none where they are missing: the text alone can still be kept out."""
    try:
        data = media_bytes(one, finder)
    except SkipRow:
        return ()
    return (data,) if isinstance(data, bytes) else data


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSetLibrary:
    """The eval sets that the steps of a build can name."""

    folders: EvalSetFolders
    hashes: Hashes

    @property
    def cache(self) -> Path:
        """The workspace's cache directory."""
        return self.folders.workspace.cache

    def eval_set(self, name: str, where: str) -> ProtectedEvalSet:
        """The eval set of that name. Raises ConfigError for an unknown one, and what `folders.locate` raises."""
        manifests = self.folders.manifests
        evalsets.get(name, where, manifests)
        folder = self.folders.locate(name)
        there = upstream(self.folders.workspace, name, folder)
        return ProtectedEvalSet(name=name, folder=folder, cache=self.cache, upstream=there, manifests=manifests)
