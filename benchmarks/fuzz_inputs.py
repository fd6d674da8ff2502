"""Valid inputs for the fuzzer: small sets in every form that the generic adapters read, and files to hold them."""

import base64
import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from PIL import Image

Rows = list[dict[str, Any]]


def picture(width: int, kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, 9), (width * 9 % 256, 70, 40)).save(stream, kind)
    return stream.getvalue()


PNG, JPEG, WEBP = picture(8), picture(9, "JPEG"), picture(10, "WEBP")
IN_BASE64 = base64.b64encode(PNG).decode()
PICTURES = {"pics/1.png": PNG, "pics/2.jpg": JPEG, "pics/3.webp": WEBP}
FRAMES = {f"clips/{clip}/{frame}.png": picture(8 + frame) for clip in "ab" for frame in (1, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of preference data: its manifest without `files`, its rows, and its media by path.

    `flat` says that every value is a text or a number, so that CSV can hold it.
    """

    manifest: str
    rows: Rows
    media: Mapping[str, bytes] = field(default_factory=dict)
    flat: bool = False


def user(text: Any) -> dict[str, Any]:
    """A user's turn."""
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    """An assistant's turn."""
    return {"role": "assistant", "content": text}


QUESTIONS = ("Why is the sky blue?", "Was ist 7 × 6?", "为什么？", "Write a haiku.")
GOOD = (
    "Because of Rayleigh scattering.",
    "Das ist 42.",
    "因为光的散射。",
    "Old pond\na frog leaps in\nwater's sound",
)
BAD = ("It reflects the sea.", "Das ist 41.", "不知道。", "Roses are red")
SETS = list(zip(QUESTIONS, GOOD, BAD, strict=True))


def _texts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _said(speaker: str, text: str) -> dict[str, str]:
    return {"from": speaker, "value": text}


def _call(name: str, arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "id": "c1", "function": {"name": name, "arguments": arguments}}
    ]}  # fmt: skip


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "required": ["city"]}},
}

FORMS: dict[str, Form] = {
    "explicit": Form(
        manifest="adapter: preference\nignore: [score]\n",
        rows=[
            {"prompt": q, "chosen": g, "rejected": b, "margin": 1.5, "category": "c", "group": i, "score": 3,
             "chosen_critique": "good", "rejected_critique": "bad", "license": "mit"}
            for i, (q, g, b) in enumerate(SETS)
        ],
        flat=True,
    ),
    "scores": Form(
        manifest="adapter: preference\n",
        rows=[{"prompt": q, "chosen": g, "rejected": b, "chosen_score": 4, "score_rejected": "2", "id": "x"}
              for q, g, b in SETS],
        flat=True,
    ),
    "implicit": Form(
        manifest="adapter: preference\n",
        rows=[{"chosen": [user(q), assistant(g)], "rejected": [user(q), assistant(b)]} for q, g, b in SETS],
    ),
    "implicit_text": Form(
        manifest="adapter: preference\n",
        rows=[{"chosen": f"{q} {g}", "rejected": f"{q} {b}"} for q, g, b in SETS],
        flat=True,
    ),
    "conversational": Form(
        manifest="adapter: preference\n",
        rows=[{"prompt": [user(q)], "chosen": [assistant(g)], "rejected": [assistant(b)], "system": "Be brief."}
              for q, g, b in SETS],
    ),
    "transcript": Form(
        manifest="adapter: preference\n",
        rows=[{"chosen": f"\n\nHuman: {q}\n\nAssistant: {g}", "rejected": f"\n\nHuman: {q}\n\nAssistant: {b}"}
              for q, g, b in SETS],
        flat=True,
    ),
    "vlm": Form(
        manifest="adapter: preference\n",
        rows=[
            {"prompt": [user([{"type": "image"}, {"type": "text", "text": q}])], "chosen": [assistant(g)],
             "rejected": [assistant(b)], "images": [{"bytes": data, "path": None}]}
            for (q, g, b), data in zip(SETS, (PNG, JPEG, WEBP, PNG), strict=True)
        ],
    ),
    "image_paths": Form(
        manifest="adapter: preference\nmedia: [pics]\ncolumns: {images: pics}\noptional: [images]\n",
        rows=[{"prompt": f"<image>\n{q}", "chosen": g, "rejected": b, "pics": path}
              for (q, g, b), path in zip(SETS, (*PICTURES, "1.png"), strict=True)],
        media=PICTURES,
        flat=True,
    ),
    "image_base64": Form(
        manifest="adapter: preference\n",
        rows=[{"prompt": q, "chosen": g, "rejected": b, "image": f"data:image/png;base64,{IN_BASE64}"}
              for q, g, b in SETS],
        flat=True,
    ),
    "image_lists": Form(
        manifest="adapter: preference\nmedia: [pics]\nmedia_match: name\njson: [images]\n",
        rows=[{"prompt": f"<image 2> and <image 1>: {q}", "chosen": g, "rejected": b,
               "images": json.dumps(["/data/1.png", "/data/2.jpg"])} for q, g, b in SETS],
        media=PICTURES,
        flat=True,
    ),
    "videos": Form(
        manifest="adapter: preference\nmedia: [clips]\n",
        rows=[{"prompt": f"<video>{q}", "chosen": g, "rejected": b, "video": "clips/a"} for q, g, b in SETS],
        media=FRAMES,
        flat=True,
    ),
    "image_replies": Form(
        manifest="adapter: preference\nmedia: [pics]\nreplies: images\n",
        rows=[{"prompt": q, "chosen": "pics/1.png", "rejected": "pics/2.jpg"} for q, _, _ in SETS],
        media=PICTURES,
        flat=True,
    ),
    "alpaca": Form(
        manifest="adapter: preference\ncolumns: {prompt: instruction}\n",
        rows=[{"instruction": q, "input": "", "chosen": g, "rejected": b} for q, g, b in SETS],
        flat=True,
    ),
    "sharegpt": Form(
        manifest="adapter: preference\ncolumns: {prompt: conversations}\n",
        rows=[{"conversations": [_said("human", q)], "chosen": _said("gpt", g), "rejected": _said("gpt", b)}
              for q, g, b in SETS],
    ),
    "swift": Form(
        manifest="adapter: preference\ncolumns: {chosen: messages, rejected: rejected_response}\nmedia: [pics]\n",
        rows=[{"messages": [user(f"<image>{q}"), assistant(g)], "rejected_response": b, "images": ["pics/1.png"]}
              for q, g, b in SETS],
        media=PICTURES,
    ),
    "arena": Form(
        manifest="adapter: scored\ncolumns: {prompt: conversation_a, response_a: conversation_a,"
        " response_b: conversation_b, preference: winner}\n",
        rows=[{"conversation_a": [user(_texts(q)), assistant(_texts(g))],
               "conversation_b": [user(_texts(q)), assistant(_texts(b))], "winner": verdict, "judge": None}
              for (q, g, b), verdict in zip(SETS, ("model_a", "model_b", "tie", "tie (bothbad)"), strict=True)],
    ),
    "scored": Form(
        manifest="adapter: scored\n",
        rows=[{"prompt": q, "response_a": g, "response_b": b, "score_a": 4.5, "score_b": i}
              for i, (q, g, b) in enumerate(SETS)],
        flat=True,
    ),
    "graded": Form(
        manifest="adapter: scored\ncolumns: {preference: verdict}\n",
        rows=[{"prompt": q, "response_a": g, "response_b": b, "verdict": verdict}
              for (q, g, b), verdict in zip(SETS, ("A>>B", "B>A", "A=B", "[[A>B]]"), strict=True)],
        flat=True,
    ),
    "threshold": Form(
        manifest="adapter: scored\ncolumns: {preference: strength}\nthreshold: 1.5\n",
        rows=[{"prompt": q, "response_a": g, "response_b": b, "strength": strength}
              for (q, g, b), strength in zip(SETS, (1, 1.5, 1.9, 2), strict=True)],
        flat=True,
    ),
    "annotators": Form(
        manifest='adapter: scored\ncolumns: {preference: votes}\n'
        'verdicts: {"1": a, "2": b, "0": tie, "-1": skip}\n',
        rows=[{"prompt": q, "response_a": g, "response_b": b, "votes": [1, 2, 1]} for q, g, b in SETS],
    ),
    "ranking": Form(
        manifest="adapter: ranking\npairing: all_unequal\n",
        rows=[{"prompt": q, "responses": [g, b, "?"], "scores": [3, 1.5, None]} for q, g, b in SETS],
    ),
    "columns": Form(
        manifest="adapter: ranking\ncolumns: {prompt: [instruction, input], responses: [one, two, deep.0.text],"
        " scores: [rank.one, rank.two, rank.three]}\nlower_is_better: true\npairing: adjacent\n",
        rows=[{"instruction": q, "input": "in", "one": g, "two": b, "deep": [{"text": "!"}],
               "rank": {"one": 1, "two": 2, "three": 3}} for q, g, b in SETS],
    ),
    "ranked_verdicts": Form(
        manifest="adapter: ranking\ncolumns: {preference: verdicts}\n",
        rows=[{"prompt": q, "responses": [g, b, "?"], "verdicts": ["a", "a", "tie"]} for q, g, b in SETS],
    ),
    "tools": Form(
        manifest="adapter: preference\n",
        rows=[
            {"prompt": [user(q), _call("weather", {"city": "Rom"}),
                        {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "21"}],
             "chosen": [{**assistant(g), "reasoning_content": "hm"}], "rejected": [_call("weather", "{}")],
             "tools": json.dumps([TOOL])}
            for q, g, b in SETS
        ],
    ),
    "tool_turns": Form(
        manifest="adapter: preference\ncolumns: {prompt: conversations}\n",
        rows=[
            {"conversations": [_said("human", q), _said("function_call", '{"name": "f", "arguments": {"a": 1}}'),
                               _said("observation", "3")],
             "chosen": _said("gpt", g), "rejected": _said("function_call", '{"name": "f", "arguments": {}}'),
             "tools": [TOOL]}
            for q, g, b in SETS
        ],
    ),
}  # fmt: skip


KINDS = ("jsonl", "json", "wrapped.json", "objects.json", "csv", "tsv", "parquet", "arrow", "stream.arrow")
PACKED = ("", "", "gz", "zst")
CONTAINERS = ("", "", "", "zip", "stored.zip", "tar")


def kinds_of(form: Form) -> tuple[str, ...]:
    """The formats that can hold the rows of a form."""
    out = [kind for kind in KINDS if form.flat or kind not in ("csv", "tsv")]
    return tuple(out if not _has_bytes(form.rows) else [kind for kind in out if "json" not in kind])


def _has_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_bytes, value.values()))
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_bytes, value)))


def encoded(rows: Sequence[Mapping[str, Any]], kind: str) -> bytes:
    """The rows as a file. Raises ValueError, TypeError or OverflowError where the format cannot hold them."""
    if kind == "jsonl":
        return b"".join(json_text(row) + b"\n" for row in rows)
    if kind == "json":
        return b"[\n" + b",\n".join(map(json_text, rows)) + b"\n]\n"
    if kind == "wrapped.json":
        return b'{"version": "1", "data": [' + b", ".join(map(json_text, rows)) + b"]}"
    if kind == "objects.json":
        return b"\n".join(json_text(row, indent=1) for row in rows)
    if kind in ("csv", "tsv"):
        return _csv(rows, "," if kind == "csv" else "\t")
    return table_bytes(pa.Table.from_pylist(list(rows), _schema(rows)), kind)


def _schema(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Of all rows: `from_pylist` takes the columns of the first."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.schema([(name, pa.array([row.get(name) for row in rows]).type) for name in names])


def table_bytes(table: pa.Table, kind: str) -> bytes:
    """A table as Parquet, or as an Arrow file or stream."""
    stream = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, stream, row_group_size=3)
    else:
        new = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
        with new(stream, table.schema) as out:
            out.write_table(table)
    return stream.getvalue()


MARKS = {
    "@DEEP@": "[" * 3000 + "]" * 3000,
    "@DIGITS@": "9" * 5000,
    "@HUGE@": str(2**64),
    "@NESTED@": '{"a":' * 300 + "1" + "}" * 300,
}
"""Texts that stand for JSON that `json` cannot write."""


def json_text(row: Any, indent: int | None = None) -> bytes:
    """A row as JSON; lone surrogates become bytes that are no UTF-8."""
    text = json.dumps(row, ensure_ascii=False, indent=indent)
    for mark, stands_for in MARKS.items():
        text = text.replace(f'"{mark}"', stands_for)
    return text.encode("utf-8", "surrogatepass")


def _csv(rows: Sequence[Mapping[str, Any]], delimiter: str) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] for row in rows)
    return stream.getvalue().encode("utf-8", "surrogatepass")


def pack(data: bytes, packed: str) -> bytes:
    """The bytes compressed by gz or zst, or as they are."""
    if packed == "gz":
        return gzip.compress(data, mtime=0)
    return zstandard.compress(data) if packed == "zst" else data


def archive(members: Mapping[str, bytes], container: str) -> bytes:
    """The members as a zip (deflated or stored) or a tar."""
    stream = io.BytesIO()
    if container == "tar":
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return stream.getvalue()
    method = zipfile.ZIP_STORED if container == "stored.zip" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data, compress_type=method)
    return stream.getvalue()
