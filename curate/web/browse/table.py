"""The narrow columns of all pairs of a mix or of a source: what facets, filters and orders need, never any text.

About 90 bytes a pair in memory. What a person looks at is read from the pairs files when it is shown.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.arrays import B8, F32, I64, U16, U32, U64
from curate.arrow_compute import pc
from curate.inspect.artefacts import Mix, Pairs
from curate.pairs.files import column
from curate.pairs.keys import halves
from curate.parquet import checked, count_rows

TEXTS = ("category", "license", "annotator")
NUMBERS = ("margin", "chosen_score", "rejected_score")
SIZES = ("text_bytes", "chosen_bytes", "rejected_bytes")
READ = ("pair_id", "prompt_key", "media_bytes", *TEXTS, *NUMBERS, *SIZES)

RATIOS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
RATIO_NAMES = ("below 1/4", "1/4 to 1/2", "1/2 to 0.8", "0.8 to 1.25", "1.25 to 2", "2 to 4", "above 4")
MARGINS = (0.0, 0.5, 1.0, 2.0, 5.0)
MARGIN_NAMES = ("negative", "0", "0 to 0.5", "0.5 to 1", "1 to 2", "2 to 5", "above 5")
NONE = "none"
REST = "(others)"
MOST_VALUES = 20_000
"""Values of a facet that are counted separately; further ones are REST."""
OUTCOMES = ("in the mix", "held out", "unused", "dropped")
MIXED, HELD, UNUSED, DROPPED = range(4)
FEW = 20
NO_RANK = np.uint32(0xFFFFFFFF)


class Place(NamedTuple):
    """A row of a pairs file, and the label of its pool."""

    label: str
    path: Path
    position: int


@dataclass(frozen=True, slots=True)
class Facet:
    """A property with few values: the number of its value for each pair, and the values."""

    codes: U16
    names: list[str]


@dataclass(slots=True)
class PairTable:
    """All pairs of some pools in file order; a pair is known by its row in this table.

    rank     the place in the mix, NO_RANK outside of it; None of a source
    order    the rows in the order that they are shown in by default: the mix, then the rest in file order
    decided  of a dropped pair the row of the decisions file of its pool
    """

    pools: Mapping[str, Pairs]
    labels: list[str]
    paths: list[Path]
    starts: I64
    id_hi: U64
    id_lo: U64
    prompt_key: U64
    facets: dict[str, Facet]
    numbers: dict[str, F32]
    rank: U32 | None = None
    order: U32 = field(default_factory=lambda: np.zeros(0, np.uint32))
    decided: U32 = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, row: int) -> Place:
        """Where the pair is on disk."""
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return Place(self.labels[at], self.paths[at], int(row - self.starts[at]))

    def pair_id(self, row: int) -> str:
        """The id of the pair."""
        return f"{int(self.id_hi[row]):016x}{int(self.id_lo[row]):016x}"

    def rows_of(self, pair_id: str) -> list[int]:
        """The rows with this id: one, or those of all copies. Empty for a text that is no id."""
        if len(pair_id) != 32 or pair_id.strip("0123456789abcdef"):
            return []
        high, low = (np.uint64(int(half, 16)) for half in (pair_id[:16], pair_id[16:]))
        found: list[int] = np.flatnonzero((self.id_lo == low) & (self.id_hi == high)).tolist()
        return found

    def put(self, codes: U16, named: Mapping[str, int], where: str) -> None:
        """Set the codes of pairs by their ids, of many in one pass; ids that no pair has are passed over."""
        if len(named) <= FEW:
            for pair_id, code in named.items():
                codes[self.rows_of(pair_id)] = code
            return
        ids = sorted(named)
        high, low = halves(pa.array(ids), where)
        keys = high ^ low
        by_key = np.argsort(keys)
        own = self.id_hi ^ self.id_lo
        at = np.searchsorted(keys[by_key], own).clip(max=len(keys) - 1)
        here = np.flatnonzero(keys[by_key][at] == own)
        values = np.array([named[pair_id] for pair_id in ids], np.uint16)
        codes[here] = values[by_key][at[here]]

    def same_prompt(self, row: int) -> U32:
        """The rows with the prompt, media and tools of this one, itself among them."""
        return np.flatnonzero(self.prompt_key == self.prompt_key[row]).astype(np.uint32)


def load_table(pools: Mapping[str, Pairs], mix: Mix | None) -> PairTable:
    """Read the narrow columns of all pairs, and of a mix whether each was selected, held out or dropped.

    Raises WorkspaceError where a file is missing or damaged.
    """
    table = _empty_table(pools)
    codes = {name: np.empty(len(table), np.uint16) for name in ("source", *TEXTS, "media")}
    names: dict[str, dict[str | None, int]] = {name: {} for name in TEXTS}
    with ThreadPoolExecutor(2) as threads:
        for at, part in enumerate(threads.map(_read, table.paths)):
            rows = slice(int(table.starts[at]), int(table.starts[at + 1]))
            _fill(table, rows, part, str(table.paths[at]))
            for name in TEXTS:
                codes[name][rows] = _coded(part[name], names[name])
            codes["source"][rows] = list(pools).index(table.labels[at])
            codes["media"][rows] = part["media_bytes"].to_numpy() > 0
    table.facets["source"] = Facet(codes["source"], list(pools))
    if mix is not None:
        _judged(table, mix)
    for name in TEXTS:
        table.facets[name] = Facet(codes[name], [NONE if text is None else text for text in names[name]])
    table.facets["media"] = Facet(codes["media"], [NONE, "images or video"])
    table.facets["margin"] = _margin_bins(table.numbers["margin"])
    table.facets["length_ratio"] = _ratio_bins(table.numbers["length_ratio"])
    table.order = _default_order(table)
    return table


def _empty_table(pools: Mapping[str, Pairs]) -> PairTable:
    files = [(label, path) for label, pairs in pools.items() for path in pairs.parts]
    starts = np.cumsum([0, *(count_rows(path) for _, path in files)]).astype(np.int64)
    rows = int(starts[-1])
    return PairTable(
        pools=pools,
        labels=[label for label, _ in files],
        paths=[path for _, path in files],
        starts=starts,
        id_hi=np.empty(rows, np.uint64),
        id_lo=np.empty(rows, np.uint64),
        prompt_key=np.empty(rows, np.uint64),
        facets={},
        numbers={name: np.empty(rows, np.float32) for name in (*NUMBERS, "length_ratio", "text_bytes")},
    )


def _read(path: Path) -> pa.Table:
    with checked(path):
        return pq.read_table(path, columns=list(READ), read_dictionary=list(TEXTS), use_threads=False)


def _fill(table: PairTable, rows: slice, part: pa.Table, where: str) -> None:
    table.id_hi[rows], table.id_lo[rows] = halves(part["pair_id"].combine_chunks(), where)
    table.prompt_key[rows] = part["prompt_key"].to_numpy()
    for name in NUMBERS:
        table.numbers[name][rows] = part[name].to_numpy()  # null is not a number here
    chosen, rejected = (part[f"{side}_bytes"].to_numpy().astype(np.float32) for side in ("chosen", "rejected"))
    table.numbers["length_ratio"][rows] = np.maximum(chosen, 1) / np.maximum(rejected, 1)
    table.numbers["text_bytes"][rows] = part["text_bytes"].to_numpy()


def _coded(column: pa.ChunkedArray, known: dict[str | None, int]) -> U16:
    """The numbers of values of a dictionary column; `known` has the number of each value so far."""
    out = []
    for chunk in column.chunks:
        values = [
            value if len(known) < MOST_VALUES or value in known else REST for value in chunk.dictionary.to_pylist()
        ]
        numbers = [known.setdefault(value, len(known)) for value in values]
        if chunk.null_count:
            numbers.append(known.setdefault(None, len(known)))
        own = pc.fill_null(chunk.indices, len(numbers) - 1).to_numpy(zero_copy_only=False)
        out.append(np.array(numbers or [0], np.uint16)[own] if len(own) else np.zeros(0, np.uint16))
    return np.concatenate(out) if out else np.zeros(0, np.uint16)


def _ratio_bins(values: F32) -> Facet:
    return Facet(
        np.searchsorted(np.array(RATIOS, np.float32), values, "right").astype(np.uint16), list(RATIO_NAMES)
    )


def _margin_bins(values: F32) -> Facet:
    """Margins by the bin that they are in: 0 has one of its own, and so have those that are not known."""
    codes = (np.searchsorted(np.array(MARGINS, np.float32), values, "left") + 1).astype(np.uint16)
    codes[values < 0] = 0
    codes[np.isnan(values)] = len(MARGIN_NAMES)
    return Facet(codes, [*MARGIN_NAMES, NONE])


# ------------------------------------------------------------------------------------------ what a mix did


def _judged(table: PairTable, mix: Mix) -> None:
    """Add the facets outcome, reason and flag, the rank, and where decisions are."""
    codes = _reasons(table, mix)
    dropped = codes > 0
    outcome = np.full(len(table), UNUSED, np.uint16)
    outcome[dropped] = DROPPED
    free = np.flatnonzero(~dropped).astype(np.uint32)
    held, _ = _taken(table, free, mix.files("holdout"))
    outcome[held] = HELD
    free = free[outcome[free] == UNUSED]
    mixed, ranks = _taken(table, free, mix.files("shard"))
    outcome[mixed] = MIXED
    table.facets["outcome"] = Facet(outcome, list(OUTCOMES))
    table.rank = np.full(len(table), NO_RANK, np.uint32)
    table.rank[mixed] = ranks
    table.facets["flag"] = _flags(table, mix)


def _reasons(table: PairTable, mix: Mix) -> U16:
    """Add the facet reason; its codes, 0 of pairs that are kept."""
    reasons: dict[str, int] = {NONE: 0}
    codes = np.zeros(len(table), np.uint16)
    table.decided = np.zeros(len(table), np.uint32)
    for label in table.pools:
        decided = pl.DataFrame(column(mix.decisions(label), "step", "reason", "part", "position"))
        named = decided.select(pl.format("{}/{}", "step", "reason").cast(pl.Categorical)).to_series()
        rows = _rows_at(table, label, decided)
        table.decided[rows] = np.arange(len(rows), dtype=np.uint32)
        for name in named.unique(maintain_order=True).to_list():
            codes[rows[(named == name).to_numpy()]] = reasons.setdefault(name, len(reasons))
    table.facets["reason"] = Facet(codes, list(reasons))
    return codes


def _rows_at(table: PairTable, label: str, places: pl.DataFrame) -> I64:
    """The rows of decisions about a pool, by their columns part and position."""
    if not places.height:
        return np.zeros(0, np.int64)
    first = table.labels.index(label)
    rows: I64 = table.starts[first + places["part"].to_numpy()] + places["position"].to_numpy()
    return rows


def _flags(table: PairTable, mix: Mix) -> Facet:
    """The flags of each pair; several are one value, joined by +."""
    names, codes = [NONE], np.zeros(len(table), np.uint16)
    if not mix.review.exists():
        return Facet(codes, names)
    found = pl.DataFrame(column(mix.review, "fate", "pool", "step", "reason", "part", "position"))
    flagged = found.filter(pl.col("fate") == "flagged")
    joined = (
        flagged.select("pool", "part", "position", name=pl.format("{}/{}", "step", "reason"))
        .group_by("pool", "part", "position")
        .agg(pl.col("name").unique().sort().str.join(" + "))
    )
    for (pool, name), some in joined.partition_by("pool", "name", as_dict=True).items():
        if name not in names:
            names.append(name)
        codes[_rows_at(table, pool, some)] = names.index(name)
    return Facet(codes, names)


def _taken(table: PairTable, free: U32, files: Sequence[Path]) -> tuple[U32, U32]:
    """Which of the rows `free` are in files of a mix, and the place of each: of copies the first ones."""
    keys, places = _mixed_keys(files)
    if not len(keys):
        return free[:0], places
    by_key = _ranking(keys)
    keys, places = keys[by_key], places[by_key]
    own = table.id_hi[free] ^ table.id_lo[free]
    order = _ranking(own)
    own = own[order]
    first = np.searchsorted(keys, own, side="left")
    count = np.searchsorted(keys, own, side="right") - first
    number = _number_in_run(own)
    taken = number < count
    return free[order[taken]], places[(first + number)[taken]]


def _ranking(keys: U64) -> I64:
    """The rows by key, equal ones by row; keys that all differ are sorted in a third of the time."""
    order = np.argsort(keys)
    ordered = keys[order]
    same = bool((ordered[1:] == ordered[:-1]).any())
    return np.argsort(keys, kind="stable") if same else order


def _mixed_keys(files: Sequence[Path]) -> tuple[U64, U32]:
    """The two halves of each id in shards, xor-ed, and its place in them; repeats are left out."""
    keys, places, start = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)], 0
    for path in files:
        table = column(path, "pair_id", "repeat")
        high, low = halves(table["pair_id"].combine_chunks(), str(path))
        first = table["repeat"].to_numpy() == 0
        keys.append((high ^ low)[first])
        places.append((np.flatnonzero(first) + start).astype(np.uint32))
        start += len(first)
    return np.concatenate(keys), np.concatenate(places)


def _number_in_run(values: U64) -> I64:
    """For each of sorted values how many equal ones are before it."""
    at = np.arange(len(values))
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    number: I64 = at - np.maximum.accumulate(np.where(new, at, 0))
    return number


def _default_order(table: PairTable) -> U32:
    if table.rank is None:
        return np.arange(len(table), dtype=np.uint32)
    outcome = table.facets["outcome"].codes
    mixed = np.flatnonzero(outcome == MIXED).astype(np.uint32)
    ranks = table.rank[mixed]
    row_at = np.full(int(ranks.max()) + 1 if len(ranks) else 0, NO_RANK)  # repeats have ranks that no row has
    row_at[ranks] = mixed
    rest = [np.flatnonzero(outcome == code).astype(np.uint32) for code in (HELD, UNUSED, DROPPED)]
    return np.concatenate([row_at[row_at != NO_RANK], *rest])


def counts(facet: Facet, mask: B8 | None) -> list[tuple[str, int]]:
    """How many of the pairs in the mask have each value of a facet, the most frequent first."""
    codes = facet.codes if mask is None else facet.codes[mask]
    found = np.bincount(codes, minlength=len(facet.names))
    ranked = sorted(zip(facet.names, found.tolist(), strict=False), key=lambda one: -one[1])
    return [(name, count) for name, count in ranked if count]
