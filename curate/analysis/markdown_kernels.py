"""Counts the Markdown of a text as a reader would see it rendered: what is inside code is code and nothing else.

The rules are those of CommonMark 0.31 and, for tables, of GitHub Flavored Markdown, but for three: marks of lists
of every script count (see curate.analysis.signs), a code span ends on its line, and punctuation never keeps `**`
from being bold, since in Chinese no space comes before it.
"""

from typing import NamedTuple

import numpy as np

from curate.analysis.signs import BULLET, DIGIT, NUMERAL, SIZE, signs
from curate.arrays import I32, I64, U8, U32
from curate.compiled import compiled
from curate.text.unit_kernels import code_point

MARKDOWN = ("headers", "bold", "code", "items", "tables")
"""What `markdown` counts, HTML too (h1 to h6, b and strong, pre, li, table).

headers  lines that begin with one to six # and a space, and lines underlined with = or -
bold     **bold** and __bold__
code     blocks between fences, ``` or ~~~; one without an end too
items    lines that begin with a bullet or a number: -, *, + or – and a space, another bullet such as • or ・
         before anything, a number of at most three digits with . or ) and a space, with 、 or the like, in
         brackets or in a circle. A line of sums that goes on with `- 5` is none
tables   rows of |---| below a row with |
"""
HEADERS, BOLD, CODE, ITEMS, TABLES = range(len(MARKDOWN))

BLANK, PARAGRAPH, ROW, ITEM, OTHER = range(5)
"""What the line before was: ROW is a paragraph's line with |."""

SIGNS = signs()

NEWLINE, RETURN, SPACE, TAB, STAR, UNDERSCORE = 0x0A, 0x0D, 0x20, 0x09, 0x2A, 0x5F
HASH, TICK, TILDE, DASH, PLUS, DOT, BRACKET, OPEN = 0x23, 0x60, 0x7E, 0x2D, 0x2B, 0x2E, 0x29, 0x28
QUOTE, PIPE, COLON, EQUALS, LESS, GREATER, SLASH, BACKSLASH = 0x3E, 0x7C, 0x3A, 0x3D, 0x3C, 0x3E, 0x2F, 0x5C
WIDE_SPACE, WIDE_OPEN, EN_DASH = 0x3000, 0xFF08, 0x2013
AFTER_NUMBER = (0x3001, 0xFF0E, 0xFF09)
"""、．） after a number need no space."""
KEYCAP, EMOJI_STYLE = 0x20E3, 0xFE0F
MOST_HASHES, FENCE, MOST_DIGITS, INDENTED = 6, 3, 3, 4

B, STRONG, PRE, LI, TABLE, H1, H6 = (
    int.from_bytes(bytes(byte | 0x20 for byte in name))
    for name in (b"b", b"strong", b"pre", b"li", b"table", b"h1", b"h6")
)
"""Names of tags as numbers, big-endian, with the bit that small letters have."""


class _State(NamedTuple):
    """What is known of the lines before, [1] each.

    fence, length  the sign and number of signs of the open fence, 0 where none is open
    before         BLANK to OTHER
    listed         whether a list is open, in which indented lines are no code
    open           whether ** and __ are open, [2]
    """

    fence: I64
    length: I64
    before: I64
    listed: I64
    open: I64


def markdown(offsets: I32, data: U8) -> U32:
    """Return MARKDOWN of every text: [texts, len(MARKDOWN)]."""
    out = np.zeros((len(offsets) - 1, len(MARKDOWN)), np.uint32)
    _markdown(offsets, data, SIGNS, out)
    return out


@compiled
def _markdown(offsets: I32, data: U8, kinds: U8, out: U32) -> None:
    state = _State(
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(2, np.int64),
    )
    for text in range(len(out)):
        state.fence[0] = state.listed[0] = state.open[0] = state.open[1] = 0
        state.before[0] = BLANK
        start, end = int(offsets[text]), int(offsets[text + 1])
        while start < end:
            stop = start
            while stop < end and data[stop] != NEWLINE and data[stop] != RETURN:
                stop += 1
            _line(data, start, stop, kinds, state, out[text])
            start = stop + 1


@compiled
def _line(data: U8, start: int, stop: int, kinds: U8, state: _State, row: U32) -> None:
    at, indent = _indented(data, start, stop)
    while at < stop and data[at] == QUOTE:
        at, indent = _indented(data, at + 1, stop)
    if at == stop:
        kind = BLANK
    elif state.fence[0]:
        if _is_end(data, at, stop, state):
            state.fence[0] = 0
        return
    elif indent >= INDENTED and not state.listed[0] and state.before[0] in (BLANK, OTHER):
        return  # indented code
    else:
        kind, at = _block(data, at, stop, kinds, state, row)
    if kind not in (PARAGRAPH, ROW) or state.before[0] not in (PARAGRAPH, ROW, ITEM):
        state.open[:] = 0
    if kind in (ITEM, PARAGRAPH, ROW, OTHER) and not state.fence[0]:
        _inline(data, at, stop, state, row)
    if kind == ITEM or (state.before[0] == BLANK and kind != BLANK and indent == 0):
        state.listed[0] = kind == ITEM
    state.before[0] = kind


@compiled
def _block(data: U8, at: int, stop: int, kinds: U8, state: _State, row: U32) -> tuple[int, int]:
    """Count what the line is; returns its kind, and where its text begins."""
    first, before = int(data[at]), state.before[0]
    item = _item(data, at, stop, kinds)
    if item and first in (STAR, DASH, UNDERSCORE) and _is_rule(data, at, stop):
        item = 0
    if item and first in (DASH, PLUS) and before in (PARAGRAPH, ROW) and _is_digit(data, item, stop):
        return PARAGRAPH, at  # a sum that goes on
    kind = PARAGRAPH
    if item:
        row[ITEMS] += np.uint32(1)
        kind, at = ITEM, item
        first = int(data[at]) if at < stop else SPACE
    run = _run(data, at, stop)
    if first == HASH and run <= MOST_HASHES and (at + run == stop or data[at + run] in (SPACE, TAB)):
        row[HEADERS] += np.uint32(1)
        return (kind if item else OTHER), at + run
    if first in (TICK, TILDE) and run >= FENCE and not (first == TICK and _has(data, at + run, stop, TICK)):
        row[CODE] += np.uint32(1)
        state.fence[0], state.length[0] = first, run
        return (kind if item else OTHER), stop
    if item:
        return ITEM, at
    return _of_paragraph(data, at, stop, before, row), at


@compiled
def _of_paragraph(data: U8, at: int, stop: int, before: int, row: U32) -> int:
    """Count the underline of a header and the second row of a table; returns the line's kind."""
    if before in (PARAGRAPH, ROW) and data[at] in (EQUALS, DASH) and _only(data, at, stop, data[at]):
        row[HEADERS] += np.uint32(1)
        return OTHER
    if _is_rule(data, at, stop):
        return OTHER
    if before == ROW and _is_delimiter(data, at, stop):
        row[TABLES] += np.uint32(1)
        return OTHER
    return ROW if _has(data, at, stop, PIPE) else PARAGRAPH


@compiled
def _indented(data: U8, at: int, stop: int) -> tuple[int, int]:
    """Where the text of a line begins, and how many columns it is indented."""
    indent = 0
    while at < stop:
        if data[at] == SPACE:
            at, indent = at + 1, indent + 1
        elif data[at] == TAB:
            at, indent = at + 1, indent + INDENTED
        elif data[at] == 0xE3 and at + 2 < stop and data[at + 1] == 0x80 and data[at + 2] == 0x80:
            at, indent = at + 3, indent  # the wide space, which indents paragraphs and is no code
        else:
            break
    return at, indent


@compiled
def _run(data: U8, at: int, stop: int) -> int:
    """How often the sign at `at` is there one after another."""
    i = at
    while i < stop and data[i] == data[at]:
        i += 1
    return i - at


@compiled
def _has(data: U8, at: int, stop: int, sign: int) -> bool:
    while at < stop and data[at] != sign:
        at += 1
    return at < stop


@compiled
def _only(data: U8, at: int, stop: int, sign: int) -> bool:
    """Whether the line is this sign alone, spaces after it apart."""
    i = at
    while i < stop and data[i] == sign:
        i += 1
    while i < stop and data[i] in (SPACE, TAB):
        i += 1
    return i == stop


@compiled
def _is_end(data: U8, at: int, stop: int, state: _State) -> bool:
    """Whether the line ends the open fence."""
    run = _run(data, at, stop)
    return bool(data[at] == state.fence[0] and run >= state.length[0] and _only(data, at, stop, data[at]))


@compiled
def _is_rule(data: U8, at: int, stop: int) -> bool:
    """Whether the line is a thematic break: three or more of *, - or _, with or without spaces."""
    sign, count = data[at], 0
    if sign not in (STAR, DASH, UNDERSCORE):
        return False
    for i in range(at, stop):
        if data[i] == sign:
            count += 1
        elif data[i] not in (SPACE, TAB):
            return False
    return count >= FENCE


@compiled
def _is_delimiter(data: U8, at: int, stop: int) -> bool:
    """Whether the line is the second of a table."""
    dashes = pipes = 0
    for i in range(at, stop):
        dashes += data[i] == DASH
        pipes += data[i] == PIPE
        if data[i] not in (DASH, PIPE, COLON, SPACE, TAB):
            return False
    return dashes > 0 and pipes > 0


@compiled
def _is_digit(data: U8, at: int, stop: int) -> bool:
    return at < stop and 0x30 <= data[at] <= 0x39


@compiled
def _is_letter_or_digit(sign: int) -> bool:
    return sign >= 0x80 or 0x30 <= sign <= 0x39 or 0x61 <= (sign | 0x20) <= 0x7A


# --------------------------------------------------------------------------------------------- marks of lists


@compiled
def _sign(data: U8, at: int, end: int) -> tuple[int, int]:
    """(code point, bytes) of the sign at `at`; (0, 0) at the end."""
    if at >= end:
        return 0, 0
    return code_point(data, at, end) if data[at] >= 0x80 else (int(data[at]), 1)


@compiled
def _item(data: U8, at: int, stop: int, kinds: U8) -> int:
    """Where the text of a list's item begins; 0 where the line is none."""
    point, size = _sign(data, at, stop)
    following, space = _sign(data, at + size, stop)
    if point in (DASH, STAR, PLUS, EN_DASH):
        return at + size + space if following in (SPACE, TAB) else 0
    if point < SIZE and kinds[point] & BULLET:
        # a row of bullets or a lone one is none
        return 0 if following in (0, point) else at + size
    return _number(data, at, stop, kinds)


@compiled
def _number(data: U8, at: int, stop: int, kinds: U8) -> int:
    """Where the text after `1. `, `12) `, `(3) `, `4、`, `（五）` or the like begins; 0 where there is none."""
    point, size = _sign(data, at, stop)
    bracket = point in (OPEN, WIDE_OPEN)
    if bracket:
        at += size
        point, size = _sign(data, at, stop)
    kind = kinds[point] & (DIGIT | NUMERAL) if point < SIZE else 0
    count = 0
    while kind and point < SIZE and kinds[point] & kind and count <= MOST_DIGITS:
        at, count = at + size, count + 1
        point, size = _sign(data, at, stop)
    if count == 0 or count > MOST_DIGITS:
        return 0
    following, width = _sign(data, at + size, stop)
    if point == EMOJI_STYLE:
        return at + size + width if following == KEYCAP else 0
    if point in AFTER_NUMBER:
        return at + size if (point == AFTER_NUMBER[-1] or not bracket) and following else 0
    # in Chinese no space follows, which would make 1.5 of digits
    marked = point == BRACKET or (point == DOT and not bracket)
    return at + size if marked and (following in (SPACE, TAB) or following >= 0x80) else 0


# ------------------------------------------------------------------------------------------ inside of a line


@compiled
def _inline(data: U8, at: int, stop: int, state: _State, row: U32) -> None:
    """Count what is bold, and HTML, outside of code spans."""
    start = at
    while at < stop:
        sign = data[at]
        if sign == BACKSLASH:
            at += 2
            continue
        run = _run(data, at, stop) if sign in (TICK, STAR, UNDERSCORE) else 1
        if sign == TICK:
            run = _span(data, at, stop, run)
        elif sign in (STAR, UNDERSCORE) and run > 1:
            row[BOLD] += np.uint32(_bold(data, start, at, stop, run, state))
        elif sign == LESS:
            _tag(data, at + 1, stop, row)
        at += run


@compiled
def _span(data: U8, at: int, stop: int, run: int) -> int:
    """How many bytes a code span has; those of its first ticks where it has no end."""
    i = at + run
    while i < stop:
        if data[i] == TICK:
            length = _run(data, i, stop)
            if length == run:
                return i + length - at
            i += length
        else:
            i += 1
    return run


@compiled
def _bold(data: U8, start: int, at: int, stop: int, run: int, state: _State) -> bool:
    """Whether ** or __ ends what is bold; else it begins it, where it can."""
    before = data[at - 1] if at > start else np.uint8(SPACE)
    after = data[at + run] if at + run < stop else np.uint8(SPACE)
    which = int(data[at] == UNDERSCORE)
    opens, closes = after not in (SPACE, TAB), before not in (SPACE, TAB)
    if which:  # not inside of a word
        opens, closes = (
            opens and not _is_letter_or_digit(int(before)),
            closes and not _is_letter_or_digit(int(after)),
        )
    if closes and state.open[which]:
        state.open[which] = 0
        return True
    if opens:
        state.open[which] = 1
    return False


@compiled
def _tag(data: U8, at: int, stop: int, row: U32) -> None:
    """Count the HTML tag whose name begins at `at`."""
    name, i = 0, at
    while i < stop and i - at < 8 and _is_letter_or_digit(data[i]):
        name = name << 8 | int(data[i] | 0x20)
        i += 1
    if i == stop or data[i] not in (GREATER, SPACE, SLASH):
        return
    if name in (B, STRONG):
        row[BOLD] += np.uint32(1)
    elif H1 <= name <= H6:
        row[HEADERS] += np.uint32(1)
    elif name == PRE:
        row[CODE] += np.uint32(1)
    elif name == LI:
        row[ITEMS] += np.uint32(1)
    elif name == TABLE:
        row[TABLES] += np.uint32(1)
