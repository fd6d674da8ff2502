"""The optimizer steps of a run: each takes the next pairs of the mix, in the mix's order.

Which pairs a step has, and which are dropped, depends only on the mix and the encoder: every rank reads and
measures all pairs (text and image headers), deals them out by the same rule, and decodes the pixels of its own. On
one core, reading and measuring a pair with an image of a megapixel took 2 ms, and decoding it 30 ms. Threads do
both, since PIL and NumPy release the interpreter lock; processes spent more on passing the pixels on. Where many
ranks train together, the lengths of all pairs are known before (`trainer.lengths`), and a rank measures its own.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from typing import TypeVar

import xxhash

from curate.ahead import ahead
from curate.errors import TrainError
from trainer.encode import Encoded, Encoder, Measured, Row
from trainer.lengths import Lengths, Sized
from trainer.media import Unusable
from trainer.packing import pack_sizes
from trainer.readers import MixReader, Picker
from trainer.transfer import OnItsWay

P = TypeVar("P", Measured, Sized)
Dropped = tuple[str, str]
"""(source, reason) of a pair that cannot be used."""


class MicroBatch(list[Encoded]):
    """The pairs of a micro-batch; `batch` is what the steps' `lay_out` made of them, None without one."""

    batch: OnItsWay | None = None


class MicroBatches:
    """A rank's micro-batches of one step, decoded shortly before they are needed.

    They can be iterated once, and only before the next step is fetched. Raises RuntimeError otherwise.
    """

    def __init__(self, number: int, batches: Iterator[MicroBatch]) -> None:
        self._number, self._batches = number, batches
        self._consumed = False

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[MicroBatch]:
        if self._consumed:
            raise RuntimeError("the micro-batches of a step can be iterated once, before the next step is fetched")
        self._consumed = True
        return self._batches

    def skip(self) -> None:
        """Skip the micro-batches that are left."""
        self._consumed = True
        deque(self._batches, maxlen=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step.

    micro     this rank's micro-batches; every rank has the same number of them
    pairs     the number of pairs in the step, over all ranks
    consumed  the mix position after this step; within a window in proportion to its steps
    resume    (start, passed) of steps that continue after this one
    dropped   pairs that were skipped while the step was filled, by source and reason; the same on every rank
    unusable  pairs of this rank that stay in the step with weight 0, because their pixels could not be decoded
              though header and hash were right; complete once `micro` was iterated
    """

    micro: MicroBatches
    pairs: int
    consumed: int
    resume: tuple[int, int]
    dropped: Counter[Dropped]
    unusable: Counter[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepPlan:
    """A step as far as it is known without pixels; `mine` is this rank's part of it."""

    mine: list[list[Measured | Sized | Row]]
    pairs: int
    consumed: int
    resume: tuple[int, int]
    dropped: Counter[Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Iterates over the steps of a run, from mix position `start` to `stop`, for one rank of `world`.

    Every step takes exactly `pairs` pairs in the mix's order. A pair that cannot be used (too long, more tokens
    than a micro-batch holds, media that the processor refuses, a dialogue that the template refuses) is counted,
    and the next one takes its place. The first pair of the mix follows the last; the last step takes what is left,
    so it may be smaller. The pairs of a step are the same for any `world`.

    A step is dealt out over the fewest rounds of micro-batches that hold it. Micro-batches have at most
    `max_tokens` tokens each and are about equally large; an empty one gets a filler of weight 0. `share` is
    true if prefixes will be shared, which changes how many tokens a pair takes.

    With a `window` of several steps, the pairs of so many steps are sorted by their tokens, and a step takes pairs
    of about one length: on many ranks, of a pair or two each, all have about as much to do. The steps of a window
    are in an order drawn from their numbers; `passed` counts those that are not made again.

    With `workers` threads, pairs are measured one step ahead and micro-batches decoded, and laid out with
    `lay_out`, a few ahead, in the same order. With `lengths` the steps are the same, and only pairs of this rank
    are read and measured, when they are decoded. Raises TrainError if no pair at all can be used.
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
    window: int = 1
    passed: int = 0
    lay_out: Callable[[Sequence[Encoded]], OnItsWay] | None = None
    lengths: Lengths | None = None

    def __iter__(self) -> Iterator[Step]:
        pool = ThreadPoolExecutor(self.workers, "encode") if self.workers else None
        try:
            yield from self._steps(pool)
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _steps(self, pool: ThreadPoolExecutor | None) -> Iterator[Step]:
        plans: deque[_StepPlan] = deque()
        decoded = ahead(pool, self._decode, self._micros(pool, plans), self.workers + 1)
        for first in decoded:
            plan, unusable = plans.popleft(), Counter[Dropped]()
            number = len(plan.mine)
            micro = MicroBatches(number, _counted(chain([first], islice(decoded, number - 1)), unusable))
            yield Step(
                micro=micro, pairs=plan.pairs, consumed=plan.consumed, resume=plan.resume, dropped=plan.dropped,
                unusable=unusable,
            )  # fmt: skip
            micro.skip()

    def _micros(
        self, pool: ThreadPoolExecutor | None, plans: deque[_StepPlan]
    ) -> Iterator[list[Measured | Sized | Row]]:
        """Yield this rank's micro-batches of all steps; a step's plan is appended to `plans` before its first."""
        picker = Picker(self.reader, self.start)
        for window in self._plans(self._pairs(pool)):
            for plan in _with_rows(window, picker):
                plans.append(plan)
                yield from plan.mine

    def _pairs(self, pool: ThreadPoolExecutor | None) -> Iterator[Measured | Sized | Dropped]:
        """Yield what is known of the pairs from `start` to `stop`: from `lengths` as far as they go."""
        position = self.start
        while self.lengths is not None and position < self.stop:
            found = self.lengths.at(position)
            if found is None:
                break
            yield self._fitting(found, found.tokens) if isinstance(found, Sized) else found
            position += 1
        yield from ahead(pool, self._measure, self._rows(position), self.pairs)

    def _plans(self, pairs: Iterable[Measured | Sized | Dropped]) -> Iterator[list[_StepPlan]]:
        """Yield a window's plans once the pair after it is known: what is dropped before that pair counts here."""
        taken: list[Measured | Sized] = []
        dropped = Counter[Dropped]()
        yielded, start, passed = False, self.start, self.passed
        for position, item in enumerate(pairs, self.start):
            if isinstance(item, tuple):
                dropped[item] += 1
                continue
            if len(taken) == self.pairs * self.window:
                yield list(self._window(taken, start, position, dropped))[passed:]
                yielded, taken, dropped, start, passed = True, [], Counter(), position, 0
            taken.append(item)
        if taken:
            yield list(self._window(taken, start, self.stop, dropped))[passed:]
        elif not yielded and self.start < self.stop:
            reasons = ", ".join(f"{source} {reason} {n:,}" for (source, reason), n in dropped.most_common(5))
            found = f"no pair can be used: {reasons}" if dropped else "no pairs"
            raise TrainError(str(self.reader.directory), found, "pairs to train on")

    def _window(
        self, taken: list[Measured | Sized], start: int, stop: int, dropped: Counter[Dropped]
    ) -> Iterator[_StepPlan]:
        """Yield the plans of the steps that share the pairs of the mix from position `start` to `stop`."""
        tokens = list(map(self._tokens, taken))
        parts = steps_by_length(tokens, self.pairs, start)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            yield self._plan(
                [taken[i] for i in part],
                consumed=start + (stop - start) * number // len(parts),
                resume=(stop, 0) if last else (start, number),
                dropped=dropped if number == 1 else Counter(),
            )

    def _plan(
        self, taken: list[Measured | Sized], consumed: int, resume: tuple[int, int], dropped: Counter[Dropped]
    ) -> _StepPlan:
        mine = deal(list(map(self._tokens, taken)), self.max_tokens, self.world)[self.rank]
        filled: list[list[Measured | Sized | Row]] = [
            [taken[i] for i in micro] or [Measured(self.encoder.filler(), ((),))] for micro in mine
        ]
        return _StepPlan(mine=filled, pairs=len(taken), consumed=consumed, resume=resume, dropped=dropped)

    def _tokens(self, pair: Measured | Sized) -> int:
        return pair.tokens if isinstance(pair, Sized) else pair.pair.tokens(share=self.share)

    def _rows(self, start: int) -> Iterator[Row]:
        """The rows of the mix from position `start` to `stop`, beginning anew after the last."""
        if not len(self.reader):
            return iter(())
        done, first = divmod(start, len(self.reader))
        rounds = (
            (replace(row, epoch=turn) for row in self.reader.rows(first if turn == done else 0))
            for turn in count(done)
        )
        return islice(chain.from_iterable(rounds), max(self.stop - start, 0))

    def _measure(self, row: Row) -> Measured | Dropped:
        try:
            measured = self.encoder.measure(row)
        except Unusable as error:
            return row.source, error.reason
        return self._fitting(measured, self._tokens(measured))

    def _fitting(self, pair: P, tokens: int) -> P | Dropped:
        """The pair, or why it is dropped if no micro-batch holds so many tokens."""
        source = pair.source if isinstance(pair, Sized) else pair.pair.source
        return pair if tokens <= self.max_tokens else (source, "over_max_tokens")

    def _decode(self, micro: list[Measured | Sized | Row]) -> tuple[MicroBatch, list[Dropped]]:
        decoded, unusable = MicroBatch(), []
        for one in micro:
            assert not isinstance(one, Sized), "rows of sizes are read before"
            try:
                measured = one if isinstance(one, Measured) else self.encoder.measure(one)
                decoded.append(self.encoder.decode(measured))
            except Unusable as error:
                source = one.source if isinstance(one, Row) else one.pair.source
                unusable.append((source, error.reason))
                decoded.append(self.encoder.filler())
        if self.lay_out is not None:
            decoded.batch = self.lay_out(decoded)
        return decoded, unusable


def _with_rows(plans: Sequence[_StepPlan], picker: Picker) -> Iterator[_StepPlan]:
    """Put the rows of a window's pairs in the place of their sizes; steps take them in another order than the
    mix."""
    micros = [micro for plan in plans for micro in plan.mine]
    wanted = sorted(pair.position for micro in micros for pair in micro if isinstance(pair, Sized))
    rows = dict(zip(wanted, picker.take(wanted), strict=True))
    for plan in plans:
        mine: list[list[Measured | Sized | Row]] = [
            [rows[pair.position] if isinstance(pair, Sized) else pair for pair in micro] for micro in plan.mine
        ]
        yield replace(plan, mine=mine)


def _counted(
    decoded: Iterable[tuple[MicroBatch, list[Dropped]]], unusable: Counter[Dropped]
) -> Iterator[MicroBatch]:
    """The micro-batches; their pairs without pixels are added to `unusable`."""
    for micro, failed in decoded:
        unusable.update(failed)
        yield micro


def steps_by_length(tokens: Sequence[int], pairs: int, seed: int) -> list[list[int]]:
    """Divide a window's pairs into steps of `pairs` with about as many tokens each; the last may be smaller.

    A step is ascending positions in `tokens`. The order of the steps is drawn from `seed` and their numbers.
    """
    ranked = sorted(range(len(tokens)), key=lambda i: (-tokens[i], i))
    parts = [sorted(ranked[i : i + pairs]) for i in range(0, len(ranked), pairs)]
    order = sorted(range(len(parts)), key=lambda i: xxhash.xxh3_64_intdigest(f"{seed}:{i}".encode()))
    return [parts[i] for i in order]


def deal(tokens: Sequence[int], budget: int, ranks: int) -> list[list[list[int]]]:
    """Deal pairs out to ranks: for each rank its micro-batches, as ascending positions in `tokens`.

    All ranks get the same number of micro-batches: the fewest that hold all pairs with at most `budget` tokens in
    each. Within them the largest pair goes where there are the fewest tokens. Larger micro-batches come first, in
    the same round on all ranks. Raises ValueError if a pair has more than `budget` tokens.
    """
    packed = pack_sizes(tokens, budget)
    rounds = -(-len(packed) // ranks)
    micros = _level(tokens, budget, rounds * ranks) or packed + [[]] * (rounds * ranks - len(packed))
    micros.sort(key=lambda micro: (-sum(tokens[i] for i in micro), micro))
    dealt: list[list[list[int]]] = [[] for _ in range(ranks)]
    for turn in range(rounds):
        some = micros[turn * ranks : (turn + 1) * ranks]
        for rank, micro in enumerate(some[::-1] if turn % 2 else some):  # every other round in reverse order
            dealt[rank].append(micro)
    return dealt


def _level(tokens: Sequence[int], budget: int, number: int) -> list[list[int]] | None:
    """`number` micro-batches of about equal sums, or None if this would put one over the budget."""
    sums = [(0, i) for i in range(number)]
    micros: list[list[int]] = [[] for _ in range(number)]
    for position in sorted(range(len(tokens)), key=lambda i: (-tokens[i], i)):
        total, emptiest = sums[0]
        if total + tokens[position] > budget:
            return None
        heapq.heapreplace(sums, (total + tokens[position], emptiest))
        micros[emptiest].append(position)
    return [sorted(micro) for micro in micros]
