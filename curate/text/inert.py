"""Strings from outside made inert: nothing in them acts on a terminal, in Markdown or in HTML.

Cells, file names, licences, answers of the Hub and errors that quote them pass `terminal_text` or `terminal_line`
before they reach a terminal, `json_text` before JSON, `html_text` before HTML, and `markdown_text`, `code`, `link`
or `fenced` before Markdown.
"""

import html
import json
import math
import re
from typing import Any
from urllib.parse import quote

from curate.text.invisible import SHOWS, visible

_REST = re.compile(
    "[\ud800-\udfff\u2028\u2029]"
)  # halves of surrogate pairs, which no encoding can write; separators
_BREAKS = str.maketrans({"\n": "\u240a", "\t": "\u2409"})


def terminal_text(text: str) -> str:
    """Return the text with a sign for each character that a terminal would act on, but line feeds and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return _REST.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))


def terminal_line(text: str) -> str:
    """Return the text as `terminal_text` does, in one line: a line feed or tab is a sign too."""
    return terminal_text(text).translate(_BREAKS)


def json_text(value: Any) -> str:
    r"""Return `value` as indented JSON in which characters that a terminal would act on are escaped (`\u009b`).

    Reading it gives an equal value, but null where a number is not finite: JSON has no such numbers.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=2, ensure_ascii=False)
    if text.isascii() and "\x7f" not in text:
        return text  # nearly every time
    text = SHOWS.sub(lambda found: found[1] or _escape(found[0]), text)
    return _REST.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def html_text(text: str) -> str:
    """Return the text for a page or a drawing: escaped, with signs for the characters that do not show."""
    return html.escape(terminal_text(text))


class Markdown(str):
    """Text that is Markdown already; any other text becomes it by `markdown_text`."""

    __slots__ = ()


# what begins or ends an element of Markdown, HTML or mathematics, also at the beginning of a line; an underscore
# inside a word does neither
_ACTIVE = re.compile(r"[\\`*\[\]<>&|~$@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|^[ #+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")


_NUMBERS = re.compile(r"(?!.*\]\()[-+\d.,% ()\[\]*<]*")  # such as 71.2 [68.0, 74.1]**, which begin no element


def markdown_text(text: str) -> Markdown:
    """Return one line of Markdown that shows the text as it is, also in HTML."""
    if _NUMBERS.fullmatch(text):
        return Markdown(text)
    return Markdown(_ACTIVE.sub(lambda found: f"&#{ord(found[0])};", terminal_line(text)))


def code(text: str) -> Markdown:
    """Return the text as code within a line of Markdown."""
    text = terminal_line(text)
    fence = "`" * (_longest_run(text) + 1)
    space = " " if len(fence) > 1 else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def link(text: str, base: str, path: str) -> Markdown:
    """Return a link that shows the text and leads to `path` below the address `base`, nowhere else."""
    return Markdown(f"[{markdown_text(text)}]({base}{quote(path, safe='/:', errors='replace')})")


def fenced(text: str, language: str) -> str:
    """Return the text as a block of code in Markdown, whatever fences it contains itself."""
    text = terminal_text(text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
