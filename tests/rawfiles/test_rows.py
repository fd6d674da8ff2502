"""Rows come out of every format once, numbered, however the file is packed or cut."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.errors import RawError
from curate.rawfiles.bad_rows import BadRow
from curate.rawfiles.row_files import row_files
from curate.rawfiles.rows import rows, slices
from curate.sources.base import Draft, RowFile, Source, reply, user

ROWS = [{"id": i, "text": f"row {i} – é"} for i in range(7)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def pack(name: str) -> bytes:
    """ROWS as the bytes of a file of that name."""
    if name.endswith(".gz"):
        return gzip.compress(pack(name[:-3]))
    if name.endswith(".zst"):
        return zstandard.compress(pack(name[:-4]))
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(ROWS), buffer, row_group_size=2)
        return buffer.getvalue()
    if name.endswith((".csv", ".tsv")):
        text = io.StringIO()
        writer = csv.DictWriter(text, ["id", "text"], delimiter="\t" if name.endswith(".tsv") else ",")
        writer.writeheader()
        writer.writerows(ROWS)
        return text.getvalue().encode()
    return LINES if name.endswith(("jsonl", "ndjson")) else json.dumps(ROWS, indent=1).encode()


def read(path: Path, target: int = 1 << 20) -> list[tuple[int, dict | BadRow]]:
    parts = slices(path.parent, [RowFile(path=path)], target)
    return [
        (number, row if isinstance(row, BadRow) else dict(row)) for part in parts for number, row in rows(part)
    ]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.ndjson", "a.json", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.json.gz"]
)
def test_each_format_gives_the_rows(tmp_path, name):
    (tmp_path / name).write_bytes(pack(name))
    assert read(tmp_path / name) == list(enumerate(ROWS, 1))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_csv_gives_text(tmp_path, name):
    (tmp_path / name).write_bytes(pack(name))
    assert read(tmp_path / name) == [(i, {"id": str(r["id"]), "text": r["text"]}) for i, r in enumerate(ROWS, 1)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("target", [1, 50, 60, 100, 10_000])
def test_cutting_changes_nothing(tmp_path, name, target):
    (tmp_path / name).write_bytes(pack(name))
    assert read(tmp_path / name, target) == list(enumerate(ROWS, 1))


@pytest.mark.parametrize("target", [1, 20, 10_000])
def test_a_last_line_that_is_no_json_is_one_row_in_whatever_slice(tmp_path, target):
    (tmp_path / "a.jsonl").write_bytes(LINES + b"no JSON")
    *good, last = read(tmp_path / "a.jsonl", target)
    assert good == list(enumerate(ROWS, 1))
    assert last == (8, BadRow("not_json", "Expecting value: line 1 column 1 (char 0): no JSON"))


def test_a_large_file_is_cut_and_its_row_numbers_go_on(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(b'{"i": %d, "pad": "%s"}\n' % (i, b"x" * 500) for i in range(10_000)))
    parts = slices(tmp_path, [RowFile(path=path)], 1 << 20)
    assert len(parts) == 5
    assert [number for part in parts for number, _ in rows(part)] == list(range(1, 10_001))
    assert all(number == row["i"] + 1 for part in parts for number, row in rows(part))


def test_rows_inside_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "annotations.zip", "w") as archive:
        archive.writestr("annotations/a.jsonl", LINES)
        archive.writestr("annotations/b.txt", "no rows")
    source = Source(repo="x/y", files=("annotations.zip!annotations/*.jsonl",), to_pairs=one)
    (file,) = row_files(source, tmp_path, None)
    (part,) = slices(tmp_path, [file])
    found = list(rows(part))
    assert [row["id"] for _, row in found if row] == [0, 1, 2, 3, 4, 5, 6]
    assert found[0][1].file == "annotations.zip!annotations/a.jsonl"


def one(_row):
    yield Draft(prompt=user("q"), chosen=reply("a"), rejected=reply("b"))


def test_blank_lines_count_in_numbers_and_broken_lines_are_rows_without_value(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1}\n\n{"id": \n[1]\n{"id": NaN, "s": "\\ud800"}\n')
    found = read(path)
    assert found[0] == (1, {"id": 1})
    assert found[1][0] == 3
    assert found[1][1].reason == "not_json"
    assert found[2] == (4, BadRow("not_json", "a list instead of an object"))
    assert found[3][0] == 5
    assert found[3][1]["s"] == "\ud800"


def test_a_json_list_longer_than_a_chunk_with_rows_longer_than_a_chunk(tmp_path):
    big = [{"i": i, "text": "y" * (700_000 * (i + 1))} for i in range(4)]
    (tmp_path / "a.json").write_text(json.dumps(big))
    assert read(tmp_path / "a.json") == list(enumerate(big, 1))


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("a.jsonl.gz", lambda b: b[: len(b) // 2], "a.jsonl.gz: truncated: the compressed stream ends too early"),
        ("a.jsonl.zst", lambda b: b"nonsense" + b, "a.jsonl.zst: damaged compressed data"),
        ("a.parquet", lambda b: b[: len(b) // 2], "a.parquet: not a whole Parquet file"),
        ("a.jsonl", lambda b: b[:-9], "a.jsonl: the last line is cut off; expected a whole JSON object"),
        ("a.json", lambda b: b[:-9], "a.json: the JSON is cut off; expected a closing ]"),
        (
            "a.json",
            lambda _: b"hello",
            "a.json: 'hello' begins neither a list nor an object; expected JSON objects",
        ),
        ("a.txt", lambda b: b, "a.txt: cannot tell its format from its name"),
    ],
)
def test_damage_is_one_clear_line(tmp_path, name, spoil, message):
    (tmp_path / name).write_bytes(spoil(pack(name)))
    with pytest.raises(RawError) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(message)


def test_a_pattern_without_files_names_what_is_there(tmp_path):
    (tmp_path / "readme.md").touch()
    with pytest.raises(RawError) as caught:
        row_files(Source(repo="x/y", files=("*.jsonl",), to_pairs=one), tmp_path, None)
    assert str(caught.value) == f"{tmp_path}: no file matches *.jsonl"
    assert caught.value.hint == "the folder holds readme.md"


def test_a_missing_directory(tmp_path):
    with pytest.raises(RawError, match="no such directory; expected the raw files of x/y"):
        row_files(Source(repo="x/y", files=("*.jsonl",), to_pairs=one), tmp_path / "nope", None)
