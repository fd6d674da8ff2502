"""The routes of `curate browse`. No request but POST /label changes anything; that appends to the label file.

/            a list of pairs; its query is the state     /pair/ID     one pair, with all that is known of it
/evalset/X   items with what models scored               /labels      labellers and their agreement
/image/KEY/small, /large    a picture of a stored image, drawn anew: no stored byte is sent
    /evalimage/X/ROW/...        the same of the item of an eval set
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from curate.errors import CurateError
from curate.html_report.markup import Section, paragraph, words
from curate.html_report.pair_cards import beside_winner
from curate.images.decode import BadImage, preview
from curate.inspect.why import history_lines, pair_history
from curate.labels import Word
from curate.web import access
from curate.web.browse import pages
from curate.web.browse.cards import CardData, Cards, Media, label_line
from curate.web.browse.evals import EvalQuery, EvalSets
from curate.web.browse.labelling import is_swapped
from curate.web.browse.relations import evidence_links, losers, same_prompt
from curate.web.browse.site import Site
from curate.web.browse.state import State, number
from curate.web.settings import Listening

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
KEEP = {"Cache-Control": "private, max-age=86400, immutable"}
PICTURES = {"small": (320, 60), "large": (2000, 85)}
"""Pixels of the longer side of a picture, and its quality."""
MOST_BODY = 64 << 10
BODY_SECONDS = 30  # for it to arrive
COMPARING = 0.05  # seconds for which words of a list are compared
ASSETS = {
    "/page.css": ("curate.html_report", "page.css", "text/css"),
    "/browse.css": (__package__, "browse.css", "text/css"),
    "/browse.js": (__package__, "browse.js", "text/javascript"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a person started the server with: the default name of labellers, and where sources are described."""

    who: str
    manifests: Path | None = None


class Browser:
    """The application over one site."""

    def __init__(self, site: Site, evals: EvalSets, settings: Listening, choices: Choices) -> None:
        self.site, self.evals, self.settings, self.choices = site, evals, settings, choices
        self.media = Media(site.packs)

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self._answer(self._list)),
            Route("/pair/{pair_id}", self._answer(self._pair)),
            Route("/evalset/{name}", self._answer(self._evalset)),
            Route("/labels", self._answer(self._labels)),
            Route("/image/{key}/{size}", self._answer(self._image)),
            Route("/evalimage/{name}/{number}/{at}/{frame}/{size}", self._answer(self._eval_image)),
            Route("/label", self._label, methods=["POST"]),
            *(Route(path, self._answer(_asset(*asset))) for path, asset in ASSETS.items()),
        ]
        return Starlette(routes=routes)

    # --- one request

    def _answer(self, make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            refused = access.refusal(request, self.settings, cookie=True)
            if refused is not None:
                return _error(refused.status, refused.message, refused.headers)
            if "token" in request.query_params:
                return self._with_cookie(request)
            try:
                found = await to_thread.run_sync(self._made, make, request)
            except CurateError as error:
                found = _error(404, f"{error}. {error.hint}" if error.hint else str(error))
            return _with_headers(found)

        return handle

    def _made(self, make: Callable[[Request], Response], request: Request) -> Response:
        self.site.book.refresh()
        return make(request)

    def _with_cookie(self, request: Request) -> Response:
        """The same page without the token in its address, which would stay in the history."""
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        address = request.url.path + (f"?{urlencode(rest)}" if rest else "")
        found = RedirectResponse(address, 303)
        found.set_cookie(access.COOKIE, self.settings.token or "", httponly=True, samesite="strict")
        return _with_headers(found)

    def _state(self, request: Request) -> State:
        return State.read(request.query_params.multi_items())

    def _who(self, state: State) -> str:
        return state.who or self.choices.who

    # --- pages

    def _list(self, request: Request) -> Response:
        state = self._state(request)
        view = self.site.view(state.arm)
        found = view.show(state)
        listed = self.site.card_data(view, found.rows, state.order)
        searching = found.progress is not None and found.progress.done < found.progress.of
        facets = "" if state.blind else pages.facet_lists(state, view.facet_counts(state))
        aside = pages.aside(pages.controls(state, self._who(state), view.orders) + facets)
        cards = Cards(state, self._who(state), self.media, seconds=COMPARING)
        body = pages.listing(state, listed, found.total, found.progress, cards, aside)
        about = f"{len(view.table):,} pairs of {', '.join(view.table.pools)}"
        return self._page(request, state, about, body, refresh=searching)

    def _page(self, request: Request, state: State, about: str, body: str, *, refresh: bool = False) -> Response:
        head = pages.header(self.site.title, about, self._choices(request, state))
        return _html(pages.document(self.site.title, f"{head}\n{body}", refresh=refresh))

    def _choices(self, request: Request, state: State) -> list[pages.Choice]:
        path = request.url.path
        many = len(self.site.targets) > 1
        first = next(iter(self.site.targets))
        kept = State(way=state.way, who=state.who, blind=state.blind)
        links = [
            pages.Choice(
                State(way=state.way, who=state.who, blind=state.blind, arm=name if many else "").url(),
                f"arm {name}" if many else "pairs",
                path == "/" and (state.arm or first) == name,
            )
            for name in self.site.targets
        ]
        links.append(pages.Choice(kept.url("/labels"), "labels", path == "/labels"))
        return links + [
            pages.Choice(f"/evalset/{name}", f"eval set {name}", path == f"/evalset/{name}")
            for name in self._eval_names
        ]

    @cached_property
    def _eval_names(self) -> Sequence[str]:
        return self.evals.names

    def _pair(self, request: Request) -> Response:
        state, pair_id = self._state(request), request.path_params["pair_id"]
        view = self.site.view(state.arm)
        rows = view.table.rows_of(pair_id)
        if not rows:
            return _error(404, f"no pair {words(pair_id[:40])} in {self.site.title}")
        every = self.site.card_data(view, rows[:8], state.order, whole=True)
        cards = Cards(state, self._who(state), self.media, seconds=60)
        parts = [cards.card(one, number) for number, one in enumerate(every, 1)]
        if not state.blind:
            parts += self._winner(view_row=(view, rows[0]), data=every[0])
            parts += losers(view, rows[0], state)
            parts += same_prompt(view, rows[0], state)
            parts += evidence_links(every[0], self._eval_names)
            parts.append(self._history(request, state, pair_id))
        return self._page(
            request, state, f"pair {pair_id}", f'<main id="main" class="one">{"".join(parts)}</main>'
        )

    def _winner(self, *, view_row: tuple[Any, int], data: CardData) -> list[str]:
        won = self.site.winner_of(*view_row)
        lost = self.site.decision(*view_row)
        if won is None or lost is None:
            return []
        named = {
            **lost,
            "winner": {"pair_id": won["pair_id"], "source": won["source"], "row": won["row"], "text": ""},
        }
        item = {"pair": data.pair, "dropped": named, "won": won}
        return [Section("winner", "Beside the pair that it lost to", beside_winner(item, self.media)).html]

    def _history(self, request: Request, state: State, pair_id: str) -> str:
        if request.query_params.get("why") != "1":
            return pages.history_link(state.pair_url(pair_id, why="1") + "#why")
        return pages.history(history_lines(pair_history(pair_id, self.site.workspace, self.choices.manifests)))

    def _evalset(self, request: Request) -> Response:
        name, given = request.path_params["name"], request.query_params
        if name not in self._eval_names:
            return _error(404, "no eval set of that name has its files here")
        numbers = {key: number(given.get(key, ""), -1) for key in ("a", "b")}
        state = self._state(request)
        query = EvalQuery(
            **numbers,
            outcome=given.get("outcome", ""),
            item=given.get("item", ""),
            page=max(number(given.get("page", ""), 1), 1),
            way=state.way,
        )
        body = "\n".join(self.evals.page(name, query))
        return self._page(request, state, f"eval set {name}", f'<main id="main">{body}</main>')

    def _labels(self, request: Request) -> Response:
        book = self.site.book
        body = "\n".join(pages.labels_page(book.counts(), book.agreements, str(book.path)))
        return self._page(request, self._state(request), "labels", f'<main id="main">{body}</main>')

    def _image(self, request: Request) -> Response:
        key, size = request.path_params["key"], request.path_params["size"]
        if (
            size not in PICTURES
            or len(key) != 32
            or key.strip("0123456789abcdef")
            or not self.site.packs.known(key)
        ):
            return _error(404, "no such image")
        return _picture(self.site.packs.read(key), size)

    def _eval_image(self, request: Request) -> Response:
        given = request.path_params
        if given["size"] not in PICTURES or given["name"] not in self._eval_names:
            return _error(404, "no such image")
        places = [number(given[name], -1) for name in ("number", "at", "frame")]
        data = self.evals.picture(given["name"], *places) if min(places) >= 0 else None
        return _error(404, "no such image") if data is None else _picture(data, given["size"])

    # --- labels

    async def _label(self, request: Request) -> Response:
        """Append a label, for a page of this server only."""
        refused = access.refusal(request, self.settings, cookie=True)
        if refused is not None:
            return _error(refused.status, refused.message, refused.headers)
        if not access.is_same_origin(request):
            return _with_headers(JSONResponse({"error": "labels are given on a page of this server"}, 403))
        size = request.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > MOST_BODY:
            return _with_headers(JSONResponse({"error": "too long"}, 413))
        try:
            data = await asyncio.wait_for(request.body(), BODY_SECONDS)
        except (TimeoutError, ClientDisconnect):
            return _with_headers(JSONResponse({"error": "the label did not arrive"}, 408))
        given = dict(parse_qsl(data.decode(errors="replace"), keep_blank_values=True))
        found = await to_thread.run_sync(self._add_label, given)
        if "error" not in found and "json" not in request.headers.get("accept", ""):
            back = given.get("back", "/")
            return _with_headers(RedirectResponse(back if back.startswith("/?") else "/", 303))
        return _with_headers(JSONResponse(found, 400 if "error" in found else 200))

    def _add_label(self, given: dict[str, str]) -> dict[str, str]:
        pair_id, who, blind = given.get("pair_id", ""), given.get("who", ""), given.get("blind") == "1"
        if not self.site.knows(pair_id):
            return {"error": "no such pair here"}
        choice, book = given.get("choice", ""), self.site.book
        label = label_of(choice, swapped=blind and is_swapped(pair_id, who))
        if label is None:
            return {"error": "choice is 1, 2, t or b"}
        try:
            book.add(pair_id, label, given.get("note", ""), who)
        except ValueError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"{book.path}: {error.strerror}"}
        return {"labels": label_line(book.of(pair_id), who, blind=blind) or "labelled", "pressed": choice}


def label_of(choice: str, *, swapped: bool) -> Word | None:
    """The label that a choice gives, where the sides of the pair may be swapped; None for no choice."""
    words_of: dict[str, Word] = {"1": "agree", "2": "flip", "t": "tie", "b": "bad"}
    if swapped:
        words_of |= {"1": "flip", "2": "agree"}
    return words_of.get(choice)


def _picture(data: bytes, size: str) -> Response:
    """An image drawn anew."""
    side, quality = PICTURES[size]
    try:
        drawn, _, _ = preview(data, side, quality)
    except BadImage as bad:
        return _error(404, bad.reason)
    return Response(drawn, media_type="image/jpeg", headers=KEEP)


def _asset(package: str, name: str, kind: str) -> Callable[[Request], Response]:
    data = files(package).joinpath(name).read_bytes()

    def answer(_: Request) -> Response:
        return Response(data, media_type=kind)

    return answer


def _html(text: str) -> Response:
    return Response(text, media_type="text/html")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = f'<main id="main"><h1>{status}</h1>{paragraph(message)}<p><a href="/">all pairs</a></p></main>'
    found = Response(pages.document(str(status), body), status, headers, "text/html")
    return _with_headers(found)


def _with_headers(found: Response) -> Response:
    for name, value in HEADERS.items():
        found.headers.setdefault(name, value)
    return found
