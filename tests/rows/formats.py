"""Upstream's file formats, written with the same bytes each time, and pictures that are known by their size."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def image(width: int, height: int, kind: str = "PNG") -> bytes:
    """A picture of one colour, known by its size."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (width * 9 % 256, height * 7 % 256, 40)).save(stream, kind)
    return stream.getvalue()


def cut(width: int, height: int) -> bytes:
    """A JPEG whose end was lost in a transfer."""
    data = image(width, height, "JPEG")
    return data[:-10]


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_jsonl(path: Path, rows: list[Any]) -> None:
    put(path, jsonl(rows))


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def put_json(path: Path, value: Any) -> None:
    put(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def put_parquet(path: Path, schema: list[tuple[str, pa.DataType]], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(schema)), path)


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data)
    return stream.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return stream.getvalue()


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SAID = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
TEXT = pa.string()


def embedded(data: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


def human(*text: str) -> list[dict[str, str]]:
    """A dialogue that a person begins, in the words of LLaVA."""
    return [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(text)]


def users(*text: str) -> list[dict[str, str]]:
    """A dialogue that a user begins, in the words of OpenAI."""
    return [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(text)]


JUDGE = """Judge the two responses below with care; a tie is not allowed.

###### **Input:**  
###### [Question]:
{question}  

###### [Response 1]:
{first}  

###### [Response 2]:
{second}  

"""  # noqa: W291 - the two spaces at line ends are upstream's
FOOTER = """###### **Output Format (strictly follow):**  
<think>Your comparison</think><answer>1/2</answer>"""  # noqa: W291
