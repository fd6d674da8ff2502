"""Shingles: the hashed runs of `shingle` words of a pair's texts, and how alike two sets of them are.

Each named side (prompt, chosen, rejected) has its own: no shingle crosses from one to another, and the side is in
the two highest bits of a shingle, so that a pair with its replies swapped has other ones. Words run on through the
turns and blocks of a side.

A side with fewer words than a shingle has exactly one: all of its words and all signs between them that are not
white space, in order. Short texts are therefore alike only where their normal forms are equal but for white space
(see `curate.text.normal_form`).
"""

import numpy as np

from curate.arrays import I64, U64
from curate.text.buffers import Texts


def room(texts: Texts, columns: int) -> int:
    """A bound on the words, and on the shingles, of any one of the pairs."""
    pairs = len(texts.starts[0]) - 1
    most = np.zeros(max(pairs, 1), np.int64)
    for side in range(columns):
        starts = texts.starts[side]
        at = texts.offsets[side][starts].astype(np.int64)
        most[:pairs] += np.diff(at) // 2 + np.diff(starts) + 1
    return int(most.max())


def sets(texts: Texts, columns: int, shingle: int, pairs: I64) -> tuple[U64, I64]:
    """(shingles, sizes) of some pairs: their sets one after another, each ascending, and how large each is."""
    from curate.text import shingle_kernels  # numba

    most, sizes = room(texts, columns), np.zeros(len(pairs), np.int64)
    found = shingle_kernels.of_some(*texts, columns, shingle, most, pairs, sizes)
    ends = np.cumsum(sizes)
    for first, last in zip((ends - sizes).tolist(), ends.tolist(), strict=True):
        found[first:last].sort()  # numpy's sort has vector instructions, which a compiled one has not
    return found[: shingle_kernels.drop_repeats(found, sizes)], sizes
