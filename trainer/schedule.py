"""How far a run is, and its learning rate there: functions of config and counts, so that nothing is saved."""

import math

import xxhash

from trainer.config import TrainConfig


def end(config: TrainConfig, mix_pairs: int) -> int:
    """Compute the mix position at which the epochs are over."""
    return max(round(config.epochs * mix_pairs), 1)


def progress(config: TrainConfig, mix_pairs: int, *, step: int, pairs: int, consumed: int) -> float:
    """Compute the share of the run that is done, by its nearest limit (epochs, pairs, steps); 1 at its end."""
    if config.max_steps == 0:
        return 1.0
    limits = [(consumed, end(config, mix_pairs)), (pairs, config.max_pairs), (step, config.max_steps)]
    return min(max(done / limit for done, limit in limits if limit is not None), 1.0)


def factor(config: TrainConfig, at: float) -> float:
    """Compute the learning rate as a share of its peak: linear warmup, then half a cosine to 0, or constant."""
    if at < config.warmup:
        return at / config.warmup
    if config.schedule == "constant" or config.warmup == 1:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (at - config.warmup) / (1 - config.warmup)))


def due(every: int | None, before: int, after: int) -> bool:
    """Whether there is a multiple of `every` in (before, after]; never if `every` is None."""
    return every is not None and before // every != after // every


def draw(seed: int, step: int, rank: int) -> int:
    """Compute the seed of a rank's dropout in a step, 63 bits: no two steps or ranks drop the same units."""
    return xxhash.xxh3_64_intdigest(f"{seed}:{step}:{rank}".encode()) >> 1
