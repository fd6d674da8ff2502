"""Kinds of files that public bug reports name: each is read, costs the row that is at fault, or is named."""

import csv
import gzip
import io
import json
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.errors import RawError
from curate.rawfiles.bad_rows import BadRow
from curate.rawfiles.column_use import ColumnUse, matters
from curate.rawfiles.rows import rows, slices
from curate.sources.base import RowFile

ROWS = [{"prompt": "Sky?", "chosen": "Blue"}, {"prompt": "Sea?", "chosen": "Salty"}]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
PACKINGS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def read(path: Path, use: ColumnUse | None = None, member: str = "") -> list[dict | BadRow]:
    parts = slices(path.parent, [RowFile(path=path, member=member)])
    found = [row for part in parts for _, row in rows(part, use)]
    return [row if isinstance(row, BadRow) else dict(row) for row in found]


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def zipped(folder: Path, name: str, data: bytes) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return folder / "a.zip"


def fault(path: Path, member: str = "") -> str:
    with pytest.raises(RawError) as caught:
        read(path, member=member)
    return str(caught.value)


def everywhere(folder: Path, name: str, data: bytes) -> list[tuple[Path, str]]:
    """(path, member) of the same data plain, compressed twice over, and in a zip."""
    packed = [(written(folder, name + end, pack(data)), "") for end, pack in PACKINGS.items()]
    return [*packed, (zipped(folder, name + ".zst", zstandard.compress(data)), name + ".zst")]


# JSON


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS[:1]) + json.dumps(ROWS[1:]),
        json.dumps(ROWS[:1]) + "\n\n" + json.dumps(ROWS[1:], indent=2) + "\n",
        json.dumps({"data": ROWS}),
        json.dumps({"version": "1.0", "count": 2, "rows": ROWS, "more": {"data": [1]}}, indent=1),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1]),
    ],
)
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_all_its_layouts(tmp_path, text, mark):
    for path, member in everywhere(tmp_path, "a.json", text.encode(mark)):
        assert read(path, member=member) == ROWS


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_jsonl_with_a_mark_or_as_a_list(tmp_path, mark):
    begin = b"\xff\xfe" if mark == "utf-16-le" else b""
    for path, member in everywhere(tmp_path, "a.jsonl", begin + LINES.decode().encode(mark)):
        assert read(path, member=member) == ROWS
    for path, member in everywhere(tmp_path, "b.jsonl", json.dumps(ROWS, indent=2).encode()):
        assert read(path, member=member) == ROWS


def test_a_row_whose_first_column_has_the_name_of_a_wrapper_stays_a_row(tmp_path):
    row = {"data": [{"a": 1}], "chosen": "x"}
    lines = (json.dumps(row) + "\n").encode() * 2
    assert read(written(tmp_path, "a.json", lines)) == [row, row]
    assert read(written(tmp_path, "a.jsonl", lines)) == [row, row]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.zst"])
def test_two_lists_under_names_are_an_error_that_names_them(tmp_path, name):
    data = PACKINGS[name.removeprefix("a.json")](json.dumps({"train": ROWS, "test": ROWS}, indent=1).encode())
    assert (
        fault(written(tmp_path, name, data))
        == f"{name}: holds two lists, 'train' and 'test'; expected one list of objects"
    )


def test_malformed_json_is_not_called_cut(tmp_path):
    text = '[{"prompt": "Sky?"}, {"prompt": nonsense, "chosen": "' + "x" * 5000 + '"}]'
    assert fault(written(tmp_path, "a.json", text.encode())).startswith(
        'a.json: malformed JSON (Expecting value) in the value that begins \'{"prompt": nonsense'
    )
    assert fault(written(tmp_path, "a.json", text[:40].encode())).startswith("a.json: the JSON is cut off")


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_a_deep_row_costs_that_row(tmp_path, depth):
    deep = b'{"prompt": ' + b"[" * depth + b"]" * depth + b"}"
    too_deep = BadRow("too_deep", "lists and objects inside each other, hundreds of them")
    good = [json.dumps(row).encode() for row in ROWS]
    for path, member in everywhere(tmp_path, "a.jsonl", b"\n".join([good[0], deep, good[1]])):
        assert read(path, member=member) == [ROWS[0], too_deep, ROWS[1]]
    for path, member in everywhere(tmp_path, "a.json", b"[" + b",".join([good[0], deep, good[1]]) + b"]"):
        assert read(path, member=member) == [ROWS[0], too_deep, ROWS[1]]
    for path, member in everywhere(tmp_path, "b.json", b"{\n" + good[0][1:] + b"\n" + deep):
        assert read(path, member=member) == [ROWS[0], too_deep]
    assert fault(written(tmp_path, "c.json", b"[" + deep[:-3])).startswith("c.json: the JSON is cut off")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_whole_numbers_are_exact_up_to_64_bits_and_floats_beyond(tmp_path, name):
    text = f'{{"id": 1234567890123456789, "u": 18446744073709551615, "big": {"9" * 25}, "huge": {"1" * 5000}}}'
    (row,) = read(written(tmp_path, name, (text if name == "a.jsonl" else f"[{text}]").encode()))
    assert row == {"id": 1234567890123456789, "u": 18446744073709551615, "big": 1e25, "huge": float("inf")}


def test_a_byte_that_is_not_utf8_is_a_fault_of_its_cell(tmp_path):
    line = b'{"prompt": "Sky?", "agent": "caf\xe9"}'
    expected = [{"prompt": "Sky?", "agent": "caf\udce9"}]
    assert read(written(tmp_path, "a.jsonl", line + b"\n")) == expected
    assert read(written(tmp_path, "a.json", b"[" + line + b"]")) == expected
    assert read(written(tmp_path, "a.csv", b"prompt,agent\nSky?,caf\xe9\n")) == expected


def test_a_line_that_is_no_json_says_what_it_is(tmp_path):
    (bad, _) = read(written(tmp_path, "a.jsonl", b"prompt: Sky?\n" + json.dumps(ROWS[0]).encode()))
    assert bad == BadRow("not_json", "Expecting value: line 1 column 1 (char 0): prompt: Sky?")
    assert fault(written(tmp_path, "b.jsonl", b"../../blobs/abc")).startswith(
        "b.jsonl: holds no more than '../../blobs/abc'"
    )


# CSV


def table(delimiter: str, *lines: tuple[str, ...]) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(lines)
    return out.getvalue().encode()


@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", ","), ("a.csv", ",")]
)
def test_the_delimiter_is_the_one_in_the_header(tmp_path, name, delimiter):
    data = table(delimiter, ("prompt", "chosen"), ("Sky; or sea, then\t|?", "Blue"), ('He said "no"', "x\ny"))
    expected = [
        {"prompt": "Sky; or sea, then\t|?", "chosen": "Blue"},
        {"prompt": 'He said "no"', "chosen": "x\ny"},
    ]
    for path, member in everywhere(tmp_path, name, data):
        assert read(path, member=member) == expected


def test_two_possible_delimiters_leave_the_usual_one(tmp_path):
    assert read(written(tmp_path, "a.csv", b'"a;b",c\n1,2\n')) == [{"a;b": "1", "c": "2"}]
    assert read(written(tmp_path, "a.csv", b"a;b,c\n1,2\n")) == [{"a;b": "1", "c": "2"}]


def test_rows_that_do_not_fit_are_skipped_with_their_line(tmp_path):
    data = b'prompt,chosen\r\nQ1,"a\nb"\r\nQ2\r\n\r\nQ3,a,b\r\nQ4,"a"b\r\nQ5,c\r\n'
    for path, member in everywhere(tmp_path, "a.csv", data):
        assert read(path, member=member) == [
            {"prompt": "Q1", "chosen": "a\nb"},
            BadRow("cells_do_not_fit", "line 4: 1 cells, the header has 2"),
            BadRow("cells_do_not_fit", "line 6: 3 cells, the header has 2"),
            BadRow("cells_do_not_fit", "line 7: ',' expected after '\"'"),
            {"prompt": "Q5", "chosen": "c"},
        ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_an_open_quote_and_a_doubled_name_stop_the_run(tmp_path, name):
    mark = "\t" if ".tsv" in name else ","
    pack = gzip.compress if name.endswith(".gz") else bytes
    open_quote = f'prompt{mark}chosen\nQ1{mark}a\nQ2{mark}"b\nQ3{mark}c\n'
    assert fault(written(tmp_path, name, pack(open_quote.encode()))).startswith(
        f"{name}: the quote that opens in line 3 is open at the end of the file"
    )
    doubled = f"chosen{mark}prompt{mark}chosen\n1{mark}2{mark}3\n"
    assert fault(written(tmp_path, name, pack(doubled.encode()))) == (
        f"{name}: the header names chosen twice; expected a name of its own for each column"
    )


def test_columns_without_a_name_are_called_by_their_place(tmp_path):
    assert read(written(tmp_path, "a.csv", b",prompt,\n0,Q,\n")) == [
        {"column 1": "0", "prompt": "Q", "column 3": ""}
    ]


# Parquet and Arrow


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


def arrow_file(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


FORMATS = {"a.parquet": parquet, "a.arrow": stream, "b.arrow": arrow_file}


def not_utf8(*texts: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())


@pytest.mark.parametrize("name", FORMATS)
def test_values_of_every_type_are_plain(tmp_path, name):
    day = pa.array([0, 19_800], pa.int32()).cast(pa.date32())
    columns = {
        "dec": pa.array([Decimal("1.50"), None]),
        "decs": pa.array([[{"d": Decimal("0.25")}], []]),
        "day": day,
        "zone": pa.array([0, 1], pa.timestamp("ms", "Mars/Olympus")),
        "span": pa.array([90, None], pa.duration("s")),
        "dict": pa.array(["x", "y"]).dictionary_encode(),
        "dicts": pa.ListArray.from_arrays([0, 2, 2], pa.array(["x", "y"]).dictionary_encode()),
    }
    for path, member in everywhere(tmp_path, name, FORMATS[name](pa.table(columns))):
        first, second = read(path, member=member)
        assert first == {
            "dec": 1.5, "decs": [{"d": 0.25}], "day": "1970-01-01", "zone": "1970-01-01 00:00:00.000",
            "span": "90", "dict": "x", "dicts": ["x", "y"],
        }  # fmt: skip
        assert (second["dec"], second["day"], second["span"], second["dicts"]) == (None, "2024-03-18", None, [])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (pa.array([0, 9_000_000_000_000_000], pa.timestamp("ms")), "bad: a date out of range"),
        (pa.array([0, 900_000_000], pa.int32()).cast(pa.date32()), "bad: a date out of range"),
        (not_utf8(b"ok", b"caf\xe9"), "bad: not UTF-8"),
        (pa.ListArray.from_arrays([0, 1, 2], not_utf8(b"ok", b"caf\xe9")), "bad: not UTF-8"),
        (not_utf8(b"ok", b"caf\xe9").dictionary_encode(), "bad: not UTF-8"),
    ],
)
def test_a_bad_cell_costs_its_row_where_it_is_read_and_nothing_where_it_is_not(tmp_path, name, bad, why):
    data = FORMATS[name](pa.table({"prompt": pa.array(["Sky?", "Sea?"]), "bad": bad}))
    for path, member in everywhere(tmp_path, name, data):
        assert read(path, ColumnUse(reads=frozenset({"prompt"})), member) == [
            {"prompt": "Sky?"},
            {"prompt": "Sea?"},
        ]
        assert read(path, member=member)[1] == BadRow("cell_unreadable", why)


def test_a_parquet_file_with_a_doubled_column_is_named(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
    for name, write in FORMATS.items():
        assert fault(written(tmp_path, name, write(table))).startswith(f"{name}: has the column x twice")


@pytest.mark.parametrize("name", ["a.arrow", "b.arrow"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array(["Sky?", "Sea?"]),
        pa.array([["Sky?"], ["Sea?"]]),
        pa.array([{"text": "Sky?"}, {"text": "Sea?"}]),
        pa.array(["Sky?", "Sea?"]).dictionary_encode(),
    ],
)
def test_a_damaged_offset_of_an_arrow_file_is_named_and_never_followed(tmp_path, name, column):
    """Arrow believes offsets: reading what they lead to ends the process, or gives what is there by chance."""
    data = FORMATS[name](pa.table({"prompt": column}))
    at = data.index(np.array([0, 4, 8], np.int32).tobytes())  # where the two texts begin and end
    spoiled = data[: at + 4] + np.array([1 << 28], np.int32).tobytes() + data[at + 8 :]
    for path, member in everywhere(tmp_path, name, spoiled):
        assert "not a whole Arrow file" in fault(path, member)


def test_a_damaged_index_of_a_dictionary_is_named(tmp_path):
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int64()), pa.array(["Sky?", "Sea?"]))
    data = arrow_file(pa.table({"prompt": column}))
    spoiled = data.replace(np.array([0, 1], np.int64).tobytes(), np.array([0, 99], np.int64).tobytes())
    assert spoiled != data
    assert "not a whole Arrow file" in fault(written(tmp_path, "a.arrow", spoiled))


@pytest.mark.parametrize("name", FORMATS)
def test_a_column_name_that_is_not_utf8_is_damage(tmp_path, name):
    spoiled = FORMATS[name](pa.table({"prompt": ["Sky?"]})).replace(b"prompt", b"pr\xffmpt")
    assert "can't decode byte 0xff" in fault(written(tmp_path, name, spoiled))


# compression


def test_zstd_is_truncated_wherever_it_is_cut(tmp_path):
    lines = b"".join(json.dumps({"i": i, "pad": str(i * 7919) * 20}).encode() + b"\n" for i in range(4000))
    head, tail = lines[: lines.index(b"\n", 200_000) + 1], lines[lines.index(b"\n", 200_000) + 1 :]
    skippable = b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
    frames = [zstandard.compress(head), zstandard.ZstdCompressor(write_checksum=True).compress(tail)]
    whole = skippable + frames[0] + frames[1] + skippable
    assert len(read(written(tmp_path, "a.jsonl.zst", whole))) == 4000
    end = len(skippable) + len(frames[0])
    for cut in [*range(end + 5, end + len(frames[1]), 997), end - 1, end + 1, len(whole) - 1, 3]:
        path = written(tmp_path, "a.jsonl.zst", whole[:cut])
        assert fault(path) == "a.jsonl.zst: truncated: the compressed stream ends too early", cut
    assert fault(zipped(tmp_path, "b.csv.zst", zstandard.compress(lines)[:-3]), "b.csv.zst").startswith(
        "a.zip!b.csv.zst: truncated"
    )


# not the data


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow"])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    ],
)
def test_what_a_download_left_is_named(tmp_path, name, data, found):
    for path, member in everywhere(tmp_path, name, data):
        where = f"a.zip!{member}" if member else path.name
        assert fault(path, member) == f"{where}: {found}, not the data; expected rows"


@pytest.mark.parametrize(("encoding", "found"), [("utf-32", "UTF-32 text"), ("utf-16-le", "UTF-16 text without")])
def test_other_encodings_are_named(tmp_path, encoding, found):
    assert fault(written(tmp_path, "a.jsonl", LINES.decode().encode(encoding))).startswith(f"a.jsonl: {found}")
    assert fault(written(tmp_path, "a.csv.gz", gzip.compress("a,b\n".encode(encoding)))).startswith(
        f"a.csv.gz: {found}"
    )


# accounts of columns


@pytest.mark.parametrize(
    "name",
    [
        *(
            "image",
            "images",
            "image_url",
            "score_chosen",
            "chosenScore",
            "margin",
            "reward",
            "tool_calls",
            "tools",
        ),
        *("input", "system", "history", "reasoning_content"),
    ],
)
def test_columns_that_matter(name):
    assert matters(name)


@pytest.mark.parametrize(
    "name", ["id", "image_id", "num_images", "score_model", "created_at", "lang", "toolbox", "turn"]
)
def test_columns_that_do_not(name):
    assert not matters(name)


def test_columns_are_counted_alike_in_every_format(tmp_path):
    table = [
        {"prompt": "a", "image": "", "score": None, "tools": []},
        {"prompt": "b", "image": "x.png", "score": None, "tools": [{"name": "f"}]},
    ]
    tools = pa.list_(pa.struct([("name", pa.string())]))
    kinds = {"prompt": pa.string(), "image": pa.string(), "score": pa.float64(), "tools": tools}
    arrow = pa.Table.from_pylist(table, pa.schema(kinds))
    files = {
        "a.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in table),
        "a.json": json.dumps(table).encode(),
        **{name: write(arrow) for name, write in FORMATS.items()},
    }
    for name, data in files.items():
        use = ColumnUse(reads=frozenset({"prompt"}), ignores=frozenset({"rating"}), watch=True)
        read(written(tmp_path, name, data), use)
        assert list(use.seen) == ["prompt", "image", "score", "tools"], name
        assert dict(use.filled) | {"score": 0} == {"image": 1, "tools": 1, "score": 0}, name
