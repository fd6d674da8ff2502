"""The keyed order: a hash of content and seed that ranks pairs everywhere."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from curate.arrays import U64

ORDER_VERSION = 1
"""Part of every fingerprint: goes up when `order_key` gives other numbers."""

_MASK = (1 << 64) - 1

_STEP = 0x9E3779B97F4A7C15


def order_key(id_hi: U64, id_lo: U64, seed: int, repeat: int | U64 = 0) -> U64:
    """A keyed 64-bit hash of each pair; sorting by it, largest first, is the order of everything.

    Four rounds of one 64-bit finalizer (xor-shift 30, 27, 31 with two odd multipliers, as in SplitMix64), each
    adding one of `repeat`, `seed`, `id_hi` and `id_lo` to the state plus a constant. Plain integer arithmetic
    modulo 2**64: the same on every machine and in every version of numpy. For one seed, repeat and `id_hi`
    different `id_lo` never collide. `repeat` is one number for all or an array of one per pair.
    """
    state = np.full(1, ORDER_VERSION, np.uint64)
    for value in (_word(repeat), _word(seed), id_hi, id_lo):
        state = _scramble(state + np.asarray(value, np.uint64) + np.uint64(_STEP))
    return state


def _word(value: int | U64) -> U64:
    return np.full(1, value & _MASK, np.uint64) if isinstance(value, int) else value


def _scramble(state: U64) -> U64:
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def descending(key: U64, ties: Callable[[], Sequence[U64]]) -> npt.NDArray[np.intp]:
    """Positions sorted by `key`, largest first; equal keys by what `ties` returns, smallest first."""
    order = np.argsort(~key, kind="stable")
    ordered = key[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((*reversed(ties()), ~key))
    return order
