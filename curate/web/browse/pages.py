"""The pages: a list of pairs with its filters, one pair with all that is known of it, labels and labellers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from curate.html_report.markup import Section, paragraph, table, words
from curate.labels import Agreement
from curate.tables import Table
from curate.web.browse.cards import CardData, Cards
from curate.web.browse.state import PAGE, State
from curate.web.browse.view import Progress

MOST_VALUES = 12
"""Values of a facet that are listed; the others are folded away."""
MOST_FOLDED = 300
TITLES = {"length_ratio": "length, chosen to rejected", "license": "licence", "flag": "flagged by"}
KEYS = "j and k: next and previous pair; 1, 2, t, b: label it; n and p: next and previous page; /: search"


class Choice(NamedTuple):
    """What can be looked at here: its address, its name, and whether this page shows it."""

    address: str
    name: str
    current: bool


def document(title: str, body: str, *, refresh: bool = False) -> str:
    """A page. Its style and script are files of this server, so that the policy can forbid any other."""
    again = '<meta http-equiv="refresh" content="2">\n' if refresh else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<noscript>{again}</noscript>'
        f'<link rel="icon" href="data:,">\n<title>{words(title)}: browse</title>\n'
        '<link rel="stylesheet" href="/page.css">\n<link rel="stylesheet" href="/browse.css">\n'
        f'<script src="/browse.js" defer></script>\n</head>\n<body class="browse">\n{body}\n'
        '<dialog id="larger" aria-label="Larger image"><form method="dialog"><button>close</button></form>'
        "</dialog>\n"
        "</body>\n</html>\n"
    )


def header(title: str, about: str, choices: Sequence[Choice]) -> str:
    """The head of every page, with links to what else there is."""
    links = "".join(
        f'<li><a href="{words(one.address)}"{_current(one.current)}>{words(one.name)}</a></li>' for one in choices
    )
    return (
        '<a class="skip" href="#main">Skip to the pairs</a>\n'
        f'<header>\n<h1>{words(title)}</h1>\n<p class="note">{words(about)}</p>\n</header>\n'
        f'<nav aria-label="Pages"><ul>{links}</ul></nav>'
    )


def _current(current: bool) -> str:
    return ' aria-current="page"' if current else ""


# ------------------------------------------------------------------------------------------------ a list


def listing(
    state: State, listed: Sequence[CardData], total: int, progress: Progress | None, cards: Cards, beside: str
) -> str:
    """The pairs of a page beside the filters."""
    drawn = "\n".join(cards.card(one, number) for number, one in enumerate(listed, (state.page - 1) * PAGE + 1))
    empty = "" if listed else paragraph("No pair fits." if progress is None else "No pair found so far.")
    return (
        f'<div class="columns">\n<aside aria-label="Filters">{beside}</aside>\n<main id="main">\n'
        f"{_status(state, len(listed), total, progress)}\n{_pager(state, total)}\n"
        f'<div class="pairs">\n{drawn}{empty}\n</div>\n{_pager(state, total)}\n'
        f'<p class="note">{KEYS}</p>\n</main>\n</div>'
    )


def _status(state: State, here: int, total: int, progress: Progress | None) -> str:
    first = (state.page - 1) * PAGE + 1
    text = f"{first:,} to {first + here - 1:,} of {total:,} pairs" if here else f"{total:,} pairs"
    searching = ""
    if progress is not None and progress.problem:
        text += f"; the search ended early: {progress.problem}"
    elif progress is not None and progress.done < progress.of:
        text += f" found in {progress.done:,} of {progress.of:,} searched"
        searching = " data-searching"
    return f'<p class="status" role="status"{searching}>{words(text)}</p>'


def _pager(state: State, total: int) -> str:
    last = max(1, -(-total // PAGE))
    links = []
    if state.page > 1:
        links.append(f'<a rel="prev" href="{words(state.url(page=min(state.page - 1, last)))}">previous</a>')
    links.append(f"page {state.page:,} of {last:,}")
    if state.page < last:
        links.append(f'<a rel="next" href="{words(state.url(page=state.page + 1))}">next</a>')
    return f'<p class="pager">{" · ".join(links)}</p>'


def aside(body: str) -> str:
    """What is beside the pairs; the script folds it away on a narrow screen."""
    return f'<details class="facets" open><summary>Search, order, filters</summary>{body}</details>'


def controls(state: State, who: str, orders: Sequence[str]) -> str:
    """Search, order, and how pairs are drawn."""
    sides = "".join(
        f'<option value="{words(sign + name)}"{_selected(state.order == sign + name)}>{words(text)}</option>'
        for name in orders
        for sign, text in (("-", f"{name}, largest first"), ("", f"{name}, smallest first"))
    )
    kept = [item for item in state.items() if item[0] in ("f", "prompt", "cluster", "arm")]
    hidden = "".join(f'<input type="hidden" name="{name}" value="{words(value)}">' for name, value in kept)
    order = (
        f'<label>order <select name="order"><option value="">as they are</option>{sides}</select></label>'
        if not state.blind
        else ""
    )
    return (
        f'<form class="filter controls" method="get" action="/" role="search">{hidden}'
        f'<label>words, or the beginning of an id <input type="search" name="q" value="{words(state.query)}">'
        f"</label>{order}"
        f'<label>texts <select name="way"><option value="rendered">rendered</option>'
        f'<option value="raw"{_selected(state.way == "raw")}>raw</option></select></label>'
        f'<label>your name, for labels <input name="who" maxlength="100" value="{words(who)}"></label>'
        f'<label class="tick"><input type="checkbox" name="blind" value="1"{_checked(state.blind)}> blind: '
        "sides shuffled, source hidden</label><button>show</button></form>"
    )


def _selected(yes: bool) -> str:
    return " selected" if yes else ""


def _checked(yes: bool) -> str:
    return " checked" if yes else ""


def facet_lists(state: State, counts: Mapping[str, Sequence[tuple[str, int]]]) -> str:
    """The facets with counts; a click adds a filter or takes it away."""
    parts = []
    for name, values in counts.items():
        chosen = state.wanted.get(name, [])
        if len(values) < 2 and not chosen:
            continue
        ranked = sorted(values, key=lambda one: one[0] not in chosen)
        ranked += [(value, 0) for value in chosen if value not in dict(values)]
        links = [_facet_link(state, name, *one) for one in ranked]
        rest = links[MOST_VALUES : MOST_VALUES + MOST_FOLDED]
        folded = f"<details><summary>{len(links) - MOST_VALUES:,} more</summary><ul>{''.join(rest)}</ul></details>"
        parts.append(
            f'<section class="facet"><h2>{words(TITLES.get(name, name))}</h2>'
            f"<ul>{''.join(links[:MOST_VALUES])}</ul>{folded if rest else ''}</section>"
        )
    clear = f'<p><a href="{words(state.url(filters=(), prompt="", cluster="", page=1))}">clear all filters</a></p>'
    return ("".join([clear, *parts]) if state.filters or state.prompt or state.cluster else "".join(parts)) or ""


def _breakable(text: str) -> str:
    """A name that may be broken at its joints."""
    return words(text).replace("/", "/<wbr>").replace("_", "_<wbr>")


def _facet_link(state: State, name: str, value: str, count: int) -> str:
    on = (name, value) in state.filters
    address = words(state.url(filters=state.toggled(name, value), page=1))
    return (
        f'<li><a href="{address}"{" aria-current=true" if on else ""}>{_breakable(value)}</a> '
        f'<span class="count">{count:,}</span></li>'
    )


# ------------------------------------------------------------------------------------------------ one pair


def relatives(state: State, others: Sequence[tuple[str, str]], more: str, title: str, name: str) -> str:
    """A section with links to pairs, (pair id, what it is); `more` is the address of the whole list."""
    if not others:
        return ""
    lines = "".join(
        f'<li><a href="{words(state.pair_url(pair_id))}"><code>{words(pair_id)}</code></a> {words(text)}</li>'
        for pair_id, text in others
    )
    whole = f'<p><a href="{words(more)}">side by side in the list</a></p>' if more else ""
    return Section(name, title, f"<ul>{lines}</ul>{whole}").html


def history(lines: Sequence[str]) -> str:
    """The history of a pair as curate why prints it."""
    return Section("why", "History", f'<pre class="lines">{words(chr(10).join(lines))}</pre>').html


def history_link(address: str) -> str:
    """Where the history of a pair is: it reads every file that says something of the pair."""
    body = f'<p><a href="{words(address)}">What every mix did with this pair</a>, as curate why prints it.</p>'
    return Section("why", "History", body).html


# ------------------------------------------------------------------------------------------------ labels


def labels_page(counts: Mapping[str, int], found: Sequence[Agreement], path: str) -> Iterator[str]:
    """Who labelled how much, and how often two labellers agree."""
    yield paragraph(
        f"Labels are in {path}, a line each. A recipe uses them with the step labels, an audit as truth."
    )
    if not counts:
        yield paragraph("Nobody has labelled a pair yet.")
        return
    yield table(Table("Labellers", ("who", "pairs"), list(counts.items())))
    rows: list[tuple[Any, ...]] = [
        (one.left, one.right, one.shared, one.same, f"{one.interval.low:.2f} to {one.interval.high:.2f}",
         "–" if one.kappa is None else f"{one.kappa:.2f}")
        for one in found
    ]  # fmt: skip
    if rows:
        columns = ("who", "and", "pairs of both", "same label", "95 % interval", "Cohen's kappa")
        yield table(Table("Agreement", columns, rows))
    else:
        yield paragraph("No pair has the labels of two people, so there is no agreement to show.")
