"""Runs steps over the pairs of a recipe: what each decides is settled in the pools' ledgers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from curate.engines.base import Engine, Listener
from curate.pairs.pool import PairsPool
from curate.screening.broken_images import needs_pixels
from curate.screening.ledgers import HoldOut, Ledgers
from curate.screening.row_steps import CachedStep, find_reasons, fingerprint_of
from curate.screening.screened import Screened
from curate.steps import is_after_holdout, is_corpus_step, is_row_step, is_score_step
from curate.steps.base import CorpusStep, Step
from curate.steps.corpus import Corpus, Sketch, make_sketches


def screen(
    pools: Sequence[PairsPool],
    steps: Sequence[tuple[str, Step]],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
    say: Callable[[str], None] = lambda _: None,
    hold_out: HoldOut | None = None,
) -> Screened:
    """Run the steps in their order; what one drops, later ones do not see. `listen` gets pairs read as rows.

    `images` is the image store of the pairs; `say` gets a line for each step that reads all pairs at once.
    `hold_out` says which pairs steps that read scores do not get: shares of them are of the others alone.
    """
    corpus = _corpus(pools, _sketches(steps), seed, engine, images)
    ledgers = _decided(corpus, steps, listen, say, hold_out)
    return Screened(pools=tuple(ledger.close() for ledger in ledgers.each))


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
    corpus = _corpus(pools, [*_sketches(steps), *_sketches(candidates)], seed, engine, images)
    ledgers = _decided(corpus, steps, listen, say)
    if any(needs_pixels(candidate) for _, candidate in candidates):
        ledgers.decide_images(corpus, say)
    left = {ledger.pool.label: int(ledger.kept.sum()) for ledger in ledgers.each}

    def dropped() -> Iterator[pl.DataFrame]:
        for name, candidate in candidates:
            say(f"{name}: among {sum(left.values()):,} pairs")
            yield ledgers.trial(name, candidate, corpus)

    return left, dropped()


def sketched(
    pools: Sequence[PairsPool],
    sketches: Iterable[Sketch],
    seed: int,
    engine: Engine,
    listen: Listener | None = None,
    images: Path = Path("images"),
) -> Corpus:
    """Return the pools with these sketches, making those that are not cached."""
    corpus = _corpus(pools, sketches, seed, engine, images)
    make_sketches(corpus, listen)
    return corpus


def _corpus(
    pools: Sequence[PairsPool], sketches: Iterable[Sketch], seed: int, engine: Engine, images: Path
) -> Corpus:
    places = {one: f"sketches/{type(one).__name__.lower()}-{fingerprint_of(one)}" for one in sketches}
    return Corpus(pools=tuple(pools), images=images, seed=seed, engine=engine, places=places)


def _sketches(steps: Iterable[tuple[str, Step]]) -> list[Sketch]:
    return [sketch for _, step in steps if is_corpus_step(step) for sketch in step.sketches()]


def _decided(
    corpus: Corpus,
    steps: Sequence[tuple[str, Step]],
    listen: Listener | None,
    say: Callable[[str], None],
    hold_out: HoldOut | None = None,
) -> Ledgers:
    """The ledgers of the pools after these steps; reasons and sketches that are not cached are made first."""
    cached = {at: CachedStep.of(name, step) for at, (name, step) in enumerate(steps) if is_row_step(step)}
    find_reasons(corpus.pools, list(cached.values()), corpus.engine, listen)
    if corpus.places:
        say(f"sketches: {', '.join(dict.fromkeys(type(sketch).__name__.lower() for sketch in corpus.places))}")
    make_sketches(corpus, listen)
    ledgers = Ledgers(corpus.pools, corpus.seed, corpus.engine)
    decoded = False  # images are decoded when a step first needs them
    for at, (name, step) in enumerate(steps):
        if needs_pixels(step) and not decoded:
            ledgers.decide_images(corpus, say)
            decoded = True
        if is_after_holdout(step):
            ledgers.begin_late()
        if is_row_step(step):
            for ledger in ledgers.each:
                ledger.drop(name, ledger.reasons(cached[at]))
        elif is_corpus_step(step):
            say(f"{name}: among {sum(int(ledger.kept.sum()) for ledger in ledgers.each):,} pairs")
            ledgers.decide(name, step, corpus)
        elif is_score_step(step):
            say(f"{name}: by the scores {step.scores}")
            ledgers.decide_scored(name, step, corpus.seed, hold_out)
    return ledgers
