"""A pair as HTML: replies side by side, images where the dialogue has them, and the form that labels it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.html_report.markup import words
from curate.html_report.pair_cards import facts_list
from curate.images.packs import Packs
from curate.inspect import render
from curate.inspect.text_diff import Span, cut, differences, plain
from curate.labels import Label
from curate.text.inert import terminal_text
from curate.web.browse.labelling import is_swapped
from curate.web.browse.rich_text import text_html
from curate.web.browse.state import State

LONG = 6000
"""Characters of a text in a list; the page of a pair shows it whole."""
WHOLE = 400_000
FRAMES = 6
"""Images of one place in a list; the page of a pair shows all."""
COMPARED = 160_000
"""Words times words that are compared in a list without asking for the time."""

SIDES = ("chosen", "rejected")
LABELS = {"agree": "agrees", "flip": "the other is better", "tie": "tie", "bad": "bad pair"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardData:
    """A pair to draw: the item as of curate.inspect.show, and what the table has about it as (name, value)."""

    item: Mapping[str, Any]
    known: Sequence[tuple[str, str]] = ()
    labels: Mapping[str, Label]
    whole: bool = False

    @property
    def pair(self) -> Mapping[str, Any]:
        """The pair."""
        pair: Mapping[str, Any] = self.item["pair"]
        return pair


class Media:
    """Images as addresses of this server."""

    def __init__(self, store: Packs) -> None:
        self._store = store

    def of(self, pair: Mapping[str, Any]) -> str:
        """All media of a pair."""
        return "".join(self.entry(entry, whole=True) for entry in pair["media"])

    def entry(self, entry: Mapping[str, Any], *, whole: bool) -> str:
        """An image, or the frames of a video."""
        keys = entry["keys"] if whole else entry["keys"][:FRAMES]
        what = "frame" if entry["kind"] == "video" else "image"
        drawn = "".join(self._one(key, f"{what} {n} of {len(entry['keys'])}") for n, key in enumerate(keys, 1))
        more = len(entry["keys"]) - len(keys)
        caption = f"<figcaption>and {more:,} more frames</figcaption>" if more else ""
        return f'<figure class="media">{drawn}{caption}</figure>'

    def _one(self, key: str, label: str) -> str:
        if not self._store.known(key):
            return f'<span class="gone">{label}: not in the store</span>'
        return (
            f'<a class="zoom" href="/image/{key}/large" aria-label="{label}, larger">'
            f'<img src="/image/{key}/small" alt="{label}" loading="lazy" decoding="async"></a>'
        )


class Cards:
    """Draws pairs for one state; `seconds` is how long words may be compared for all cards together."""

    def __init__(self, state: State, who: str, media: Media, *, seconds: float, form: bool = True) -> None:
        self.state, self.who, self.media = state, who, media
        self._end = time.monotonic() + seconds
        self._form = form

    def card(self, data: CardData, number: int) -> str:
        """One pair."""
        pair, name = data.pair, f"pair-{number}"
        body = [*self._head(data, name), *self._prompt(data), self._replies(data)]
        form = self._label_form(data) if self._form else ""
        return (
            f'<article class="pair" id="{name}-card" tabindex="-1" aria-labelledby="{name}" '
            f'data-pair="{words(pair["pair_id"])}">\n' + "\n".join(body) + f"\n{form}\n</article>"
        )

    def _head(self, data: CardData, name: str) -> Iterator[str]:
        pair_id = words(data.pair["pair_id"])
        if self.state.blind:
            yield f'<h3 id="{name}">Pair <code>{pair_id[:8]}</code></h3>'
            return
        address = words(self.state.pair_url(data.pair["pair_id"]))
        lost = data.item.get("dropped")
        why = f' <span class="why">{words(lost["step"])}/{words(lost["reason"])}</span>' if lost else ""
        link = f'<a href="{address}"><code>{pair_id}</code></a>'
        yield f'<h3 id="{name}">{words(data.pair["source"])} {link}{why}</h3>'
        evidence = [lost["evidence"]] if lost and lost.get("evidence") else []
        known = [f"{key} {value}" for key, value in data.known]
        yield facts_list([*render.facts(data.item), *known, *evidence])
        if won := data.item.get("lost_to"):
            address = words(self.state.pair_url(won))
            yield f'<p class="facts">lost to <a href="{address}"><code>{words(won)}</code></a></p>'

    def _prompt(self, data: CardData) -> Iterator[str]:
        media = iter(data.pair["media"])
        for turn in data.pair["prompt"]:
            yield f'<h4 class="role">{words(turn["role"])}</h4>'
            yield self._turn(turn, media, data)

    def _turn(self, turn: Mapping[str, Any], media: Iterator[Mapping[str, Any]], data: CardData) -> str:
        """The blocks of a turn, images in their places."""
        parts = []
        for block in turn["content"]:
            if block["text"] is None:
                entry = next(media, None)
                parts.append(self.media.entry(entry, whole=data.whole) if entry else _missing(block))
            else:
                parts.append(self._text(plain(_block_text(block)), data))
        return "".join(parts)

    def _replies(self, data: CardData) -> str:
        pair, media = data.pair, _reply_media(data.pair)
        texts = {side: terminal_text(_reply_text(pair[side])) for side in SIDES}
        marked = dict(zip(SIDES, self._compared(texts, data.whole), strict=True))
        swapped = self.state.blind and is_swapped(pair["pair_id"], self.who)
        order = SIDES[::-1] if swapped else SIDES
        columns = []
        for number, side in enumerate(order, 1):
            title = f"reply {number}" if self.state.blind else side
            kind = "" if self.state.blind else f" {side}"
            figures = "".join(self.media.entry(entry, whole=data.whole) for entry in media[side])
            critique = None if self.state.blind else pair[f"{side}_critique"]
            critique_html = self._critique(critique, data) if critique else ""
            columns.append(
                f'<div class="side"><h4 class="role{kind}">{title}</h4>{figures}'
                f"{self._text(marked[side], data)}{critique_html}</div>"
            )
        return f'<div class="sides">{"".join(columns)}</div>'

    def _critique(self, critique: str, data: CardData) -> str:
        return f'<h5 class="role">critique</h5>{self._text(plain(terminal_text(critique)), data)}'

    def _compared(self, texts: Mapping[str, str], whole: bool) -> tuple[Sequence[Span], Sequence[Span]]:
        chosen, rejected = texts["chosen"], texts["rejected"]
        size = chosen.count(" ") * rejected.count(" ")
        if not whole and (size > COMPARED or time.monotonic() > self._end):
            return plain(chosen), plain(rejected)
        return differences(chosen, rejected)

    def _text(self, spans: Sequence[Span], data: CardData) -> str:
        most = WHOLE if data.whole else LONG
        return text_html(cut(spans, most), self.state.way, alike=self.state.blind) if spans else NOTHING

    def _label_form(self, data: CardData) -> str:
        pair_id, blind = words(data.pair["pair_id"]), self.state.blind
        names = {"1": "first is better" if blind else "agree", "2": "second is better" if blind else "flip"}
        names |= {"t": "tie", "b": "bad"}
        own = data.labels.get(self.who)
        pressed = _choice(own, data.pair["pair_id"], self.who, blind=blind)
        buttons = "".join(
            f'<button name="choice" value="{key}" aria-pressed="{str(key == pressed).lower()}">'
            f"<kbd>{key}</kbd> {name}</button>"
            for key, name in names.items()
        )
        hidden = {
            "pair_id": data.pair["pair_id"],
            "who": self.who,
            "blind": "1" if blind else "",
            "back": self.state.url(),
        }
        fields = "".join(
            f'<input type="hidden" name="{name}" value="{words(text)}">' for name, text in hidden.items()
        )
        note = words(own.note) if own else ""
        return (
            f'<form class="labels" method="post" action="/label" aria-label="Label of pair {pair_id[:8]}">'
            f"{fields}{buttons}"
            f'<label>note <input name="note" maxlength="4000" value="{note}"></label>'
            f'<output role="status">{words(label_line(data.labels, self.who, blind=blind))}</output></form>'
        )


NOTHING = '<p class="text"><i class="none">nothing</i></p>'


def label_line(labels: Mapping[str, Label], who: str, *, blind: bool) -> str:
    """The labels of a pair as a line; when blind, only whether `who` has labelled it."""
    if blind:
        return "labelled" if who in labels and labels[who].label else ""
    return ", ".join(f"{name}: {row.label or 'no label'}" for name, row in labels.items())


def _choice(own: Label | None, pair_id: str, who: str, *, blind: bool) -> str:
    """The button that gave a label."""
    if own is None or own.label is None:
        return ""
    keys = {"agree": "1", "flip": "2", "tie": "t", "bad": "b"}
    if blind and is_swapped(pair_id, who):
        keys |= {"agree": "2", "flip": "1"}
    return keys[own.label]


def _missing(block: Mapping[str, Any]) -> str:
    return f'<span class="gone">{words(block["type"])}: missing</span>'


def _block_text(block: Mapping[str, Any]) -> str:
    return render.labelled(terminal_text(block["text"]), block["type"])


def _reply_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """A reply as one text; where it is several turns, each after its role."""
    parts = []
    for turn in turns:
        text = "\n\n".join(render.labelled(x["text"], x["type"]) for x in turn["content"] if x["text"] is not None)
        parts.append(text if len(turns) == 1 else f"{turn['role']}:\n\n{text}")
    return "\n\n".join(parts)


def _reply_media(pair: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The media that the blocks of each reply refer to: after those of the prompt, in order."""
    media = iter(pair["media"])
    found: dict[str, list[Mapping[str, Any]]] = {}
    for side in ("prompt", *SIDES):
        blocks = [block for turn in pair[side] for block in turn["content"] if block["text"] is None]
        found[side] = [entry for _, entry in zip(blocks, media, strict=False)]
    return found
