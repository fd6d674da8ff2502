"""Samples the pairs of a mix that a page shows: evenly over sources, or over reasons."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from curate.arrow_compute import pc
from curate.inspect.artefacts import Mix, Pairs, pools
from curate.inspect.show import SEED, Item, Place
from curate.inspect.text import beginning
from curate.order import order_key
from curate.pairs import keys
from curate.pairs.files import column, rows_at
from curate.workspace import Workspace

DRAWN = {"kind": pl.String, "key": pl.UInt64, "file": pl.Int64, "position": pl.Int64}
COPIES = 2
"""Places of a winner that are read: one of them may be the dropped pair, where both are the same pair."""


def mixed(mix: Mix, most: int, seed: int) -> list[Item]:
    """Pairs of the mix, {pair, at}, shuffled over sources; no pair twice, however often it is repeated."""
    places = draw(mix.files("shard"), ("source",), most, seed, unrepeated=True)
    rows = _rows(places)
    shuffled = sorted(places, key=lambda place: xxh3_64_intdigest(rows[place]["pair_id"].encode(), SEED + seed))
    return [{"pair": rows[place], "at": _at(place)} for place in shuffled]


def dropped(mix: Mix, most: int, seed: int, workspace: Workspace) -> list[Item]:
    """Dropped pairs of the mix, reason by reason: {pair, at, dropped, won}.

    `dropped` is as of curate.inspect.show, with `evidence`; `won` is the whole pair that it lost to, or None.
    Raises WorkspaceError where pairs that the mix was made from are gone.
    """
    of = pools(mix, workspace)
    labels = {mix.decisions(label): label for label in of}
    places = draw(list(labels), ("step", "reason"), most, seed)
    decisions = _rows(places)
    origins = {place: _origin(of[labels[place[0]]], decisions[place]) for place in places}
    pairs = _rows(origins.values())
    winners = _winners({decisions[place]["winner"] for place in places} - {None}, list(of.values()))
    out = []
    for place in places:
        decision = decisions[place]
        won = next((x for x in winners.get(decision["winner"], ()) if not _is_dropped(x, decision)), None)
        lost = {name: decision[name] for name in ("step", "reason", "score", "evidence")}
        details = {**lost, "label": labels[place[0]], "winner": _winner_facts(decision["winner"], won)}
        out.append({"pair": pairs[origins[place]], "at": _at(origins[place]), "dropped": details, "won": won})
    return out


def _is_dropped(pair: Mapping[str, Any], decision: Mapping[str, Any]) -> bool:
    """Whether a pair with the winner's id is the dropped one: they are copies of each other."""
    return bool(pair["pair_id"] == decision["pair_id"] and pair["row"] == decision["row"])


def _origin(pairs: Pairs, decision: Mapping[str, Any]) -> Place:
    return pairs.parts[decision["part"]], decision["position"]


def _winner_facts(pair_id: str | None, won: dict[str, Any] | None) -> dict[str, Any] | None:
    """The winner in the form of curate.inspect.why.winner."""
    if pair_id is None:
        return None
    if won is None:
        return {"pair_id": pair_id, "source": None, "row": None, "text": None}
    return {"pair_id": pair_id, "source": won["source"], "row": won["row"], "text": beginning(won)}


def _winners(wanted: set[str], every: Sequence[Pairs]) -> dict[str, list[dict[str, Any]]]:
    """The first COPIES pairs with each of these ids; every pairs file is looked through once for all of them."""
    found: dict[str, list[dict[str, Any]]] = {pair_id: [] for pair_id in wanted}
    ids = pa.array(sorted(wanted), pa.string())
    for path in dict.fromkeys(part for pairs in every for part in pairs.parts if wanted):
        there = column(path, "pair_id")["pair_id"].cast(pa.string())
        near: dict[str, list[int]] = {}
        for position in pc.indices_nonzero(pc.is_in(there, ids)).to_pylist():
            places = near.setdefault(there[position].as_py(), [])
            if len(places) + len(found[there[position].as_py()]) < COPIES:
                places.append(position)
        for row in rows_at(path, sorted(x for places in near.values() for x in places)):
            found[row["pair_id"]].append(row)
    return found


def _at(place: Place) -> str:
    return f"{place[0].name}, row {place[1]:,} from 0"


def _rows(places: Iterable[Place]) -> dict[Place, dict[str, Any]]:
    """The rows at these places; each file is read once."""
    of: dict[Path, list[int]] = {}
    for path, position in places:
        of.setdefault(path, []).append(position)
    return {
        (path, position): row
        for path, positions in of.items()
        for position, row in zip(sorted(positions), rows_at(path, sorted(positions)), strict=True)
    }


def draw(
    paths: Sequence[Path], kind: Sequence[str], most: int, seed: int, *, unrepeated: bool = False
) -> list[Place]:
    """At most so many rows of the files, by their kind, the same for one seed; a larger sample holds a smaller.

    The first of every kind, then the second of every kind, and so on. `unrepeated`: only where `repeat` is 0.
    """
    best = pl.DataFrame(schema=DRAWN)
    for number, path in enumerate(paths):
        table = column(path, "pair_id", *kind, *(["repeat"] if unrepeated else []))
        key = order_key(*keys.halves(table["pair_id"].combine_chunks(), str(path)), SEED + seed)
        frame = pl.DataFrame(table).with_columns(
            kind=pl.concat_str(kind, separator="/"), key=pl.Series(key, dtype=pl.UInt64),
            file=pl.lit(number, pl.Int64), position=pl.int_range(pl.len()),
        )  # fmt: skip
        kept = frame.filter(pl.col("repeat") == 0) if unrepeated else frame
        best = _fair(pl.concat([best, kept.select(list(DRAWN))]), most)
    return [(paths[file], position) for _, _, file, position in best.iter_rows()]


def _fair(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    ranked = rows.sort("key", "file", "position", descending=[True, False, False]).with_columns(
        rank=pl.int_range(pl.len()).over("kind")
    )
    order = ["rank", "key", "file", "position"]
    best = ranked.sort(order, descending=[False, True, False, False]).head(most)
    return best.sort("kind", *order, descending=[False, False, True, False, False]).select(list(DRAWN))
