"""Rows of Parquet and Arrow files as plain Python values; only the columns that are read are converted.

Decimals become floats; dates, times and durations become text as Arrow writes it (ISO 8601). A value that Python
cannot hold, and text that is not UTF-8, spoils its row only.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from curate.arrow_compute import pc
from curate.engines.base import tick
from curate.errors import RawError
from curate.rawfiles.bad_rows import CELL_UNREADABLE, BadRow
from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.foreign import refuse_foreign
from curate.rawfiles.streams import HEAD_BYTES, as_stream, head_of, unpacked
from curate.sources.base import RowFile

BATCH_ROWS = 256  # a batch may hold images, so it stays small
COLUMN_ROWS, COLUMN_BYTES = 1024, 16 << 20
"""The most rows of a batch that is read by columns, and about the most bytes of one with more than BATCH_ROWS."""
PACKED_BYTES = 4 << 30
"""The largest Parquet or Arrow file inside an archive or gzip: it is held in memory."""
_DATE = re.compile(r"\d{4}-")  # years that Python knows
UNREADABLE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OverflowError, ValueError)


@contextmanager
def damage_named(name: str, kind: str) -> Iterator[None]:
    """Raise RawError for Arrow's errors inside the block: the file is of another format, or not whole.

    Damaged sizes may ask for more memory than there is (an ArrowException too), damaged names are not UTF-8.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        found = f"not a whole {kind} file ({str(error).splitlines()[0][:120]})"
        raise RawError(name, found, "", "fetch the file again") from None


@contextmanager
def opened(name: str, file: RowFile, packed: str) -> Iterator[Any]:
    """The path of the file; or, if it is compressed or in an archive, its bytes as a file in memory.

    Raises RawError for a file that holds no rows.
    """
    if not (file.member or packed):
        refuse_foreign(name, head_of(file.path), "rows")
        yield file.path
        return
    with unpacked(file, packed) as pieces:
        data = as_stream(pieces).read(PACKED_BYTES + 1)
    if len(data) > PACKED_BYTES:
        raise RawError(name, "too large to be held in memory", f"at most {PACKED_BYTES >> 30} GB", "unpack it")
    refuse_foreign(name, data[:HEAD_BYTES], "rows")
    yield pa.BufferReader(data)


def parquet_rows(
    name: str, file: RowFile, packed: str, groups: tuple[int, int | None], size: int, use: ColumnUse
) -> Iterator[dict[str, Any] | BadRow]:
    """The rows of the row groups from the first to before the second (None: to the last one)."""
    for batch in parquet_batches(name, file, packed, groups, size, use, BATCH_ROWS):
        yield from rows_of(batch, use)


def parquet_batches(
    name: str,
    file: RowFile,
    packed: str,
    groups: tuple[int, int | None],
    size: int,
    use: ColumnUse,
    most: int = COLUMN_ROWS,
) -> Iterator[Any]:
    """The columns that are read, of row groups as `parquet_rows`; batches have at most so many rows, or bytes."""
    with opened(name, file, packed) as place, damage_named(name, "Parquet"), pq.ParquetFile(place) as parquet:
        chosen = list(range(groups[0], parquet.num_row_groups if groups[1] is None else groups[1]))
        facts = [parquet.metadata.row_group(i) for i in chosen]
        total = sum(group.num_rows for group in facts)
        row = sum(group.total_byte_size for group in facts) // max(total, 1)
        names = parquet.schema_arrow.names
        _check_names(name, names)
        use.see(names)
        columns = [column for column in names if column in use.wanted(names) or column in use.watched]
        count = max(min(most, COLUMN_BYTES // max(row, 1)), BATCH_ROWS)
        for batch in parquet.iter_batches(count, row_groups=chosen, columns=columns, use_threads=False):
            tick(bytes=size * batch.num_rows // total)
            yield batch


def arrow_rows(
    name: str, file: RowFile, packed: str, size: int, use: ColumnUse
) -> Iterator[dict[str, Any] | BadRow]:
    """The rows of an Arrow file or stream, as `datasets` saves them."""
    with opened(name, file, packed) as place, damage_named(name, "Arrow"):
        tick(bytes=size)
        with pa.memory_map(str(place)) if isinstance(place, Path) else place as stream:
            is_file = stream.read(6) == b"ARROW1"
            stream.seek(0)
            for batch in _file_batches(stream) if is_file else pa.ipc.open_stream(stream):
                _check_names(name, batch.schema.names)
                use.see(batch.schema.names)
                batch.validate()
                for column in {*use.wanted(batch.schema.names), *use.watched} & {*batch.schema.names}:
                    _check_inside(batch.column(column))
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield from rows_of(batch.slice(start, BATCH_ROWS), use)


def _check_inside(array: Any) -> None:
    """Raise ArrowInvalid where an offset or index of the column is damaged: Arrow would read whatever is there.

    Parquet needs no such check: its reader makes the offsets itself.
    """
    array = array.storage if isinstance(array.type, pa.BaseExtensionType) else array
    if pa.types.is_dictionary(array.type):
        array.validate()
        _check_inside(array.dictionary)
        pa.DictionaryArray.from_arrays(array.indices, pa.nulls(len(array.dictionary))).validate(full=True)
        return
    with suppress(pa.ArrowException):  # Arrow has no such view of unions and of dictionaries inside lists
        array = array.view(_with_leaves(array.type, _as_stored))
    array.validate(full=True)  # text that is not UTF-8, and dates out of range, spoil their rows only


def _check_names(name: str, columns: Sequence[str]) -> None:
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise RawError(name, f"has the column {', '.join(twice)} twice", "a name of its own for each column")


def _file_batches(stream: Any) -> Iterator[Any]:
    reader = pa.ipc.open_file(stream)
    return (reader.get_batch(i) for i in range(reader.num_record_batches))


def rows_of(batch: Any, use: ColumnUse) -> Iterator[dict[str, Any] | BadRow]:
    """The rows of a batch."""
    for name in use.watched:
        if name in batch.schema.names:
            use.filled[name] += _filled(batch.column(name))
    wanted, bad = use.wanted(batch.schema.names), dict[int, str]()
    values = [_values(batch.column(name), name, bad) for name in wanted]
    rows = zip(*values, strict=True) if wanted else itertools.repeat((), batch.num_rows)
    if not bad:
        yield from (dict(zip(wanted, row, strict=True)) for row in rows)
        return
    for place, row in enumerate(rows):
        yield BadRow(CELL_UNREADABLE, bad[place]) if place in bad else dict(zip(wanted, row, strict=True))


def _filled(array: Any) -> int:
    """How many values are neither null, nor an empty text or list."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return int(pc.sum(pc.greater(pc.binary_length(array), 0)).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return int(pc.sum(pc.greater(pc.list_value_length(array), 0)).as_py() or 0)
    return len(array) - int(array.null_count)


def _values(array: Any, name: str, bad: dict[int, str]) -> list[Any]:
    """The values of a column; one that cannot be read is None, and why is noted in `bad` by its place."""
    array = _known_zone(array.storage if isinstance(array.type, pa.BaseExtensionType) else array)
    kind = _plain(array.type)
    if kind == array.type or not _is_date(array.type):
        try:
            return cast(list[Any], (array if kind == array.type else array.cast(kind)).to_pylist())
        except UNREADABLE:
            pass
    return [_value(array.slice(place, 1), kind, place, name, bad) for place in range(len(array))]


def _value(cell: Any, kind: Any, place: int, name: str, bad: dict[int, str]) -> Any:
    try:
        value = cell.cast(kind)[0].as_py()
        if value is None or not _is_date(cell.type) or _DATE.match(value):
            return value
        found = "a date out of range"
    except UnicodeDecodeError:
        found = "not UTF-8"
    except UNREADABLE as error:
        found = str(error).splitlines()[0][:80]
    bad.setdefault(place, f"{name}: {found}")
    return None


def _is_date(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _known_zone(array: Any) -> Any:
    """The array; timestamps in a time zone that this machine does not know, in UTC."""
    if pa.types.is_timestamp(array.type) and array.type.tz:
        try:
            pa.array([0], array.type).cast(pa.string())
        except pa.ArrowInvalid:
            return array.cast(pa.timestamp(array.type.unit))
    return array


def _plain(kind: Any) -> Any:
    """The type to which a column is cast so that its values are numbers, text, bytes, lists and dicts."""
    return _with_leaves(kind, _plain_leaf)


def _plain_leaf(kind: Any) -> Any:
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_temporal(kind):
        return pa.string()
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _as_stored(kind: Any) -> Any:
    """The type of bytes or numbers in which texts, dates, times and decimals are stored; any other as it is."""
    texts = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    if pa.types.is_decimal(kind):
        return pa.binary(kind.byte_width)
    if pa.types.is_temporal(kind):
        return {32: pa.int32(), 64: pa.int64()}.get(kind.bit_width, kind)
    return texts.get(kind, kind)


def _with_leaves(kind: Any, leaf: Callable[[Any], Any]) -> Any:
    """The type with `leaf` applied to the types inside its lists, structs and maps, or to itself."""
    if isinstance(kind, pa.BaseExtensionType):
        return _with_leaves(kind.storage_type, leaf)
    if pa.types.is_struct(kind):
        inside = (kind.field(i) for i in range(kind.num_fields))
        return pa.struct([field.with_type(_with_leaves(field.type, leaf)) for field in inside])
    if pa.types.is_map(kind):
        return pa.map_(_with_leaves(kind.key_type, leaf), _with_leaves(kind.item_type, leaf))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_with_leaves(kind.value_type, leaf)), kind.list_size)
    for is_list, made in LISTS:
        if is_list(kind):
            return made(kind.value_field.with_type(_with_leaves(kind.value_type, leaf)))
    return leaf(kind)


LISTS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list), (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)  # fmt: skip
