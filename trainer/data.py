"""A mix's shards -> pairs -> the steps of a run: every global step takes the next pairs of the mix, in its order.

Which pairs a step has, and which are dropped, depends on the mix and the encoder alone: every rank reads and
measures all pairs (text, image headers), deals them out by the same rule, and decodes the pixels of its own. On
one core that was 2 ms to read and measure a pair with an image of a megapixel, and 30 ms to decode it. Threads do
both, since PIL and NumPy leave the interpreter free; processes spent more on handing the pixels over.
"""

import heapq
import json
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, count, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import TrainError, WorkspaceError
from curate.images.packs import Packs
from curate.mixing.shard_schema import REFERENCE
from curate.schema import VERSION, Block, Message
from trainer.encode import Encoded, Encoder, Measured, Row
from trainer.media import Medium, Unusable
from trainer.packing import pack_sizes

COLUMNS = ("pair_id", "source", "prompt", "chosen", "rejected", "media", "margin")
READ_ROWS = 32  # as Python objects at a time

T = TypeVar("T")
R = TypeVar("R")


class PairsReader:
    """The pairs of Parquet files with the columns of a pair (shards, parts of a pairs artefact), in their order.

    `files` gives the rows of each. Embedded images are read as they are; files that refer to an image store need
    `images`.
    """

    def __init__(self, files: Sequence[tuple[Path, int]], images: Path) -> None:
        self._paths = [path for path, _ in files]
        self._starts = [0, *accumulate(rows for _, rows in files)]
        self._images = images

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The pairs from number `start` to the end; row groups before it are not read."""
        first = bisect_right(self._starts, start) - 1
        for path, begin, end in zip(
            self._paths[first:], self._starts[first:], self._starts[first + 1 :], strict=False
        ):
            yield from self._shard(path, end - begin, max(start - begin, 0))

    def _shard(self, path: Path, rows: int, start: int) -> Iterator[Row]:
        try:
            with pq.ParquetFile(path) as file:
                _check_columns(path, file, rows)
                embedded = "images" in file.schema_arrow.names
                for batch in _batches(file, start, [*COLUMNS, *(["images"] if embedded else [])]):
                    for row in batch.to_pylist():
                        yield self._row(row, embedded)
        except (pa.ArrowInvalid, OSError) as error:
            raise WorkspaceError(
                str(path),
                f"damaged ({str(error).splitlines()[0]})",
                "the shard as it was written",
                "run curate verify",
            ) from None

    def _row(self, row: dict[str, Any], embedded: bool) -> Row:
        held = iter(row.get("images") or ())
        media = tuple(
            Medium(
                item["kind"],
                tuple(item["keys"]),
                tuple(image["bytes"] for image in islice(held, len(item["keys"]))) if embedded else (),
                None if embedded else self._store,
            )
            for item in row["media"]
        )
        sides = {side: _messages(row[side]) for side in ("prompt", "chosen", "rejected")}
        return Row(pair_id=row["pair_id"], source=row["source"], media=media, margin=row["margin"], **sides)

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
    """The pairs of a finished mix, in its order; `files` says whether those to train on or those held out.

    The image store is by default that of the workspace that the mix lies in. Raises WorkspaceError, before
    anything is read, where the mix is of another schema or its files are not as its lock says.
    """

    def __init__(
        self, directory: Path, files: Literal["shard", "holdout"] = "shard", images: Path | None = None
    ) -> None:
        self.directory = directory
        self.lock = _checked_lock(directory)
        kind = [file for file in self.lock["files"] if file["name"].startswith(f"{files}-")]
        store = images or directory.resolve().parent.parent.parent / "images"
        super().__init__([(directory / file["name"], file["rows"]) for file in kind], store)


def read_files(paths: Sequence[Path], images: Path) -> PairsReader:
    """The pairs of any pairs files. Raises WorkspaceError where one is missing or no Parquet."""
    counted = []
    for path in paths:
        try:
            counted.append((path, pq.read_metadata(path).num_rows))
        except (pa.ArrowInvalid, OSError) as error:
            raise WorkspaceError(str(path), str(error).splitlines()[0][:120], "a pairs file") from None
    return PairsReader(counted, images)


def _checked_lock(directory: Path) -> dict[str, Any]:
    """The lock of a mix that this code can read and whose files are all there, in their sizes."""
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
        there = directory / file["name"]
        if not there.is_file():
            raise WorkspaceError(str(there), "missing", f"{file['bytes']:,} bytes", again)
        if (size := there.stat().st_size) != file["bytes"]:
            raise WorkspaceError(str(there), f"{size:,} bytes", f"{file['bytes']:,} bytes", again)
    return lock


def _check_columns(path: Path, file: pq.ParquetFile, rows: int) -> None:
    there = {field.name: field.type for field in file.schema_arrow}
    wrong = [name for name in COLUMNS if there.get(name) != REFERENCE.field(name).type]
    if wrong:
        raise WorkspaceError(str(path), f"no column {wrong[0]} as in a shard", f"schema {VERSION}")
    if file.metadata.num_rows != rows:
        raise WorkspaceError(
            str(path), f"{file.metadata.num_rows:,} rows", f"{rows:,} rows, as lock.json says", "run curate verify"
        )


def _batches(file: pq.ParquetFile, start: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows from number `start` on, a few at a time, without reading row groups before it."""
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


def _messages(given: list[dict[str, Any]]) -> tuple[Message, ...]:
    return tuple(
        Message(turn["role"], tuple(Block(block["type"], block["text"]) for block in turn["content"]))
        for turn in given
    )


Dropped = tuple[str, str]
"""(source, reason) of a pair that can not be used."""


class Micro:
    """A rank's micro-batches of one step, each decoded when its turn is near.

    To be gone through once, before the next step is asked for: RuntimeError otherwise.
    """

    def __init__(self, number: int, batches: Iterator[list[Encoded]]) -> None:
        self._number, self._batches = number, batches
        self._gone = False

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[list[Encoded]]:
        if self._gone:
            raise RuntimeError("the micro-batches of a step are gone through once, before the next step")
        self._gone = True
        return self._batches

    def pass_over(self) -> None:
        """Go past those that are left."""
        self._gone = True
        deque(self._batches, maxlen=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step.

    micro     this rank's micro-batches; every rank has as many of them
    pairs     of all ranks
    consumed  the mix position after this step: a run that goes on from here makes the same steps
    dropped   pairs that were passed over for this step, by source and reason; the same on every rank
    lost      pairs of this rank that stay in the step with weight 0: header and hash were in order, and yet
              their pixels could not be decoded; complete once `micro` is gone through
    """

    micro: Micro
    pairs: int
    consumed: int
    dropped: Counter[Dropped]
    lost: Counter[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A step as far as it is known without pixels."""

    mine: list[list[Measured]]
    pairs: int
    consumed: int
    dropped: Counter[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The steps of a run over the mix, from mix position `start` to `stop`, for one rank of `world`.

    Every step takes exactly `pairs` pairs in the mix's order. One that can not be used (too long, more tokens than
    a micro-batch, media that the processor refuses, a dialogue that the template refuses) is counted, and the next
    takes its place. After the last pair of the mix comes the first again; the last step takes what is left, so it
    may be smaller. The pairs of a step are the same for any `world`.

    A step is dealt out over the fewest rounds of micro-batches that hold it, each of at most `max_tokens` tokens
    and about as many as the others; a micro-batch that stays empty gets a filler of weight 0. `share` says whether
    prefixes will be shared, which is what tokens are counted by.

    With `workers` threads, pairs are measured one step ahead and micro-batches decoded a few ahead, in the same
    order. Raises TrainError if not one pair can be used.
    """

    reader: MixReader
    encoder: Encoder
    pairs: int
    max_tokens: int
    stop: int
    start: int = 0
    rank: int = 0
    world: int = 1
    workers: int = 0
    share: bool = True

    def __iter__(self) -> Iterator[Step]:
        pool = ThreadPoolExecutor(self.workers, "encode") if self.workers else None
        try:
            yield from self._steps(pool)
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _steps(self, pool: ThreadPoolExecutor | None) -> Iterator[Step]:
        plans: deque[_Plan] = deque()
        decoded = _ahead(pool, self._decode, self._micros(pool, plans), self.workers + 1)
        for first in decoded:
            plan, lost = plans.popleft(), Counter[Dropped]()
            number = len(plan.mine)
            micro = Micro(number, _counted(chain([first], islice(decoded, number - 1)), lost))
            yield Step(micro=micro, pairs=plan.pairs, consumed=plan.consumed, dropped=plan.dropped, lost=lost)
            micro.pass_over()

    def _micros(self, pool: ThreadPoolExecutor | None, plans: deque[_Plan]) -> Iterator[list[Measured]]:
        """This rank's micro-batches of all steps; the plan of a step is put on `plans` before its first."""
        for plan in self._plans(_ahead(pool, self._measure, self._rows(), self.pairs)):
            plans.append(plan)
            yield from plan.mine

    def _plans(self, measured: Iterable[Measured | Dropped]) -> Iterator[_Plan]:
        """A step is known when the next usable pair is: what is dropped before that one belongs to the step."""
        taken: list[Measured] = []
        dropped = Counter[Dropped]()
        told = False
        for position, item in enumerate(measured, self.start):
            if not isinstance(item, Measured):
                dropped[item] += 1
                continue
            if len(taken) == self.pairs:
                yield self._plan(taken, position, dropped)
                told, taken, dropped = True, [], Counter()
            taken.append(item)
        if taken:
            yield self._plan(taken, self.stop, dropped)
        elif not told and self.start < self.stop:
            reasons = ", ".join(f"{source} {reason} {n:,}" for (source, reason), n in dropped.most_common(5))
            found = f"no pair can be used: {reasons}" if dropped else "no pairs"
            raise TrainError(str(self.reader.directory), found, "pairs to train on")

    def _plan(self, taken: list[Measured], consumed: int, dropped: Counter[Dropped]) -> _Plan:
        tokens = [measured.pair.tokens(share=self.share) for measured in taken]
        mine = deal(tokens, self.max_tokens, self.world)[self.rank]
        filled = [[taken[i] for i in micro] or [Measured(self.encoder.filler(), ((),))] for micro in mine]
        return _Plan(mine=filled, pairs=len(taken), consumed=consumed, dropped=dropped)

    def _rows(self) -> Iterator[Row]:
        """The mix from `start` to `stop`, round and round."""
        if not len(self.reader):
            return iter(())
        rounds = (self.reader.rows(0 if turn else self.start % len(self.reader)) for turn in count())
        return islice(chain.from_iterable(rounds), max(self.stop - self.start, 0))

    def _measure(self, row: Row) -> Measured | Dropped:
        try:
            measured = self.encoder.measure(row)
        except Unusable as verdict:
            return row.source, verdict.reason
        fits = measured.pair.tokens(share=self.share) <= self.max_tokens
        return measured if fits else (row.source, "over_max_tokens")

    def _decode(self, micro: list[Measured]) -> tuple[list[Encoded], list[Dropped]]:
        done, lost = [], []
        for measured in micro:
            try:
                done.append(self.encoder.decode(measured))
            except Unusable as verdict:
                lost.append((measured.pair.source, verdict.reason))
                done.append(self.encoder.filler())
        return done, lost


def _counted(
    decoded: Iterable[tuple[list[Encoded], list[Dropped]]], lost: Counter[Dropped]
) -> Iterator[list[Encoded]]:
    for micro, failed in decoded:
        lost.update(failed)
        yield micro


def _ahead(pool: ThreadPoolExecutor | None, work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """work(item) for every item, in order, with up to `most` items under way beyond the one that is waited for."""
    if pool is None:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def deal(tokens: Sequence[int], budget: int, ranks: int) -> list[list[list[int]]]:
    """For every rank its micro-batches, as ascending positions in `tokens`; all ranks have equally many.

    The fewest rounds are made that hold all pairs with at most `budget` tokens in a micro-batch. Within them the
    largest pair goes where there are the fewest tokens. Larger micro-batches come first, in the same round on all
    ranks. ValueError where a pair is over the budget.
    """
    packed = pack_sizes(tokens, budget)
    rounds = -(-len(packed) // ranks)
    micros = _level(tokens, budget, rounds * ranks) or packed + [[]] * (rounds * ranks - len(packed))
    micros.sort(key=lambda micro: (-sum(tokens[i] for i in micro), micro))
    dealt: list[list[list[int]]] = [[] for _ in range(ranks)]
    for turn in range(rounds):
        hand = micros[turn * ranks : (turn + 1) * ranks]
        for rank, micro in enumerate(hand[::-1] if turn % 2 else hand):  # who was first is last in the next round
            dealt[rank].append(micro)
    return dealt


def _level(tokens: Sequence[int], budget: int, number: int) -> list[list[int]] | None:
    """`number` micro-batches of about equal sums, or None where this would put one over the budget."""
    sums = [(0, i) for i in range(number)]
    micros: list[list[int]] = [[] for _ in range(number)]
    for position in sorted(range(len(tokens)), key=lambda i: (-tokens[i], i)):
        total, emptiest = sums[0]
        if total + tokens[position] > budget:
            return None
        heapq.heapreplace(sums, (total + tokens[position], emptiest))
        micros[emptiest].append(position)
    return [sorted(micro) for micro in micros]
