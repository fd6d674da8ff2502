"""Files whose bytes depend on what is in them alone: no clock, no user, no machine."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TURNS = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
SHARE = 0.5  # of a split archive, how much is in its first part


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def packed(data: bytes) -> bytes:
    """A gzip file without a time stamp, and with the system that Python 3.11 names: 3.13 names none."""
    made = bytearray(gzip.compress(data, mtime=0))
    made[9] = 3
    return bytes(made)


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip archive whose members all bear the first date that zip knows."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED)
    return out.getvalue()


def split(path: Path, data: bytes) -> None:
    """Cut a file into `_aa` and `_ab`, as the tool `split` does; the cut falls where it falls."""
    cut = int(len(data) * SHARE)
    for suffix, part in (("_aa", data[:cut]), ("_ab", data[cut:])):
        write_bytes(path.with_name(path.name + suffix), part)


def parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> None:
    """A Parquet file in row groups of 16, with the note by which `datasets` knows an image column."""
    schema = pa.schema(list(columns.items()))
    if "image" in columns:
        note = {"info": {"features": {"image": {"_type": "Image"}}}}
        schema = schema.with_metadata({"huggingface": json.dumps(note)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd", row_group_size=16)
