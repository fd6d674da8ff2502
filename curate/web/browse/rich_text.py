"""Texts of pairs as HTML: Markdown, code and LaTeX drawn, or as they are; words that differ marked in either.

No HTML of a text is let through, no address in it becomes a link, and nothing is loaded. LaTeX stays as its
source, set apart: no library draws it offline that is worth the size.
"""

import html
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from curate.html_report.pair_cards import spans_html
from curate.inspect.text_diff import Span

MOST = 40_000
"""Longer texts are not drawn but shown as they are."""

MARKS = {"added": ("\ue000", "\ue001"), "removed": ("\ue002", "\ue003")}
"""Characters that mark words while Markdown is read; in a text itself they are replaced."""
OURS = re.compile("[\ue000-\ue003]")
WORD = re.compile(r"[^\W_]+")
MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$(?![\s\d])([^$\n]*[^$\s\\])\$(?!\d)", re.DOTALL)
LIST_NUMBER = re.compile(r"[.)]")


def text_html(spans: Sequence[Span], way: str, *, alike: bool = False) -> str:
    """A text whose control characters are visible already. `alike` marks both sides in the same way."""
    length = sum(len(span.text) for span in spans)
    if way == "raw" or not length or length > MOST:
        inside = spans_html(spans, alike=alike)
        return f'<p class="text" dir="auto">{inside}</p>'
    return f'<div class="text drawn" dir="auto">{_drawn(spans, alike=alike)}</div>'


def _drawn(spans: Sequence[Span], *, alike: bool) -> str:
    source = "".join(_marked(span) for span in spans)
    text = str(_markdown().render(source))
    for kind, tag in (("added", "ins"), ("removed", "del")):
        first, last = MARKS[kind]
        name = "mark" if alike else tag
        text = text.replace(first, f"<{name}>").replace(last, f"</{name}>")
    return text


def _marked(span: Span) -> str:
    """The text of a span with a mark around each word; marks touch no character that Markdown reads."""
    text = OURS.sub(lambda found: f"\\u{ord(found[0]):04x}", span.text)
    if span.kind not in MARKS:
        return text
    first, last = MARKS[span.kind]

    def around(found: re.Match[str]) -> str:
        begins = found.start() == 0 or text[found.start() - 1] == "\n"
        if begins and found[0].isdigit() and LIST_NUMBER.match(text, found.end()):
            return found[0]
        return f"{first}{found[0]}{last}"

    return WORD.sub(around, text)


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False})
    made.enable(["table", "strikethrough"])
    made.inline.ruler.before("escape", "math", _math)
    for name, rule in RULES.items():
        made.add_render_rule(name, rule)
    return made


def _math(state: StateInline, silent: bool) -> bool:
    """Set LaTeX apart, so that Markdown does not read it."""
    found = MATH.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("math", "", 0).content = found[0]
    state.pos = found.end()
    return True


def _escaped(text: str) -> str:
    return html.escape(text)


def _link_close(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    """The end of a link: where it leads, as text."""
    opened = next(tokens[i] for i in range(at, -1, -1) if tokens[i].type == "link_open")
    return f'</span> <span class="url">({_escaped(str(opened.attrGet("href") or ""))})</span>'


def _image(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    token = tokens[at]
    return (
        f'<span class="url">[image: {_escaped(token.content)}, {_escaped(str(token.attrGet("src") or ""))}]</span>'
    )


def _fence(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    return f"<pre><code>{_escaped(tokens[at].content)}</code></pre>\n"


def _heading(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    """A heading of a text is none of the page."""
    return '<p class="heading">' if tokens[at].nesting == 1 else "</p>\n"


RULES = {
    "math": lambda _, tokens, at, *__: f'<code class="math">{_escaped(tokens[at].content)}</code>',
    "link_open": lambda *_: '<span class="link">',
    "link_close": _link_close,
    "image": _image,
    "fence": _fence,
    "code_block": _fence,
    "th_open": lambda *_: "<th>",  # without a style of its own
    "td_open": lambda *_: "<td>",
    "heading_open": _heading,
    "heading_close": _heading,
}
