"""How many tokens each pair of a mix takes, measured once before the first step: each rank measures a part.

    RUN/lengths.parquet    source, reason, shared, unshared of each pair, in the mix's order

Ranks that know them deal out a step without reading or tokenising the pairs of others. `reason` is null for a pair
that can be used; `shared` and `unshared` are its tokens with and without shared prefixes. Of a judge, which sees
the replies in the other order in every other epoch, the pairs are there twice.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.ahead import ahead
from curate.hashing import fingerprint
from curate.workspace import atomic
from trainer.config import TrainConfig
from trainer.distributed import World
from trainer.encode import Encoder, Row
from trainer.logs import Progress
from trainer.media import Unusable
from trainer.readers import MixReader, Picker
from trainer.schedule import end

FILE = "lengths.parquet"
VERSION = 1
SCHEMA = pa.schema({"source": pa.string(), "reason": pa.string(), "shared": pa.int64(), "unshared": pa.int64()})
MANY_RANKS = 16
"""From so many ranks on, pairs are measured first by default: a rank that measures those of all others is late."""
TOGETHER = 1024
"""Pairs whose lengths are Python objects at a time."""
SPARE = 10
"""For so many pairs of a limit one more is measured, since some will be dropped."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A pair of which only the position in the mix, over all epochs, its source and its tokens are known."""

    position: int
    source: str
    tokens: int


class Lengths:
    """The lengths of the first pairs of a mix, or of all for as many epochs as they differ in (`period`)."""

    def __init__(self, table: pa.Table, pairs: int, period: int, *, share: bool) -> None:
        self._whole = len(table) == pairs * period
        tokens: npt.NDArray[np.int64] = table["shared" if share else "unshared"].to_numpy()
        self._tokens = tokens
        self._sources, self._source = _coded(table["source"])
        self._reasons, self._reason = _coded(table["reason"])

    def at(self, position: int) -> "Sized | tuple[str, str] | None":
        """What is known of the pair at a position over all epochs: its size, or the (source, reason) of its drop.

        None if it was not measured.
        """
        if self._whole:
            number = position % len(self._tokens)
        elif position < len(self._tokens):
            number = position
        else:
            return None
        source, reason = self._sources[self._source[number]], self._reasons[self._reason[number]]
        return (source, reason) if reason else Sized(position, source, int(self._tokens[number]))


def _coded(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The different texts of a column, "" for none, and the number of each row's."""
    coded = column.fill_null("").combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def known(
    config: TrainConfig, mix: MixReader, encoder: Encoder, directory: Path, world: World, *, share: bool
) -> Lengths | None:
    """Find the lengths of a run's pairs, from its directory or by measuring them; None if it wants none.

    Every rank must call it.
    """
    first = world.size >= MANY_RANKS if config.measure_first is None else config.measure_first
    if not first or not len(mix):
        return None
    wanted = needed(config, len(mix), encoder.period)
    facts = {"encoder": encoder.facts(), "seed": config.seed, "files": mix.lock["files"], "pairs": wanted}
    path, key = directory / FILE, fingerprint({"version": VERSION, **facts})
    table = world.gather(_read(path, key) if world.chief else None)[0]
    if table is None:
        part = range(wanted * world.rank // world.size, wanted * (world.rank + 1) // world.size)
        parts = world.gather(measure(mix, encoder, part, config.workers, report=world.chief))
        table = pa.concat_tables(parts)
        if world.chief:
            _write(path, table, key)
    return Lengths(table, len(mix), encoder.period, share=share)


def needed(config: TrainConfig, pairs: int, period: int) -> int:
    """Count the pairs, from the first on, whose lengths a run can use; those after them it measures as it goes."""
    limits = [end(config, pairs), pairs * period]
    if config.max_pairs is not None:
        limits.append(config.max_pairs + config.max_pairs // SPARE)
    if config.max_steps is not None:
        limits.append(config.batch_pairs * (config.max_steps + config.max_steps // SPARE))
    return min(limits)


def measure(mix: MixReader, encoder: Encoder, part: range, workers: int, *, report: bool) -> pa.Table:
    """Measure the pairs at these positions over all epochs, with so many threads."""

    def size(row: Row) -> tuple[str, str | None, int, int]:
        try:
            pair = encoder.measure(row).pair
        except Unusable as unusable:
            return row.source, unusable.reason, 0, 0
        return row.source, None, pair.tokens(share=True), pair.tokens(share=False)

    picker = Picker(mix, part.start)
    rows = (row for position in part for row in picker.take([position]))
    progress = Progress("lengths, this rank's part", 0, len(part) if report else 0, "pairs")
    tables = [SCHEMA.empty_table()]
    with ThreadPoolExecutor(max(workers, 1), "measure") as pool:
        sizes = ahead(pool if workers else None, size, rows, 8 * workers)
        while found := list(islice(sizes, TOGETHER)):
            tables.append(pa.table([list(column) for column in zip(*found, strict=True)], schema=SCHEMA))
            for _ in found if report else ():
                progress.tick()
    return pa.concat_tables(tables)


def _read(path: Path, key: str) -> pa.Table | None:
    """The lengths in a file; None if it is not there, is damaged, or is not that of this run."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None
    return table if (table.schema.metadata or {}).get(b"key") == key.encode() else None


def _write(path: Path, table: pa.Table, key: str) -> None:
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"key": key}), temporary, write_page_checksum=True)
