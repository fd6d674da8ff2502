"""Items of eval sets: where their files are, and how they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from curate.errors import RawError, SkipRow
from curate.evalsets.base import EvalSet, Item, Options
from curate.hashing import Hashes, input_facts
from curate.hub import manifests
from curate.hub.receipts import fetched, upstream
from curate.rawfiles import rows as raw_rows
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.rawfiles.row_files import matching
from curate.sources.base import MediaSource, Row, RowFile
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSetFolders:
    """Where the raw files of eval sets are looked for.

    raw        a directory with a folder for each eval set, named as the eval set (`--raw`)
    manifests  the directory of manifests, which say at which commit a fetched eval set is pinned
    """

    workspace: Workspace
    raw: Path | None = None
    manifests: Path | None = None

    def locate(self, name: str) -> Path:
        """The raw directory of an eval set: its folder in `raw`, else the fetched copy, else the place for either.

        A folder in `raw` wins over a fetched copy and needs no pin. Raises RawError where `raw` is no directory,
        WorkspaceError where the copy was fetched at another commit than the pinned one, or a file of it is
        missing or cut. The directory that is returned may not exist: `row_files` says so.
        """
        if self.raw is not None:
            if not self.raw.is_dir():
                raise RawError(
                    str(self.raw), "no such directory", "a folder for each eval set, named as the eval set"
                )
            if (self.raw / name).is_dir():
                return self.raw / name
        commit = manifests.read(name, self.manifests).commit if self.manifests is not None else None
        copy = fetched(self.workspace, name, commit)
        if copy is not None:
            return copy.directory
        by_hand = self.workspace.raw(name)
        return by_hand if self.raw is None or by_hand.is_dir() else self.raw / name

    def check(self, evalset: EvalSet, folder: Path, options: Options) -> None:
        """Raise RawError where a fetched file that is new or changed is not what the Hub has."""
        there = upstream(self.workspace, evalset.name, folder)
        if there is not None:
            hashes = Hashes(self.workspace.cache)
            input_facts(folder, files_of(evalset, folder, [options]), hashes, there)
            hashes.save()


class KeyedItems(NamedTuple):
    """The items of an eval set with their keys and the numbers of their rows, all in row order."""

    items: Sequence[Item]
    keys: Sequence[str]
    numbers: Sequence[int]

    def at(self, positions: Sequence[int]) -> "KeyedItems":
        """The items at these positions."""
        items, keys, numbers = self
        return KeyedItems(
            [items[i] for i in positions], [keys[i] for i in positions], [numbers[i] for i in positions]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEvalSet:
    """An eval set with its items, without media, read from `folder`; and the rows that gave none, by reason."""

    evalset: EvalSet
    options: Options
    folder: Path
    items: KeyedItems
    skipped: Counter[str]


def load(evalset: EvalSet, folder: Path, options: Options | None = None) -> LoadedEvalSet:
    """Read the items of an eval set from its raw files, without media. Raises RawError where there are none."""
    options = options or Options()
    items, numbers = [], []
    skipped: Counter[str] = Counter()
    for number, item in read_items(evalset, folder, options):
        if isinstance(item, SkipRow):
            skipped[item.reason] += 1
            continue
        for media in item.media:
            media.data = None  # image bytes of a whole eval set need not fit into memory
        items.append(item)
        numbers.append(number)
    if not items:
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.most_common(3)) or "no rows"
        raise RawError(str(folder), f"no item of {evalset.name}: {reasons}", f"the rows of {evalset.repo}")
    keyed = KeyedItems(items, unique_keys(item.key for item in items), numbers)
    return LoadedEvalSet(evalset=evalset, options=options, folder=folder, items=keyed, skipped=skipped)


def read_items(evalset: EvalSet, folder: Path, options: Options) -> Iterator[tuple[int, Item | SkipRow]]:
    """Every row with its number, from 1, over all files: its item with media as upstream has them, or why not."""
    number = 0
    for part in raw_rows.slices(folder, row_files(evalset, folder, options)):
        for _, row in raw_rows.rows(part):
            number += 1
            try:
                if not isinstance(row, Row):
                    raise SkipRow(row.reason, row.detail)
                yield number, _unicode(evalset.to_item(row))
            except SkipRow as skip:
                yield number, skip


def _unicode(item: Item) -> Item:
    """The item. Skip `not_unicode` where a text has half of a character: no file could hold it."""
    try:
        for text in (item.key, item.category, item.subset, item.cluster):
            text.encode()
    except UnicodeEncodeError:
        raise SkipRow("not_unicode", "the file is not UTF-8 there, or escapes half a character") from None
    return item


def row_files(evalset: EvalSet, folder: Path, options: Options) -> list[RowFile]:
    """The files with an eval set's rows. Raises RawError where there are none."""
    hint = (
        f"curate fetch {evalset.name}; or put the files of {evalset.repo} there, or name their parent with --raw"
    )
    if not folder.is_dir():
        raise RawError(str(folder), "no such directory", f"the raw files of {evalset.name}", hint)
    patterns = evalset.layout(evalset.split_of(options))
    found = [{path for path in folder.glob(pattern) if path.is_file()} for pattern in patterns]
    if evalset.every_file:
        found = [set().union(*found)] if all(found) else []
    paths = next(filter(None, found), None)
    if paths:
        return [RowFile(path=path) for path in sorted(paths)]
    raise RawError(str(folder), f"no file matches {' or '.join(patterns)}", "", hint)


def has_rows(evalset: EvalSet, folder: Path, options: Options) -> bool:
    """Whether the folder has files with rows of the eval set."""
    try:
        return bool(row_files(evalset, folder, options))
    except RawError:
        return False


def files_of(evalset: EvalSet, folder: Path, splits: Iterable[Options]) -> list[Path]:
    """The files that the items of these splits are made from: rows, then media. Raises RawError without rows."""
    rows = [file.path for options in splits for file in row_files(evalset, folder, options)]
    return [*rows, *(path for pattern in evalset.media for path in folder.glob(pattern))]


def media_finder(evalset: EvalSet, folder: Path, cache: Path) -> MediaFinder:
    """Opens the media of an eval set; `cache` keeps indexes of archives. Raises RawError for a damaged archive.

    Its patterns are those of several layouts, so one that matches nothing is worth a word only where none does.
    """
    there = tuple(pattern for pattern in evalset.media if matching(folder, pattern))
    return MediaSpec(raw=folder, patterns=there or evalset.media, match="path", cache=cache).open()


def media_bytes(one: MediaSource, finder: MediaFinder) -> bytes | tuple[bytes, ...]:
    """The bytes of an image, or of each frame of a video. Raises SkipRow where they are not there."""
    if one.data is not None:
        return bytes(one.data)
    return tuple(finder.frames(one.path)) if one.kind == "video" else finder.find(one.path)


def unique_keys(names: Iterable[str]) -> list[str]:
    """The names, each once: the second of two equal names gets `.2`, and so on."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return out
