"""Where a run is between its start and its end, and the learning rate there: nothing of it is saved."""

import math

import xxhash

from trainer.config import TrainConfig


def end(config: TrainConfig, mix_pairs: int) -> int:
    """The mix position at which the epochs are over."""
    return max(round(config.epochs * mix_pairs), 1)


def progress(config: TrainConfig, mix_pairs: int, *, step: int, pairs: int, consumed: int) -> float:
    """The share of the run that is done, by the nearest limit of epochs, max_pairs and max_steps; 1 at its end."""
    limits = [(consumed, end(config, mix_pairs)), (pairs, config.max_pairs), (step, config.max_steps)]
    return min(max(done / limit for done, limit in limits if limit is not None), 1.0)


def factor(config: TrainConfig, at: float) -> float:
    """The learning rate as a share of its peak: a linear warmup, then half a cosine down to 0, or constant."""
    if at < config.warmup:
        return at / config.warmup
    if config.schedule == "constant" or config.warmup == 1:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (at - config.warmup) / (1 - config.warmup)))


def due(every: int | None, before: int, after: int) -> bool:
    """Whether a multiple of `every` lies after `before` and not after `after`."""
    return every is not None and before // every != after // every


def draw(seed: int, step: int, rank: int) -> int:
    """The seed of a rank's random numbers in a step, 63 bits: no two steps or ranks drop out the same units."""
    return xxhash.xxh3_64_intdigest(f"{seed}:{step}:{rank}".encode()) >> 1
