"""Counts what shows in a text whatever it means: characters, lines, and marks of layout."""

import numpy as np

from curate.arrays import I32, U8, U16, U32, U64
from curate.compiled import compiled
from curate.text.word_kernels import words_into

LAYOUT = ("chars", "lines", "headers", "bold", "code", "items", "digits", "exclamations", "questions")
"""What `layout` counts.

chars         Unicode characters
lines         line breaks
headers       lines that begin with one to six # and a space
bold          pairs of **
code          lines that begin with ```, two for each block
items         lines that begin with -, *, +, • or a number of at most three digits with . or ), and a space
digits        0 to 9
exclamations  !
questions     ?
"""
CHARS, LINES, HEADERS, BOLD, CODE, ITEMS, DIGITS, EXCLAMATIONS, QUESTIONS = range(len(LAYOUT))

NEWLINE, SPACE, TAB, STAR = 0x0A, 0x20, 0x09, 0x2A
HASH, TICK, DASH, PLUS, DOT, BRACKET = 0x23, 0x60, 0x2D, 0x2B, 0x2E, 0x29
BANG, ASK, ZERO, NINE = 0x21, 0x3F, 0x30, 0x39
BULLET = (0xE2, 0x80, 0xA2)
MOST_HASHES, FENCE, MOST_DIGITS = 6, 3, 3


def layout(offsets: I32, data: U8) -> U32:
    """Return LAYOUT of every text: [texts, len(LAYOUT)]."""
    out = np.zeros((len(offsets) - 1, len(LAYOUT)), np.uint32)
    _layout(offsets, data, out)
    return out


@compiled
def _layout(offsets: I32, data: U8, out: U32) -> None:
    for text in range(len(out)):
        row, start, end = out[text], int(offsets[text]), int(offsets[text + 1])
        _begin(data, start, end, row)
        stars = after = 0
        for i in range(start, end):
            byte = data[i]
            row[CHARS] += np.uint32((byte & 0xC0) != 0x80)
            if byte > ASK:
                continue
            row[DIGITS] += np.uint32(ZERO <= byte <= NINE)
            row[EXCLAMATIONS] += np.uint32(byte == BANG)
            row[QUESTIONS] += np.uint32(byte == ASK)
            if byte == NEWLINE:
                row[LINES] += np.uint32(1)
                _begin(data, i + 1, end, row)
            elif byte == STAR and i >= after and i + 1 < end and data[i + 1] == STAR:
                stars += 1
                after = i + 2
        row[BOLD] = np.uint32(stars // 2)


@compiled
def _begin(data: U8, start: int, end: int, row: U32) -> None:
    """Count the mark that the line at `start` begins with, if any."""
    at = start
    while at < end and (data[at] == SPACE or data[at] == TAB):
        at += 1
    if at >= end:
        return
    first, run = data[at], at
    while run < end and data[run] == first and run - at <= MOST_HASHES:
        run += 1
    spaced = run < end and data[run] == SPACE
    if first == HASH:
        row[HEADERS] += np.uint32(spaced and run - at <= MOST_HASHES)
    elif first == TICK:
        row[CODE] += np.uint32(run - at >= FENCE)
    elif first in (DASH, STAR, PLUS):
        row[ITEMS] += np.uint32(spaced and run - at == 1)
    elif first == BULLET[0] and at + 3 < end and data[at + 1] == BULLET[1] and data[at + 2] == BULLET[2]:
        row[ITEMS] += np.uint32(data[at + 3] == SPACE)
    elif ZERO <= first <= NINE:
        row[ITEMS] += np.uint32(_is_number(data, at, end))


@compiled
def _is_number(data: U8, at: int, end: int) -> bool:
    """Whether `1. `, `12) ` or the like begins here."""
    last = at
    while last < end and ZERO <= data[last] <= NINE:
        last += 1
    if last - at > MOST_DIGITS or last + 1 >= end:
        return False
    return bool((data[last] == DOT or data[last] == BRACKET) and data[last + 1] == SPACE)


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
