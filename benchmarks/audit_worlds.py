"""Simulated worlds for the label audit: pairs of six sources whose true labels are known.

A reply is a point with a falling spectrum; its reward is linear plus a smooth part, and a label also depends on
what no feature has, so that a reader of the features agrees with clean labels in `ceiling` of the pairs at most.
Feature 0 stands for the length: it is no part of the linear reward.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from curate.arrays import B8, F64, I64

SIZES = (2400, 1800, 1200, 800, 400, 120)
BAD, TASTE = 1, 3
"""The source that a world of kind `source` damages, and the one with other taste or swapped columns."""

WIDTH = 64
Kind = Literal["uniform", "source", "longer", "taste", "swapped"]


@dataclass(frozen=True, slots=True)
class World:
    """Pairs: features of the chosen reply less those of the rejected [n, d], source, and which label is wrong."""

    differences: F64
    source: I64
    wrong: B8

    @property
    def longer(self) -> F64:
        """The ruler: how much longer the chosen reply is [n, 1]."""
        return self.differences[:, :1]


def world(
    seed: int, kind: Kind = "uniform", rate: float = 0.2, ceiling: float = 0.85, width: int = WIDTH, grow: int = 1
) -> World:
    """Make a world in which about `rate` of the labels are wrong, `grow` times the usual size.

    uniform   anywhere
    source    only in the source BAD, at most 60 % of it
    longer    only where the true label prefers the shorter reply
    taste     the source TASTE weighs a third of the features the other way, and all other sources are clean
    swapped   every label of TASTE is reversed
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    sizes = np.array(SIZES) * grow
    source = np.repeat(np.arange(len(sizes)), sizes)
    spectrum = 1 / np.sqrt(1 + np.arange(width))
    left, right = (draw.normal(size=(len(source), width)) * spectrum for _ in range(2))
    linear = draw.normal(size=width)
    linear[0] = 0.0
    hidden = draw.normal(size=(width, 16)) / np.sqrt((spectrum**2).sum())
    mixed = draw.normal(size=16) / 2

    def reward(replies: F64, weights: F64 = linear) -> F64:
        value: F64 = replies @ weights + np.tanh(2 * (replies @ hidden)) @ mixed
        return value

    difference = reward(left) - reward(right)
    noise = _unseen(difference, ceiling, draw)
    true = difference + noise
    if kind == "taste":
        own, other = source == TASTE, linear.copy()
        other[::3] *= -1
        true[own] = ((left - right) @ other)[own] + noise[own]
    preferred = true > 0
    wrong = _wrong(kind, rate, draw, source, left[:, 0] - right[:, 0], preferred)
    sign = np.where(preferred ^ wrong, 1.0, -1.0)
    return World((left - right) * sign[:, None], source, wrong)


def _unseen(difference: F64, ceiling: float, draw: np.random.Generator) -> F64:
    """Noise of the size at which the sign of `difference` agrees with the sum's in `ceiling` of the pairs."""
    noise, low, high = draw.normal(size=len(difference)) * difference.std(), 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        agreed = ((difference > 0) == (difference + middle * noise > 0)).mean()
        low, high = (middle, high) if agreed > ceiling else (low, middle)
    unseen: F64 = noise * low
    return unseen


def _wrong(kind: Kind, rate: float, draw: np.random.Generator, source: I64, longer: F64, preferred: B8) -> B8:
    wrong = np.zeros(len(source), np.bool_)
    where = np.arange(len(source))
    if kind == "source":
        where = np.flatnonzero(source == BAD)
    elif kind == "longer":
        where = np.flatnonzero((longer > 0) != preferred)
    elif kind == "swapped":
        where = np.flatnonzero(source == TASTE)
    elif kind == "taste":
        where = where[:0]
    most = len(where) * 6 // 10 if kind == "source" else len(where)
    count = len(where) if kind == "swapped" else min(int(rate * len(source)), most)
    wrong[draw.choice(where, count, replace=False) if count else where[:0]] = True
    return wrong


def auroc(scores: F64, positive: B8) -> float:
    """The chance that a positive one has the larger score, ties counting half."""
    order = np.argsort(scores, kind="stable")
    _, start, count = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(start + (count + 1) / 2, count)
    inside = int(positive.sum())
    return float((ranks[positive].sum() - inside * (inside + 1) / 2) / (inside * (len(scores) - inside)))
