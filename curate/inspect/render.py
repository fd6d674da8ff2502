"""Render pairs as text: provenance, turns, media, and replies with their differences marked."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curate.arrow_compute import pc
from curate.images.packs import Packs
from curate.inspect.text_diff import Span, cut, differences, plain
from curate.inspect.why import winner_lines
from curate.text.inert import terminal_line, terminal_text

LONG = 800  # characters of one text that are shown unless all is wanted


class Line(NamedTuple):
    """A line of a page: a heading (`user`, `chosen`, ...), a fact about the pair, or a text."""

    kind: Literal["head", "fact", "text"]
    spans: Sequence[Span]


def media_labels(items: Iterable[Mapping[str, Any]], images: Path) -> dict[str, str]:
    """Size and format of every image of the items as the store has them, by key: `640x480 JPEG`."""
    wanted = {key for item in items for media in item["pair"]["media"] for key in media["keys"]}
    if not wanted:
        return {}
    facts = Packs(images).facts()
    rows = facts.filter(pc.is_in(facts["key"], pa.array(sorted(wanted)))).to_pylist()
    return {row["key"]: f"{row['width']}x{row['height']} {row['format']}" for row in rows}


def page(
    item: Mapping[str, Any], labels: Mapping[str, str], *, full: bool = False, raw: bool = False
) -> Iterator[Line]:
    """One pair. `full` hides nothing; `raw` gives the texts as they are stored, whole and unmarked."""
    pair = item["pair"]
    most = sys.maxsize if full or raw else LONG
    media = _media(pair, labels)
    yield _head(f"pair {pair['pair_id']}")
    for fact in facts(item):
        yield Line("fact", plain(terminal_line(fact)))
    for turn in pair["prompt"]:
        yield _head(turn["role"])
        yield Line("text", cut(plain(_content(turn, media, raw)), most))
    chosen, rejected = (_reply(pair[side], media, raw) for side in ("chosen", "rejected"))
    left, right = (plain(chosen), plain(rejected)) if raw else differences(chosen, rejected)
    for name, spans in (("chosen", left), ("rejected", right)):
        yield _head(name)
        yield Line("text", cut(spans, most))
    for name in ("chosen", "rejected"):
        if critique := pair[f"{name}_critique"]:
            yield _head(f"critique of {name}")
            yield Line("text", cut(plain(critique if raw else terminal_text(critique)), most))


def _head(text: str) -> Line:
    return Line("head", plain(text))


def facts(item: Mapping[str, Any]) -> Iterator[str]:
    """Where a pair is from, its numbers, and why it was dropped: a line each."""
    pair = item["pair"]
    provenance = {"license": pair["license"], "annotator": pair["annotator"], "revision": pair["revision"]}
    origin = ", ".join(filter(None, [pair["source"], pair.get("row")]))
    yield ", ".join([origin, *(f"{name} {value}" for name, value in provenance.items() if value)])
    yield item["at"] + (f", repeat {pair['repeat']}" if pair.get("repeat") else "")
    numbers = {"margin": "margin", "chosen_score": "chosen", "rejected_score": "rejected"}
    ratings = [f"{name} {pair[column]:g}" for column, name in numbers.items() if pair[column] is not None]
    ratings += [f"category {pair['category']}"] if pair["category"] else []
    ratings += [f"weight {pair['weight']:.4g}"] if pair.get("weight", 1.0) != 1.0 else []
    if ratings:
        yield ", ".join(ratings)
    if lost := item.get("dropped"):
        score = "" if lost["score"] is None else f", score {lost['score']:.4g}"
        yield f"dropped by {lost['step']}/{lost['reason']}{score}"
        yield from winner_lines(lost["winner"]) if lost["winner"] else ()


def _media(pair: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[str]:
    """The label of each of the pair's media, in order."""
    for media in pair["media"]:
        first = media["keys"][0] if media["keys"] else ""
        frames = f"{len(media['keys'])} frames " if media["kind"] == "video" else ""
        yield f"[{media['kind']} {frames}{labels.get(first, 'not in the store')} {first[:8]}…]"


def _content(turn: Mapping[str, Any], media: Iterator[str], raw: bool) -> str:
    """The blocks of a turn, one below the other."""
    blocks = [
        next(media, f"[{x['type']} missing]") if x["text"] is None else labelled(str(x["text"]), x["type"])
        for x in turn["content"]
    ]
    text = "\n".join(blocks)
    return text if raw else terminal_text(text)


def labelled(text: str, kind: str) -> str:
    """The text of a block, after its kind where it is no plain text: `[tool_call] {...}`."""
    return text if kind == "text" else f"[{kind}] {text}"


def _reply(turns: Sequence[Mapping[str, Any]], media: Iterator[str], raw: bool) -> str:
    """A reply as one text; where it is several turns, each with its role."""
    if len(turns) == 1:
        return _content(turns[0], media, raw)
    return "\n".join(f"{turn['role']}: {_content(turn, media, raw)}" for turn in turns)
