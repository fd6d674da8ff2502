"""Writes the blend: raw files of every source in upstream's layout, the eval sets, and the truth.

DIR/raw/<source>/...   what `curate mix --raw DIR/raw` reads, eval sets included
DIR/truth.parquet      every planted pair: plant, number, role, source, row, jaccard
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import blend_evalsets as exams
import blend_images as images
import blend_sources as sources
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from blend_plants import Role, images_of, planned, specimen
from blend_text import Voice

TRUTH: dict[str, Any] = {
    "plant": pl.String, "number": pl.UInt32, "role": pl.UInt8, "source": pl.String, "row": pl.String,
    "jaccard": pl.Float64,
}  # fmt: skip
SUBSETS = {
    "chartqa_extracted_pairs_vqa_correctness_rules": 0.14, "M3CoT_extracted_pairs_vqa_correctness_rules": 0.12,
    "docvqa_extracted_pairs_vqa_correctness_rules": 0.12, "geo170k_extracted_pairs_vqa_format_rules": 0.1,
    "ai2d_extracted_pairs_vqa_correctness_rules": 0.1, "dvqa_direct_rules": 0.1, "gqa_direct_rules": 0.08,
    "sharegpt4v_extracted_prefix_pair_sr0.5_wo_image": 0.14, "coco_extracted_prefix_pair_sr0.5_with_image": 0.05,
    "vqav2_extracted_prefix_pair_sr0.0_with_image": 0.05,
}  # fmt: skip
"""Of MMPR; the rest of its rows is in one more."""

PARQUET_ROWS = 25_000
IMAGE_ROWS = 2_000
WILDCHAT = (
    "wildchat_if", "wildchat_if_on_policy_70b", "wildchat_reused_on_policy_8b", "wildchat_reused_on_policy_70b",
)  # fmt: skip
ULTRA = ("evol_instruct", "false_qa", "flan", "sharegpt", "truthful_qa", "ultrachat")
ZIP_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """`rows` rows of a source; `path` is where they are written, `name` what rows of it are called.

    roles says which of the rows, from 0 on, are planted pairs.
    """

    source: str
    path: Path
    name: str
    rows: int
    number: int
    pool: int
    drawn: Path
    roles: tuple[tuple[int, Role], ...] = ()


def plan(root: Path, pairs: int) -> list[RawFile]:
    """The files of the blend with the planted pairs in their places."""
    roles: dict[str, list[Role]] = {}
    for role in planned(pairs):
        roles.setdefault(role.source, []).append(role)
    files = []
    for name, rows in sources.counts(pairs).items():
        pool = sources.SOURCES[name].pool(pairs / sources.WHOLE)
        named = list(_names(name, rows))
        places = np.random.default_rng([len(name), rows]).permutation(rows)[: len(roles.get(name, []))].tolist()
        placed = sorted(zip(places, roles.get(name, []), strict=True))
        start = 0
        for number, (path, listed, count) in enumerate(named):
            own = tuple((at - start, role) for at, role in placed if start <= at < start + count)
            where = root / "work" / name / path if path != listed else root / "raw" / name / path
            files.append(
                RawFile(source=name, path=where, name=listed, rows=count, number=number, pool=pool,
                        drawn=root / "drawn", roles=own)
            )  # fmt: skip
            start += count
    return files


def _names(source: str, rows: int) -> Iterator[tuple[str, str, int]]:
    """(path, name in decisions, rows) of each file of a source."""
    if source == "mmpr":
        for subset, count in _shared(rows, SUBSETS, "gsm8k_extracted_pairs_vqa_correctness_rules").items():
            yield f"annotations/{subset}.jsonl", f"annotations.zip!annotations/{subset}.jsonl", count
    elif source == "ultrafeedback":
        for name, count in _shared(rows, dict.fromkeys(ULTRA[1:], 1 / 6), ULTRA[0]).items():
            yield f"{name}.jsonl", f"{name}.jsonl", count
    elif source == "wildchat_ultrafeedback":
        for name, count in _shared(rows, dict.fromkeys(WILDCHAT[1:], 1 / 4), WILDCHAT[0]).items():
            path = f"data/{name}-00000-of-00001.parquet"
            yield path, path, count
    elif source in ONE_FILE:
        yield ONE_FILE[source], ONE_FILE[source], rows
    else:
        size = IMAGE_ROWS if source in ("rlaif_v", "wildvision_battle") else PARQUET_ROWS
        files = -(-rows // size)
        for i in range(files):
            path = f"data/train-{i:05}-of-{files:05}.parquet"
            if source == "rlaif_v":
                path = f"RLAIF-V-Dataset_{i:03}.parquet"
            yield path, path, min(size, rows - i * size)


ONE_FILE = {"mm_rlhf": "dpo_pairs.jsonl", "povid": "POVID_preference_data_for_VLLMs_version_1.json"}


def _shared(rows: int, shares: dict[str, float], rest: str) -> dict[str, int]:
    counts = {name: int(rows * share) for name, share in shares.items()}
    return {**counts, rest: rows - sum(counts.values())}


# ------------------------------------------------------------------------------------------------ one file


def write(file: RawFile) -> tuple[list[dict[str, Any]], set[str]]:
    """Write a file; (its planted pairs, the drawings that its rows need)."""
    planted, used, truth = dict(file.roles), set[str](), []
    voice = Voice("rows", file.source, file.number)
    kind = sources.SOURCES[file.source]

    def rows() -> Iterator[dict[str, Any]]:
        for at in range(file.rows):
            if at in planted:
                pair, jaccard = specimen(planted[at])
                truth.append({**planted[at]._asdict(), "row": f"{file.name}:{at + 1}", "jaccard": jaccard})
            else:
                pair = sources.ordinary(file.source, voice, file.pool)
            used.update(() if pair.fault == "missing" else pair.images)
            yield kind.row(pair, voice, lambda name: _read(file.drawn, name))

    file.path.parent.mkdir(parents=True, exist_ok=True)
    _write(file.path, rows())
    return truth, used


def _read(drawn: Path, name: str) -> bytes:
    return (drawn / name).read_bytes()


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        _parquet(path, rows)
        return
    with open(path, "wb") as out:
        if path.suffix == ".json":
            for number, row in enumerate(rows):
                out.write((b",\n" if number else b"[\n") + orjson.dumps(row))
            out.write(b"\n]\n")
        else:
            out.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    writer = None
    while some := list(islice(rows, 500)):
        table = pa.Table.from_pylist(some)
        writer = writer or pq.ParquetWriter(path, table.schema)  # snappy, as the Hub writes
        writer.write_table(table)
    if writer is not None:
        writer.close()


# ------------------------------------------------------------------------------------------------ archives


def archives(raw: Path, work: Path, drawn: Path, used: dict[str, set[str]]) -> list[tuple[Any, ...]]:
    """Arguments of `pack` for every archive of the sources."""

    def members(names: set[str], inner: Callable[[str], str]) -> list[tuple[Path, str]]:
        return [(drawn / name, inner(name)) for name in sorted(names)]

    mmpr = members(used["mmpr"], lambda name: f"images/{sources.folder(name)}/{sources.flat(name)}")
    found = [(raw / "mmpr/images.zip", mmpr, ZIP_PARTS)]
    annotations = [(path, f"annotations/{path.name}") for path in sorted((work / "mmpr").rglob("*.jsonl"))]
    found.append((raw / "mmpr/annotations.zip", annotations, 1))
    merged = members(used["vlfeedback"], lambda name: f"merged_images/{sources.flat(name)}")
    found.append((raw / "vlfeedback/merged_images.zip", merged, 1))
    coco = members(used["povid"], lambda name: f"train2014/COCO_train2014_{int(Path(name).stem):012d}.jpg")
    found.append((raw / "povid/train2014.zip", coco, 1))
    return [*found, *_mm_rlhf(raw, drawn, used["mm_rlhf"])]


def _mm_rlhf(raw: Path, drawn: Path, used: set[str]) -> Iterator[tuple[Any, ...]]:
    for kind in ("long", "short", "mcq", "safety"):
        own = sorted(name for name in used if "/v/" not in name and sources.mm_kind(name) == kind)
        top = "MM-RLHF/long" if kind == "long" else kind  # a directory too many, as upstream
        members = [(drawn / name, f"{top}/{sources.flat(name)}") for name in own]
        yield raw / f"mm_rlhf/{kind}.zip", members, 1
    clips = sorted(name for name in used if "/v/" in name)
    frames = [
        (drawn / frame, f"video/{Path(clip).parent.name}/{number:04d}.jpg")
        for clip in clips
        for number, frame in enumerate(sources.frames(clip), 1)
    ]
    yield raw / "mm_rlhf/video.zip", frames, 1


def pack(path: Path, members: Sequence[tuple[Path, str]], parts: int) -> None:
    """A zip of these files, cut into parts as the tool `split` does where more than one is asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, name in members:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED if file.suffix == ".jsonl" else zipfile.ZIP_STORED
            with open(file, "rb") as source, archive.open(info, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out, 1 << 20)
    if parts > 1:
        size = -(-path.stat().st_size // parts)
        with open(path, "rb") as whole:
            for number in range(parts):
                piece = path.with_name(f"{path.name}_a{'abcdef'[number]}")
                piece.write_bytes(whole.read(size))
        path.unlink()


# ------------------------------------------------------------------------------------------------ all of it


def make(root: Path, pairs: int, workers: int = 2) -> dict[str, Any]:
    """Write the blend; what it holds."""
    files = plan(root, pairs)
    raw, work, drawn = root / "raw", root / "work", root / "drawn"
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        drawn_bytes = images.draw(_names_of_images(files), drawn, pool)
        truth, used = _rows(files, pool)
        meta = {
            Path(file.name).stem: {
                "root": "MMPR-v1.2/images", "annotation": f"MMPR-v1.2/annotations/{Path(file.name).name}",
                "data_augment": False, "repeat_time": 1, "length": file.rows,
            }
            for file in files if file.source == "mmpr"
        }  # fmt: skip
        (raw / "mmpr").mkdir(parents=True, exist_ok=True)
        (raw / "mmpr/meta.json").write_text(json.dumps(meta, indent=1))
        list(pool.map(pack, *zip(*archives(raw, work, drawn, used), strict=True)))
    exams.write(raw, drawn)
    truth.write_parquet(root / "truth.parquet")
    distinct = len(set().union(*used.values()))
    shutil.rmtree(work)
    shutil.rmtree(drawn)
    size = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
    rows = {name: sum(file.rows for file in files if file.source == name) for name in sources.SOURCES}
    return {
        "rows": rows, "planted": truth.height, "raw_bytes": size, "images_drawn": distinct,
        "drawn_bytes": drawn_bytes,
        "truth": hashlib.sha256((root / "truth.parquet").read_bytes()).hexdigest()[:16],
    }  # fmt: skip


def _names_of_images(files: Sequence[RawFile]) -> list[str]:
    """Every drawing that any row may show, and those of the eval sets."""
    names = [name for file in files for name in images_of([role for _, role in file.roles])]
    names += [image for item in exams.items() for image in item.images]
    for source, kind in sources.SOURCES.items():
        pool = next(file.pool for file in files if file.source == source)
        names += [kind.image(number) for number in range(pool)] if kind.image else []
        if source == "mm_rlhf":
            names += [
                frame for clip in range(max(2, pool // 6)) for frame in sources.frames(f"p/v/clip{clip:05d}/0")
            ]
    return names


def _rows(files: Sequence[RawFile], pool: Executor) -> tuple[pl.DataFrame, dict[str, set[str]]]:
    used: dict[str, set[str]] = {name: set() for name in sources.SOURCES}
    truth: list[dict[str, Any]] = []
    largest_first = sorted(files, key=lambda file: -file.rows)
    for file, (found, needed) in zip(largest_first, pool.map(write, largest_first), strict=True):
        truth += found
        used[file.source] |= needed
    frame = pl.DataFrame(truth, schema=TRUTH).sort("plant", "number", "role")
    return frame, used
