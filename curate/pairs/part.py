"""One slice of raw rows -> one part of a pairs artefact; runs in a worker.

part-00000.parquet   pairs with their key columns (curate.schema.PAIRS_FILE)
skips-00000.parquet  rows that gave no pair: row, reason, detail
part-00000.json      the part's receipt, written last: the part is finished
"""

import functools
import gc
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.checksums import Stamp, hash_file, record, stamp, write_record
from curate.engines.base import tick
from curate.errors import GuardError, RawError, SkipRow
from curate.images.decode import ImageFacts
from curate.images.store import ImageStore, KnownImage, PackWriter
from curate.pairs.column_account import check_columns, column_use
from curate.pairs.columns import Finished, PairColumns, finish, group_id
from curate.rawfiles.bad_rows import TOO_DEEP, BadRow
from curate.rawfiles.foreign import foreign
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.rawfiles.rows import Slice, rows
from curate.schema import Media
from curate.sources.base import Draft, MediaSource, Row, Source
from curate.workspace import atomic

FLUSH_PAIRS = 4096
FIRST_ROWS = 1000  # if all of so many first rows are skipped, the slice stops there
SKIPS = pa.schema([("row", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInput:
    """A raw file as it was when the artefact was located: its stamp and its xxh3."""

    path: Path
    stamp: Stamp
    xxh3: str

    def check(self) -> None:
        """Raise RawError where the file was written to since, and has another content."""
        if not self.path.exists() or (stamp(self.path) != self.stamp and hash_file(self.path) != self.xxh3):
            raise changed(self.path)


def changed(path: Path) -> RawError:
    """The error about a raw file that changed while pairs were made of it."""
    return RawError(str(path), "it changed while it was read", "a file that stays as it is", "run it again")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTask:
    """Slices of a source's raw files, and where their part goes: one slice, or many that are small.

    `inputs` are the files that the part may read.
    """

    name: str
    source: Source
    options: Any
    slices: tuple[Slice, ...]
    inputs: tuple[RawInput, ...]
    media: MediaSpec
    images: Path
    directory: Path
    number: int
    license: str | None
    revision: str | None
    max_pixels: int
    max_skip: float

    def __str__(self) -> str:
        return f"normalizing {self.name}, {self.label} from row {self.slices[0].first_row}"

    @property
    def label(self) -> str:
        """The name of the file, and how many more there are."""
        more = len(self.slices) - 1
        return self.slices[0].name + (f" and {more:,} more" if more else "")

    @property
    def bytes(self) -> int:
        """The bytes of all slices."""
        return sum(part.bytes for part in self.slices)

    @property
    def receipt(self) -> Path:
        """Exists once the part is finished."""
        return self.directory / f"part-{self.number:05}.json"


def normalize_slice(task: SliceTask) -> dict[str, Any]:
    """Write one part and return its receipt; a part that is finished already is not touched."""
    _settle()
    gc.disable()  # rows are trees without cycles: looking for cycles costs a tenth of the time and finds none
    rows = 0
    try:
        receipt = _normalize_slice(task)
        rows = receipt["rows"]
        return receipt
    finally:
        gc.enable()
        if rows >= FIRST_ROWS:  # after fewer it would take longer than they did
            gc.collect()


@functools.cache
def _settle() -> None:
    """Exempt what is loaded already from collection, once in each process: walking it costs 50 ms a slice."""
    gc.freeze()


def _normalize_slice(task: SliceTask) -> dict[str, Any]:
    made = record(task.receipt)
    if made is not None and made["slice"] == task.label:  # another one is of other slices, of an earlier version
        tick(rows=made["rows"], skipped=sum(made["skipped"].values()), bytes=task.bytes)
        return made
    part = _Part(task)
    path = task.directory / f"part-{task.number:05}.parquet"
    try:
        with _store(task.images).writer() as writer, atomic(path) as temporary:
            part.run(temporary, Resolver(_finder(task.media), writer, task.max_pixels))
    except GuardError:
        part.publish_skips()  # the error sends the user to them
        raise
    skips = part.publish_skips()
    for file in task.inputs:
        file.check()
    listed = {"file": skips.name, "xxh3": hash_file(skips)}
    receipt = {**part.receipt(path), "xxh3": hash_file(path), "skips": listed}
    write_record(task.receipt, receipt)
    return receipt


class _Part:
    """The work on one slice: rows in, pairs and skips out, every row counted once."""

    def __init__(self, task: SliceTask) -> None:
        self.task = task
        self.rows = self.gave = self.pairs = 0
        self.skips: list[dict[str, str]] = []
        self.use = column_use(task.source)

    def run(self, path: Path, resolve: Any) -> None:
        task = self.task
        columns = PairColumns(task.name, task.license, task.source.annotator, task.revision)
        with pq.ParquetWriter(path, columns.take().schema, **PARQUET) as file:
            for batch in _batched(self._rows(), 1000):
                before = len(self.skips)
                for where, row in batch:
                    self._row(where, row, columns, resolve)
                    if len(columns) >= FLUSH_PAIRS:
                        file.write_table(columns.take())
                tick(rows=len(batch), skipped=len(self.skips) - before)
                check_columns(task.source, self.use, self.rows)
                self._check_first_rows()
            if len(columns):
                file.write_table(columns.take())

    def _rows(self) -> Iterator[tuple[str, Row | BadRow]]:
        """Every row, and where upstream it is."""
        for part in self.task.slices:
            for number, row in rows(part, self.use):
                yield f"{part.name}:{number}", row

    def _row(self, where: str, row: Row | BadRow, columns: PairColumns, resolve: Any) -> None:
        self.rows += 1
        try:
            if isinstance(row, BadRow):
                raise SkipRow(row.reason, row.detail)
            found = [
                finish(self.task.name, draft, *(resolve(draft) if draft.media else ((), 0)))
                for draft in self._drafts(row, where)
            ]
            if not found:
                raise SkipRow("no_pairs")
            self._add(where, found, columns)
        except SkipRow as skip:
            self.skips.append({"row": where, "reason": skip.reason, "detail": skip.detail})

    def _drafts(self, row: Row, where: str) -> list[Draft]:
        task = self.task
        try:
            return list(
                task.source.to_pairs(row, task.options) if task.source.options else task.source.to_pairs(row)
            )
        except SkipRow:
            raise
        except RecursionError:
            raise SkipRow(TOO_DEEP) from None
        except Exception as error:  # an adapter's bug: add the row to the error, and let it through
            error.add_note(f"source {task.name}, row {where}, columns {sorted(map(str, row))}")
            raise

    def _add(self, where: str, found: list[Finished], columns: PairColumns) -> None:
        self.gave += 1
        self.pairs += len(found)
        if len(found) == 1:  # nearly every row, so it goes the short way
            columns.add(where, group_id(self.task.name, found[0].draft.group, found), found[0])
            return
        for group, members in itertools.groupby(found, key=lambda pair: pair.draft.group):
            same = list(members)
            key = group_id(self.task.name, group, same)
            for pair in same:
                columns.add(where, key, pair)

    def _check_first_rows(self) -> None:
        if self.rows <= FIRST_ROWS and len(self.skips) == self.rows == FIRST_ROWS:
            check_guard(self.task.name, self.task.max_skip, [self.receipt(None)])

    def publish_skips(self) -> Path:
        """Write down which rows were skipped, and why."""
        path = self.task.directory / f"skips-{self.task.number:05}.parquet"
        with atomic(path) as temporary:
            skips = [{name: _storable(text) for name, text in skip.items()} for skip in self.skips]
            pq.write_table(pa.Table.from_pylist(skips, SKIPS), temporary, compression="zstd")
        return path

    def receipt(self, path: Path | None) -> dict[str, Any]:
        """The part's facts."""
        return {
            "file": path.name if path else "",
            "slice": self.task.label,
            "rows": self.rows,
            "skipped": dict(sorted(Counter(skip["reason"] for skip in self.skips).items())),
            "gave": self.gave,
            "pairs": self.pairs,
            "columns": sorted({_storable(name) for name in self.use.seen}),
            "details": {skip["reason"]: _storable(skip["detail"]) for skip in reversed(self.skips)},
        }


def _storable(text: str) -> str:
    """The text with half characters (lone surrogates) escaped: what is not Unicode cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


PARQUET: dict[str, Any] = {
    "compression": "none",  # these files are ours alone, and read several times: DECISIONS.md
    "use_dictionary": ["source", "annotator", "license", "revision", "category"],
    "write_statistics": False,
}


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


class Resolver:
    """Puts a draft's media into the image store; gives their keys, and their size in bytes.

    An image of a directory or an archive that many rows name is read once in a slice.
    """

    def __init__(self, finder: MediaFinder, writer: PackWriter, max_pixels: int) -> None:
        self.finder, self.writer, self.max_pixels = finder, writer, max_pixels
        self.named: dict[str, ImageFacts | KnownImage] = {}

    def __call__(self, draft: Draft) -> tuple[tuple[Media, ...], int]:
        """The media of a draft. Raises SkipRow for one that is missing or no image."""
        media, total = [], 0
        for item in draft.media:
            frames = self.frames(item)
            media.append(Media(item.kind, tuple(frame.key for frame in frames)))
            total += sum(frame.bytes for frame in frames)
        return tuple(media), total

    def frames(self, item: MediaSource) -> list[ImageFacts | KnownImage]:
        """The images of one entry: one, or the frames of a video."""
        if item.data is not None:
            return [self.put(item.data)]
        if item.kind == "video":
            return [self.put(data) for data in self.finder.frames(item.path)]
        if item.path not in self.named:
            self.named[item.path] = self.put(self.finder.find(item.path))
        return [self.named[item.path]]

    def put(self, data: bytes) -> ImageFacts | KnownImage:
        """Keep one image."""
        try:
            return self.writer.put(data, max_pixels=self.max_pixels)
        except SkipRow:
            if found := foreign(data):
                raise SkipRow("image_not_downloaded", found) from None
            raise


# opened once in each process: an index of millions of images is not read for every slice
_STORES: dict[Path, ImageStore] = {}
_FINDERS: dict[MediaSpec, MediaFinder] = {}
FINDERS = 8  # kept open: slices of several sources come in turn


def _store(root: Path) -> ImageStore:
    store = _STORES.setdefault(root, ImageStore(root))
    store.refresh()
    return store


def _finder(spec: MediaSpec) -> MediaFinder:
    if spec not in _FINDERS:
        if len(_FINDERS) == FINDERS:
            _FINDERS.pop(next(iter(_FINDERS)))
        _FINDERS[spec] = spec.open()
    return _FINDERS[spec]


def check_guard(source: str, max_skip: float, receipts: Iterable[dict[str, Any]]) -> None:
    """Raise GuardError if more than `max_skip` of the rows were skipped, with the commonest reason."""
    done = list(receipts)
    total, skipped = sum(r["rows"] for r in done), Counter[str]()
    for receipt in done:
        skipped.update(receipt["skipped"])
    lost = sum(skipped.values())
    if not total or lost / total <= max_skip:
        return
    reason, count = skipped.most_common(1)[0]
    missing = reason.removeprefix("missing_column_") if reason.startswith("missing_column_") else ""
    columns = next(receipt["columns"] for receipt in done if receipt["skipped"].get(reason))
    detail = next((f", e.g. {r['details'][reason]}" for r in done if r.get("details", {}).get(reason)), "")
    cause = (
        f"missing column {missing!r}, the rows have {', '.join(columns)}"
        if missing
        else f"{reason} ({count:,}){detail}"
    )
    raise GuardError(
        source,
        f"{lost:,} of {total:,} rows ({lost / total:.1%}) gave no pair, most of them: {cause}",
        f"at most max_skip {max_skip:.1%}",
        f"look at the rows with: curate show {source} --skipped; if they may go, raise max_skip for {source}",
    )
