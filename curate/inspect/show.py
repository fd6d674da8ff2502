"""Samples of pairs, dropped pairs and skipped rows, with the facts that are printed about each.

A sample is the first rows of all by a keyed order of its own, so that it is the same each time.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from curate.errors import ConfigError
from curate.inspect.artefacts import Mix, MixPool, Pairs, find_mix, find_pair, find_pairs, pools
from curate.inspect.candidates import bare_pairs, is_bare
from curate.inspect.why import winner
from curate.order import order_key
from curate.pairs import keys
from curate.pairs.files import column, rows_at
from curate.workspace import Workspace

SEED = 1 << 63  # no recipe can have this seed, so a sample is not the beginning of a mix

Item = dict[str, Any]
Place = tuple[Path, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many to show, and which: of one source or label; with one reason (`step/why`, a step, or a skip's)."""

    rows: int = 5
    source: str | None = None
    reason: str | None = None


def find_target(text: str, workspace: Workspace, *, skipped: bool = False) -> Mix | Pairs:
    """The mix or the source's pairs that `text` names, or the pairs of a bare file or folder of rows.

    If both have the name, it is the mix, or the source if skipped rows are wanted. Raises ConfigError that lists
    what there is.
    """
    if is_bare(Path(text)):
        return bare_pairs(Path(text), workspace)
    first: Callable[[str, Workspace], Mix | Pairs] = find_pairs if skipped else find_mix
    second: Callable[[str, Workspace], Mix | Pairs] = find_mix if skipped else find_pairs
    try:
        return first(text, workspace)
    except ConfigError as fault:
        try:
            return second(text, workspace)
        except ConfigError as other:
            expected = f"{fault.expected}; or {other.expected}"
            hints = list(dict.fromkeys(one.hint for one in (fault, other) if one.hint))
            close = [hint for hint in hints if hint.startswith("did you mean")]
            found = f"no mix and no source of that name in {workspace.root}"
            raise ConfigError(text, found, expected, "; ".join(close or hints)) from None


def sample_pairs(target: Mix | Pairs, wanted: Wanted) -> list[Item]:
    """Rows of a mix's shards, or pairs of a source: {pair, at}."""
    if isinstance(target, Pairs):
        _only(target, wanted)
        found = _spread(target.parts, wanted.rows)
    else:
        sources = sorted({pool.source for pool in _wanted_pools(target, wanted)})
        of_source = (lambda table: table["source"].is_in(sources)) if wanted.source else None
        found = _spread(target.files("shard"), wanted.rows, ("source",) if of_source else (), of_source)
    _check(target, {path.name for path, _ in found})
    return [_item(*place) for place in found]


def _check(target: Mix | Pairs, names: set[str]) -> None:
    """Raise WorkspaceError where one of these files is not as recorded."""
    if isinstance(target, Mix):
        target.check(*names)
    else:
        target.check(path for path in target.parts if path.name in names)


def one_pair(target: Mix | Pairs, text: str, wanted: Wanted, workspace: Workspace) -> list[Item]:
    """The pair whose id is or begins with `text`, in the target's pairs; each copy of it."""
    if isinstance(target, Pairs):
        _only(target, wanted)
        among = [target]
    else:
        among = list(_pools(target, wanted, workspace).values())
    _, locations = find_pair(text, among)
    for location in locations:
        location.pairs.check([location.part])
    return [_item(location.part, location.position) for location in locations]


def _item(path: Path, position: int) -> Item:
    return {"pair": rows_at(path, [position])[0], "at": f"{path.name}, row {position:,} from 0"}


def _only(target: Pairs, wanted: Wanted) -> None:
    if wanted.source not in (None, target.source):
        raise ConfigError("--source", f"found {wanted.source}", f"{target.source}, the source of {target.title}")


def _wanted_pools(mix: Mix, wanted: Wanted) -> list[MixPool]:
    """What a mix was made from: all, or the source or label that is wanted."""
    some = [pool for pool in mix.pools if wanted.source in (None, pool.label, pool.source)]
    if not some:
        labels = ", ".join(pool.label for pool in mix.pools)
        raise ConfigError("--source", f"{mix.title} has no source {wanted.source}", f"one of {labels}")
    return some


def _pools(mix: Mix, wanted: Wanted, workspace: Workspace) -> dict[str, Pairs]:
    """The pairs artefacts that are wanted, by label."""
    labels = [pool.label for pool in _wanted_pools(mix, wanted)]
    return {label: pairs for label, pairs in pools(mix, workspace).items() if label in labels}


def _spread(
    paths: Sequence[Path],
    most: int,
    names: Sequence[str] = (),
    keep: Callable[[pl.DataFrame], pl.Series] | None = None,
) -> list[Place]:
    """At most `most` rows of the files, the first by the order of SEED.

    `keep` selects rows by the columns `names`.
    """
    best = pl.DataFrame(schema=ORDER)
    for number, path in enumerate(paths):
        table = column(path, "pair_id", *names)
        key = order_key(*keys.halves(table["pair_id"].combine_chunks(), str(path)), SEED)
        kept = keep(pl.DataFrame(table)) if keep else None
        best = _best(best, pl.Series(key, dtype=pl.UInt64), number, kept, most)
    return [(paths[file], position) for _, file, position in best.iter_rows()]


ORDER = {"key": pl.UInt64, "file": pl.Int64, "position": pl.Int64}


def _best(best: pl.DataFrame, key: pl.Series, file: int, kept: pl.Series | None, most: int) -> pl.DataFrame:
    """The best rows so far and those of one more file, largest key first."""
    frame = pl.DataFrame({"key": key}).with_columns(
        pl.lit(file, pl.Int64).alias("file"), pl.int_range(pl.len()).alias("position")
    )
    more = frame if kept is None else frame.filter(kept)
    return pl.concat([best, more]).sort("key", "file", "position", descending=[True, False, False]).head(most)


# ------------------------------------------------------------------------------------------ what was lost


def sample_dropped(mix: Mix | Pairs, wanted: Wanted, workspace: Workspace) -> list[Item]:
    """Dropped pairs of a mix: {pair, at, dropped: {label, step, reason, score, winner}}.

    Raises ConfigError for a source's pairs, and if no pair was dropped for the wanted reason.
    """
    if isinstance(mix, Pairs):
        hint = f"curate show MIX --dropped --source {mix.source}"
        raise ConfigError(mix.title, "a source's pairs; steps drop pairs from a mix", "a mix", hint)
    of = _pools(mix, wanted, workspace)
    counts = Counter[str]()
    for label in of:
        counts.update(mix.lock["funnel"][label]["dropped"])
    _check_reason(wanted.reason, counts, "dropped")
    mix.check("decisions")
    labels = {mix.decisions(label): label for label in of}
    keep = _step_is(wanted.reason) if wanted.reason else None
    places = _spread(list(labels), wanted.rows, ("step", "reason") if keep else (), keep)
    every = list(pools(mix, workspace).values())
    return [_dropped(labels[path], rows_at(path, [at])[0], of[labels[path]], every) for path, at in places]


def _step_is(reason: str) -> Callable[[pl.DataFrame], pl.Series]:
    step, slash, why = reason.partition("/")
    if slash:
        return lambda table: (table["step"] == step) & (table["reason"] == why)
    return lambda table: table["step"] == step


def _dropped(label: str, decision: Mapping[str, Any], own: Pairs, every: Sequence[Pairs]) -> Item:
    lost = {name: decision[name] for name in ("step", "reason", "score")}
    copy = decision["winner"] == decision["pair_id"]
    own.check([own.parts[decision["part"]]])
    won = winner(decision["winner"], every, [decision["row"]] if copy else [])
    return {
        **_item(own.parts[decision["part"]], decision["position"]),
        "dropped": {"label": label, **lost, "winner": won},
    }


def _check_reason(reason: str | None, counts: Mapping[str, int], what: str) -> None:
    """Raise ConfigError if nothing was lost for this reason."""
    if reason is None or any(reason in (known, known.split("/")[0]) for known in counts):
        return
    there = (
        ", ".join(f"{known} ({count:,})" for known, count in sorted(counts.items())) or "no reason: nothing was"
    )
    raise ConfigError("REASON", f"nothing was {what} for {reason}", f"one of {there}")


def sample_skips(target: Mix | Pairs, wanted: Wanted, workspace: Workspace) -> list[Item]:
    """Rows that gave no pair, of a source's pairs (finished or not) or of all a mix was made from.

    {source, row, reason, detail}. Raises ConfigError if no row was skipped for the wanted reason.
    """
    if isinstance(target, Pairs):
        _only(target, wanted)
    of = [target] if isinstance(target, Pairs) else list(_pools(target, wanted, workspace).values())
    for each in of:
        each.check(each.skips)
    files = {path: each.source for each in of for path in each.skips}
    counts, best = Counter[str](), pl.DataFrame(schema=ORDER)
    for number, path in enumerate(files):
        table = pl.DataFrame(column(path, "row", "reason"))
        counts.update(dict(table["reason"].value_counts().iter_rows()))
        key = pl.Series([xxhash.xxh3_64_intdigest(row.encode(), SEED) for row in table["row"]], dtype=pl.UInt64)
        kept = table["reason"] == wanted.reason if wanted.reason else None
        best = _best(best, key, number, kept, wanted.rows)
    _check_reason(wanted.reason, counts, "skipped")
    places = [(list(files)[file], position) for _, file, position in best.iter_rows()]
    return [{"source": files[path], **rows_at(path, [position])[0]} for path, position in places]
