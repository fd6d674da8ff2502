"""Which images of the store cannot be decoded: each is decoded strictly once, when a step first needs its pixels.

<images>/verdicts/<pack>-<version>.parquet    VERDICTS of a pack: its broken images, with the reason
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate.checksums import published, usable
from curate.engines.base import Engine
from curate.images.decode import BadImage, check
from curate.images.packs import Packs

VERSION = 1
"""Goes up when the same images get other verdicts."""

VERDICTS = {"key": pl.String, "reason": pl.String, "detail": pl.String}
SLICE = 256  # images a task
ANY_SIZE = 1 << 62  # the limit on pixels was checked when the image was stored


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Images of a store to decode."""

    root: Path
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"decoding {len(self.keys):,} images"


def broken(keys: Iterable[str], store: Packs, engine: Engine) -> pl.DataFrame:
    """VERDICTS about those of the images that cannot be decoded, by key. Those that are not there have none."""
    wanted = pl.Series("key", sorted(set(keys)), pl.String)
    found = [pl.DataFrame(schema=VERDICTS)]
    for pack in sorted(store.packs_of(wanted.to_arrow())):
        path = store.root / "verdicts" / f"{pack}-{VERSION}.parquet"
        if not usable(path):
            _check_pack(store, pack, path, engine)
        found.append(pl.read_parquet(path))
    return pl.concat(found).filter(pl.col("key").is_in(wanted.implode())).unique("key").sort("key")


def _check_pack(store: Packs, pack: str, path: Path, engine: Engine) -> None:
    """Decode all images of a pack and write the verdicts."""
    keys = pl.read_parquet(store.folder / f"{pack}.parquet", columns=["key"])["key"].to_list()
    tasks = [_Task(root=store.root, keys=tuple(keys[at : at + SLICE])) for at in range(0, len(keys), SLICE)]
    rows = [row for some in engine.map(_decode, tasks, threads=True) for row in some]
    with published(path) as temporary:
        pl.DataFrame(rows, schema=VERDICTS, orient="row").write_parquet(temporary)


def _decode(task: _Task) -> list[tuple[str, str, str]]:
    store, found = Packs(task.root), []
    for key in task.keys:
        try:
            check(store.read(key), max_pixels=ANY_SIZE)
        except BadImage as bad:
            found.append((key, bad.reason, bad.detail))
    return found
