"""Runs steps over the pairs of a recipe, writes decisions, and checks the conservation law."""

import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from curate.arrays import B8, integer, series
from curate.engines.base import Engine, Listener
from curate.order import order_key
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.screening.broken_images import NAME, broken_images, needs_pixels
from curate.screening.row_steps import (
    CachedStep,
    find_reasons,
    fingerprint_of,
    read_reasons,
    starts_of,
    write_frame,
)
from curate.steps import is_corpus_step, is_row_step
from curate.steps.base import DECISION, CorpusStep, Step
from curate.steps.corpus import Corpus, Sketch, make_sketches

FOUND = {
    "at": pl.UInt32,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
}
"""What a step finds in pairs of one pool: `at` is a row of its key columns."""

DECISIONS = {
    "pair_id": pl.String,
    "source": pl.String,
    "row": pl.String,
    "step": pl.String,
    "reason": pl.String,
    "winner": pl.String,
    "score": pl.Float64,
    "evidence": pl.String,
    "part": pl.UInt32,
    "position": pl.UInt32,
}
"""Columns of a decisions file.

row              where upstream the row is
winner           the id of the pair that it lost to, null if none
score, evidence  how sure the step is, and what it found
part, position   the part of the pool, counted in order, and the row in that part
"""

TRIAL = ["index", "pool", "pair_id", "winner_pool", "winner", "score", "evidence"]
"""Columns of a trial, a row for each pair that would be dropped.

`index` numbers the pairs of all pools; pools are labels, the pair and its winner are ids.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """How many pairs there were, were kept, and were dropped for each `step/why`, in the order of the steps."""

    pairs: int
    dropped: Mapping[str, int]
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedPool:
    """What the steps decided about one pool; `keys` and the mask `kept` have its pairs in file order.

    `flags` has the columns of `decisions`, about pairs that the step which found something did not drop.
    """

    pool: PairsPool
    keys: pl.DataFrame
    kept: B8
    decisions: pl.DataFrame
    flags: pl.DataFrame
    funnel: Funnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What the steps decided about all pools, in their order."""

    pools: tuple[ScreenedPool, ...]


def screen(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
    say: Callable[[str], None] = lambda _: None,
) -> Screened:
    """Run the steps in their order; what one drops, later ones do not see. `listen` gets pairs read as rows.

    `images` is the image store of the pairs; `say` gets a line for each step that reads all pairs at once.
    """
    ledgers, _ = _walk(pools, steps, (), seed, engine, listen, images, say)
    return Screened(pools=tuple(ledger.close() for ledger in ledgers))


def trials(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    candidates: Sequence[tuple[str, CorpusStep]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, int], Iterator[pl.DataFrame]]:
    """Return how many pairs of each pool these steps keep, and what each candidate would drop of those: see TRIAL.

    Each candidate runs after the steps, as if it were the only one. Nothing is written but what `screen` caches
    beside the pairs too.
    """
    sketches = [sketch for _, candidate in candidates for sketch in candidate.sketches()]
    ledgers, corpus = _walk(pools, steps, sketches, seed, engine, listen, images, say)
    if any(needs_pixels(candidate) for _, candidate in candidates):
        _decide_images(ledgers, corpus, say)
    pairs, kept = _all_pairs(ledgers, seed)
    left = {ledger.pool.label: int(ledger.kept.sum()) for ledger in ledgers}

    def dropped() -> Iterator[pl.DataFrame]:
        for name, candidate in candidates:
            say(f"{name}: among {sum(left.values()):,} pairs")
            yield _trial(name, candidate, pairs, kept, corpus)

    return left, dropped()


def _walk(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    more: Sequence[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None,
    images: Path,
    say: Callable[[str], None],
) -> tuple[list["_Ledger"], Corpus]:
    """The pools after these steps, and their corpus with the sketches of the steps and some more."""
    cached = {at: CachedStep.of(name, step) for at, (name, step) in enumerate(steps) if is_row_step(step)}
    find_reasons(pools, list(cached.values()), engine, listen)
    sketches = [sketch for _, step in steps if is_corpus_step(step) for sketch in step.sketches()]
    sketches += more
    if sketches:
        say(f"sketches: {', '.join(dict.fromkeys(type(sketch).__name__.lower() for sketch in sketches))}")
    corpus = sketched(pools, sketches, seed, engine, listen, images)
    ledgers = [_Ledger(pool) for pool in pools]
    unseen = True  # images are decoded when a step first needs them
    for at, (name, step) in enumerate(steps):
        if needs_pixels(step) and unseen:
            unseen = False
            _decide_images(ledgers, corpus, say)
        if is_row_step(step):
            for ledger in ledgers:
                ledger.drop(name, ledger.reasons(cached[at]))
        elif is_corpus_step(step):
            say(f"{name}: among {sum(int(ledger.kept.sum()) for ledger in ledgers):,} pairs")
            _decide(name, step, ledgers, corpus)
    return ledgers, corpus


def _decide_images(ledgers: Sequence["_Ledger"], corpus: Corpus, say: Callable[[str], None]) -> None:
    """Drop the kept pairs that show an image which cannot be decoded."""
    pictured = [ledger for ledger in ledgers if bool((ledger.keys["media_bytes"] > 0).any())]
    if not pictured:
        return
    say("images: decoding those that were not yet")
    pairs, kept = _all_pairs(ledgers, corpus.seed)
    shows = np.concatenate([(ledger.keys["media_bytes"] > 0).to_numpy() for ledger in ledgers])
    _settle(broken_images(pairs.filter(kept & shows), corpus), NAME, pairs, ledgers)


def sketched(
    pools: Sequence[PairsPool],
    sketches: Iterable[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
) -> Corpus:
    """Return the pools with these sketches, making those that are not cached."""
    places = {one: _place(one) for one in sketches}
    corpus = Corpus(pools=tuple(pools), images=images, seed=seed, engine=engine, places=places)
    make_sketches(corpus, places, listen)
    return corpus


def write_decisions(screened: Screened, directory: Path) -> None:
    """Publish the decisions of each pool as `directory/<label>.parquet`, and `directory/../review.parquet`.

    The review sheet lists the decisions with evidence, dropped or flagged, of all pools.
    """
    for one in screened.pools:
        write_frame(one.decisions, directory / f"{one.pool.label}.parquet")
    write_frame(review(screened), directory.parent / "review.parquet")


def review(screened: Screened) -> pl.DataFrame:
    """Return decisions with evidence and flags of all pools, the surest first: DECISIONS, `pool` and `fate`."""
    found = [pl.DataFrame(schema={"fate": pl.String, "pool": pl.String, **DECISIONS})]
    for one in screened.pools:
        proved = one.decisions.filter(pl.col("evidence").is_not_null())
        for fate, some in (("dropped", proved), ("flagged", one.flags)):
            found.append(some.select(pl.lit(fate).alias("fate"), pl.lit(one.pool.label).alias("pool"), *DECISIONS))
    last = ["pair_id", "part", "position"]
    return pl.concat(found).sort("step", "reason", "score", *last, descending=[False, False, True, *[False] * 3])


# ------------------------------------------------------------------------------------------------ the ledger


class _Ledger:
    """The account of one pool: which pairs are kept so far, and why the others are dropped."""

    def __init__(self, pool: PairsPool) -> None:
        self.pool = pool
        self.keys = load_keys(pool.directory, pool.parts)
        self.starts = starts_of(self.keys, len(pool.parts))
        self.kept: B8 = np.ones(self.keys.height, np.bool_)
        self.dropped: dict[str, int] = {}
        self.decided: list[pl.DataFrame] = []
        self.flagged: list[pl.DataFrame] = []

    def reasons(self, step: CachedStep) -> pl.DataFrame:
        """FOUND by a row step in all pairs, dropped or not."""
        empty = pl.DataFrame(schema=FOUND)
        return pl.concat([empty, read_reasons(self.pool, step, self.starts)], how="diagonal")

    def flag(self, step: str, found: pl.DataFrame) -> None:
        """Record what a step found in pairs that are kept."""
        self.flagged.append(found.with_columns(pl.lit(step).alias("step")))

    def drop(self, step: str, found: pl.DataFrame) -> None:
        """Drop those of the pairs that are still kept."""
        before = int(self.kept.sum())
        found = found.filter(self.kept[found["at"].to_numpy()])
        self.kept[found["at"].to_numpy()] = False
        for reason, count in found.group_by("reason").len().sort("reason").iter_rows():
            self.dropped[f"{step}/{reason}"] = self.dropped.get(f"{step}/{reason}", 0) + count
        self.decided.append(found.with_columns(pl.lit(step).alias("step")))
        kept = int(self.kept.sum())
        assert before == kept + found.height, f"{self.pool.label}, {step}: {before} != {kept} + {found.height}"

    def close(self) -> ScreenedPool:
        """Return the pool as screened, after checking the conservation law."""
        funnel = Funnel(pairs=self.keys.height, dropped=self.dropped, kept=int(self.kept.sum()))
        assert funnel.pairs == sum(funnel.dropped.values()) + funnel.kept, f"{self.pool.label}: {funnel}"
        decisions, flags = self._decisions(self.decided), self._decisions(self.flagged)
        assert decisions.height == funnel.pairs - funnel.kept
        return ScreenedPool(
            pool=self.pool, keys=self.keys, kept=self.kept, decisions=decisions, flags=flags, funnel=funnel
        )

    def _decisions(self, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
        empty = pl.DataFrame(schema={**FOUND, "step": pl.String})
        decided = pl.concat([empty, *found]).sort("at")
        pairs = self.keys[decided["at"]]
        columns: dict[str, Any] = {
            "pair_id": _pair_ids(pairs),
            "source": pl.lit(self.pool.source),
            "row": self._rows(pairs),
            "part": pairs["part"],
            "position": pairs["position"],
        }
        return decided.with_columns(**columns).select(list(DECISIONS))

    def _rows(self, pairs: pl.DataFrame) -> pl.Series:
        """The column `row` of pairs, sorted by place; read from those parts only that hold some of them."""
        found = [pl.Series(dtype=pl.String)]
        for (part,), some in pairs.group_by("part", maintain_order=True):
            rows = pl.read_parquet(self.pool.directory / self.pool.parts[integer(part)], columns=["row"])
            found.append(rows["row"][some["position"]])
        return pl.concat(found)


def _place(sketch: Sketch) -> str:
    return f"sketches/{type(sketch).__name__.lower()}-{fingerprint_of(sketch)}"


def _decide(name: str, step: CorpusStep, ledgers: Sequence[_Ledger], corpus: Corpus) -> None:
    """Run a corpus step on the kept pairs of all pools; drop and flag as it decides."""
    pairs, kept = _all_pairs(ledgers, corpus.seed)
    _settle(_decided(name, step, pairs, kept, corpus), name, pairs, ledgers)


def _settle(decided: pl.DataFrame, name: str, pairs: pl.DataFrame, ledgers: Sequence[_Ledger]) -> None:
    """Drop and flag pairs as was decided."""
    decided = pl.concat([pl.DataFrame(schema=DECISION), decided], how="diagonal")
    winners = _pair_ids(pairs[decided["winner"].fill_null(0)])
    decided = decided.with_columns(winner=pl.when(pl.col("winner").is_not_null()).then(winners))
    start = 0
    for ledger in ledgers:
        end = start + ledger.keys.height
        own = decided.filter(pl.col("index").is_between(start, end, closed="left"))
        stays = own["flag"].fill_null(False)
        found = own.select(pl.col("index").alias("at") - start, *list(FOUND)[1:])
        ledger.drop(name, found.filter(~stays))
        ledger.flag(name, found.filter(stays))
        start = end


def _trial(name: str, step: CorpusStep, pairs: pl.DataFrame, kept: B8, corpus: Corpus) -> pl.DataFrame:
    """What a corpus step would drop of the kept pairs."""
    decided = _decided(name, step, pairs, kept, corpus)
    decided = decided.filter(~pl.col("flag").fill_null(False))
    lost, won = pairs[decided["index"]], pairs[decided["winner"].fill_null(0)]
    labels = pl.Series([pool.label for pool in corpus.pools], dtype=pl.String)
    known = pl.col("winner").is_not_null()
    return decided.with_columns(
        pool=labels.gather(lost["pool"]),
        pair_id=_pair_ids(lost),
        winner_pool=pl.when(known).then(labels.gather(won["pool"])),
        winner=pl.when(known).then(_pair_ids(won)),
    ).select(TRIAL)


def _decided(name: str, step: CorpusStep, pairs: pl.DataFrame, kept: B8, corpus: Corpus) -> pl.DataFrame:
    """A corpus step's DECISIONs about the kept pairs."""
    decided = step.decide(pairs.filter(kept).drop("id_hi", "id_lo"), corpus)
    decided = pl.concat([pl.DataFrame(schema=DECISION), decided], how="diagonal")
    assert kept[decided["index"].to_numpy()].all(), f"{name} decided about pairs that it did not get"
    return decided


def _all_pairs(ledgers: Sequence[_Ledger], seed: int) -> tuple[pl.DataFrame, B8]:
    """The KEY columns of all pools, with the halves of the pair ids, and which pairs are kept."""
    frames = [_corpus_keys(ledger, number, seed) for number, ledger in enumerate(ledgers)]
    return pl.concat(frames).with_row_index("index"), np.concatenate([ledger.kept for ledger in ledgers])


def _corpus_keys(ledger: _Ledger, pool: int, seed: int) -> pl.DataFrame:
    """The KEY columns of one pool but `index`, and the halves of the pair ids."""
    order = order_key(ledger.keys["id_hi"].to_numpy(), ledger.keys["id_lo"].to_numpy(), seed)
    return ledger.keys.select(
        pl.lit(ledger.pool.priority, pl.UInt16).alias("priority"),
        pl.Series("order", order, pl.UInt64),
        "known",
        "prompt_key",
        "chosen_key",
        "rejected_key",
        pl.lit(pool, pl.UInt16).alias("pool"),
        "part",
        "position",
        "id_hi",
        "id_lo",
    )


def _pair_ids(pairs: pl.DataFrame) -> pl.Series:
    """The pair ids, 32 hex digits each, of rows with `id_hi` and `id_lo`."""
    halves = np.stack([pairs["id_hi"].to_numpy(), pairs["id_lo"].to_numpy()], axis=1)
    digits = binascii.hexlify(halves.astype(">u8").tobytes())
    offsets = np.arange(pairs.height + 1, dtype=np.int64) * 32
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits)]
    return series(pa.Array.from_buffers(pa.large_string(), pairs.height, buffers))
