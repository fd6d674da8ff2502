"""Items of eval sets with the scores of two models, and who is right."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from curate import evalsets
from curate.errors import CurateError
from curate.evalsets.base import Item, Options
from curate.evaluation import score_file
from curate.evaluation.items import EvalSetFolders, LoadedEvalSet, has_rows, load
from curate.html_report.markup import paragraph, words
from curate.inspect.text_diff import cut, plain
from curate.schema import Message
from curate.text.inert import terminal_text
from curate.web.browse.eval_media import EvalMedia
from curate.web.browse.rich_text import text_html

PAGE = 20
LONG = 3000
WHO_IS_RIGHT = ("both right", "only A right", "only B right", "both wrong")


class EvalQuery(NamedTuple):
    """What of an eval set is looked at: score files by number, an outcome, an item by its key, a page."""

    a: int
    b: int
    outcome: str
    item: str
    page: int
    way: str


class EvalSets:
    """The eval sets whose raw files are here, and the score files of them in a workspace or named by a user."""

    def __init__(self, folders: EvalSetFolders, more: Sequence[Path] = ()) -> None:
        self._folders, self._more = folders, tuple(more)
        self._lock = threading.Lock()
        self._loaded = lru_cache(2)(self._load)
        self._scores = lru_cache(8)(self._read)
        self._media = lru_cache(2)(lambda name: EvalMedia(self._loaded(name)))

    @property
    def names(self) -> list[str]:
        """The eval sets that can be looked at."""
        return [name for name in evalsets.names() if self._is_here(name)]

    def _is_here(self, name: str) -> bool:
        try:
            return has_rows(evalsets.get(name), self._folders.locate(name), Options())
        except CurateError:
            return False

    def score_files(self, name: str) -> list[Path]:
        """The score files that may be about an eval set."""
        root = self._folders.workspace.root
        found = [*root.glob(f"scores/*/{name}*.jsonl"), *root.glob(f"runs/**/scores/{name}*.jsonl")]
        return [*self._more, *sorted(found)]

    def _load(self, name: str) -> LoadedEvalSet:
        return load(evalsets.get(name), self._folders.locate(name))

    def _read(self, name: str, path: Path) -> list[list[float]]:
        found = score_file.read(path, {name: self._loaded(name).items}, allow_unscored=True, allow_missing=True)
        return found.scores[name]

    def picture(self, name: str, number: int, at: int, frame: int) -> bytes | None:
        """An image of the item of a row, or a frame of its video; None where there is none."""
        with self._lock:
            media = self._media(name)
        return media.frame(number, at, frame)

    def page(self, name: str, query: EvalQuery) -> Iterator[str]:
        """The body of the page of an eval set. Raises CurateError where its items or scores cannot be read."""
        files = self.score_files(name)
        with self._lock:
            items = self._loaded(name).items
            sides = [self._scores(name, files[at]) if 0 <= at < len(files) else None for at in (query.a, query.b)]
        yield _form(name, files, query, self._folders.workspace.root)
        rows = [
            (item, key, [None if side is None or not side[at] else side[at] for side in sides], f"{name}/{number}")
            for at, (item, key, number) in enumerate(zip(*items, strict=True))
        ]
        rows = [row for row in rows if _fits(row[0], row[1], row[2], query)]
        first = (query.page - 1) * PAGE
        yield f'<p class="status" role="status">{len(rows):,} of {len(items.items):,} items</p>'
        yield _pager(name, query, len(rows))
        for item, key, scores, place in rows[first : first + PAGE]:
            yield _item(item, key, scores, query.way, place)
        if not rows:
            yield paragraph("No item fits.")


def is_right(item: Item, scores: Sequence[float] | None) -> bool | None:
    """Whether every right reply has more than every wrong one; None without scores or without two kinds."""
    if scores is None or not item.correct or not item.wrong:
        return None
    return min(scores[i] for i in item.correct) > max(scores[i] for i in item.wrong)


def _fits(item: Item, key: str, scores: Sequence[Sequence[float] | None], query: EvalQuery) -> bool:
    if query.item:
        return key.startswith(query.item) or item.id == query.item
    if query.outcome not in WHO_IS_RIGHT:
        return True
    a, b = (is_right(item, side) for side in scores)
    wanted = {"both right": (True, True), "only A right": (True, False), "only B right": (False, True)}
    return (a, b) == wanted.get(query.outcome, (False, False))


def _form(name: str, files: Sequence[Path], query: EvalQuery, root: Path) -> str:
    def select(side: str, chosen: int) -> str:
        options = "".join(
            f'<option value="{at}"{" selected" if at == chosen else ""}>{words(_short(path, root))}</option>'
            for at, path in enumerate(files)
        )
        none = '<option value="">none</option>'
        return f'<label>scores {side.upper()} <select name="{side}">{none}{options}</select></label>'

    outcomes = "".join(
        f"<option{' selected' if one == query.outcome else ''}>{one}</option>"
        for one in ("every item", *WHO_IS_RIGHT)
    )
    return (
        f'<form class="filter" method="get" action="/evalset/{words(name)}">'
        f"{select('a', query.a)}{select('b', query.b)}"
        f'<label>who is right <select name="outcome">{outcomes}</select></label><button>show</button></form>'
    )


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _pager(name: str, query: EvalQuery, total: int) -> str:
    last = max(1, -(-total // PAGE))
    links = [f"page {query.page} of {last}"]
    for step, word, rel in ((-1, "previous", "prev"), (1, "next", "next")):
        if 1 <= query.page + step <= last:
            address = urlencode(
                {k: v for k, v in query._replace(page=query.page + step)._asdict().items() if v not in ("", -1)}
            )
            link = f'<a rel="{rel}" href="/evalset/{words(name)}?{words(address)}">{word}</a>'
            links.insert(0 if step < 0 else len(links), link)
    return f'<p class="pager">{" · ".join(links)}</p>'


def _item(item: Item, key: str, scores: Sequence[Sequence[float] | None], way: str, place: str) -> str:
    """An item; `place` is the part of the address of its images that says whose they are."""
    images = itertools.count()
    verdicts = []
    for side, values in zip("AB", scores, strict=True):
        right = is_right(item, values)
        if right is not None:
            word = "right" if right else "wrong"
            verdicts.append(f'{side} <span class="{word}">{word}</span>')
    prompt = "".join(
        f'<h4 class="role">{words(turn.role)}</h4>{_text([turn], way, place, images)}' for turn in item.prompt
    )
    replies = "".join(_reply(item, at, scores, way, place, images) for at in range(len(item.replies)))
    return (
        f'<article class="pair one"><h3>{words(item.category)} <code>{words(key)}</code> '
        f"{', '.join(verdicts)}</h3>{prompt}{replies}</article>"
    )


def _reply(
    item: Item, at: int, scores: Sequence[Sequence[float] | None], way: str, place: str, images: Iterator[int]
) -> str:
    word = "right" if at in item.correct else "wrong"
    given = ", ".join(
        f"{side} {values[at]:.4g}" for side, values in zip("AB", scores, strict=True) if values is not None
    )
    critique = item.critiques[at] if item.critiques else None
    critique_html = f'<h5 class="role">critique</h5>{_plain(critique, way)}' if critique else ""
    return (
        f'<div class="item"><h4 class="role">reply {at + 1}: <span class="{word}">{word}</span> {given}</h4>'
        f"{_text(item.replies[at], way, place, images)}{critique_html}</div>"
    )


def _text(turns: Sequence[Message], way: str, place: str, images: Iterator[int]) -> str:
    """The blocks of turns, images in their places."""
    parts = []
    for block in (block for turn in turns for block in turn.content):
        if block.text is None:
            address = f"/evalimage/{words(place)}/{next(images)}/0"
            image = f'<img src="{address}/small" alt="{block.type}" loading="lazy" decoding="async">'
            link = f'<a class="zoom" href="{address}/large" aria-label="{block.type}, larger">{image}</a>'
            parts.append(f'<figure class="media">{link}</figure>')
        else:
            parts.append(_plain(block.text, way))
    return "".join(parts)


def _plain(text: str, way: Any) -> str:
    return text_html(cut(plain(terminal_text(text)), LONG), way) if text else ""
