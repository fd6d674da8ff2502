"""Mark where two replies differ, and cut long text in the middle. Readable without colour."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, NamedTuple

Kind = Literal["same", "added", "removed", "note"]

CONTEXT = 80  # characters kept on either side of what is hidden between two differences
COMPARE = 4_000_000  # words times words: above it, lines are compared instead
ALIKE = 0.3  # replies that share less of their text are shown unmarked: everything differs


class Span(NamedTuple):
    """A piece of text; a note replaces `hidden` characters."""

    kind: Kind
    text: str
    hidden: int = 0

    @property
    def marked(self) -> str:
        """The text in the marks that need no colour: {+added+} and [-removed-]."""
        left, right = {"added": ("{+", "+}"), "removed": ("[-", "-]")}.get(self.kind, ("", ""))
        return f"{left}{self.text}{right}"


def plain(text: str) -> list[Span]:
    """The text as it is."""
    return [Span("same", text)] if text else []


def differences(chosen: str, rejected: str) -> tuple[list[Span], list[Span]]:
    """The two texts with the parts that only one of them has marked; unmarked if they share almost nothing."""
    left, right = _words(chosen, rejected)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    added: list[Span] = []
    removed: list[Span] = []
    same = 0
    for tag, i, j, k, m in matcher.get_opcodes():
        mine, theirs = "".join(left[i:j]), "".join(right[k:m])
        added += _mark("same" if tag == "equal" else "added", mine)
        removed += _mark("same" if tag == "equal" else "removed", theirs)
        same += len(mine) if tag == "equal" else 0
    if same < ALIKE * max(len(chosen), len(rejected)):
        return plain(chosen), plain(rejected)
    return _merged(added), _merged(removed)


def _words(chosen: str, rejected: str) -> tuple[list[str], list[str]]:
    """Both texts cut into words with the space after them, or into lines where that would take too long."""
    left, right = (re.findall(r"\s+|\S+\s*", text) for text in (chosen, rejected))
    if len(left) * len(right) <= COMPARE:
        return left, right
    return chosen.splitlines(keepends=True), rejected.splitlines(keepends=True)


def _mark(kind: Kind, text: str) -> list[Span]:
    """One span, its trailing space outside the mark."""
    words = text.rstrip() if kind != "same" else text
    if not words:
        return plain(text)
    return [Span(kind, words), *plain(text[len(words) :])]


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one kind as one."""
    return [Span(kind, "".join(span.text for span in run)) for kind, run in groupby(spans, key=lambda s: s.kind)]


def cut(spans: Sequence[Span], most: int) -> list[Span]:
    """At most about `most` characters: cut first where both agree, far from any difference, then in the middle."""
    if sum(len(span.text) for span in spans) <= most:
        return list(spans)
    if len(spans) > 1:
        last = len(spans) - 1
        spans = [x for i, span in enumerate(spans) for x in _between(span, first=i == 0, last=i == last)]
    if sum(len(span.text) for span in spans) <= most:
        return list(spans)
    return _without_middle(spans, most // 2)


def _between(span: Span, *, first: bool, last: bool) -> list[Span]:
    """A part that both texts have, without what is far from the differences around it."""
    head, tail = (0 if first else CONTEXT), (0 if last else CONTEXT)
    hidden = len(span.text) - head - tail
    if span.kind != "same" or hidden <= CONTEXT:
        return [span]
    return [*plain(span.text[:head]), _note(hidden), *plain(span.text[len(span.text) - tail :])]


def _without_middle(spans: Sequence[Span], half: int) -> list[Span]:
    head, rest = _split(spans, half)
    length = sum(len(span.text) for span in rest)
    middle, tail = _split(rest, max(length - half, 0))
    hidden = sum(span.hidden or len(span.text) for span in middle)
    return [*head, _note(hidden), *tail]


def _split(spans: Sequence[Span], at: int) -> tuple[list[Span], list[Span]]:
    """Cut after `at` characters; a note is never cut."""
    head: list[Span] = []
    for i, span in enumerate(spans):
        if at <= 0 or (span.hidden and at < len(span.text)):
            return head, list(spans[i:])
        if len(span.text) > at:
            return [*head, span._replace(text=span.text[:at])], [
                span._replace(text=span.text[at:]),
                *spans[i + 1 :],
            ]
        head.append(span)
        at -= len(span.text)
    return head, []


def _note(hidden: int) -> Span:
    return Span("note", f" … {hidden:,} characters hidden … ", hidden)
