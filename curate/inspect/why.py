"""The history of a pair: its upstream row, what every mix did with it, and the pair that it lost to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate import sources
from curate.errors import ConfigError
from curate.inspect.artefacts import Location, Mix, Pairs, arm_mixes, artefacts, find_pair, mixes, pairs_at
from curate.inspect.text import beginning
from curate.pairs import scores
from curate.pairs.files import column, places, rows_at
from curate.tables import count
from curate.text.inert import terminal_text
from curate.workspace import Workspace

History = dict[str, Any]


def pair_history(text: str, workspace: Workspace, manifests: Path | None = None) -> History:
    """The history of the pair whose id is or begins with `text`, as plain values.

    pair_id, source, repo, adapter, options, row, revision, license, annotator, group, group_pairs, text
    scores  what models gave it, of every artefact that holds it, see `_scores`
    rows    every upstream row that gave this pair, in file order
    pairs   the pairs artefacts that hold it, the newest first; the facts above are those of the first
    mixes   one entry per mix made from any of them, those of arms last, see `_outcome`

    Raises WorkspaceError where a file that says something of the pair is not as recorded.
    """
    pair_id, locations = find_pair(text, artefacts(workspace))
    for location in locations:
        location.pairs.check()
    newest = [location for location in locations if location.pairs == locations[0].pairs]
    rows = [_row(location) for location in newest]
    first, pairs = rows[0], newest[0].pairs
    directories = list(dict.fromkeys(location.pairs.directory for location in locations))
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
        "scores": [one for location in locations for one in _scores(location)],
        "rows": [row["row"] for row in rows],
        "pairs": [str(directory) for directory in directories],
        "mixes": [
            outcome
            for mix in (*mixes(workspace), *arm_mixes(workspace))
            for outcome in _outcomes(mix, pair_id, directories, workspace)
        ],
    }


def _outcomes(
    mix: Mix, pair_id: str, directories: Sequence[Path], workspace: Workspace
) -> Iterator[dict[str, Any]]:
    folders = {pool.label: workspace.pairs(pool.source, pool.fingerprint) for pool in mix.pools}
    holders = [label for label, directory in folders.items() if directory in directories]
    if holders:
        here = [pairs_at(directory) for directory in folders.values() if directory.is_dir()]
        yield _outcome(mix, pair_id, here, holders)


def _scores(location: Location) -> Iterator[dict[str, Any]]:
    """The scores beside the pairs: {name, provenance, by, reviewed, chosen, rejected, margin, wrong, problem}."""
    for name in scores.names(location.pairs.directory):
        place = scores.folder(location.pairs.directory, name)
        receipt = scores.receipt_of(location.pairs.directory, location.pairs.source, name, name)
        found = scores.read_parts(place, receipt, [location.part.name])[location.position]
        if found["problem"][0] != scores.NOT_WANTED:
            yield {
                "name": name,
                "provenance": receipt["provenance"],
                "by": receipt["by"]["kind"],
                "reviewed": bool(receipt["by"].get("review")),
                **found.to_dicts()[0],
            }


def _row(location: Location) -> dict[str, Any]:
    return rows_at(location.part, [location.position])[0]


def _repo(source: str, manifests: Path | None) -> str | None:
    try:
        return sources.get(source, manifests).repo
    except ConfigError:  # a user's own source whose manifest was removed
        return None


def _outcome(mix: Mix, pair_id: str, among: Sequence[Pairs], holders: Sequence[str]) -> dict[str, Any]:
    """What a mix did with a pair: {mix, directory, outcome, selected, held_out, dropped, unused}.

    `among` are the mix's pairs artefacts, `holders` the labels of those that hold the pair.

    outcome   selected, held_out, dropped or unused: the first of these that holds for any copy of the pair
    selected, held_out  [{file, position, repeat}]: file of the mix, row of the file from 0
    dropped   [{label, row, step, reason, score, evidence, winner}], see `winner`
    flagged   [{label, row, step, reason, score, evidence}]: flags, which keep the pair
    unused    [{label, kept, selected, held_out}]: the pools that hold it, if the outcome is unused
    """
    mix.check("decisions", "review")
    selected, held_out = (list(_places_in(mix.files(kind), pair_id)) for kind in ("shard", "holdout"))
    mix.check(*{place["file"] for place in (*selected, *held_out)})
    dropped = [item for pool in mix.pools for item in _dropped(mix, pool.label, pair_id, among)]
    places = {"selected": selected, "held_out": held_out, "dropped": dropped}
    outcome = next((name for name, found in places.items() if found), "unused")
    unused = holders if outcome == "unused" else ()
    funnel = mix.lock["funnel"]
    return {
        "mix": mix.title,
        "directory": str(mix.directory),
        "outcome": outcome,
        **places,
        "flagged": _flagged(mix, pair_id),
        "unused": [
            {"label": label, **{name: funnel[label][name] for name in ("kept", "selected", "held_out")}}
            for label in unused
        ],
    }


def _places_in(files: Sequence[Path], pair_id: str) -> Iterator[dict[str, Any]]:
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
    names = ("row", "step", "reason", "score", "evidence")
    return [
        {"label": row["pool"], **{name: row[name] for name in names}} for row in found if row["fate"] == "flagged"
    ]


def winner(pair_id: str | None, among: Sequence[Pairs], lost: Sequence[str] = ()) -> dict[str, Any] | None:
    """The pair that another one lost to: {pair_id, source, row, text}; all but the id are None if it is not found.

    If a copy won, it has the id of those that lost; `lost` are the rows of these.
    """
    if pair_id is None:
        return None
    for pairs in among:
        for part in pairs.parts:
            for row in rows_at(part, places(part, "pair_id", pair_id)):
                if row["row"] not in lost:
                    pairs.check([part])
                    return {"pair_id": pair_id, **_named(row)}
    return {"pair_id": pair_id, "source": None, "row": None, "text": None}


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {"source": row["source"], "row": row["row"], "text": beginning(row)}


def row_history(row: str, source: str, workspace: Workspace) -> list[dict[str, Any]]:
    """What an upstream row (`file:number`) of a source gave: one entry for each pairs artefact that read it.

    {source, row, directory, pairs: [{pair_id, text}], skipped: {reason, detail} or None}. Raises ConfigError if
    none did.
    """
    there = artefacts(workspace, source)
    if not there:
        raise ConfigError(
            "--source", f"no pairs of {source!r} in {workspace.root}", "a source that was normalized"
        )
    entries = [entry for pairs in there for entry in _results(row, pairs)]
    if not entries:
        raise ConfigError(
            row, f"no pair and no skip of {source} comes from that row", f"a row {_example(there[0])}"
        )
    return entries


def _results(row: str, pairs: Pairs) -> Iterator[dict[str, Any]]:
    pairs.check()
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


def history_lines(history: History) -> list[str]:
    """A history as text, one fact a line."""
    options = ", ".join(f"{name}={value}" for name, value in history["options"].items())
    rest = len(history["rows"]) - 1
    facts = {
        "pair": history["pair_id"],
        "text": history["text"],
        "source": " ".join(filter(None, [history["source"], history["repo"] and f"({history['repo']})"])),
        "row": history["row"],
        "copies": f"{rest:,} more: {', '.join(history['rows'][1:6])}{', ...' if rest > 5 else ''}"
        if rest
        else "none",
        "revision": history["revision"] or "not pinned",
        "license": history["license"] or "unknown",
        "annotator": history["annotator"] or "unknown",
        "group": f"{history['group']}, {count(history['group_pairs'], 'pair')}",
        "adapter": "normalizing is not finished"
        if history["adapter"] is None
        else f"version {history['adapter']}",
        "options": options or "none",
        "pairs": ", ".join(history["pairs"]),
    }
    lines = [f"{name:<10}{value}" for name, value in facts.items()]
    lines += [f"{'score':<10}{_score_text(one)}" for one in history["scores"]]
    if not history["mixes"]:
        lines.append("no mix in this workspace uses these pairs")
    return lines + [line for outcome in history["mixes"] for line in _outcome_lines(outcome)]


def _score_text(one: Mapping[str, Any]) -> str:
    """`reward_model (external): chosen 1.2, rejected 0.3, margin 0.9`, and the chance of a wrong label."""
    known = [f"{name} {one[name]:.4g}" for name in ("chosen", "rejected", "margin") if one[name] is not None]
    meaning = (
        {True: ", corrected by a review", False: ", to rank by"}[one["reviewed"]] if one["by"] == "audit" else ""
    )
    wrong = [] if one["wrong"] is None else [f"wrong label {one['wrong']:.3f}{meaning}"]
    text = ", ".join([*known, *wrong]) or f"none, {terminal_text(one['problem'] or 'unknown')}"
    return f"{one['name']} ({one['provenance']}): {text}"


def _outcome_lines(outcome: dict[str, Any]) -> Iterator[str]:
    yield f"mix {outcome['mix']}: {outcome['outcome'].replace('_', ' ')}"
    for name in ("selected", "held_out"):
        for place in outcome[name]:
            repeat = f", repeat {place['repeat']}" if place["repeat"] else ""
            yield f"  {name.replace('_', ' ')}: {place['file']}, row {place['position']:,} from 0{repeat}"
    for item in outcome["dropped"]:
        yield from _found_lines("dropped", item)
        if item["winner"]:
            yield from (f"    {line}" for line in winner_lines(item["winner"]))
    for item in outcome["flagged"]:
        yield from _found_lines("flagged", item)
    for item in outcome["unused"]:
        free = item["kept"] - item["held_out"]
        yield f"  unused: the quota took {item['selected']:,} of the {free:,} free pairs of {item['label']}"


def _found_lines(outcome: str, item: Mapping[str, Any]) -> Iterator[str]:
    score = "" if item["score"] is None else f", score {item['score']:.4g}"
    yield f"  {outcome}: {item['step']}/{item['reason']}{score} ({item['label']}, {item['row']})"
    if item["evidence"] is not None:
        yield f"    {terminal_text(item['evidence'])}"


def winner_lines(won: Mapping[str, Any]) -> list[str]:
    """The pair that won: its id, its row, and the beginning of its text."""
    if won["source"] is None:
        return [f"lost to {won['pair_id']}, whose pairs are not in this workspace"]
    return [f"lost to {won['pair_id']}", f"({won['source']}, {won['row']})", f"{won['text']}"]


def row_lines(entries: Sequence[dict[str, Any]]) -> list[str]:
    """What an upstream row gave, as text."""
    lines = []
    for entry in entries:
        lines.append(f"{entry['source']}, {entry['row']}, in {entry['directory']}")
        lines += [f"  gave {pair['pair_id']}  {pair['text']}" for pair in entry["pairs"]]
        if entry["skipped"]:
            detail = entry["skipped"]["detail"]
            lines.append(
                f"  skipped: {entry['skipped']['reason']}{f' ({terminal_text(detail)})' if detail else ''}"
            )
    return lines
