"""One slice of raw rows -> one part of a pairs artefact; runs in a worker.

part-00000.parquet   pairs with their key columns (curate.schema.PAIRS_FILE)
skips-00000.parquet  rows that gave no pair: row, reason, detail
part-00000.json      the part's receipt, written last: the part is finished
"""

import functools
import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.arrays import I64
from curate.checksums import Following, Stamp, hash_file, record, stamp, write_record
from curate.engines.base import tick
from curate.errors import GuardError, RawError, SkipRow
from curate.pairs.batches import GivenRow, Places, Provenance, places_of, tables_of, tabulated
from curate.pairs.column_account import check_columns, column_use
from curate.pairs.resolver import Resolver, finder_of, store_of
from curate.pairs.row_groups import RowGroups
from curate.rawfiles.bad_rows import TOO_DEEP, BadRow
from curate.rawfiles.media_finder import MediaSpec
from curate.rawfiles.rows import Piece, Slice, pieces, row_pieces
from curate.schema import PAIRS_FILE, Media
from curate.sources.base import Draft, Row, Source
from curate.sources.by_columns.base import DraftColumns, Misfit, RowBatch
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
    strict_images: bool
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
    def work(self) -> int:
        """About how many bytes of text are to be read: compressed text is a third of what it was."""
        return sum(part.bytes * (3 if part.name.endswith((".gz", ".zst")) else 1) for part in self.slices)

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
        with (
            store_of(task.images).writer() as writer,
            atomic(path) as temporary,
            Following(temporary, xxhash.xxh3_128()) as following,
        ):
            resolver = Resolver(finder_of(task.media), writer, task.max_pixels, strict=task.strict_images)
            part.run(temporary, resolver, following)
            xxh3 = following.digests()[0]
    except GuardError:
        part.publish_skips()  # the error sends the user to them
        raise
    skips = part.publish_skips()
    for file in task.inputs:
        file.check()
    listed = {"file": skips.name, "xxh3": hash_file(skips)}
    receipt = {**part.receipt(path), "xxh3": xxh3, "skips": listed}
    write_record(task.receipt, receipt)
    return receipt


class _Part:
    """The work on one slice: rows in, pairs and skips out, every row counted once."""

    def __init__(self, task: SliceTask) -> None:
        self.task = task
        self.rows = self.gave = self.pairs = 0
        self.few = True  # so far there were fewer than FIRST_ROWS
        self.skips: list[dict[str, str]] = []
        self.use = column_use(task.source)
        self.stamp = Provenance(
            source=task.name, license=task.license, annotator=task.source.annotator, revision=task.revision
        )

    def run(self, path: Path, resolve: Any, following: Following) -> None:
        task = self.task
        with pq.ParquetWriter(path, PAIRS_FILE, **PARQUET) as file:
            groups = RowGroups(file, FLUSH_PAIRS)
            for part in task.slices:
                for piece in (
                    pieces(part, self.use, task.source.types)
                    if task.source.columns
                    else row_pieces(part, self.use)
                ):
                    before = len(self.skips)
                    groups.add(*self._piece(part, piece, resolve))
                    following.go_on()
                    tick(rows=len(piece.numbers), skipped=len(self.skips) - before)
                    check_columns(task.source, self.use, self.rows)
                    self._check_first_rows()
            groups.end()

    def _piece(self, part: Slice, piece: Piece, resolve: Any) -> tuple[Any, I64]:
        """The pairs of a piece, and the number of the row of each."""
        found, rest = [], None
        skips: dict[int, SkipRow] = {}
        columns = self._columns(part, piece)
        if columns is not None:
            found.append(self._of_columns(part, piece.numbers[columns.fits], columns, resolve, skips))
            rest = ~columns.fits
        if rest is None or rest.any():
            found += self._of_rows(part, piece.rows(rest), resolve, skips)
        for number in sorted(skips):
            skip = skips[number]
            where = f"{part.name}:{number}"
            self.skips.append({"row": where, "reason": skip.reason, "detail": skip.detail})
        self.rows += len(piece.numbers)
        return _in_order(found)

    def _columns(self, part: Slice, piece: Piece) -> DraftColumns | None:
        """What the column function makes of a piece; None where no row fits."""
        source = self.task.source
        if source.columns is None or piece.columns is None or not len(piece.numbers):
            return None
        batch = RowBatch(columns=piece.columns, file=part.name, context=part.file.context)
        try:
            found: DraftColumns = (
                source.columns(batch, self.task.options) if source.options else source.columns(batch)
            )
        except Misfit:
            return None
        return found if found.fits.any() else None

    def _of_columns(
        self, part: Slice, numbers: I64, drafts: DraftColumns, resolve: Any, skips: dict[int, SkipRow]
    ) -> tuple[Any, I64]:
        """The pairs of the rows that fit; a row whose media are missing is skipped."""
        media: list[tuple[Media, ...]] = []
        sizes: list[int] = []
        for number, items in zip(numbers.tolist(), drafts.media, strict=False):
            try:
                one, size = resolve(items)
            except SkipRow as skip:
                skips[number] = skip
                one, size = (), 0
            media.append(one)
            sizes.append(size)
        places = Places(rows=places_of(part.name, numbers), row_of=numbers)
        table = tabulated(self.stamp, drafts, places, media, sizes)
        if skips:
            there = np.isin(numbers, list(skips), invert=True)
            table, numbers = table.filter(pa.array(there)), numbers[there]
        self.gave += len(numbers)
        self.pairs += len(numbers)
        return table, numbers

    def _of_rows(
        self, part: Slice, rows: Iterable[tuple[int, Row | BadRow]], resolve: Any, skips: dict[int, SkipRow]
    ) -> Iterator[tuple[Any, I64]]:
        """The pairs of rows that the adapter takes one by one."""
        given: list[GivenRow] = []
        for number, row in rows:
            try:
                if isinstance(row, BadRow):
                    raise SkipRow(row.reason, row.detail)
                drafts = self._drafts(row, f"{part.name}:{number}")
                if not drafts:
                    raise SkipRow("no_pairs")
                given.append(GivenRow(number, drafts, [resolve(draft.media) for draft in drafts]))
            except SkipRow as skip:
                skips[number] = skip
        for table, numbers in tables_of(self.stamp, part.name, given, skips):
            self.gave += len(np.unique(numbers))
            self.pairs += len(numbers)
            yield table, numbers

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

    def _check_first_rows(self) -> None:
        if self.few and self.rows >= FIRST_ROWS:
            self.few = False
            if len(self.skips) == self.rows:
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


def _in_order(found: Sequence[tuple[Any, I64]]) -> tuple[Any, I64]:
    """Tables of pairs as one, in the order of the rows of their pairs."""
    if len(found) == 1:
        return found[0]
    if not found:
        return PAIRS_FILE.empty_table(), np.zeros(0, np.int64)
    table = pa.concat_tables([one for one, _ in found])
    numbers = np.concatenate([numbers for _, numbers in found])
    if (np.diff(numbers) >= 0).all():
        return table, numbers
    order = np.argsort(numbers, kind="stable")
    return table.take(pa.array(order)), numbers[order]


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
