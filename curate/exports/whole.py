"""Pairs as they are, for loaders of samples that know nothing of preferences: WebDataset and MosaicML's streaming.

A sample is one JSON value, the pair without its nulls, and its images in the order of `media`, a video as its
frames. Nothing is left out.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from curate.engines.base import tick
from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import runs, suffix
from curate.exports.pair import FACTS, Pair, fields, without_nulls
from curate.mixing.shard_schema import SIDES
from curate.text.inert import json_text
from curate.workspace import atomic

ROWS = 100


def plain(pair: Pair) -> dict[str, Any]:
    """The pair without its nulls and its images' bytes."""
    row = pair.row
    sides = {
        side: [{"role": turn["role"], "content": turn["content"], **fields(turn)} for turn in row[side]]
        for side in SIDES
    }
    rest = {name: row.get(name) for name in ("media", "tools", *FACTS)}
    return {"pair_id": pair.id, **sides, **without_nulls(rest)}


class Whole(Format):
    """Everything that a pair has."""

    carries = frozenset(base.RATINGS)

    def rules(self) -> Sequence[base.Rule]:
        """None."""
        return ()


class WebDataset(Whole):
    """Tar files whose members of one name are a sample: NUMBER.json, NUMBER.000.jpg, NUMBER.001.png."""

    name, about = "webdataset", "WebDataset: tar files, everything of a pair"

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One tar file, without times and owners."""
        path = place.file(".tar")
        with atomic(path) as temporary, open(temporary, "wb") as tar:
            for some in runs(enumerate(pairs, place.first), ROWS):
                for number, pair in some:
                    tar.writelines(_member(f"{number:09d}.json", orjson.dumps(plain(pair))))
                    for i, image in enumerate(pair.images):
                        name = f"{number:09d}.{i:03d}.{suffix(image.data)}"
                        tar.writelines(_member(name, image.data))
                tick(rows=len(some))
            tar.write(bytes(2 * tarfile.BLOCKSIZE))
            tar.write(bytes(-tar.tell() % tarfile.RECORDSIZE))
        return Written(files=[path])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`data.py`: the datasets."""
        lines = ["# in this directory", "from glob import glob", "", "import webdataset", ""]
        return {
            "data.py": "\n".join(
                [
                    *lines,
                    *(
                        f"{split} = webdataset.WebDataset(sorted(glob('{split}/*.tar')), shardshuffle=False)"
                        for split in splits
                    ),
                    "# a sample: {'__key__': ..., 'json': the pair, '000.jpg': the bytes of its first image, ...}",
                ]
            )
            + "\n"
        }


def _member(name: str, data: bytes) -> tuple[bytes, ...]:
    """A file of a tar, without time and owner: header, data, and what fills the last block.

    `TarFile.addfile` writes the same, and copies the data once more.
    """
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % tarfile.BLOCKSIZE)


SIZE_LIMIT = 1 << 26


class MosaicMl(Whole):
    """MDS shards, format version 2: the number of samples, where each begins, the columns, the samples."""

    name, about = "mosaicml", "MosaicML streaming: MDS shards, everything of a pair"

    def columns(self) -> dict[str, Any]:
        """What every shard says of itself."""
        names = ["images", "pair"] if self.mix.media else ["pair"]
        return {
            "column_encodings": ["list[jpeg]", "json"][-len(names) :],  # opened as whatever format they are
            "column_names": names,
            "column_sizes": [None] * len(names),
            "compression": None,
            "format": "mds",
            "hashes": [],
            "size_limit": SIZE_LIMIT,
            "version": 2,
        }

    def sample(self, pair: Pair) -> bytes:
        """The size of each column, then the columns."""
        columns = [orjson.dumps(plain(pair))]
        if self.mix.media:
            images = [image.data for image in pair.images]
            head = np.array([0, len(images), *map(len, images)], np.uint32).tobytes()
            columns.insert(0, b"".join([head, *images]))
        return b"".join([np.array([*map(len, columns)], np.uint32).tobytes(), *columns])

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """Shards of SIZE_LIMIT bytes; the facts are their entries in the index."""
        files, entries = [], []
        for number, samples in enumerate(_portions(map(self.sample, pairs))):
            path = place.file(f".{number:05d}.mds")
            _write_mds(path, samples, self.columns())
            data = {"basename": path.name, "bytes": path.stat().st_size, "hashes": {}}
            entries.append({**self.columns(), "raw_data": data, "samples": len(samples), "zip_data": None})
            files.append(path)
            tick(rows=len(samples))
        return Written(files=files, facts=entries)

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`SPLIT/index.json`, and `data.py` with the datasets."""
        texts = {
            f"{split}/index.json": json_text(
                {"shards": [one for part in parts for one in part or ()], "version": 2}
            )
            + "\n"
            for split, parts in splits.items()
        }
        lines = ["# in this directory", "from streaming import StreamingDataset", ""]
        lines += [f"{split} = StreamingDataset(local='{split}', batch_size=1)" for split in splits]
        images = "'images': opened, " if self.mix.media else ""
        return texts | {"data.py": "\n".join([*lines, f"# a sample: {{{images}'pair': the pair}}"]) + "\n"}


def _portions(samples: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The samples in lists of SIZE_LIMIT bytes at most, or of one."""
    some: list[bytes] = []
    size = 0
    for sample in samples:
        if some and size + len(sample) > SIZE_LIMIT:
            yield some
            some, size = [], 0
        some.append(sample)
        size += len(sample)
    if some:
        yield some


def _write_mds(path: Path, samples: Sequence[bytes], columns: Mapping[str, Any]) -> None:
    config = json.dumps(columns, sort_keys=True).encode()
    begins = 4 + 4 * (len(samples) + 1) + len(config)
    offsets = np.cumsum([begins, *map(len, samples)]).astype(np.uint32)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.writelines([np.uint32(len(samples)).tobytes(), offsets.tobytes(), config, *samples])
