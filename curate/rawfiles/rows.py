"""Raw files as streams of rows: JSON, CSV, Parquet and Arrow, plain, gzip or zstd, also inside archives.

Large files are cut into slices that workers read side by side: plain JSONL by bytes, Parquet by row groups.
Compressed files, JSON lists, CSV and Arrow have no safe cut and are one slice each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.arrays import B8, I64
from curate.errors import RawError
from curate.rawfiles.arrow_rows import arrow_rows, damage_named, parquet_batches, parquet_rows, rows_of
from curate.rawfiles.bad_rows import NOT_JSON, BadRow
from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.csv_rows import csv_rows
from curate.rawfiles.foreign import refuse_foreign
from curate.rawfiles.json_columns import FlatColumns, line_blocks
from curate.rawfiles.json_rows import BLANK, is_lines, is_list, json_lines, json_values, line_ends, value_of
from curate.rawfiles.streams import CHUNK, DAMAGED, as_stream, encoding_of, head_of, utf8
from curate.rawfiles.typed_json import TypedLines
from curate.sources.base import Row, RowFile

SLICE_BYTES = 64 << 20
KINDS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "tsv": "csv"} | {
    "parquet": "parquet",
    "arrow": "arrow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Part of a row file: byte range (JSONL), row groups (Parquet) or all of it (stop None).

    `first_row` is the 1-based number of its first row; `name` is the file as users see it.
    """

    file: RowFile
    name: str
    bytes: int
    start: int = 0
    stop: int | None = None
    first_row: int = 1


def slices(raw: Path, files: Sequence[RowFile], target: int = SLICE_BYTES) -> list[Slice]:
    """Cut the files into slices of about `target` bytes, in file order. Reads plain JSONL once, to count lines."""
    out: list[Slice] = []
    for file in files:
        name = file.path.relative_to(raw).as_posix() + (f"!{file.member}" if file.member else "")
        size = file.path.stat().st_size
        whole = Slice(file=file, name=name, bytes=size)
        kind = kind_of(name)
        if file.member or size <= target:
            out.append(whole)
        elif kind == ("jsonl", "") and _has_lines(name, head_of(file.path)):
            out.extend(_cut_lines(whole, target))
        elif kind == ("parquet", ""):
            out.extend(_cut_row_groups(whole, target))
        else:
            out.append(whole)
    return out


def kind_of(name: str) -> tuple[str, str]:
    """(jsonl, json, csv, parquet or arrow; "", gz or zst), by the suffixes of the name."""
    suffixes = name.lower().rsplit("/", 1)[-1].split(".")[1:]
    packed = suffixes.pop() if suffixes and suffixes[-1] in {"gz", "zst"} else ""
    kind = KINDS.get(suffixes[-1]) if suffixes else None
    if kind is None:
        raise RawError(
            name, "cannot tell its format from its name", f".{', .'.join(KINDS)}, each also with .gz or .zst"
        )
    return kind, packed


def _has_lines(name: str, head: bytes) -> bool:
    """Whether a .jsonl file may be cut at its line breaks."""
    refuse_foreign(name, head, "rows")
    return encoding_of(name, head) == "utf-8" and not is_list(head)


def _cut_lines(whole: Slice, target: int) -> Iterator[Slice]:
    start, row, position, next_row = 0, 1, 0, 1
    with open(whole.file.path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            ends = line_ends(chunk)
            next_row += len(ends)
            if position + len(chunk) - start >= target and len(ends):
                stop = position + int(ends[-1]) + 1
                yield Slice(
                    file=whole.file, name=whole.name, bytes=stop - start, start=start, stop=stop, first_row=row
                )
                start, row = stop, next_row
            position += len(chunk)
    if start < position:
        yield Slice(
            file=whole.file, name=whole.name, bytes=position - start, start=start, stop=position, first_row=row
        )


def _cut_row_groups(whole: Slice, target: int) -> Iterator[Slice]:
    refuse_foreign(whole.name, head_of(whole.file.path), "rows")
    with damage_named(whole.name, "Parquet"), pq.ParquetFile(whole.file.path) as file:
        groups = [
            (g.num_rows, g.total_byte_size) for g in map(file.metadata.row_group, range(file.num_row_groups))
        ]
    total = sum(size for _, size in groups) or 1
    start, row, taken, rows = 0, 1, 0, 0
    for i, (count, size) in enumerate(groups):
        taken += size * whole.bytes // total
        rows += count
        if taken >= target or i == len(groups) - 1:
            yield Slice(file=whole.file, name=whole.name, bytes=taken, start=start, stop=i + 1, first_row=row)
            start, row, taken, rows = i + 1, row + rows, 0, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of a slice that follow each other.

    numbers   of the rows
    columns   the columns that are read, as a record batch; None where there are rows only
    rows      gives (row number, row) of the rows in a mask, all of them for None
    """

    numbers: I64
    columns: Any
    rows: Callable[[B8 | None], Iterator[tuple[int, Row | BadRow]]]


def rows(part: Slice, use: ColumnUse | None = None) -> Iterator[tuple[int, Row | BadRow]]:
    """(row number, row) for each row of the slice; a BadRow where it cannot be read.

    Columns are noted in `use`, and only those that it wants are converted where the format allows that. Raises
    RawError where the file is truncated, or not of the format of its name.
    """
    use = use or ColumnUse()
    with _damage_named(part):
        yield from _numbered(part, enumerate(_values(part, use), part.first_row))


def pieces(part: Slice, use: ColumnUse, types: Mapping[str, Any]) -> Iterator[Piece]:
    """The rows of the slice as columns where they can be read so, else one by one. Notes and raises as `rows`.

    `types` are those of nested rows of JSON (`Source.types`).
    """
    with _damage_named(part):
        kind, packed = kind_of(part.name)
        if kind == "parquet":
            yield from _parquet_pieces(part, packed, use)
        elif kind in ("jsonl", "json"):
            length = None if part.stop is None else part.stop - part.start
            with utf8(part.name, part.file, packed, part.start, length) as (head, texts):
                if _is_json_lines(part, kind, head):
                    reader = TypedLines(use, types) if types else FlatColumns(use)
                    yield from _line_pieces(part, texts, use, reader)
                else:
                    values = json_values(part.name, as_stream(texts))
                    yield from _row_pieces(part, enumerate(_noted(values, use), part.first_row))
        else:
            yield from _row_pieces(part, enumerate(_values(part, use), part.first_row))


def row_pieces(part: Slice, use: ColumnUse) -> Iterator[Piece]:
    """The rows of the slice, none of them as columns. Notes and raises as `rows`."""
    with _damage_named(part):
        yield from _row_pieces(part, enumerate(_values(part, use), part.first_row))


@contextmanager
def _damage_named(part: Slice) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise RawError(
            part.name, "truncated: the compressed stream ends too early", "", "fetch the file again"
        ) from None
    except DAMAGED as error:
        raise RawError(part.name, f"damaged compressed data ({error})", "", "fetch the file again") from None


def _numbered(part: Slice, values: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Row | BadRow]]:
    for number, value in values:
        if type(value) is dict:
            row = Row(value)
            row.file, row.context = part.name, part.file.context
            yield number, row
        elif value is BLANK:
            continue
        elif isinstance(value, BadRow):
            yield number, value
        else:
            yield number, BadRow(NOT_JSON, f"a {type(value).__name__} instead of an object")


def _noted(values: Iterable[Any], use: ColumnUse) -> Iterator[Any]:
    for value in values:
        if type(value) is dict:
            use.row(value)
        yield value


PIECE_ROWS = 1000


def _row_pieces(part: Slice, values: Iterable[tuple[int, Any]]) -> Iterator[Piece]:
    numbered = _numbered(part, values)
    while some := list(islice(numbered, PIECE_ROWS)):
        numbers = np.array([number for number, _ in some], np.int64)
        yield Piece(numbers=numbers, columns=None, rows=partial(_given, some))


def _given(some: Sequence[tuple[int, Row | BadRow]], wanted: B8 | None) -> Iterator[tuple[int, Row | BadRow]]:
    return iter(some) if wanted is None else compress(some, wanted)


def _parquet_pieces(part: Slice, packed: str, use: ColumnUse) -> Iterator[Piece]:
    number, groups = part.first_row, (part.start, part.stop)
    for batch in parquet_batches(part.name, part.file, packed, groups, part.bytes, use):
        numbers = np.arange(number, number + batch.num_rows)
        yield Piece(numbers=numbers, columns=batch, rows=partial(_batch_rows, part, batch, numbers, use))
        number += batch.num_rows


def _batch_rows(
    part: Slice, batch: Any, numbers: I64, use: ColumnUse, wanted: B8 | None
) -> Iterator[tuple[int, Row | BadRow]]:
    if wanted is not None:
        batch, numbers = batch.filter(pa.array(wanted)), numbers[wanted]
    return _numbered(part, zip(numbers.tolist(), rows_of(batch, use), strict=True))


def _line_pieces(
    part: Slice, texts: Iterable[bytes], use: ColumnUse, reader: FlatColumns | TypedLines
) -> Iterator[Piece]:
    number = part.first_row
    for block in line_blocks(part.name, texts):
        columns = reader.read(block)
        if columns is None:
            alone = part.start == 0 and number == part.first_row
            values = _noted(json_lines(part.name, [block], begins=alone), use)
            values = reader.learned(values) if isinstance(reader, FlatColumns) else values
            yield from _row_pieces(part, enumerate(values, number))
            number += block.count(b"\n")
            continue
        numbers = np.arange(number, number + columns.num_rows)
        yield Piece(numbers=numbers, columns=columns, rows=partial(_block_rows, part, block, numbers, use))
        number += columns.num_rows


def _block_rows(
    part: Slice, block: bytes, numbers: I64, use: ColumnUse, wanted: B8 | None
) -> Iterator[tuple[int, Row | BadRow]]:
    lines: Iterable[bytes] = block.split(b"\n")[:-1]
    if wanted is not None:
        lines, numbers = compress(lines, wanted), numbers[wanted]
    return _numbered(part, zip(numbers.tolist(), _noted(map(value_of, lines), use), strict=True))


def _values(part: Slice, use: ColumnUse) -> Iterator[Any]:
    kind, packed = kind_of(part.name)
    if kind == "parquet":
        yield from parquet_rows(part.name, part.file, packed, (part.start, part.stop), part.bytes, use)
    elif kind == "arrow":
        yield from arrow_rows(part.name, part.file, packed, part.bytes, use)
    else:
        yield from _noted(_text_values(part, kind, packed), use)


def _text_values(part: Slice, kind: str, packed: str) -> Iterator[Any]:
    length = None if part.stop is None else part.stop - part.start
    with utf8(part.name, part.file, packed, part.start, length) as (head, pieces):
        if kind == "csv":
            yield from csv_rows(part.name, as_stream(pieces), "\t" if ".tsv" in part.name.lower() else ",")
        elif _is_json_lines(part, kind, head):
            yield from json_lines(part.name, pieces, begins=part.start == 0)
        else:
            yield from json_values(part.name, as_stream(pieces))


def _is_json_lines(part: Slice, kind: str, head: bytes) -> bool:
    return is_lines(head) if kind == "json" else bool(part.start) or not is_list(head)
