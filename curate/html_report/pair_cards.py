"""Pairs as a person reads them on a page: pictures, chosen beside rejected, a lost pair beside its winner."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from curate.html_report.markup import words
from curate.images.decode import BadImage, preview
from curate.images.packs import Packs
from curate.inspect import render
from curate.inspect.show import Item
from curate.inspect.text import text_of
from curate.inspect.text_diff import Span, cut, differences
from curate.inspect.why import winner_lines
from curate.text.inert import terminal_text

SIDE = 224
"""Pixels of a thumbnail's longer side."""

PICTURES = 3
"""The most pictures of a pair that are shown: images, and of a video its first frames."""

TAGS = {"added": "ins", "removed": "del", "note": "i"}
ALIKE = {"added": "mark", "removed": "mark", "note": "i"}
BESIDE = ("chosen", "rejected")


class Figures(Protocol):
    """Draws the media of a pair."""

    def of(self, pair: Item) -> str:
        """The pair's media as HTML; empty for a pair without any."""
        ...


class Pictures:
    """Thumbnails from the image store, inside the page."""

    def __init__(self, store: Packs, labels: Mapping[str, str]) -> None:
        self._store, self._labels = store, labels

    def of(self, pair: Item) -> str:
        """The first PICTURES of a pair, and how many more there are; empty for a pair without media."""
        every = [(media["kind"], key) for media in pair["media"] for key in media["keys"]]
        if not every:
            return ""
        pictures = "".join(self._picture(kind, key) for kind, key in every[:PICTURES])
        more = f"<figcaption>and {len(every) - PICTURES:,} more</figcaption>" if len(every) > PICTURES else ""
        return f'<figure class="media">{pictures}{more}</figure>'

    def _picture(self, kind: str, key: str) -> str:
        label = words(
            f"{'frame of a video' if kind == 'video' else kind}, {self._labels.get(key, 'not in the store')}"
        )
        if not self._store.known(key):
            return f'<span class="gone">{label}</span>'
        try:
            data, width, height = preview(self._store.read(key), SIDE)
        except BadImage as bad:
            return f'<span class="gone">{label}, {words(bad.reason)}</span>'
        source = f"data:image/jpeg;base64,{b64encode(data).decode()}"
        return (
            f'<img src="{source}" width="{width}" height="{height}" alt="{label}" loading="lazy" decoding="async">'
        )


def cards(items: Sequence[Item], pictures: Figures, labels: Mapping[str, str], prefix: str) -> str:
    """One article for each pair; `prefix` makes their ids unique on the page."""
    return "\n".join(_card(item, pictures, labels, f"{prefix}-{number}") for number, item in enumerate(items))


def _card(item: Item, pictures: Figures, labels: Mapping[str, str], name: str) -> str:
    pair, lost = item["pair"], item.get("dropped")
    why = f"{lost['step']}/{lost['reason']}" if lost else ""
    body = beside_winner(item, pictures) if item.get("won") else _page(item, pictures, labels)
    reason = f'<span class="why">{words(why)}</span>' if why else ""
    source = words(pair["source"])
    return (
        f'<article class="pair" aria-labelledby="{name}" data-source="{source}" data-reason="{words(why)}">\n'
        f'<h3 id="{name}">{source} <code>{words(pair["pair_id"])}</code> {reason}</h3>\n{body}\n</article>'
    )


def _page(item: Item, pictures: Figures, labels: Mapping[str, str]) -> str:
    """The pair as `curate show` prints it."""
    lines = list(render.page(item, labels))[1:]
    facts = [line.spans[0].text for line in lines if line.kind == "fact" and line.spans]
    texts = [line for line in lines if line.kind != "fact"]
    blocks = [_block(head.spans[0].text, text.spans) for head, text in zip(texts[::2], texts[1::2], strict=True)]
    turns = len(item["pair"]["prompt"])
    sides = [f'<div class="side">{block}</div>' for block in blocks[turns:]]
    return "\n".join(
        [facts_list(facts + _evidence(item)), pictures.of(item["pair"]), *blocks[:turns],
         f'<div class="sides">{"".join(sides)}</div>']
    )  # fmt: skip


def facts_list(facts: Sequence[str]) -> str:
    """Facts about a pair, one after the other."""
    return f'<ul class="facts">{"".join(f"<li>{words(fact)}</li>" for fact in facts)}</ul>'


def _evidence(item: Item) -> list[str]:
    lost = item.get("dropped")
    return [lost["evidence"]] if lost and lost["evidence"] else []


def _block(head: str, spans: Sequence[Span], level: int = 4) -> str:
    """A turn or a reply."""
    kind = f" {head}" if head in BESIDE else ""
    return (
        f'<h{level} class="role{kind}">{words(head)}</h{level}><p class="text" dir="auto">{spans_html(spans)}</p>'
    )


def spans_html(spans: Sequence[Span], *, alike: bool = False) -> str:
    """Texts whose control characters are visible already, with what differs marked, on both sides `alike`."""
    tags = ALIKE if alike else TAGS
    parts = (
        f"<{tag}>{words(span.text)}</{tag}>" if (tag := tags.get(span.kind)) else words(span.text)
        for span in spans
    )
    return "".join(parts) or '<i class="none">nothing</i>'


def beside_winner(item: Item, pictures: Figures) -> str:
    """The dropped pair at the left, its winner at the right, with their differences."""
    pair, won, lost = item["pair"], item["won"], item["dropped"]
    score = "" if lost["score"] is None else f", score {lost['score']:.4g}"
    facts = [
        f"dropped by {lost['step']}/{lost['reason']}{score}",
        *_evidence(item),
        *winner_lines(lost["winner"])[:1],
    ]
    same = pair["media"] == won["media"]
    common = pictures.of(pair) if same else ""
    sides = zip(_marked(pair, won), ("dropped", "winner"), (pair, won), strict=True)
    columns = [
        f'<div class="side"><h4 class="role">{name}</h4>'
        f'<p class="facts">{words(one["source"])}, {words(one["row"])}</p>'
        f"{'' if same else pictures.of(one)}{blocks}</div>"
        for blocks, name, one in sides
    ]
    return "\n".join([facts_list(facts), common, f'<div class="sides">{"".join(columns)}</div>'])


def _marked(pair: Item, won: Item) -> tuple[str, str]:
    """The texts of the dropped pair and of its winner, with the words that only one of them has marked."""
    lost_blocks, won_blocks = [], []
    for name in ("prompt", *BESIDE):
        winner, loser = differences(terminal_text(text_of(won[name])), terminal_text(text_of(pair[name])))
        won_blocks.append(_block(name, cut(winner, render.LONG), 5))
        lost_blocks.append(_block(name, cut(loser, render.LONG), 5))
    return "".join(lost_blocks), "".join(won_blocks)


def every_item(items: Sequence[Item]) -> Iterator[Item]:
    """The items, and the winners of those that lost to another pair, as items too."""
    for item in items:
        yield item
        if item.get("won"):
            yield {"pair": item["won"]}
