"""Pairs that nearly repeat another pair, of any source."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl

from curate.arrays import I64
from curate.errors import ConfigError
from curate.near_duplicates.banding import Banding, choose
from curate.near_duplicates.minhash import MinHash
from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch
from curate.text.buffers import Side

LOST = {name: DECISION[name] for name in ("index", "reason", "winner", "score", "evidence")}


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDedup:
    """Of pairs whose texts are nearly the same, one stays: reason `near_duplicate`.

    In the order of priority (the pool's priority, then the larger order), a pair is dropped if it is a
    near-duplicate of a pair that is kept; the best of these is the winner. Every verdict is verified on the texts.
    The score is the similarity, the evidence says it for each side.

    jaccard   near means at least this Jaccard similarity of the sets of word n-grams, in *each* of the sides `on`:
              two pairs with one long prompt are no near-duplicates if their replies differ
    recall    how many of the near-duplicates with just this similarity are found, at least; more above it
    on        the sides that are compared; turns and roles do not matter, which reply is the chosen one does
    shingle   n, in words; a side with fewer words must be equal but for case and white space
    media     `same`: pairs with other media are never near-duplicates; `ignore`: media do not matter
    against   labels of pools whose pairs are all kept, whatever they repeat, and win over all others
    """

    version: ClassVar[int] = 1
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
        """How near-duplicates are looked for. Raises ValueError where the recall cannot be reached."""
        return choose(self.jaccard, self.recall)

    def sketches(self) -> tuple[Sketch, ...]:
        """Min-hashes of the sides; neither `jaccard` nor `recall` is part of them."""
        return (self.minhash,)

    @property
    def minhash(self) -> MinHash:
        """The one sketch."""
        return MinHash(on=self.on, shingle=self.shingle)

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Decisions about the losers."""
        from curate.near_duplicates import decide as near  # numba

        ranked = _ranked(keys, _numbers(self.against, corpus))
        files = [
            near.Rows(pairs=pairs, sketch=sketch, positions=_array(some["position"]), ranks=_array(some["rank"]))
            for pairs, sketch, some in _by_file(ranked, corpus, self.minhash)
        ]
        if not files:
            return pl.DataFrame(schema=DECISION)
        task = near.Task(
            files=files,
            protected=ranked["protected"].to_numpy(),
            sketch=self.minhash,
            banding=self.banding,
            same_media=self.media == "same",
        )
        lost = near.decide(task, corpus.engine, files[0].sketch.parent)
        return pl.DataFrame(
            {
                "index": ranked["index"].gather(lost.ranks),
                "reason": ["near_duplicate"] * len(lost.ranks),
                "winner": ranked["index"].gather(lost.winners),
                "score": lost.shares.min(axis=1),
                "evidence": [_evidence(self.on, shares) for shares in lost.shares.tolist()],
            },
            schema=LOST,
        )


def _evidence(on: tuple[Side, ...], shares: list[float]) -> str:
    said = ", ".join(f"{side} {share:.3f}" for side, share in zip(on, shares, strict=True))
    return f"jaccard {said}"


def _numbers(labels: tuple[str, ...], corpus: Corpus) -> list[int]:
    """The numbers of these pools. Raises ConfigError for a label that the recipe does not have."""
    known = [pool.label for pool in corpus.pools]
    for label in labels:
        if label not in known:
            close = get_close_matches(label, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"sources: {', '.join(known)}"
            raise ConfigError(
                "near_dedup.against", f"no source is labelled {label!r}", "a source of the recipe", hint
            )
    return [known.index(label) for label in labels]


def _ranked(keys: pl.DataFrame, protected: list[int]) -> pl.DataFrame:
    """The pairs, the best first, with `protected` and `rank`."""
    marked = keys.with_columns(protected=pl.col("pool").is_in(protected))
    ranked = marked.sort("protected", "priority", "order", "index", descending=[True, False, True, False])
    return ranked.select("index", "pool", "part", "position", "protected").with_row_index("rank")


def _by_file(ranked: pl.DataFrame, corpus: Corpus, sketch: MinHash) -> Iterator[tuple[Path, Path, pl.DataFrame]]:
    """For each file that has some of the pairs: its path, that of its sketch, and those pairs in their order."""
    files, sketches = corpus.files(), corpus.files(sketch)
    ordered = ranked.select("rank", "pool", "part", "position").sort("pool", "part", "position")
    for (pool, part), some in ordered.group_by("pool", "part", maintain_order=True):
        where = int(str(pool)), int(str(part))
        yield files[where[0]][where[1]], sketches[where[0]][where[1]], some


def _array(column: pl.Series) -> I64:
    return column.cast(pl.Int64).to_numpy()
