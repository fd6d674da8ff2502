"""The life of a pair: where it came from, what every mix did with it, and who won where it lost."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate import sources
from curate.errors import ConfigError
from curate.inspect.artefacts import Mix, Pairs, Standing, artefacts, find_pair, mixes, pairs_at
from curate.inspect.text import beginning, count, visible
from curate.pairs.files import column, places, rows_at
from curate.workspace import Workspace

Life = dict[str, Any]


def life(text: str, workspace: Workspace, manifests: Path | None = None) -> Life:
    """All that is known of the pair whose id is or begins with `text`, as plain values.

    pair_id, source, repo, adapter, options, row, revision, license, annotator, group, group_pairs, text
    rows    every upstream row that gave this very pair, in file order
    pairs   the pairs artefacts that hold it, the newest first; what stands above is said by the first
    mixes   one entry per mix made from any of them, see `_fate`
    """
    pair_id, standings = find_pair(text, artefacts(workspace))
    newest = [standing for standing in standings if standing.pairs == standings[0].pairs]
    rows = [_row(standing) for standing in newest]
    first, pairs = rows[0], newest[0].pairs
    directories = list(dict.fromkeys(standing.pairs.directory for standing in standings))
    return {
        "pair_id": pair_id,
        "source": first["source"],
        "repo": _repo(first["source"], manifests),
        "adapter": pairs.manifest.get("adapter"),
        "options": pairs.manifest.get("options", {}),
        **{name: first[name] for name in ("row", "revision", "license", "annotator")},
        "group": first["group_id"],
        "group_pairs": sum(len(places(part, "group_id", first["group_id"])) for part in pairs.parts),
        "text": beginning(first),
        "rows": [row["row"] for row in rows],
        "pairs": [str(directory) for directory in directories],
        "mixes": [fate for mix in mixes(workspace) for fate in _fates(mix, pair_id, directories, workspace)],
    }


def _fates(mix: Mix, pair_id: str, directories: Sequence[Path], workspace: Workspace) -> Iterator[dict[str, Any]]:
    folders = {pool.label: workspace.pairs(pool.source, pool.fingerprint) for pool in mix.pools}
    holders = [label for label, directory in folders.items() if directory in directories]
    if holders:
        here = [pairs_at(directory) for directory in folders.values() if directory.is_dir()]
        yield _fate(mix, pair_id, here, holders)


def _row(standing: Standing) -> dict[str, Any]:
    return rows_at(standing.part, [standing.position])[0]


def _repo(source: str, manifests: Path | None) -> str | None:
    try:
        return sources.get(source, manifests).repo
    except ConfigError:  # a user's own source whose manifest is not here any more
        return None


def _fate(mix: Mix, pair_id: str, among: Sequence[Pairs], holders: Sequence[str]) -> dict[str, Any]:
    """What a mix did with a pair: {mix, directory, fate, selected, held_out, dropped, unused}.

    `among` are the mix's pairs artefacts, `holders` the labels of those that hold the pair.

    fate      selected, held_out, dropped or unused: the best that became of any copy of the pair
    selected, held_out  [{file, position, repeat}]: file of the mix, row of the file from 0
    dropped   [{label, row, step, reason, score, evidence, winner}], see `winner`
    flagged   [{label, row, step, reason, score, evidence}]: what a step found in a pair and left in
    unused    [{label, kept, selected, held_out}]: the pools that hold it, where no other fate is known
    """
    selected, held_out = (list(_stands(mix.files(kind), pair_id)) for kind in ("shard", "holdout"))
    dropped = [item for pool in mix.pools for item in _dropped(mix, pool.label, pair_id, among)]
    fates = {"selected": selected, "held_out": held_out, "dropped": dropped}
    fate = next((name for name, found in fates.items() if found), "unused")
    unused = holders if fate == "unused" else ()
    funnel = mix.lock["funnel"]
    return {
        "mix": mix.title,
        "directory": str(mix.directory),
        "fate": fate,
        **fates,
        "flagged": _flagged(mix, pair_id),
        "unused": [
            {"label": label, **{name: funnel[label][name] for name in ("kept", "selected", "held_out")}}
            for label in unused
        ],
    }


def _stands(files: Sequence[Path], pair_id: str) -> Iterator[dict[str, Any]]:
    for path in files:
        found = places(path, "pair_id", pair_id)
        for position, row in zip(found, rows_at(path, found, ("repeat",)), strict=True):
            yield {"file": path.name, "position": position, "repeat": row["repeat"]}


def _dropped(mix: Mix, label: str, pair_id: str, among: Sequence[Pairs]) -> list[dict[str, Any]]:
    path = mix.decisions(label)
    found = rows_at(path, places(path, "pair_id", pair_id))
    lost = [decision["row"] for decision in found]
    return [
        {
            "label": label,
            **{name: decision[name] for name in ("row", "step", "reason", "score", "evidence")},
            "winner": winner(decision["winner"], among, lost if decision["winner"] == pair_id else ()),
        }
        for decision in found
    ]


def _flagged(mix: Mix, pair_id: str) -> list[dict[str, Any]]:
    if not mix.review.exists():
        return []
    found = rows_at(mix.review, places(mix.review, "pair_id", pair_id))
    said = ("row", "step", "reason", "score", "evidence")
    return [
        {"label": row["pool"], **{name: row[name] for name in said}} for row in found if row["fate"] == "flagged"
    ]


def winner(pair_id: str | None, among: Sequence[Pairs], lost: Sequence[str] = ()) -> dict[str, Any] | None:
    """Who a pair lost to: {pair_id, source, row, text}; all but the id are None where its pairs are not here.

    Where a copy won, which has the id of those that lost, `lost` are their rows, which are not named.
    """
    if pair_id is None:
        return None
    for pairs in among:
        for part in pairs.parts:
            for row in rows_at(part, places(part, "pair_id", pair_id)):
                if row["row"] not in lost:
                    return {"pair_id": pair_id, **_named(row)}
    return {"pair_id": pair_id, "source": None, "row": None, "text": None}


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {"source": row["source"], "row": row["row"], "text": beginning(row)}


def row_life(row: str, source: str, workspace: Workspace) -> list[dict[str, Any]]:
    """What an upstream row (`file:number`) of a source gave: one entry per pairs artefact that has met it.

    {source, row, directory, pairs: [{pair_id, text}], skipped: {reason, detail} or None}. Raises ConfigError where
    none has.
    """
    there = artefacts(workspace, source)
    if not there:
        raise ConfigError("--source", f"no pairs of {source!r} here", "a source that was normalized")
    entries = [entry for pairs in there for entry in _met(row, pairs)]
    if not entries:
        raise ConfigError(
            row, f"no pair and no skip of {source} comes from that row", f"a row {_example(there[0])}"
        )
    return entries


def _met(row: str, pairs: Pairs) -> Iterator[dict[str, Any]]:
    gave = [pair for part in pairs.parts for pair in rows_at(part, places(part, "row", row))]
    skips = [skip for path in pairs.skips for skip in rows_at(path, places(path, "row", row))]
    if gave or skips:
        yield {
            "source": pairs.source,
            "row": row,
            "directory": str(pairs.directory),
            "pairs": [{"pair_id": pair["pair_id"], "text": beginning(pair)} for pair in gave],
            "skipped": {name: skips[0][name] for name in ("reason", "detail")} if skips else None,
        }


def _example(pairs: Pairs) -> str:
    for path in (*pairs.parts, *pairs.skips):
        rows = column(path, "row")["row"]
        if len(rows):
            return f"such as {rows[0].as_py()}"
    return "as file:number"


# ------------------------------------------------------------------------------------------------- as lines


def life_lines(told: Life) -> list[str]:
    """A life for people, one fact a line."""
    options = ", ".join(f"{name}={value}" for name, value in told["options"].items())
    rest = len(told["rows"]) - 1
    facts = {
        "pair": told["pair_id"],
        "text": told["text"],
        "source": " ".join(filter(None, [told["source"], told["repo"] and f"({told['repo']})"])),
        "row": told["row"],
        "copies": f"{rest:,} more: {', '.join(told['rows'][1:6])}{', ...' if rest > 5 else ''}"
        if rest
        else "none",
        "revision": told["revision"] or "not pinned",
        "license": told["license"] or "unknown",
        "annotator": told["annotator"] or "unknown",
        "group": f"{told['group']}, {count(told['group_pairs'], 'pair')}",
        "adapter": "its normalizing is unfinished" if told["adapter"] is None else f"version {told['adapter']}",
        "options": options or "none",
        "pairs": ", ".join(told["pairs"]),
    }
    lines = [f"{name:<10}{value}" for name, value in facts.items()]
    if not told["mixes"]:
        lines.append("no mix here is made from these pairs")
    return lines + [line for fate in told["mixes"] for line in _fate_lines(fate)]


def _fate_lines(fate: dict[str, Any]) -> Iterator[str]:
    yield f"mix {fate['mix']}: {fate['fate'].replace('_', ' ')}"
    for name in ("selected", "held_out"):
        for stand in fate[name]:
            repeat = f", repeat {stand['repeat']}" if stand["repeat"] else ""
            yield f"  {name.replace('_', ' ')}: {stand['file']}, row {stand['position']:,} from 0{repeat}"
    for item in fate["dropped"]:
        yield from _found_lines("dropped", item)
        if item["winner"]:
            yield from (f"    {line}" for line in winner_lines(item["winner"]))
    for item in fate["flagged"]:
        yield from _found_lines("flagged", item)
    for item in fate["unused"]:
        free = item["kept"] - item["held_out"]
        yield f"  unused: the quota took {item['selected']:,} of the {free:,} free pairs of {item['label']}"


def _found_lines(fate: str, item: Mapping[str, Any]) -> Iterator[str]:
    score = "" if item["score"] is None else f", score {item['score']:.4g}"
    yield f"  {fate}: {item['step']}/{item['reason']}{score} ({item['label']}, {item['row']})"
    if item["evidence"] is not None:
        yield f"    {visible(item['evidence'])}"


def winner_lines(won: Mapping[str, Any]) -> list[str]:
    """Who won: its id, where it is from, and how it begins."""
    if won["source"] is None:
        return [f"lost to {won['pair_id']}, whose pairs are not here"]
    return [f"lost to {won['pair_id']}", f"({won['source']}, {won['row']})", f"{won['text']}"]


def row_lines(entries: Sequence[dict[str, Any]]) -> list[str]:
    """What an upstream row gave, for people."""
    lines = []
    for entry in entries:
        lines.append(f"{entry['source']}, {entry['row']}, in {entry['directory']}")
        lines += [f"  gave {pair['pair_id']}  {pair['text']}" for pair in entry["pairs"]]
        if entry["skipped"]:
            detail = entry["skipped"]["detail"]
            lines.append(f"  skipped: {entry['skipped']['reason']}{f' ({visible(detail)})' if detail else ''}")
    return lines
