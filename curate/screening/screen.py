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
    ledgers, _ = _walk(pools, steps, (), seed, engine, listen, images, say, hold_out)
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
    sketches = [sketch for _, candidate in candidates for sketch in candidate.sketches()]
    ledgers, corpus = _walk(pools, steps, sketches, seed, engine, listen, images, say)
    if any(needs_pixels(candidate) for _, candidate in candidates):
        ledgers.decide_images(corpus, say)
    left = {ledger.pool.label: int(ledger.kept.sum()) for ledger in ledgers.each}

    def dropped() -> Iterator[pl.DataFrame]:
        for name, candidate in candidates:
            say(f"{name}: among {sum(left.values()):,} pairs")
            yield ledgers.trial(name, candidate, corpus)

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
    hold_out: HoldOut | None = None,
) -> tuple[Ledgers, Corpus]:
    """The pools after these steps, and their corpus with the sketches of the steps and some more."""
    cached = {at: CachedStep.of(name, step) for at, (name, step) in enumerate(steps) if is_row_step(step)}
    find_reasons(pools, list(cached.values()), engine, listen)
    sketches = [sketch for _, step in steps if is_corpus_step(step) for sketch in step.sketches()]
    sketches += more
    if sketches:
        say(f"sketches: {', '.join(dict.fromkeys(type(sketch).__name__.lower() for sketch in sketches))}")
    corpus = sketched(pools, sketches, seed, engine, listen, images)
    ledgers = Ledgers(pools, seed, engine)
    unseen = True  # images are decoded when a step first needs them
    for at, (name, step) in enumerate(steps):
        if needs_pixels(step) and unseen:
            unseen = False
            ledgers.decide_images(corpus, say)
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
            ledgers.decide_scored(name, step, seed, hold_out)
    return ledgers, corpus


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


def _place(sketch: Sketch) -> str:
    return f"sketches/{type(sketch).__name__.lower()}-{fingerprint_of(sketch)}"
