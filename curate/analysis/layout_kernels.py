"""Counts what shows in a text whatever it means: characters, lines, and marks of layout."""

import numpy as np

from curate.analysis.signs import BULLET, DIGIT, EXCLAMATION, NUMERAL, QUESTION, SIZE, signs
from curate.arrays import I32, U8, U16, U32, U64
from curate.compiled import compiled
from curate.text.word_kernels import code_point, words_into

LAYOUT = ("chars", "lines", "headers", "bold", "code", "items", "digits", "exclamations", "questions")
"""What `layout` counts, in every script (see curate.analysis.signs).

chars         Unicode characters
lines         line breaks
headers       lines that begin with one to six # and a space
bold          pairs of **
code          lines that begin with ```, two for each block
items         lines that begin with a bullet or a number: -, *, + or – and a space, another bullet such as • or ・
              before anything, a number of at most three digits with . or ) and a space, with 、 or the like, in
              brackets or in a circle
digits        decimal digits
exclamations  exclamation marks
questions     question marks, a semicolon after a Greek letter too
"""
CHARS, LINES, HEADERS, BOLD, CODE, ITEMS, DIGITS, EXCLAMATIONS, QUESTIONS = range(len(LAYOUT))

SIGNS = signs()

NEWLINE, RETURN, SPACE, TAB, STAR = 0x0A, 0x0D, 0x20, 0x09, 0x2A
HASH, TICK, DASH, PLUS, DOT, BRACKET, OPEN = 0x23, 0x60, 0x2D, 0x2B, 0x2E, 0x29, 0x28
ASK, SEMICOLON = 0x3F, 0x3B
WIDE_SPACE, WIDE_OPEN, EN_DASH = 0x3000, 0xFF08, 0x2013
AFTER_NUMBER = (0x3001, 0xFF0E, 0xFF09)
"""、．） after a number need no space."""
KEYCAP, EMOJI_STYLE = 0x20E3, 0xFE0F
MOST_HASHES, FENCE, MOST_DIGITS = 6, 3, 3


def layout(offsets: I32, data: U8) -> U32:
    """Return LAYOUT of every text: [texts, len(LAYOUT)]."""
    out = np.zeros((len(offsets) - 1, len(LAYOUT)), np.uint32)
    _layout(offsets, data, SIGNS, out)
    return out


@compiled
def _layout(offsets: I32, data: U8, kinds: U8, out: U32) -> None:
    for text in range(len(out)):
        row, i, end = out[text], int(offsets[text]), int(offsets[text + 1])
        _begin(data, i, end, kinds, row)
        stars = after = before = 0
        while i < end:
            row[CHARS] += np.uint32(1)
            point, size = int(data[i]), 1
            if point > ASK:
                if point < 0x80:
                    i, before = i + 1, point
                    continue
                point, size = code_point(data, i, end)
            kind = kinds[point] if point < SIZE else 0
            row[DIGITS] += np.uint32(kind & DIGIT != 0)
            row[EXCLAMATIONS] += np.uint32(kind & EXCLAMATION != 0)
            row[QUESTIONS] += np.uint32(kind & QUESTION != 0 or (point == SEMICOLON and _is_greek(before)))
            if _is_break(point) and not (point == RETURN and i + 1 < end and data[i + 1] == NEWLINE):
                row[LINES] += np.uint32(1)
                _begin(data, i + size, end, kinds, row)
            elif point == STAR and i >= after and i + 1 < end and data[i + 1] == STAR:
                stars += 1
                after = i + 2
            i, before = i + size, point
        row[BOLD] = np.uint32(stars // 2)


@compiled
def _is_break(point: int) -> bool:
    """Whether a line ends here: line feed, carriage return, next line, line and paragraph separators."""
    return bool(point in (NEWLINE, RETURN, 0x85, 0x2028, 0x2029))


@compiled
def _is_greek(point: int) -> bool:
    """Whether it is a Greek letter."""
    return bool(0x370 <= point <= 0x3FF or 0x1F00 <= point <= 0x1FFF)


@compiled
def _sign(data: U8, at: int, end: int) -> tuple[int, int]:
    """(code point, bytes) of the sign at `at`; (0, 0) at the end."""
    if at >= end:
        return 0, 0
    return code_point(data, at, end) if data[at] >= 0x80 else (int(data[at]), 1)


@compiled
def _begin(data: U8, start: int, end: int, kinds: U8, row: U32) -> None:
    """Count the mark that the line at `start` begins with, if any."""
    at = start
    point, size = _sign(data, at, end)
    while point in (SPACE, TAB, WIDE_SPACE):
        at += size
        point, size = _sign(data, at, end)
    if point == 0:
        return
    run = at
    while run < end and data[run] == point and run - at <= MOST_HASHES:
        run += 1
    spaced = run < end and data[run] == SPACE
    if point == HASH:
        row[HEADERS] += np.uint32(spaced and run - at <= MOST_HASHES)
    elif point == TICK:
        row[CODE] += np.uint32(run - at >= FENCE)
    elif point in (DASH, STAR, PLUS):
        row[ITEMS] += np.uint32(spaced and run - at == 1)
    elif point < SIZE and kinds[point] & BULLET:
        row[ITEMS] += np.uint32(_is_bullet(data, at + size, end, point))
    else:
        row[ITEMS] += np.uint32(_is_number(data, at, end, kinds))


@compiled
def _is_bullet(data: U8, at: int, end: int, bullet: int) -> bool:
    """Whether something stands after a bullet, which a row of bullets or a lone one has not."""
    point, _ = _sign(data, at, end)
    if bullet == EN_DASH:
        return bool(point == SPACE)
    return not (point in (0, bullet) or _is_break(point))


@compiled
def _is_number(data: U8, at: int, end: int, kinds: U8) -> bool:
    """Whether `1. `, `12) `, `(3) `, `4、`, `（五）` or the like begins here."""
    point, size = _sign(data, at, end)
    bracket = point in (OPEN, WIDE_OPEN)
    if bracket:
        at += size
        point, size = _sign(data, at, end)
    kind = kinds[point] & (DIGIT | NUMERAL) if point < SIZE else 0
    count = 0
    while kind and point < SIZE and kinds[point] & kind and count <= MOST_DIGITS:
        at, count = at + size, count + 1
        point, size = _sign(data, at, end)
    if count == 0 or count > MOST_DIGITS:
        return False
    following, _ = _sign(data, at + size, end)
    if point == EMOJI_STYLE:
        return bool(following == KEYCAP)
    if point in AFTER_NUMBER:
        return bool((point == AFTER_NUMBER[-1] or not bracket) and following)
    # in Chinese no space follows, which would make 1.5 of digits
    return bool((point == BRACKET or (point == DOT and not bracket)) and (following == SPACE or following >= 0x80))


def shared_chars(left: tuple[I32, U8], right: tuple[I32, U8]) -> U32:
    """Return how many characters both texts have in common at their start."""
    out = np.zeros(len(left[0]) - 1, np.uint32)
    _shared_chars(*left, *right, out)
    return out


@compiled
def _shared_chars(left_offsets: I32, left: U8, right_offsets: I32, right: U8, out: U32) -> None:
    for text in range(len(out)):
        one, other = int(left_offsets[text]), int(right_offsets[text])
        most = min(int(left_offsets[text + 1]) - one, int(right_offsets[text + 1]) - other)
        same = 0
        while same < most and left[one + same] == right[other + same]:
            same += 1
        whole = same  # a character of which only the first bytes agree is not shared
        if one + same < int(left_offsets[text + 1]):
            while whole > 0 and (left[one + whole] & 0xC0) == 0x80:
                whole -= 1
        for i in range(one, one + whole):
            out[text] += np.uint32((left[i] & 0xC0) != 0x80)


def words_of_prompt(prompts: tuple[I32, U8], replies: tuple[I32, U8]) -> U16:
    """Return of a thousand words of each reply how many its prompt has too; 0 for a reply without words."""
    out = np.zeros(len(prompts[0]) - 1, np.uint16)
    if len(out):
        most = int(max(np.diff(prompts[0]).max(), np.diff(replies[0]).max())) // 2 + 2
        _words_of_prompt(*prompts, *replies, most, out)
    return out


@compiled
def _words_of_prompt(
    prompt_offsets: I32, prompts: U8, reply_offsets: I32, replies: U8, most: int, out: U16
) -> None:
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    size = 16
    while size < 2 * most:
        size *= 2
    table = np.zeros(size, np.uint64)
    for text in range(len(out)):
        start, end = int(prompt_offsets[text]), int(prompt_offsets[text + 1])
        count = words_into(prompts, start, end, hashes, begins, ends)
        slots = 16
        while slots < 2 * count:
            slots *= 2
        table[:slots] = 0
        last = np.uint64(slots - 1)
        for i in range(count):
            table[_place(table, last, hashes[i])] = hashes[i] | np.uint64(1)
        start, end = int(reply_offsets[text]), int(reply_offsets[text + 1])
        count, found = words_into(replies, start, end, hashes, begins, ends), 0
        for i in range(count):
            found += table[_place(table, last, hashes[i])] != 0
        if count:
            out[text] = np.uint16(1000 * found // count)


@compiled
def _place(table: U64, last: np.uint64, value: np.uint64) -> np.uint64:
    """The place of the value in an open hash table, or the free place for it; 0 is free."""
    value |= np.uint64(1)
    at = (value >> np.uint64(7)) & last
    while table[at] != 0 and table[at] != value:
        at = (at + np.uint64(1)) & last
    return at
