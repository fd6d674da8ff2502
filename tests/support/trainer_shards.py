"""Shards for the trainer, with drawn images and frames."""

import io
import json
import zlib
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from PIL import Image

from curate import schema
from curate.config import build
from curate.engines.local import Local
from curate.images.store import ImageStore
from curate.lock_file import FIELDS, file_facts
from curate.mixing import select, shards
from curate.pairs import keys
from curate.recipe import Recipe
from tests.support.pairs import Media, write_pairs


def shot(seed, size=(56, 56), kind="PNG", **save):
    """The bytes of an image of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).save(out, kind, **save)
    return out.getvalue()


def bomb(side=20_000):
    """A PNG whose header promises side x side; PIL's own limit raises from 13,377 on, and warns from 9,460 on."""
    data = bytearray(shot(0, (4, 4)))
    data[16:24] = side.to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def make(root, rows, images=(), *, media="embed", max_mb=250.0, held=0, weight=None):
    """A finished mix as `curate mix` leaves it; `images` go into the store before the pairs name them.

    With a `weight`, its shards have that column, and all pairs this weight.
    """
    store = ImageStore(root / "data/images")
    with store.writer() as writer:
        for data in images:
            writer.put(data)
    store.refresh()
    recipe = {"name": "r", "sources": {"a": "all"}, "shards": {"max_mb": max_mb, "media": media}}
    recipe = build(recipe | ({"holdout": {"rows_per_source": held}} if held else {}), Recipe, "$")
    parts = write_pairs(root / "a", rows)
    directory = root / "data/mixes/r/f"
    directory.mkdir(parents=True)
    chosen = select.select(recipe, {"a": keys.load_keys(root / "a", parts)})
    if weight is not None:
        chosen = replace(chosen, mix=chosen.mix.with_columns(weight=pl.lit(weight)))
    with Local(1) as engine:
        facts = shards.write(chosen, [(root / "a", parts)], store, recipe.shards, directory, engine)
    lock(directory, [{"name": fact.name, "rows": fact.rows, "bytes": fact.bytes} for fact in facts])
    return directory


def lock(directory, files, **changed):
    (directory / "lock.json").write_text(json.dumps({"schema": schema.VERSION, "files": files, **changed}))


def name_mix(directory):
    """Give the lock of a mix what `curate` reads of one: its name, fingerprint, and the hashes of its files."""
    path = directory / "lock.json"
    found = json.loads(path.read_text())
    facts = file_facts(directory, [file["name"] for file in found["files"]])
    files = [file | fact for file, fact in zip(found["files"], facts, strict=True)]
    empty = {name: kind() for name, kind in FIELDS.items()}
    path.write_text(json.dumps({**empty, "name": "r", "fingerprint": "f" * 16, **found, "files": files}))
    return directory


def key(data):
    return xxhash.xxh3_128_hexdigest(data)


IMAGES = [shot(seed) for seed in range(4)]

FRAMES = [shot(seed, (40, 40)) for seed in range(10, 13)]


def mixed(number):
    """Pairs of two sources: every third has an image, the first a video."""
    rows = []
    for i in range(number):
        data = [IMAGES[i % 4]] if i % 3 == 1 else []
        media = [key(one) for one in data]
        if i == 0:
            data, media = FRAMES, [Media("video", tuple(map(key, FRAMES)))]
        size = sum(map(len, data))
        rows.append(
            {
                "source": "ab"[i % 2], "prompt": f"Question {i}?", "chosen": f"Yes {i}. " * (1 + i % 5),
                "rejected": f"No {i}.", "media": media, "media_bytes": size, "margin": float(i % 3),
            }
        )  # fmt: skip
    return rows


def shard_fleet(root):
    """A mix of 40 pairs (and 5 held out) with embedded images, in several shards of several row groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "GROUP_ROWS", 3)
        return make(root, mixed(45), [*IMAGES, *FRAMES], max_mb=0.04, held=5)


def text_mix(root):
    """A mix of 25 pairs without media."""
    rows = [{"prompt": f"Ask {i}", "chosen": "So it is. " * (i % 7), "rejected": f"{i}"} for i in range(25)]
    return make(root, rows)


def ids(directory, pattern="shard-*.parquet"):
    """The pair ids of a mix's files, in order."""
    tables = [pq.read_table(path, columns=["pair_id"]) for path in sorted(directory.glob(pattern))]
    return pa.concat_tables(tables)["pair_id"].to_pylist()


def fault(error, act):
    """The text of the error that an act raises."""
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)
