"""Raw files as streams of rows: JSONL, JSON lists, CSV and Parquet, plain, gzip or zstd, also inside archives.

Large files are cut into slices that workers read side by side: plain JSONL by bytes, Parquet by row groups.
Compressed files, JSON lists and CSV have no safe cut and are one slice each.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from isal import igzip
from isal.igzip_lib import IsalError

from curate.engines.base import tick
from curate.errors import RawError
from curate.rawfiles import archives
from curate.sources.base import Row, RowFile, Source

CHUNK = 1 << 20
SLICE_BYTES = 64 << 20
BATCH_ROWS = 256  # a Parquet batch may hold images, so it stays small

NOT_JSON = "not_json"
DAMAGED: tuple[type[Exception], ...] = (
    gzip.BadGzipFile,
    cast(type[Exception], IsalError),  # its stub calls the class an instance
    zstandard.ZstdError,
)


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


def row_files(source: Source, raw: Path, options: Any) -> list[RowFile]:
    """The files of a source that hold rows, sorted. Raises RawError for a pattern that matches nothing."""
    if not raw.is_dir():
        raise RawError(
            str(raw),
            "no such directory",
            f"the raw files of {source.repo}",
            "curate fetch brings them; or give their parent folder with --raw",
        )
    if source.row_files is not None:
        return source.row_files(raw, options)
    found: list[RowFile] = []
    for pattern in source.files:
        found.extend(_match(raw, pattern))
    return found


def _match(raw: Path, pattern: str) -> list[RowFile]:
    path_pattern, _, member_pattern = pattern.partition("!")
    paths = sorted(path for path in raw.glob(path_pattern) if path.is_file())
    files = [
        RowFile(path=path, member=member)
        for path in paths
        for member in (archives.members(path, member_pattern) if member_pattern else [""])
    ]
    if not files:
        there = sorted(path.name for path in raw.iterdir())[:5]
        raise RawError(
            str(raw), f"no file matches {pattern}", "", f"the folder holds {', '.join(there) or 'nothing'}"
        )
    return files


def slices(raw: Path, files: Sequence[RowFile], target: int = SLICE_BYTES) -> list[Slice]:
    """Cut the files into slices of about `target` bytes, in file order. Reads plain JSONL once, to count lines."""
    out: list[Slice] = []
    for file in files:
        name = file.path.relative_to(raw).as_posix() + (f"!{file.member}" if file.member else "")
        size = file.path.stat().st_size
        whole = Slice(file=file, name=name, bytes=size)
        if file.member or size <= target:
            out.append(whole)
        elif _kind(name) == "jsonl":
            out.extend(_cut_lines(whole, target))
        elif _kind(name) == "parquet":
            out.extend(_cut_row_groups(whole, target))
        else:
            out.append(whole)
    return out


def _kind(name: str) -> str:
    """jsonl, json, csv or parquet, by suffix; jsonl.gz and the like keep their compression as a second word."""
    suffixes = name.lower().rsplit("/", 1)[-1].split(".")[1:]
    packed = suffixes.pop() if suffixes and suffixes[-1] in {"gz", "zst"} else ""
    kind = {"ndjson": "jsonl", "tsv": "csv"}.get(suffixes[-1], suffixes[-1]) if suffixes else ""
    if kind not in {"jsonl", "json", "csv", "parquet"}:
        raise RawError(
            name, "cannot tell its format from its name", ".jsonl, .json, .csv, .tsv or .parquet, .gz or .zst"
        )
    return f"{kind} {packed}" if packed else kind


def _cut_lines(whole: Slice, target: int) -> Iterator[Slice]:
    start, row, position, next_row = 0, 1, 0, 1
    with open(whole.file.path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            if position + len(chunk) - start >= target and (cut := chunk.rfind(b"\n")) >= 0:
                stop = position + cut + 1
                next_row += chunk.count(b"\n", 0, cut + 1)
                yield Slice(
                    file=whole.file, name=whole.name, bytes=stop - start, start=start, stop=stop, first_row=row
                )
                start, row = stop, next_row
                next_row += chunk.count(b"\n", cut + 1)
            else:
                next_row += chunk.count(b"\n")
            position += len(chunk)
    if start < position:
        yield Slice(
            file=whole.file, name=whole.name, bytes=position - start, start=start, stop=position, first_row=row
        )


def _cut_row_groups(whole: Slice, target: int) -> Iterator[Slice]:
    with _parquet(whole.file.path) as file:
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


def rows(part: Slice) -> Iterator[tuple[int, Row | None]]:
    """(row number, row) for each row of the slice; None for a JSONL line that is not a JSON object.

    Raises RawError where the file is truncated, or not of the format of its name.
    """
    kind, _, packed = _kind(part.name).partition(" ")
    try:
        if kind == "parquet":
            yield from _rows(part, _parquet_rows(part))
        elif kind == "csv":
            yield from _rows(part, _csv_rows(part, packed))
        elif kind == "jsonl":
            yield from _rows(part, _json_lines(part, packed))
        else:
            yield from _rows(part, _json_file(part, packed))
    except EOFError:
        raise RawError(
            part.name, "truncated: the compressed stream ends too early", "", "fetch the file again"
        ) from None
    except DAMAGED as error:
        raise RawError(part.name, f"damaged compressed data ({error})", "", "fetch the file again") from None
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RawError(
            part.name, f"not a whole Parquet file ({_first_line(error)})", "", "fetch the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise RawError(part.name, f"not UTF-8 text at byte {error.start}", "UTF-8") from None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:120]


def _rows(part: Slice, values: Iterator[Any]) -> Iterator[tuple[int, Row | None]]:
    for number, value in enumerate(values, part.first_row):
        if value is BLANK:
            continue
        if not isinstance(value, dict):
            yield number, None
            continue
        row = Row(value)
        row.file, row.context = part.name, part.file.context
        yield number, row


BLANK = object()  # an empty line: counted in row numbers, but no row


@contextmanager
def _stream(part: Slice, packed: str) -> Iterator[BinaryIO]:
    file = part.file
    raw: BinaryIO = archives.read_member(file.path, file.member) if file.member else open(file.path, "rb")  # noqa: SIM115 - closed by the with below
    with raw, io.BufferedReader(_Counted(raw), CHUNK) as counted:
        if part.start:
            raw.seek(part.start)
        if packed == "gz":
            yield cast(BinaryIO, igzip.IGzipFile(fileobj=counted))
        elif packed == "zst":
            frames = zstandard.ZstdDecompressor().stream_reader(counted, read_across_frames=True)
            yield io.BufferedReader(frames)
        else:
            yield counted


class _Counted(io.RawIOBase):
    """Ticks the bytes that are read from the file on disk, before any decompression."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        tick(bytes=len(data))
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _json_lines(part: Slice, packed: str) -> Iterator[Any]:
    last = b""
    with _stream(part, packed) as stream:
        left = (part.stop - part.start) if part.stop is not None else None
        while left is None or left > 0:
            chunk = stream.read(CHUNK if left is None else min(CHUNK, left))
            if not chunk:
                break
            left = None if left is None else left - len(chunk)
            lines = (last + chunk).split(b"\n")
            last = lines.pop()
            for line in lines:
                yield _value(line)
    if last.strip():
        value = _value(last)
        if value is None:
            raise RawError(part.name, "the last line is cut off", "a whole JSON object", "fetch the file again")
        yield value


def _value(line: bytes) -> Any:
    """The line's value; BLANK for an empty line; None where it is no JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.strip():
            return BLANK
        try:  # the standard library takes NaN and lone surrogates, which real rows contain
            return json.loads(line)
        except ValueError:
            return None


def _json_file(part: Slice, packed: str) -> Iterator[Any]:
    """A list of objects, streamed; or, in a .json file that starts with `{`, one object a line."""
    with _stream(part, packed) as stream:
        head = stream.read(CHUNK).lstrip()
    if head.startswith(b"["):
        return _json_list(part, packed)
    if head.startswith(b"{"):
        return _json_lines(part, packed)
    raise RawError(part.name, "starts with neither [ nor {", "a JSON list of objects, or one object a line")


def _json_list(part: Slice, packed: str) -> Iterator[Any]:
    decode = json.JSONDecoder().raw_decode
    with _stream(part, packed) as raw, io.TextIOWrapper(raw, encoding="utf-8") as stream:
        buffer, position, ended = stream.read(CHUNK).lstrip()[1:], 0, False
        while True:
            while position < len(buffer) and buffer[position] in " \t\r\n,":
                position += 1
            if position < len(buffer) and buffer[position] == "]":
                return
            try:
                value, position = decode(buffer, position)
                if position == len(buffer) and not ended:  # a number or word may go on in the next chunk
                    raise ValueError
            except ValueError:
                more = stream.read(max(CHUNK, len(buffer) - position))
                if not more:
                    raise RawError(part.name, "the JSON list is cut off or malformed", "a closing ]") from None
                buffer, position = buffer[position:] + more, 0
                continue
            yield value


def _csv_rows(part: Slice, packed: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    delimiter = "\t" if ".tsv" in part.name.lower() else ","
    with _stream(part, packed) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
        yield from csv.DictReader(stream, delimiter=delimiter)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise RawError(
            path.name, f"not a whole Parquet file ({_first_line(error)})", "", "fetch the file again"
        ) from None


def _parquet_rows(part: Slice) -> Iterator[dict[str, Any]]:
    if part.file.member:
        with archives.read_member(part.file.path, part.file.member) as stream:
            file = pq.ParquetFile(io.BytesIO(stream.read()))
    else:
        file = _parquet(part.file.path)
    with file:
        groups = list(range(part.start, file.num_row_groups if part.stop is None else part.stop))
        total = sum(file.metadata.row_group(i).num_rows for i in groups)
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups):
            tick(bytes=part.bytes * batch.num_rows // total)
            yield from batch.to_pylist()
