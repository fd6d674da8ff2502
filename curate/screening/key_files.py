"""The key columns of all pairs in one place: files, written once for all corpus steps, by prefix of `prompt_key`.

A step that looks at one prompt at a time (`apart`) runs as tasks, each on the pairs of one prefix, and gives the
decisions that it would give about all at once. Other steps get the columns that they read, of the kept pairs. So
the process that runs a build holds a byte for every pair, and what one step needs while it runs.

    <pairs>/.keys-<run>-0-00000.tmp   the COLUMNS of a part of a pool, a record batch for each prefix
    <pairs>/.kept-<run>.tmp           a byte for each pair: whether it is kept

They are removed when their `KeyFiles` is gone, or by the next run where this one was killed.
"""

import uuid
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from curate.arrays import B8, I64, U64, frame
from curate.engines.base import Engine
from curate.engines.local import Local
from curate.order import order_key
from curate.pairs.files import column
from curate.pairs.keys import framed, load_keys, numpy_kind
from curate.pairs.pool import PairsPool
from curate.parquet import count_rows
from curate.steps.base import KEYS, CorpusStep
from curate.steps.corpus import Corpus

COLUMNS = {**KEYS, "has_media": pl.Boolean}
"""The columns of a key file: those of a corpus step, and whether the pair has media."""

PARTITION = 1 << 19
"""Pairs of one prefix, about: a step may need some hundred bytes for each of them."""


class KeyFiles:
    """The keys of all pools of a recipe. Pairs are known by their `index`: their place in the order of all parts.

    `starts` has for each pool the index of its first pair, and at the end the number of all; `parts` for each pool
    where its parts begin among its own pairs, and their number.
    """

    def __init__(self, pools: Sequence[PairsPool], seed: int, engine: Engine) -> None:
        self._pools, self._seed, self._engine = pools, seed, engine
        self.parts = [
            np.cumsum([0, *(count_rows(pool.directory / part) for part in pool.parts)]) for pool in pools
        ]
        self.starts = np.cumsum([0, *(int(starts[-1]) for starts in self.parts)])
        self._run = uuid.uuid4().hex[:12]
        weakref.finalize(self, _remove, [pool.directory for pool in pools], self._run)

    @property
    def partitions(self) -> int:
        """How many prefixes there are, a power of two."""
        return 1 << max(0, int(self.starts[-1] - 1) // PARTITION).bit_length()

    @cached_property
    def files(self) -> list[Path]:
        """The key files, which are made at the first use."""
        tasks = [
            _Part(
                directory=pool.directory, part=part, pool=number, number=at, priority=pool.priority,
                first=int(self.starts[number] + self.parts[number][at]), seed=self._seed,
                partitions=self.partitions, out=pool.directory / f".keys-{self._run}-{number}-{at:05d}.tmp",
            )
            for number, pool in enumerate(self._pools)
            for at, part in enumerate(pool.parts)
        ]  # fmt: skip
        for _ in self._engine.map(_split, tasks, threads=True):
            pass
        return [task.out for task in tasks]

    def frame(self, kept: B8, names: Sequence[str] = tuple(KEYS)) -> pl.DataFrame:
        """Return `index` and some COLUMNS of the kept pairs, by index."""
        names = tuple(dict.fromkeys(("index", *names)))
        arrays = {name: np.empty(int(kept.sum()), numpy_kind(COLUMNS[name])) for name in names}
        at = 0
        for path in self.files:
            some = frame(_read(path, names))
            some = some.filter(pl.Series(kept[some["index"].to_numpy()], dtype=pl.Boolean)).sort("index")
            for name, array in arrays.items():
                array[at : at + some.height] = some[name].to_numpy()
            at += some.height
        return framed({name: (array, COLUMNS[name]) for name, array in arrays.items()})

    def decide(self, step: CorpusStep, kept: B8, corpus: Corpus) -> pl.DataFrame:
        """Return a corpus step's decisions about the kept pairs."""
        if not getattr(step, "apart", False):
            return step.decide(self.frame(kept, getattr(step, "reads", tuple(KEYS))), corpus)
        path = self._pools[0].directory / f".kept-{self._run}.tmp"
        np.append(kept, False).tofile(path)  # nothing at all could not be mapped
        pools = tuple(self._pools)
        tasks = [
            _Partition(step=step, files=tuple(self.files), number=number, kept=path, pools=pools, seed=self._seed)
            for number in range(self.partitions)
        ]
        return pl.concat(self._engine.map(_decide, tasks, threads=True))

    def pools_of(self, index: pl.Series) -> pl.Series:
        """Return the number of the pool of each pair."""
        return pl.Series(np.searchsorted(self.starts, index.to_numpy(), side="right") - 1, dtype=pl.UInt32)

    def ids(self, index: pl.Series) -> pl.Series:
        """Return the pair ids of these pairs."""
        named, places = np.unique(index.to_numpy(), return_inverse=True)
        found = [pl.Series(dtype=pl.String)]
        for number, start in enumerate(self.starts[:-1]):
            own = named[(named >= start) & (named < self.starts[number + 1])] - start
            found.append(self.cells(number, own.astype(np.int64), "pair_id")["pair_id"])
        return pl.concat(found).gather(places)

    def cells(self, pool: int, at: I64, *names: str) -> pl.DataFrame:
        """Return columns of the pairs files at these (ascending) places of a pool; `part` and `position` too.

        Only parts that hold some of them are read.
        """
        starts, found = self.parts[pool], [pl.DataFrame(schema={**_PLACE, **dict.fromkeys(names, pl.String)})]
        part = np.searchsorted(starts, at, side="right") - 1
        for number in np.unique(part).tolist():
            position = at[part == number] - starts[number]
            table = frame(column(self._pools[pool].directory / self._pools[pool].parts[number], *names))
            place = pl.DataFrame({"part": np.full(len(position), number), "position": position}, schema=_PLACE)
            found.append(place.hstack(table[position]))
        return pl.concat(found)


_PLACE = {"part": pl.UInt32, "position": pl.UInt32}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A part to write the key file of; `first` is the index of its first pair."""

    directory: Path
    part: str
    pool: int
    number: int
    priority: int
    first: int
    seed: int
    partitions: int
    out: Path

    def __str__(self) -> str:
        return f"reading the keys of {self.directory / self.part}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partition:
    """The pairs of one prefix, to be decided about by a step."""

    step: CorpusStep
    files: tuple[Path, ...]
    number: int
    kept: Path
    pools: tuple[PairsPool, ...]
    seed: int

    def __str__(self) -> str:
        return f"deciding about the pairs of prefix {self.number}"


def _split(task: _Part) -> None:
    keys = load_keys(task.directory, (task.part,))
    prefix = _prefixes(keys["prompt_key"].to_numpy(), task.partitions)
    by_prefix = np.argsort(prefix, kind="stable")
    made = keys.select(
        pl.int_range(task.first, task.first + pl.len(), dtype=pl.UInt32).alias("index"),
        pl.lit(task.priority, pl.UInt16).alias("priority"),
        pl.Series("order", order_key(keys["id_hi"].to_numpy(), keys["id_lo"].to_numpy(), task.seed), pl.UInt64),
        "known", "prompt_key", "chosen_key", "rejected_key",
        pl.lit(task.pool, pl.UInt16).alias("pool"), pl.lit(task.number, pl.UInt32).alias("part"),
        "position", (pl.col("media_bytes") > 0).alias("has_media"),
    )[by_prefix]  # fmt: skip
    edges = np.searchsorted(prefix[by_prefix], np.arange(task.partitions + 1))
    table = made.rechunk().to_arrow()
    whole = pa.RecordBatch.from_arrays([one.combine_chunks() for one in table.columns], schema=table.schema)
    with pa.ipc.new_file(str(task.out), table.schema) as writer:
        for first, last in pairwise(edges.tolist()):
            writer.write_batch(whole.slice(first, last - first))


def _prefixes(keys: U64, partitions: int) -> U64:
    """The first bits of each key, as many as tell the partitions apart."""
    bits = partitions.bit_length() - 1
    return keys >> np.uint64(64 - bits) if bits else np.zeros(len(keys), np.uint64)


def _decide(task: _Partition) -> pl.DataFrame:
    kept = np.memmap(task.kept, np.bool_, "r")
    pieces = [frame(piece) for piece in _pieces(task.files, task.number)]
    keys = pl.concat(
        [piece.filter(pl.Series(kept[piece["index"].to_numpy()], dtype=pl.Boolean)) for piece in pieces]
    )
    corpus = Corpus(pools=task.pools, images=Path(), seed=task.seed, engine=Local(1), places={})
    return task.step.decide(keys.select(*KEYS), corpus)


def _pieces(files: Sequence[Path], number: int) -> Iterator[pa.RecordBatch]:
    for path in files:
        with pa.memory_map(str(path)) as source:
            yield pa.ipc.open_file(source).get_batch(number)


def _read(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of a key file."""
    wanted = pa.ipc.IpcReadOptions(included_fields=[list(COLUMNS).index(name) for name in names])
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source, options=wanted).read_all().select(list(names))


def _remove(directories: Sequence[Path], run: str) -> None:
    for directory in directories:
        for path in directory.glob(f".ke*-{run}*.tmp"):
            path.unlink(missing_ok=True)
