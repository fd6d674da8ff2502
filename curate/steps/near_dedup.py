"""Pairs that nearly repeat another pair, of any source."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from curate.config import did_you_mean
from curate.errors import ConfigError
from curate.near_duplicates.banding import Banding, choose
from curate.near_duplicates.decide import decide
from curate.near_duplicates.minhash import MinHash
from curate.near_duplicates.search import RankedFile, Search
from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch
from curate.text.buffers import Side

LOST = {name: DECISION[name] for name in ("index", "reason", "winner", "score", "evidence")}


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDedup:
    """Of pairs whose texts are nearly the same, one stays: reason `near_duplicate`.

    In the order of priority (the pool's priority, then the larger order), a pair is dropped if it is a
    near-duplicate of a pair that is kept; the best of these is the winner. Texts verify every decision.
    The score is the similarity, the evidence has it for each side.

    jaccard   near means at least this Jaccard similarity of the sets of word n-grams, in *each* of the sides `on`:
              two pairs with one long prompt are no near-duplicates if their replies differ
    recall    how many of the near-duplicates with just this similarity are found, at least; more above it
    on        the sides that are compared; turns and roles do not matter, which reply is the chosen one does
    shingle   n, in words; a side with fewer words must be equal but for case and white space
    media     `same`: pairs with other media are never near-duplicates; `ignore`: media do not matter
    against   labels of pools whose pairs are all kept, whatever they repeat, and win over all others
    """

    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("priority", "order", "pool", "part", "position")
    jaccard: float = 0.8
    recall: float = 0.95
    on: tuple[Side, ...] = ("prompt", "chosen", "rejected")
    shingle: int = 5
    media: Literal["same", "ignore"] = "same"
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.jaccard <= 1:
            raise ValueError(f"jaccard is {self.jaccard}; it must be above 0 and at most 1")
        if not 0 < self.recall < 1:
            raise ValueError(
                f"recall is {self.recall}; it must be between 0 and 1; only comparing all pairs gives 1"
            )
        if not self.on or len(set(self.on)) < len(self.on):
            raise ValueError(f"on is {list(self.on)}; name prompt, chosen or rejected, each once")
        if self.shingle < 1:
            raise ValueError(f"shingle is {self.shingle}; it must be at least 1")
        _ = self.banding

    @property
    def banding(self) -> Banding:
        """How near-duplicates are found. Raises ValueError where the recall cannot be reached."""
        return choose(self.jaccard, self.recall)

    def sketches(self) -> tuple[Sketch, ...]:
        """Min-hashes of the sides; neither `jaccard` nor `recall` is part of them."""
        return (self.minhash,)

    @property
    def minhash(self) -> MinHash:
        """The one sketch."""
        return MinHash(on=self.on, shingle=self.shingle)

    def search(self, ranked: pl.DataFrame, corpus: Corpus) -> Search:
        """Return the search for near-duplicates among pairs: columns rank, pool, part, position, protected."""
        files, sketches = corpus.files(), corpus.files(self.minhash)
        pool, part, position, rank = (ranked[name].to_numpy() for name in ("pool", "part", "position", "rank"))
        order = np.lexsort((position, part, pool)).astype(np.uint32)
        pool, part = pool[order], part[order]
        limits = np.flatnonzero((pool[1:] != pool[:-1]) | (part[1:] != part[:-1])) + 1
        found = [
            RankedFile(
                pairs=files[pool[first]][part[first]],
                sketch=sketches[pool[first]][part[first]],
                on=self.on,
                positions=position[order[first:last]],
                ranks=rank[order[first:last]],
            )
            for first, last in pairwise([0, *limits.tolist(), len(order)])
        ]
        protected = np.zeros(len(order), np.bool_)
        protected[rank] = ranked["protected"].to_numpy()
        return Search(
            files=found,
            protected=protected,
            sketch=self.minhash,
            banding=self.banding,
            same_media=self.media == "same",
        )

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Return a decision about every pair that lost to a near-duplicate."""
        if not keys.height:
            return pl.DataFrame(schema=DECISION)
        ranked = _ranked(keys, _numbers(self.against, corpus))
        del keys  # memory for what comes
        search, index = self.search(ranked, corpus), ranked["index"]
        del ranked
        dropped = decide(search, corpus.engine, search.files[0].sketch.parent)
        return pl.DataFrame(
            {
                "index": index.gather(dropped.ranks),
                "reason": ["near_duplicate"] * len(dropped.ranks),
                "winner": index.gather(dropped.winners),
                "score": dropped.shares.min(axis=1),
                "evidence": [_evidence(self.on, shares) for shares in dropped.shares.tolist()],
            },
            schema=LOST,
        )


def _evidence(on: tuple[Side, ...], shares: list[float]) -> str:
    shares_text = ", ".join(f"{side} {share:.3f}" for side, share in zip(on, shares, strict=True))
    return f"jaccard {shares_text}"


def _numbers(labels: tuple[str, ...], corpus: Corpus) -> list[int]:
    """The numbers of these pools. Raises ConfigError for a label that the recipe does not have."""
    known = [pool.label for pool in corpus.pools]
    for label in labels:
        if label not in known:
            hint = did_you_mean(label, known, f"sources: {', '.join(known)}")
            raise ConfigError(
                "near_dedup.against", f"no source is labelled {label!r}", "a source of the recipe", hint
            )
    return [known.index(label) for label in labels]


def _ranked(keys: pl.DataFrame, against: list[int]) -> pl.DataFrame:
    """The pairs, the best first, with `protected` and `rank`."""
    protected = keys["pool"].is_in(against)
    best_first = np.lexsort(
        (keys["index"].to_numpy(), ~keys["order"].to_numpy(), keys["priority"].to_numpy(), ~protected.to_numpy())
    )
    rows = pl.Series(best_first, dtype=pl.UInt32)
    named = [keys[name].gather(rows) for name in ("index", "pool", "part", "position")]
    return pl.DataFrame([*named, protected.gather(rows).alias("protected")]).with_row_index("rank")
