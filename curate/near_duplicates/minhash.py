"""Min-hashes: 128 small numbers a pair, of which as many are equal in two pairs as their shingles are alike.

One pass throws each shingle into one of SLOTS slots, which keeps its least ("one-permutation hashing"). Slots that
stay empty, as most do for short texts, are filled by further passes with other hashes, and after SLOTS of these
one slot at a time. So every slot holds the least of all shingles under a hash that is the same for all pairs, and
is equal in two of them with the probability of their Jaccard similarity, whatever their lengths (Dahlgaard,
Knudsen and Thorup, Fast Similarity Sketching, 2017).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from curate.engines.base import tick
from curate.near_duplicates.sketch_format import ROW
from curate.parquet import count_rows
from curate.text.buffers import Side, batches


@dataclass(frozen=True, slots=True, kw_only=True)
class MinHash:
    """A ROW for every pair of a pairs file, from the texts of the named sides.

    `version` goes up when words, shingles or min-hashes become others.
    """

    version: ClassVar[int] = 3
    suffix: ClassVar[str] = "npy"
    on: tuple[Side, ...]
    shingle: int

    def make(self, pairs: Path, out: Path) -> None:
        """Write the sketch of one pairs file."""
        from curate.near_duplicates import minhash_kernels  # numba

        rows = np.zeros(count_rows(pairs), ROW)
        for batch in batches(pairs, self.on, media=True):
            some = rows[batch.position : batch.position + batch.rows]
            some["same"], some["slots"] = minhash_kernels.of_texts(batch.texts, len(self.on), self.shingle)
            some["media"] = minhash_kernels.of_media(batch.media)
            tick(rows=batch.rows)
        with open(out, "wb") as file:
            np.save(file, rows)
