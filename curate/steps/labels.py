"""People's labels of pairs, from a file that `curate browse` writes: bad pairs leave, reversed ones are turned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from curate.arrays import I64, U64
from curate.errors import ConfigError
from curate.labels import Label, Word, agreed, latest, read_labels
from curate.pairs.files import column
from curate.pairs.keys import halves
from curate.steps.base import DECISION
from curate.steps.corpus import Corpus, Sketch

DECIDED = {name: DECISION[name] for name in ("index", "reason", "evidence", "flag", "flip")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Reasons `bad` and `tie`: the label that most people gave. Where they are divided, the pair stays as it is.

    file  a label file (`curate browse` writes one; the format is that of curate.labels)
    drop  the labels whose pairs leave
    flip  whether the replies of a pair with the label `flip` are exchanged. Its shard row keeps its id; scores
          and critiques go with the replies, and its margin, which was of the other preference, becomes null. It
          is listed in review.parquet as flagged, with the reason `flipped`

    It comes after all steps that are about more than training. Held-out pairs are neither dropped nor flipped by
    it.
    """

    version: ClassVar[int] = 1
    after_holdout: ClassVar[bool] = True
    file: str
    drop: tuple[Literal["bad", "tie"], ...] = ("bad", "tie")
    flip: bool = True

    def __post_init__(self) -> None:
        if not self.drop and not self.flip:
            raise ValueError("drop is empty and flip is false, so nothing would be done")

    def bind(self, where: str) -> "BoundLabels":
        """The step with the labels of its file. Raises ConfigError where there is none, or a line is no label."""
        try:
            rows = read_labels(Path(self.file).expanduser())
        except ConfigError as error:
            raise ConfigError(f"{where}.file: {error.where}", error.found, error.expected, error.hint) from None
        wanted = {*self.drop, *(["flip"] if self.flip else [])}
        words = {pair_id: word for pair_id, word in agreed(rows).items() if word in wanted}
        given = tuple(
            sorted((pair_id, word, _people(rows_of)) for pair_id, word, rows_of in _with_rows(rows, words))
        )
        digest = xxhash.xxh3_128_hexdigest("\n".join(f"{pair_id} {word}" for pair_id, word, _ in given).encode())
        return BoundLabels(labels=digest, given=given)

    def sketches(self) -> tuple[Sketch, ...]:
        """None: it is not bound."""
        raise AssertionError("labels is not bound")

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:  # noqa: ARG002
        """Nothing: it is not bound."""
        raise AssertionError("labels is not bound")


def _with_rows(
    rows: Sequence[Label], words: Mapping[str, Word]
) -> Iterator[tuple[str, Word, Mapping[str, Label]]]:
    by_pair = latest(rows)
    return ((pair_id, word, by_pair[pair_id]) for pair_id, word in words.items())


def _people(by: Mapping[str, Label]) -> str:
    return ", ".join(f"{row.label} by {who}" for who, row in sorted(by.items()) if row.label is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundLabels:
    """The step with its labels, (pair id, label, each person's label); it is known by the first two."""

    version: ClassVar[int] = 1
    after_holdout: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("pool", "part", "position")
    labels: str
    given: tuple[tuple[str, Word, str], ...] = field(metadata={"place": True})

    def sketches(self) -> tuple[Sketch, ...]:
        """None: the ids of pairs are read from their files."""
        return ()

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Return decisions about the labelled pairs."""
        found = [pl.DataFrame(schema=DECIDED)]
        known = {pair_id: (word, who) for pair_id, word, who in self.given}
        wanted = np.sort(np.array([int(pair_id[:16], 16) for pair_id in known], np.uint64))
        for (pool, part), rows in keys.partition_by("pool", "part", as_dict=True).items() if known else ():
            path = corpus.files()[pool][part]
            ids = column(path, "pair_id")["pair_id"].combine_chunks()
            at = _places(ids, wanted, str(path))
            named = pl.DataFrame(
                [(place, *known[pair_id]) for place, pair_id in at if pair_id in known],
                schema={"position": pl.UInt32, "word": pl.String, "evidence": pl.String}, orient="row",
            )  # fmt: skip
            flips = pl.col("word") == "flip"
            found.append(
                rows.join(named, on="position").select(
                    "index", pl.when(flips).then(pl.lit("flipped")).otherwise("word").alias("reason"),
                    "evidence", flag=flips, flip=flips,
                )
            )  # fmt: skip
        return pl.concat(found)


def _places(ids: pa.Array, wanted: U64, where: str) -> list[tuple[int, str]]:
    """The rows of a file whose ids may be among the labelled ones, by their first halves."""
    high, _ = halves(ids, where)
    near = np.searchsorted(wanted, high).clip(max=len(wanted) - 1)
    rows: I64 = np.flatnonzero(wanted[near] == high)
    return [(int(row), ids[int(row)].as_py()) for row in rows]
