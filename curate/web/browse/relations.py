"""What else is known of a pair: those that lost to it, those with its prompt, and the items that it resembles."""

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from urllib.parse import urlencode

from curate.html_report.markup import Section, words
from curate.pairs.files import rows_at
from curate.web.browse.cards import CardData
from curate.web.browse.pages import relatives
from curate.web.browse.state import State
from curate.web.browse.view import View

MOST = 30
EVIDENCE = re.compile(r"(?P<set>\S+) (?P<item>.+?)(?: \(and \d+ more\))?: ")


def losers(view: View, row: int, state: State) -> Iterator[str]:
    """The cluster of duplicates that this pair won."""
    pair_id = view.table.pair_id(row)
    rows = [other for other in view.losers(pair_id) if other != row]
    if rows:
        others = [(view.table.pair_id(other), _what(view, other)) for other in rows[:MOST]]
        title = f"{len(rows):,} pair{'' if len(rows) == 1 else 's'} lost to this one"
        more = State(cluster=pair_id, way=state.way, who=state.who, arm=state.arm).url()
        yield relatives(state, others, more, title, "cluster")


def _what(view: View, row: int) -> str:
    """Source, outcome and reason of a pair."""
    facets = view.table.facets
    named = [
        facets[name].names[facets[name].codes[row]] for name in ("source", "outcome", "reason") if name in facets
    ]
    return ", ".join(name for name in named if name != "none")


def same_prompt(view: View, row: int, state: State) -> Iterator[str]:
    """All pairs with this prompt and media, as preferences between replies: a contradiction is a cycle."""
    rows = view.table.same_prompt(row).tolist()
    if len(rows) < 2:
        return
    listed = rows[:MOST]
    names: dict[int, str] = {}
    others = []
    for other in listed:
        place = view.table.place(other)
        keys = rows_at(place.path, [place.position], ("chosen_key", "rejected_key"))[0]
        better, worse = (
            names.setdefault(keys[f"{side}_key"], _letter(len(names))) for side in ("chosen", "rejected")
        )
        this = " (this pair)" if other == row else ""
        others.append((view.table.pair_id(other), f"{better} > {worse}{this}: {_what(view, other)}"))
    more = State(prompt=view.table.pair_id(row), way=state.way, who=state.who, arm=state.arm).url()
    title = f"{len(rows):,} pairs have this prompt; its replies as letters"
    yield relatives(state, others, more, title, "prompt")


def _letter(number: int) -> str:
    return ascii_uppercase[number] if number < len(ascii_uppercase) else f"R{number + 1}"


def evidence_links(data: CardData, evalsets: Sequence[str]) -> Iterator[str]:
    """The items of eval sets that evidence of decontaminate names."""
    lost = data.item.get("dropped")
    texts = [lost["evidence"]] if lost and lost["step"] == "decontaminate" else []
    texts += [value for name, value in data.known if name.startswith("decontaminate/")]
    links = []
    for text in texts:
        found = EVIDENCE.match(text or "")
        if found and found["set"] in evalsets:
            address = f"/evalset/{found['set']}?{urlencode({'item': found['item']})}"
            links.append(
                f'<li><a href="{words(address)}">{words(found["set"])} {words(found["item"])}</a>: '
                f"{words(text)}</li>"
            )
    if links:
        yield Section("evidence", "Items of eval sets that it resembles", f"<ul>{''.join(links)}</ul>").html
