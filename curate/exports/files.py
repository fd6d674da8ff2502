"""Writes the files of an export: JSON Lines, Parquet, images named by content; each is whole or not there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate.engines.base import tick
from curate.export_receipt import IMAGES
from curate.exports.pair import Image
from curate.mixing import shard_schema
from curate.workspace import atomic

GROUP_BYTES = 32_000_000
GROUP_ROWS = 1000
LINES = 500


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    """Write each record as a line of JSON."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        for some in runs(records, LINES):
            file.write(b"\n".join([*map(orjson.dumps, some), b""]))
            tick(rows=len(some))
    return path


def write_table(path: Path, schema: pa.Schema, records: Iterable[Mapping[str, Any]]) -> Path:
    """Write the records as a Parquet file of the schema; row groups have a bounded size."""
    codecs = shard_schema.codecs(schema)
    how = {
        "compression": codecs,
        "compression_level": {leaf: 1 for leaf, codec in codecs.items() if codec == "zstd"},
        "use_dictionary": False,  # texts hardly ever repeat, and images are no use to look through
        "write_statistics": False,
    }
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, **how) as writer:
        for some in runs(records, GROUP_ROWS, GROUP_BYTES):
            arrays = [_column([record.get(field.name) for record in some], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(some))
            tick(rows=len(some))
    return path


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values as an array; lists of messages of texts by their fields, which takes a third of the time."""
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return pa.array(values, kind)
    fields = list(kind.value_type)
    if any(field.type != pa.string() for field in fields):
        return pa.array(values, kind)
    flat = [one for some in values for one in some]
    columns = [pa.array([one[field.name] for one in flat], pa.string()) for field in fields]
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.StructArray.from_arrays(columns, fields=fields), type=kind
    )


def runs(records: Iterable[Any], rows: int, most: int = 1 << 62) -> Iterator[list[Any]]:
    """The records in lists of so many; a list ends earlier where its images have `most` bytes."""
    some: list[Any] = []
    size = 0
    for record in records:
        some.append(record)
        size += sum(len(image["bytes"]) for image in record["images"]) if _has_images(record) else 0
        if len(some) == rows or size >= most:
            yield some
            some, size = [], 0
    if some:
        yield some


def _has_images(record: Any) -> bool:
    return isinstance(record, Mapping) and bool(record.get("images")) and isinstance(record["images"][0], Mapping)


SUFFIXES = (
    (b"\xff\xd8\xff", "jpg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"BM", "bmp"),
    (b"II*\0", "tif"), (b"MM\0*", "tif"),
)  # fmt: skip


def suffix(data: bytes) -> str:
    """The usual ending of the name of such an image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in SUFFIXES if data.startswith(magic)), "img")


def save_images(root: Path, images: Sequence[Image]) -> list[str]:
    """Write the images that are not there yet, as `images/ab/KEY.jpg`; their names in the export."""
    names = [f"{IMAGES}/{image.key[:2]}/{image.key}.{suffix(image.data)}" for image in images]
    for name, image in zip(names, images, strict=True):
        path = root / name
        if not (path.is_file() and path.stat().st_size == len(image.data)):
            with atomic(path, synced=False) as temporary:
                temporary.write_bytes(image.data)
    return names
