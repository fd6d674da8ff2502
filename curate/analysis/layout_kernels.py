"""Counts what shows in a text whatever it means: characters, lines, digits, exclamation and question marks."""

import numpy as np

from curate.analysis.signs import DIGIT, EXCLAMATION, QUESTION, SIZE, signs
from curate.arrays import I32, U8, U16, U32, U64
from curate.compiled import compiled
from curate.text.unit_kernels import code_point
from curate.text.word_kernels import words_into

LAYOUT = ("chars", "lines", "digits", "exclamations", "questions")
"""What `layout` counts, in every script (see curate.analysis.signs).

chars         Unicode characters
lines         line breaks
digits        decimal digits
exclamations  exclamation marks
questions     question marks, a semicolon after a Greek letter too
"""
CHARS, LINES, DIGITS, EXCLAMATIONS, QUESTIONS = range(len(LAYOUT))

SIGNS = signs()

NEWLINE, RETURN, ASK, SEMICOLON = 0x0A, 0x0D, 0x3F, 0x3B


def layout(offsets: I32, data: U8) -> U32:
    """Return LAYOUT of every text: [texts, len(LAYOUT)]."""
    out = np.zeros((len(offsets) - 1, len(LAYOUT)), np.uint32)
    _layout(offsets, data, SIGNS, out)
    return out


@compiled
def _layout(offsets: I32, data: U8, kinds: U8, out: U32) -> None:
    for text in range(len(out)):
        row, i, end = out[text], int(offsets[text]), int(offsets[text + 1])
        before = 0
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
            i, before = i + size, point


@compiled
def _is_break(point: int) -> bool:
    """Whether a line ends here: line feed, carriage return, next line, line and paragraph separators."""
    return bool(point in (NEWLINE, RETURN, 0x85, 0x2028, 0x2029))


@compiled
def _is_greek(point: int) -> bool:
    """Whether it is a Greek letter."""
    return bool(0x370 <= point <= 0x3FF or 0x1F00 <= point <= 0x1FFF)


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
