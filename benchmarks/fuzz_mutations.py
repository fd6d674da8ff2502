"""Mutations: of bytes, of rows, of tables, and of what archives hold. All of them are functions of a generator."""

import copy
import io
import json
import random
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa

Path = tuple[Any, ...]

# ----------------------------------------------------------------------------------------------------------- bytes

HEADS = (
    b"\x1f\x8b\x08", b"PK\x03\x04", b"PAR1", b"ARROW1\0\0", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xfe\xff", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n", b"[", b"{", b"\0\0\0", b'"',
    b"<?xml?>", b"BZh9", b"\xff\xfe\0\0", b"\n", b",", b"\r\n", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0",
)  # fmt: skip


def _place(rng: random.Random, data: bytes) -> int:
    """A place in the bytes: more often near their ends, where headers and directories are."""
    edge = rng.choice((len(data), len(data), min(40, len(data))))
    return rng.randrange(edge + 1) if rng.random() < 0.7 else len(data) - rng.randrange(edge + 1)


def flip(rng: random.Random, data: bytes) -> bytes:
    """Some bytes become others."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if out:
            out[min(_place(rng, data), len(out) - 1)] = rng.randrange(256)
    return bytes(out)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is lost."""
    return data[: _place(rng, data)]


def drop(rng: random.Random, data: bytes) -> bytes:
    """A piece is lost."""
    at = _place(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 7, 100)) :]


def insert(rng: random.Random, data: bytes) -> bytes:
    """Foreign bytes come in."""
    at = _place(rng, data)
    return (
        data[:at]
        + (rng.choice(HEADS) if rng.random() < 0.5 else rng.randbytes(rng.choice((1, 4, 60))))
        + data[at:]
    )


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A piece comes several times."""
    at, size = _place(rng, data), rng.choice((1, 5, 80, len(data)))
    return data[:at] + data[at : at + size] * rng.choice((2, 3, 40)) + data[at + size :]


def zero(rng: random.Random, data: bytes) -> bytes:
    """A piece is overwritten by zeros."""
    at, size = _place(rng, data), rng.choice((1, 4, 64))
    piece = data[at : at + size]
    return data[:at] + bytes(len(piece)) + data[at + size :]


def head(rng: random.Random, data: bytes) -> bytes:
    """The file begins like another kind of file."""
    mark = rng.choice(HEADS)
    return mark + (data[len(mark) :] if rng.random() < 0.5 else data)


def empty(rng: random.Random, data: bytes) -> bytes:
    """Nothing, or nearly nothing, is left."""
    return rng.choice((b"", b"\n", b" ", b"[]", b"{}", b"null", b"[[]]", b"\0", data[:1]))


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip, flip, flip, flip, cut, cut, drop, insert, insert, repeat, zero, zero, head, empty,
)  # fmt: skip


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to three mutations of the bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(BYTES)(rng, data)
    return data


def mutate_line(rng: random.Random, data: bytes) -> bytes:
    """One line of a text, but its first and last, changed within itself."""
    lines = data.split(b"\n")
    if len(lines) < 4:
        return data
    at = rng.randrange(1, len(lines) - 2)
    lines[at] = mutate_bytes(rng, lines[at]).replace(b"\n", b" ").replace(b"\r", b" ")
    return b"\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ rows

TEXTS = (
    "", " ", "\0", "\x1b[31mred\x1b[0m", "\ud800", "a\udcffb", "\u200b", "\u202e", "e\u0301", "NaN", "null",
    "None", "<image>", "<image><image>", "<image 3>", "<image_" + "9" * 5000 + ">", "<image_²>", "<image1>",
    "<video>", "<|image_1|>", "1e400", "-0", "１７", "²", "true", "[[A>B]]", "tie", "\n\nHuman: a\n\nAssistant:",
    "\n\nAssistant: b", "data:image/png;base64,", "data:image/png;base64,é", "iVBORw0KGgo", "/9j/" + "A" * 80,
    "A" * 200, "http://x/y.png", "../../etc/passwd", "/abs/1.png", "C:\\x.png", "pics/\ud8001.png", "a\0b.png",
    "x" * 5000 + ".png", "{", "[]", "[1]", '{"name": "f"}', "[" * 400, "\r\n", "\u2028", "\x85", "=cmd()", "٣",
    "inf", "1_000", "0x10", "..", ".", "/", "//", "a/../b.png", "\U0001f4a9" * 3, "@DEEP@", "@NESTED@", "@DIGITS@",
    "@HUGE@",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 17, -3, 100, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1,
    0.0, -0.0, 0.5, 1.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
SHAPES: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None], [{}], [""], {"": None}, {"bytes": None, "path": None}, [[], []],
    {"path": ""}, {"role": "user", "content": None}, [{"role": "assistant", "content": "x"}], {"type": "image"},
    [{"type": "image", "image": None}], {"from": "human", "value": 3}, {"bytes": {"bytes": {"path": "x"}}},
    [1, "a", None, {}], {"url": "x"}, {"type": "tool_use", "name": "f", "input": []}, [["a", "b"]], [[1], [2]],
    {"bytes": "x", "path": 3}, {"role": [], "content": {}}, {"role": "user", "content": [{"type": []}]},
    {"tool_calls": [{"function": {"name": "f", "arguments": [1]}}], "role": "assistant", "content": None},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": None}]},
)  # fmt: skip
OTHER: tuple[Any, ...] = (
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"abc",
    [("a", 1)],
    [("role", "user")],
    ("a",),
)
"""Values that only Parquet and Arrow hold: bytes, and maps, which are lists of tuples."""

KEYS = (
    "image", "images", "img", "video", "score", "chosen_score", "score_rejected", "tools", "tool_calls", "margin",
    "system", "input", "role", "content", "function_call", "reasoning_content", "bytes", "type", "text", "x", "",
    "naïve", "a.b", "prompt", "chosen", "rejected", "group", "messages", "winner", "@", "a\nb", "\x1b[1mx",
    "\ud83d", "id", "columns", "category", "license", "annotator", "from", "value", "name", "tool_call_id",
    "arguments", "extra",
)  # fmt: skip


def paths(value: Any, here: Path = ()) -> list[Path]:
    """All places in a value, the top excluded."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in [(*here, key), *paths(item, (*here, key))]]


def at(value: Any, path: Path) -> Any:
    """The value at a place."""
    for key in path:
        value = value[key]
    return value


def weird(rng: random.Random, *, other: bool) -> Any:
    """A value that nobody expects; with `other` one that JSON does not have, at times."""
    pools: list[tuple[Any, ...]] = [TEXTS, NUMBERS, SHAPES]
    return copy.deepcopy(rng.choice(rng.choice([*pools, OTHER] if other else pools)))


def _edit(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(TEXTS) + text[place + rng.choice((0, 0, 1, 5)) :]


def mutate_value(rng: random.Random, value: Any, *, other: bool) -> Any:
    """The value changed: replaced, wrapped, repeated, emptied, as JSON text, edited."""
    kind = rng.randrange(8)
    if kind == 0 and isinstance(value, str):
        return _edit(rng, value)
    if kind == 1:
        return [value] if rng.random() < 0.5 else {rng.choice(KEYS): value}
    if kind == 2 and isinstance(value, list):
        return rng.choice(([], value * 3, value[::-1], value[:-1], [*value, None], [value, value]))
    if kind == 3 and isinstance(value, dict | list):
        return rng.choice((json.dumps(value, default=repr), list(value), dict.fromkeys(map(str, value))))
    if kind == 4:
        return str(value) if not isinstance(value, str) else value.encode("utf-8", "replace") if other else [value]
    if kind == 5:
        return None
    return weird(rng, other=other)


def mutate_row(rng: random.Random, row: dict[str, Any], *, other: bool = False) -> dict[str, Any]:
    """A copy of the row with one to four mutations somewhere in it."""
    row = copy.deepcopy(row)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = paths(row)
        if not places or rng.random() < 0.1:
            row[rng.choice(KEYS)] = weird(rng, other=other)
            continue
        path = rng.choice([path for path in places if len(path) == 1] if rng.random() < 0.4 else places)
        holder, key = at(row, path[:-1]), path[-1]
        kind = rng.randrange(10)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = holder.pop(key)
        elif kind == 2:
            holder[key] = copy.deepcopy(at(row, rng.choice(places)))
        elif kind == 3 and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = weird(rng, other=other)
        else:
            holder[key] = mutate_value(rng, holder[key], other=other)
    return row


# ---------------------------------------------------------------------------------------------------------- tables

FAR = 2**62
TYPES: tuple[pa.DataType, ...] = (
    pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.int8(), pa.uint64(),
    pa.float16(), pa.float64(), pa.bool_(), pa.decimal128(10, 2), pa.decimal256(50, 2), pa.date32(), pa.date64(),
    pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.timestamp("us", "Mars/Olympus"), pa.time32("s"),
    pa.time64("ns"), pa.duration("ms"), pa.null(), pa.dictionary(pa.int8(), pa.string()),
    pa.month_day_nano_interval(), pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_view(pa.string()),
    pa.list_(pa.string(), 2), pa.map_(pa.string(), pa.int64()), pa.struct([("a", pa.timestamp("s"))]),
    pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())])), pa.struct([]),
    pa.run_end_encoded(pa.int32(), pa.string()),
)  # fmt: skip
FILLS: tuple[Any, ...] = (0, 1, "x", b"\xff\xfe", [], ["a", "b"], {"a": 1}, [("a", 1)], True, None, 1.5)


def _column(rng: random.Random, rows: int) -> pa.Array:
    """A column of some type, with values that it can hold, far ones among them."""
    kind = rng.choice(TYPES)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind) and rng.random() < 0.5:
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        far = 2**31 - 1 if kind.bit_width == 32 else FAR
        return pa.array([rng.choice((0, far, -far, None)) for _ in range(rows)], whole).view(kind)
    for fill in rng.sample(FILLS, len(FILLS)):
        try:
            return pa.array([fill if rng.random() < 0.8 else None for _ in range(rows)], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    return pa.nulls(rows, kind)


def _spoiled(column: pa.Array) -> pa.Array:
    """The text column with a first value that is no UTF-8."""
    values = column.view(pa.binary()).to_pylist()
    return pa.array([b"\xff\xfe\xff", *values[1:]], pa.binary()).view(pa.string())


def mutate_table(rng: random.Random, table: pa.Table) -> pa.Table:
    """A column lost, renamed, retyped, doubled, added, or with a value that is no UTF-8."""
    table = table.combine_chunks()
    for _ in range(rng.choice((1, 1, 2))):
        if not table.num_columns:
            return table
        i, kind = rng.randrange(table.num_columns), rng.randrange(8)
        name, column = table.column_names[i], table.column(i)
        column = column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
        if kind == 0:
            table = table.remove_column(i)
        elif kind == 1:
            table = table.set_column(i, rng.choice(KEYS).replace("\ud83d", "s"), column)
        elif kind in (2, 3):
            table = table.set_column(i, name, _column(rng, table.num_rows))
        elif kind == 4:
            table = table.append_column(rng.choice(KEYS).replace("\ud83d", "s"), _column(rng, table.num_rows))
        elif kind == 5 and pa.types.is_string(column.type):
            table = table.set_column(i, name, _spoiled(column))
        else:
            table = _cast(rng, table, i)
    return table


def _cast(rng: random.Random, table: pa.Table, i: int) -> pa.Table:
    kinds = rng.sample(TYPES, 6)
    for kind in kinds:
        try:
            return table.set_column(i, table.column_names[i], table.column(i).cast(kind))
        except (pa.ArrowException, ValueError, TypeError, KeyError):
            continue
    return table


# -------------------------------------------------------------------------------------------------------- archives

NAMES = (
    "../x.jsonl", "/abs.jsonl", "a\\b.jsonl", "C:/x.jsonl", "__MACOSX/._a.jsonl", ".hidden.jsonl", "é.jsonl",
    "e\u0301.jsonl", "a//b.jsonl", "./a.jsonl", "d/", "x" * 300 + ".jsonl", "\U0001f4a9.jsonl", "a\nb.jsonl",
    "\x1b[1m.jsonl", "rows.JSONL", "rows.jsonl.bak", "rows", "a/b/c/rows.jsonl", "..", "rows.jsonl.gz", "rows.zip",
    "...jsonl", " .jsonl", "rows\udcff.jsonl",
)  # fmt: skip


def odd_archive(rng: random.Random, members: dict[str, bytes], container: str) -> bytes:
    """An archive of the members with odd names, doubled ones, links, and directories among them."""
    items = [(rng.choice(NAMES) if rng.random() < 0.4 else name, data) for name, data in members.items()]
    items += [(rng.choice(NAMES), rng.choice(items)[1]) for _ in range(rng.randrange(3))]
    stream = io.BytesIO()
    if container == "tar":
        with tarfile.open(fileobj=stream, mode="w", format=rng.choice((0, 1, 2)), errors="surrogateescape") as tar:
            for name, data in items:
                info = tarfile.TarInfo(name)
                info.type = rng.choice(
                    (tarfile.REGTYPE,) * 6 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)
                )
                info.linkname = rng.choice(("../x", "rows.jsonl", ""))
                info.size = len(data) if info.isreg() else 0
                try:
                    tar.addfile(info, io.BytesIO(data))
                except (ValueError, UnicodeError):  # ustar cannot hold the name
                    continue
        return stream.getvalue()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(stream, "w") as file:  # doubled names are meant
        for name, data in items:
            entry = zipfile.ZipInfo(name.encode("utf-8", "replace").decode(), (2024, 1, 1, 0, 0, 0))
            entry.external_attr = rng.choice((0, 0, 0, 0o120777 << 16))
            entry.extra = rng.choice((b"", b"", b"\1\0\x08\0" + bytes(8), b"\1\0"))
            method = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
            )
            file.writestr(entry, data, compress_type=method)
    return stream.getvalue()
