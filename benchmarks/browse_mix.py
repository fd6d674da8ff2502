"""A mix of any size on disk, as `curate browse` reads it: pairs files, decisions, ids of shards, images.

Texts repeat every 4,096 pairs; ids, keys, numbers and categories do not. What browse does not read (other columns
of shards) is left out. An image is a JPEG of 2 kB: 200,000 of them have the index of a store of 20 GB.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from PIL import Image

from curate.checksums import write_record
from curate.images.packs import INDEX
from curate.order import order_key
from curate.pairs.part import PARQUET
from curate.schema import MESSAGES, PAIRS_FILE
from curate.screening.screened import DECISIONS

GROUP = 4096
PART = 25 * GROUP
SOURCES = ("shp", "hh_rlhf", "ultra_all", "mmpr", "vlfeedback", "rlaif_v", "tulu3_if")
REASONS = (("ties", "tie"), ("length", "short_reply"), ("exact_duplicates", "duplicate_pair"), ("language", "de"),
           ("near_dedup", "near_duplicate"), ("label_conflicts", "reversed"))  # fmt: skip
COMMON, RARE = "harbour", "zymurgist"
SHOWN = 3  # of ten pairs have an image
FINGERPRINT = "f" * 16


def make(root: Path, pairs: int, images: int) -> None:
    """Write a workspace with one mix `big` of so many pairs of seven sources."""
    keys = _images(root / "images", images)
    rng = np.random.default_rng(1)
    sides = ((90, "user"), (130, "assistant"), (120, "assistant"))
    prompts, chosen, rejected = (_texts(rng, words, role) for words, role in sides)
    mix = root / "mixes" / "big" / FINGERPRINT
    (mix / "decisions").mkdir(parents=True)
    found, total = {}, 0
    for number, source in enumerate(SOURCES):
        rows = pairs // len(SOURCES) + (number < pairs % len(SOURCES))
        ids = _source(root / "pairs" / source / FINGERPRINT, source, rows, (prompts, chosen, rejected), keys, rng)
        dropped = _decide(mix, source, ids, rng)
        found[source] = ids[~dropped]
        total += rows
    _shards(mix, found)
    pl.DataFrame(schema={"fate": pl.String, "pool": pl.String, **DECISIONS}).write_parquet(mix / "review.parquet")
    _lock(mix)


def _images(root: Path, count: int) -> pa.Array:
    """A store of so many images, which differ by what follows the picture; their keys."""
    folder = root / "packs"
    folder.mkdir(parents=True)
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((240, 180), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=40)
    picture = stream.getvalue()
    keys, size = [], len(picture) + 8
    with open(folder / "made.pack", "wb") as file:
        for i in range(count):
            data = picture + i.to_bytes(8, "little")
            keys.append(xxhash.xxh3_128_hexdigest(data))
            file.write(data)
    columns = [keys, np.arange(count, dtype=np.uint64) * size, [size] * count, [240] * count, [180] * count,
               ["JPEG"] * count, ["RGB"] * count]  # fmt: skip
    arrays = [pa.array(column, field.type) for column, field in zip(columns, INDEX, strict=True)]
    pq.write_table(pa.table(arrays, schema=INDEX), folder / "made.parquet")
    return pa.array(keys)


def _texts(rng: np.random.Generator, words: int, role: str) -> pa.Array:
    """GROUP dialogues of one turn; one in 50 has the common word, one the rare one."""
    known = np.array(
        [bytes(rng.integers(97, 123, n).astype(np.uint8)).decode() for n in rng.integers(2, 10, 6000)]
    )
    texts = [" ".join(known[rng.integers(0, len(known), n)]) for n in rng.integers(words // 2, 2 * words, GROUP)]
    texts = [f"**{text}** {COMMON}" if i % 50 == 7 else text for i, text in enumerate(texts)]
    blocks: list[list[dict[str, str | None]]] = [[{"type": "text", "text": text}] for text in texts]
    if role == "user":
        blocks = [
            [{"type": "image", "text": None}, *own] if i % 10 < SHOWN else own for i, own in enumerate(blocks)
        ]
    return pa.array([[{"role": role, "content": own}] for own in blocks], MESSAGES)


def _source(
    directory: Path, source: str, rows: int, texts: Any, keys: pa.Array, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """The pairs files of a source; the 16 bytes of each id."""
    directory.mkdir(parents=True)
    ids = rng.integers(0, 256, (rows, 16), dtype=np.uint8)
    receipts = []
    for number, first in enumerate(range(0, rows, PART)):
        part = ids[first : first + PART]
        path = directory / f"part-{number:05d}.parquet"
        with pq.ParquetWriter(path, PAIRS_FILE, **PARQUET) as file:
            for start in range(0, len(part), GROUP):
                file.write_table(_group(source, part[start : start + GROUP], first + start, texts, keys, rng))
        receipts.append({"file": path.name, "xxh3": "0" * 32, "pairs": len(part)})
    write_record(directory / "manifest.json", {"parts": receipts, "pairs": rows, "source": source, "adapter": 1,
                                               "options": {}, "revision": None})  # fmt: skip
    return ids


def _group(source: str, ids: Any, first: int, texts: Any, keys: pa.Array, rng: np.random.Generator) -> pa.Table:
    count = len(ids)
    hexes = [row.tobytes().hex() for row in ids]
    sides = dict(zip(("prompt", "chosen", "rejected"), texts, strict=True))
    if first == 0:  # the rare word is in one pair of each source
        words = sides["chosen"].to_pylist()
        words[count // 2][0]["content"][0]["text"] += f" {RARE}"
        sides["chosen"] = pa.array(words, MESSAGES)
    with_image = np.arange(count) % 10 < SHOWN
    image = keys.take(pa.array(rng.integers(0, len(keys), count))).to_pylist()
    sizes = {side: rng.integers(200, 1600, count).astype(np.uint32) for side in ("chosen", "rejected")}
    margin = np.round(rng.random(count) * 6, 1)
    columns: dict[str, Any] = {
        "pair_id": hexes, "group_id": hexes, "source": [source] * count,
        "row": [f"data/train.jsonl:{first + i}" for i in range(count)],
        "prompt": sides["prompt"].slice(0, count), "chosen": sides["chosen"].slice(0, count),
        "rejected": sides["rejected"].slice(0, count),
        "media": [
            [{"kind": "image", "keys": [key]}] if here else [] for key, here in zip(image, with_image, strict=True)
        ],
        "margin": pa.array(margin, mask=margin > 5), "category": [f"kind {i}" for i in rng.integers(0, 40, count)],
        "annotator": ["human"] * count, "license": [("mit", "cc-by-4.0")[i] for i in rng.integers(0, 2, count)],
        "prompt_key": rng.integers(0, 1 << 63, count), "chosen_key": rng.integers(0, 1 << 63, count),
        "rejected_key": rng.integers(0, 1 << 63, count), "text_bytes": sizes["chosen"] + sizes["rejected"] + 500,
        "chosen_bytes": sizes["chosen"], "rejected_bytes": sizes["rejected"], "media_bytes": with_image * 100_000,
        "reply_media": [0] * count, "has_fields": [False] * count, "known": [1] * count,
    }  # fmt: skip
    arrays = []
    for field in PAIRS_FILE:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(count, field.type))
        else:
            arrays.append(
                values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
            )
    return pa.table(arrays, schema=PAIRS_FILE)


def _decide(mix: Path, source: str, ids: Any, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Drop a tenth of the pairs for several reasons; a third of these lost to another pair."""
    dropped = rng.random(len(ids)) < 0.1
    at = np.flatnonzero(dropped)
    why = rng.integers(0, len(REASONS), len(at))
    winner = rng.integers(0, len(ids), len(at))
    columns: dict[str, Any] = {
        "pair_id": [ids[i].tobytes().hex() for i in at], "source": [source] * len(at),
        "row": [f"data/train.jsonl:{i}" for i in at], "step": [REASONS[i][0] for i in why],
        "reason": [REASONS[i][1] for i in why],
        "winner": [ids[j].tobytes().hex() if i in (2, 4) else None for i, j in zip(why, winner, strict=True)],
        "score": None, "evidence": None, "part": at // PART, "position": at % PART,
    }  # fmt: skip
    pl.DataFrame(columns, schema=DECISIONS).write_parquet(mix / "decisions" / f"{source}.parquet")
    return dropped


def _shards(mix: Path, kept: dict[str, Any]) -> None:
    """The ids of nine in ten kept pairs, in a keyed order, in shards of 50,000."""
    ids = np.concatenate(list(kept.values()))
    high, low = ids.view(">u8").astype(np.uint64).T
    order = np.argsort(order_key(np.ascontiguousarray(high), np.ascontiguousarray(low), 0))
    chosen = ids[order[: len(order) * 9 // 10]]
    for number, some in enumerate(_slices(chosen, 50_000)):
        table = pa.table(
            {"pair_id": [row.tobytes().hex() for row in some], "repeat": np.zeros(len(some), np.int32)}
        )
        pq.write_table(table, mix / f"shard-{number:05d}.parquet", compression="zstd")


def _slices(rows: Any, size: int) -> Iterator[Any]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _lock(mix: Path) -> None:
    """As much of a lock as is read."""
    lock: dict[str, Any] = json.loads(json.dumps({
        "name": "big", "fingerprint": FINGERPRINT, "funnel": {}, "plan": {},
        "recipe": {"name": "big", "steps": []},
        "sources": {source: {"source": source, "fingerprint": FINGERPRINT} for source in SOURCES},
        "files": [{"name": path.name, "xxh3": "0" * 32} for path in sorted(mix.glob("shard-*.parquet"))],
        "decisions": [], "origins": {}, "summary": {}, "licenses": {}, "rows": 0, "held_out": 0, "steps": [],
    }))  # fmt: skip
    write_record(mix / "lock.json", lock)
