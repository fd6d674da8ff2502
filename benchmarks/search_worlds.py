"""The simulated worlds of a mixture search: what a mix is worth by domain, and what a finite eval set shows of it.

Shares of a source saturate by a power law in effective data; repeats are worth half and then less; some sources
harm some domains, and some pairs of sources help or hinder each other. The same worlds as those of the first
simulation (the same draws from the same seeds), so that figures can be compared.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

DOMAINS = 4
SCALE = 0.35
"""How far apart mixes have independent errors on the same items."""


class World:
    """A world of `size` sources, drawn from a seed: pools in units of a mix, at most two epochs of each."""

    def __init__(self, random: np.random.Generator, size: int) -> None:
        pools = np.exp(random.normal(0, 1.0, size))
        self.pools = pools / pools.sum() * 3.0
        self.cap = np.minimum(1, self.pools * 2)
        use = random.gamma(0.6, 1, (size, DOMAINS))
        self.use = use / use.max(0) * random.uniform(0.2, 1, (size, 1))
        self.harm = random.gamma(1, 0.15, (size, DOMAINS)) * (random.random((size, DOMAINS)) < 0.35)
        self.power, self.half = random.uniform(0.3, 0.8, DOMAINS), random.uniform(0.05, 0.3, DOMAINS)
        self.gain, self.base = random.uniform(0.15, 0.35, DOMAINS), random.uniform(0.5, 0.6, DOMAINS)
        joint = np.triu(random.normal(0, 0.25, (size, size)), 1)
        self.joint = joint * (random.random((size, size)) < 0.3)

    def domains(self, shares: Any) -> Any:
        """The true accuracy of mixes, [mixes, domains]."""
        epochs = shares / self.pools
        worth = self.pools * (1 + 0.5 * (1 - np.exp(-np.maximum(epochs - 1, 0) / 0.5)))
        effective = np.where(epochs < 1, shares, worth)
        grown = 1 - (1 + effective @ self.use / self.half) ** (-self.power)
        together = np.einsum("ni,ij,nj->n", shares, self.joint, shares)
        return self.base + self.gain * grown * 1.6 - 0.25 * (shares @ self.harm) + 0.08 * together[:, None]

    def __call__(self, shares: Any) -> Any:
        """The true mean over domains."""
        return self.domains(np.atleast_2d(shares)).mean(1)

    def towards(self, other: "World", part: float) -> "World":
        """A world between this one and another, of the same pools: what training on more data might obey."""
        mixed = World.__new__(World)
        vars(mixed).update(vars(self))
        for name in ("use", "harm", "joint", "half"):
            setattr(mixed, name, (1 - part) * getattr(self, name) + part * getattr(other, name))
        return mixed


class Null(World):
    """A world in which all mixes are worth the same."""

    def domains(self, shares: Any) -> Any:
        """The base of each domain."""
        return np.broadcast_to(self.base + 0.1, (len(shares), DOMAINS)).copy()


class Measured:
    """What `items` items show of a world: the same items for all mixes, so that the error is smooth in the mix."""

    def __init__(
        self, random: np.random.Generator, world: World, items: int = 1250, seed_error: float = 0.004
    ) -> None:
        self.world, self._items, self._seed_error, self._random = world, items, seed_error, random
        self._error = self._smooth(len(world.pools))

    def _smooth(self, size: int, waves: int = 200) -> Callable[[Any], Any]:
        where = self._random.normal(size=(size, waves)) / SCALE
        phase = self._random.uniform(0, 2 * np.pi, waves)
        height = self._random.normal(size=(waves, DOMAINS)) * np.sqrt(2 / waves)
        return lambda shares: np.cos(np.sqrt(shares) @ where + phase) @ height

    def _spread(self, true: Any) -> Any:
        """Half the variance of an accuracy is the items' own difficulty, which all mixes share."""
        return np.sqrt(np.clip(true * (1 - true), 0.01, 1) / (self._items // DOMAINS) / 2)

    def __call__(self, shares: Any) -> Any:
        """One run of each mix, [mixes, domains]."""
        true, draw = self.world.domains(shares), self._random.normal
        noise = draw(size=(len(true), 1)) + draw(size=true.shape)
        return true + self._spread(true) * self._error(shares) + self._seed_error * noise

    def paired_error(self, one: Any, other: Any) -> float:
        """The standard error of the difference of two mixes' means, as a paired test on these items finds it."""
        alike = np.exp(-(((np.sqrt(one) - np.sqrt(other)) ** 2).sum()) / (2 * SCALE**2))
        spread = self._spread(self.world.domains(np.stack([one, other])))
        of_items = 2 * (spread**2).mean() * (1 - alike) / DOMAINS
        return float(np.sqrt(of_items + 2 * self._seed_error**2 * (1 + 1 / DOMAINS)))
