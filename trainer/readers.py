"""Reads the pairs of a mix, or of any pairs files, in their order, from any position on."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, count, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import WorkspaceError
from curate.images.packs import Packs
from curate.mixing.shard_schema import IMAGES, REFERENCE, SIDES, WEIGHT, message_type
from curate.schema import VERSION, Message, from_fields
from trainer.encode import Row
from trainer.media import Medium

COLUMNS = (
    "pair_id", "source", "prompt", "chosen", "rejected", "media", "margin", "chosen_critique", "rejected_critique",
)  # fmt: skip
OPTIONAL = (IMAGES.name, "tools", WEIGHT.name)
READ_ROWS = 32  # as Python objects at a time


class PairsReader:
    """Reads the pairs of Parquet files (shards, or the parts of a pairs artefact) in order.

    `files` holds each file with its number of rows. Embedded images are read from the file; files that refer to an
    image store need `images`, the directory of that store.
    """

    def __init__(self, files: Sequence[tuple[Path, int]], images: Path) -> None:
        self._paths = [path for path, _ in files]
        self._starts = [0, *accumulate(rows for _, rows in files)]
        self._images = images

    def __len__(self) -> int:
        return int(self._starts[-1])

    def pair_ids(self) -> list[str]:
        """The ids of all pairs, in order; no other column is read."""
        ids = (pq.read_table(path, columns=["pair_id"])["pair_id"] for path in self._paths)
        return [pair_id for column in ids for pair_id in column.to_pylist()]

    def weights(self) -> list[float]:
        """The weights of all pairs, in order: 1 in files without that column, and no other column is read."""
        found: list[float] = []
        for path, rows in zip(self._paths, np.diff(self._starts).tolist(), strict=True):
            weighted = WEIGHT.name in pq.read_schema(path).names
            found += (
                pq.read_table(path, columns=[WEIGHT.name])[WEIGHT.name].to_pylist() if weighted else [1.0] * rows
            )
        return found

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yield the pairs from position `start` to the end; row groups before it are not read."""
        for _, batch in self.batches(start):
            yield from self.rows_of(batch)

    def rows_of(self, batch: pa.RecordBatch) -> list[Row]:
        """Convert pairs as Arrow has them."""
        return list(map(self._row, batch.to_pylist()))

    def batches(self, start: int = 0) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the pairs from position `start` on as Arrow has them, with the position of each batch's first."""
        first = bisect_right(self._starts, start) - 1
        for path, begin, end in zip(
            self._paths[first:], self._starts[first:], self._starts[first + 1 :], strict=False
        ):
            position = max(start, begin)
            for batch in self._shard(path, end - begin, position - begin):
                yield position, batch
                position += batch.num_rows

    def _shard(self, path: Path, rows: int, start: int) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(path) as file:
                _check_columns(path, file, rows)
                optional = [name for name in OPTIONAL if name in file.schema_arrow.names]
                yield from _batches(file, start, [*COLUMNS, *optional])
        except (pa.ArrowInvalid, OSError) as error:
            raise WorkspaceError(
                str(path),
                f"damaged ({str(error).splitlines()[0]})",
                "the shard as it was written",
                "run curate verify",
            ) from None

    def _row(self, row: dict[str, Any]) -> Row:
        embedded, images = "images" in row, iter(row.get("images") or ())
        media = tuple(
            Medium(
                item["kind"],
                tuple(item["keys"]),
                tuple(image["bytes"] for image in islice(images, len(item["keys"]))) if embedded else (),
                None if embedded else self._store,
            )
            for item in row["media"]
        )
        prompt, chosen, rejected = (_messages(row[side]) for side in ("prompt", "chosen", "rejected"))
        return Row(
            pair_id=row["pair_id"], source=row["source"], prompt=prompt, chosen=chosen, rejected=rejected,
            media=media, margin=row["margin"],
            chosen_critique=row["chosen_critique"], rejected_critique=row["rejected_critique"],
            tools=row.get("tools"), weight=row.get(WEIGHT.name, 1.0),
        )  # fmt: skip

    @cached_property
    def _store(self) -> Packs:
        if not (self._images / "packs").is_dir():
            raise WorkspaceError(
                str(self._images),
                "no image store",
                f"the one that {self._paths[0].parent} refers to",
                "name it: images=DIR",
            )
        return Packs(self._images)


class MixReader(PairsReader):
    """Reads the pairs of a finished mix in order: those to train on, or with `files` "holdout" those held out.

    The image store is by default that of the workspace that holds the mix. Raises WorkspaceError, before anything
    is read, if the mix has another schema or its files are not those that its lock lists.
    """

    def __init__(
        self, directory: Path, files: Literal["shard", "holdout"] = "shard", images: Path | None = None
    ) -> None:
        self.directory = directory
        self.lock = _checked_lock(directory)
        kind = [file for file in self.lock["files"] if file["name"].startswith(f"{files}-")]
        store = images or directory.resolve().parent.parent.parent / "images"
        super().__init__([(directory / file["name"], file["rows"]) for file in kind], store)


class Picker:
    """Reads chosen pairs of a mix forward, epoch after epoch; of the others no Python object is made."""

    def __init__(self, reader: PairsReader, start: int) -> None:
        self._reader, self._first = reader, start
        self._batch = pa.RecordBatch.from_pydict({})
        done, first = divmod(start, max(len(reader), 1))
        self._batches = (
            (turn * len(reader) + position, batch)
            for turn in count(done)
            for position, batch in reader.batches(first if turn == done else 0)
        )

    def take(self, positions: Sequence[int]) -> list[Row]:
        """Read the pairs at ascending positions, none of them before those of an earlier call."""
        found = []
        for position in positions:
            while position >= self._first + self._batch.num_rows:
                self._first, self._batch = next(self._batches)
            [row] = self._reader.rows_of(self._batch.slice(position - self._first, 1))
            found.append(replace(row, epoch=position // len(self._reader)))
        return found


def read_files(paths: Sequence[Path], images: Path) -> PairsReader:
    """Make a reader of any pairs files. Raises WorkspaceError if one is missing or is not Parquet."""
    counted = []
    for path in paths:
        try:
            counted.append((path, pq.read_metadata(path).num_rows))
        except (pa.ArrowInvalid, OSError) as error:
            raise WorkspaceError(str(path), str(error).splitlines()[0][:120], "a pairs file") from None
    return PairsReader(counted, images)


def _checked_lock(directory: Path) -> dict[str, Any]:
    """The lock of a mix, once its schema is ours and all its files are there in their sizes."""
    path = directory / "lock.json"
    again = "build the mix again with curate mix"
    try:
        lock: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkspaceError(
            str(directory), "no lock.json", "the directory of a finished mix", "curate mix says where it is"
        ) from None
    except ValueError as error:
        raise WorkspaceError(str(path), f"damaged ({error})", "JSON", again) from None
    if lock.get("schema") != VERSION:
        raise WorkspaceError(str(path), f"a mix of schema {lock.get('schema')}", f"schema {VERSION}", again)
    for file in lock["files"]:
        shard = directory / file["name"]
        if not shard.is_file():
            raise WorkspaceError(str(shard), "missing", f"{file['bytes']:,} bytes", again)
        if (size := shard.stat().st_size) != file["bytes"]:
            raise WorkspaceError(str(shard), f"{size:,} bytes", f"{file['bytes']:,} bytes", again)
    return lock


def _check_columns(path: Path, file: pq.ParquetFile, rows: int) -> None:
    types = {field.name: field.type for field in file.schema_arrow}
    messages = [message_type(fields=fields, text=text) for fields in (False, True) for text in (False, True)]
    wrong = [
        name for name in COLUMNS
        if types.get(name) not in (messages if name in SIDES else [REFERENCE.field(name).type])
    ]  # fmt: skip
    if types.get(WEIGHT.name, WEIGHT.type) != WEIGHT.type:
        wrong.append(WEIGHT.name)
    if wrong:
        raise WorkspaceError(str(path), f"no column {wrong[0]} as in a shard", f"schema {VERSION}")
    if file.metadata.num_rows != rows:
        raise WorkspaceError(
            str(path), f"{file.metadata.num_rows:,} rows", f"{rows:,} rows, as lock.json says", "run curate verify"
        )


def _batches(file: pq.ParquetFile, start: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows from number `start` on, a few at a time, without reading the row groups before it."""
    begin = 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        if end > start:
            for batch in file.iter_batches(READ_ROWS, row_groups=[group], columns=columns, use_threads=False):
                skipped = min(max(start - begin, 0), batch.num_rows)
                if skipped < batch.num_rows:
                    yield batch.slice(skipped)
                begin += batch.num_rows
        begin = end


def _messages(turns: list[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(from_fields(turn) for turn in turns)
