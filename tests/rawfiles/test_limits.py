"""Files made to take time or memory without end: each is a skip or one line, and soon."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RawError
from curate.rawfiles import csv_rows, json_rows
from curate.rawfiles.archives import entries, read_member
from curate.rawfiles.bad_rows import TOO_DEEP, BadRow
from curate.rawfiles.row_files import matching
from curate.rawfiles.rows import rows, slices
from curate.rawfiles.split_files import SplitFile
from curate.sources.base import RowFile

ROW = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}
LINE = json.dumps(ROW).encode() + b"\n"


def read(tmp_path: Path, name: str, data: bytes, member: str = "") -> list:
    (tmp_path / name).write_bytes(data)
    found = slices(tmp_path, [RowFile(path=tmp_path / name, member=member)])
    return [row for part in found for _, row in rows(part)]


def fault(tmp_path: Path, name: str, data: bytes, member: str = "") -> str:
    with pytest.raises(RawError) as caught:
        read(tmp_path, name, data, member)
    return str(caught.value)


def tar(headers: dict[str, str] | None = None, data: bytes = b"abc") -> bytearray:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.png")
        info.size, info.pax_headers = len(data), headers or {}
        archive.addfile(info, io.BytesIO(data))
    return bytearray(stream.getvalue())


def checked(header: bytearray) -> bytes:
    """The tar with the right checksum of its first header."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def negative() -> bytes:
    data = tar()
    data[124:136] = (-512).to_bytes(12, "big", signed=True)
    return checked(data)


def endless_names() -> bytes:
    """A chain of 3,000 headers, each of which says that the next one has a long name."""
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3
    return (info.tobuf(tarfile.GNU_FORMAT) + b"abc".ljust(512, b"\0")) * 3000


def huge_name() -> bytes:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 60
    return info.tobuf(tarfile.GNU_FORMAT)


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "9"}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (negative(), "corrupt at byte 0: a member of -512 bytes"),
        (bytes(tar({"size": "-1024"})), "corrupt at byte 0: a member of -1,024 bytes"),
        (endless_names(), "maximum recursion depth"),
        (huge_name(), "a header of 1,152,921,504,606,846,976 bytes"),
        (bytes(tar(SPARSE, b"99999999999\n" + b"1\n" * 300)), "neither a zip nor a tar"),
        (bytes(tar({"GNU.sparse.map": "a,b"})), "neither a zip nor a tar"),
    ],
    ids=["size", "pax size", "long names", "huge name", "sparse 1.0", "sparse 0.1"],
)
def test_a_tar_with_wrong_sizes_is_one_clear_line(tmp_path, data, found):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(RawError) as caught:
        list(entries(SplitFile([tmp_path / "a.tar"]), "a.tar"))
    assert found in str(caught.value)


def test_members_of_a_zip_that_share_bytes_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jsonl", LINE)
        archive.writestr("b.jsonl", LINE)
    data = path.read_bytes()
    second = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :])
    with pytest.raises(RawError, match="members share bytes of the archive"):
        list(entries(SplitFile([path]), "a.zip"))


def test_a_member_is_read_no_further_than_its_size(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", b"\n" * (64 << 20))
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02") + 24
    path.write_bytes(data[:at] + struct.pack("<I", 100) + data[at + 4 :])
    with pytest.raises(RawError, match="the member is damaged"), read_member(path, "a.jsonl") as stream:
        stream.read(1000)


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", data)
    return stream.getvalue()


def test_empty_lines_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "BLANK_LINES", 3 << 20)
    some, many = LINE + b"\n" * (2 << 20) + LINE, LINE + b"\n" * (5 << 20) + LINE
    found = "4,194,304 empty lines one after another; expected at most 3,145,728"
    assert read(tmp_path, "a.jsonl", some) == [ROW, ROW]
    assert fault(tmp_path, "a.jsonl", many) == f"a.jsonl: {found}"
    assert fault(tmp_path, "a.jsonl.gz", gzip.compress(many)) == f"a.jsonl.gz: {found}"
    assert fault(tmp_path, "a.zip", zipped(many), "a.jsonl") == f"a.zip!a.jsonl: {found}"


def test_a_row_of_csv_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "ROW_LINES", 1000)
    head = b"prompt,chosen,rejected\n"
    good = head + b'"' + b"a\n" * 900 + b'",b,c\n'
    assert len(read(tmp_path, "a.csv", good * 1 + good[len(head) :])) == 2
    for endless in (b'"' + b"a\n" * 2000, b"\n" * 2000):
        assert "1,000 lines without the end of a row, from line 3" in fault(
            tmp_path, "a.csv", head + b"a,b,c\n" + endless
        )


def test_depth_without_end_is_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "SKIPPED_DEPTH", 5000)
    deep = b'{"prompt": ' + b"[" * 4000 + b"]" * 4000 + b"}"
    found = read(tmp_path, "a.json", b"[" + deep + b", " + LINE + b"]")
    assert [row.reason if isinstance(row, BadRow) else row for row in found] == [TOO_DEEP, ROW]
    assert "5,000 lists and objects inside each other" in fault(tmp_path, "b.json", b'[{"prompt": ' + b"[" * 9000)


def test_a_long_line_is_read_in_linear_time(tmp_path, monkeypatch):
    joined = []
    real = json_rows.value_of
    monkeypatch.setattr(json_rows, "value_of", lambda line: joined.append(len(line)) or real(line))
    long = {**ROW, "prompt": "a" * (24 << 20)}
    assert read(tmp_path, "a.jsonl", json.dumps(long).encode() + b"\n" + LINE) == [long, ROW]
    assert joined == [len(json.dumps(long)), len(LINE) - 1]  # each line is put together and parsed once


def test_links_in_a_circle_or_a_long_chain_are_named(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("b.jsonl")
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    with pytest.raises(RawError, match="a link to itself, or over more than 40 others"):
        matching(tmp_path, "*.jsonl")
    (tmp_path / "z.txt").write_bytes(LINE)
    for number in range(60):
        (tmp_path / f"{number}.txt").symlink_to(f"{number - 1}.txt" if number else "z.txt")
    with pytest.raises(RawError, match="a link to itself, or over more than 40 others"):
        matching(tmp_path, "*.txt")


def test_null_lists_in_parquet_are_rows(tmp_path):
    names = pa.array([None, [], [None], ["a"]], pa.list_(pa.string()))
    nothing = pa.array([None] * 4, pa.list_(pa.null()))
    stream = io.BytesIO()
    pq.write_table(pa.table({"images": names, "n": nothing, "i": [0, 1, 2, 3]}), stream)
    found = read(tmp_path, "a.parquet", stream.getvalue())
    assert [row["images"] for row in found] == [None, [], [None], ["a"]]
