"""Rows of JSON: one object a line, or objects and lists of objects one after another, also under one key.

{"prompt": ...}                   one object a line (JSONL)
[{"prompt": ...}, ...]            one list or several
{"data": [{"prompt": ...}, ...]}  a list under one of the names in WRAPPERS
{                                 objects over several lines
  "prompt": ...
}
"""

import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import orjson

from curate.arrays import I64
from curate.errors import RawError
from curate.rawfiles.bad_rows import NOT_JSON, TOO_DEEP, BadRow
from curate.rawfiles.streams import CHUNK

ROW_BYTES = 512 << 20
"""The longest row; a file whose next line or object is longer is refused."""
BLANK_LINES = 1_000_000
"""The most empty lines one after another; a file of more is refused: gigabytes of them pack into nothing."""
SKIPPED_DEPTH = 1_000_000
"""The most lists and objects inside each other in a value that is skipped for its depth; beyond, the file is."""
WRAPPERS = (
    *("data", "rows", "examples", "instances", "items", "records", "samples"),
    *("train", "test", "validation", "dev", "eval", "pairs", "preferences"),
)
"""The names under which an object holds the rows of its file."""
DEEPEST = 1024
"""Lists and objects inside each other that a row may have: as many as orjson reads."""
BLANK = object()
"""An empty line: it counts in row numbers, but is no row."""

_SPACE = re.compile(r"[\s,]*")
_LIST_OF_OBJECTS = re.compile(rb"\[\s*(\{|$)")
_SCALARS = r'(?:\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,)*'
_WRAPPER = re.compile(r"\{" + _SCALARS + r'\s*"(' + "|".join(WRAPPERS) + r')"\s*:\s*\[\s*(?:[{\]]|$)')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_TOO_DEEP = "lists and objects inside each other, hundreds of them"


def line_ends(data: bytes) -> I64:
    """The places of all line breaks; twice as fast as counting them as bytes do."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))


def is_list(head: bytes) -> bool:
    """Whether a file that begins like this is a list of objects, not one object a line."""
    return _LIST_OF_OBJECTS.match(head.lstrip()) is not None


def is_lines(head: bytes) -> bool:
    """Whether a .json file that begins like this has one object a line.

    Its first line is a whole object, or has no end yet; and it does not begin as one object that holds all rows.
    """
    head = head.lstrip()
    line, end, others = head.partition(b"\n")
    wrapped = _WRAPPER.match(head.decode(errors="replace")) is not None
    if end and isinstance(value_of(line), dict):
        return not wrapped or others.lstrip().startswith(b"{")
    return head.startswith(b"{") and not end and not wrapped


def value_of(line: bytes) -> Any:
    """The value of a line; BLANK for an empty one, BadRow where it is no JSON.

    NaN and lone surrogates are read, although they are no JSON. Bytes that are not UTF-8 become lone surrogates
    too, so that they are a fault of their cell only. Whole numbers beyond 64 bits become floats.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if not line.strip():
            return BLANK
        if "depth limit" in error.msg:
            return BadRow(TOO_DEEP, _TOO_DEEP)
    try:
        text = line.decode("utf-8", "surrogateescape")
        value = _decoder.decode(text)
        _check_depth(text, 0, len(text))
        return value
    except RecursionError:
        return BadRow(TOO_DEEP, _TOO_DEEP)
    except ValueError as error:
        return BadRow(NOT_JSON, f"{error}: {line[:60].decode(errors='replace')}")


def _whole_number(digits: str) -> int | float:
    """As orjson reads it: a float where it does not fit into 64 bits."""
    number = int(digits) if len(digits) <= 20 else float(digits)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _check_depth(text: str, start: int, end: int) -> None:
    """Raise RecursionError where lists and objects are nested too deep; json does not on every Python."""
    if text.count("[", start, end) + text.count("{", start, end) <= DEEPEST:
        return
    depth = 0
    for token in _TOKEN.finditer(text, start, end):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEEPEST:
            raise RecursionError


_decoder = json.JSONDecoder(parse_int=_whole_number)


def json_lines(name: str, pieces: Iterable[bytes], *, begins: bool = True) -> Iterator[Any]:
    """The value of each line, as `value_of`; `begins` says that the pieces are those from the file's beginning on.

    Raises RawError where the last line is cut, or one is too long.
    """
    begun: list[bytes] = []  # the line that goes on in the next piece
    length, lines, blank = 0, 0, 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        length += len(first)
        if others:
            last = others.pop()
            yield value_of(b"".join(begun))
            for line in others:
                yield value_of(line) if line else BLANK
            blank = 0 if piece.strip() else blank + len(others) + 1
            check_blank(name, blank)
            begun, length, lines = [last], len(last), lines + len(others) + 1
        check_length(name, length)
    last = b"".join(begun)
    if last.strip():
        yield _last(name, value_of(last), last, alone=begins and lines == 0)


def check_blank(name: str, lines: int) -> None:
    """Raise RawError for more than BLANK_LINES empty lines one after another."""
    if lines > BLANK_LINES:
        raise RawError(
            name, f"{lines:,} empty lines one after another", f"at most {BLANK_LINES:,}", "is it whole?"
        )


def _last(name: str, value: Any, line: bytes, *, alone: bool) -> Any:
    """The value of a last line without a line break. Raises RawError where it is cut, or all there is."""
    if not isinstance(value, BadRow) or value.reason != NOT_JSON:
        return value
    if line.lstrip().startswith(b"{"):
        raise RawError(name, "the last line is cut off", "a whole JSON object", "fetch the file again")
    if alone:
        found = f"holds no more than {line[:80].decode(errors='replace')!r}"
        raise RawError(name, found, "JSON objects", "a link that was copied as text? fetch the file again")
    return value


def check_length(name: str, length: int) -> None:
    """Raise RawError for a row that is longer than ROW_BYTES."""
    if length > ROW_BYTES:
        expected = f"at most {ROW_BYTES >> 20} MB"
        raise RawError(name, "a row is longer than that", expected, "is it one JSON object a line?")


def json_values(name: str, stream: BinaryIO) -> Iterator[Any]:
    """The objects of a file, of its lists one after another, and of lists under a name in WRAPPERS.

    Raises RawError where the file is cut or malformed, and where it holds several lists under names.
    """
    text = _Text(name, stream)
    while begin := text.peek():
        if begin == "[":
            yield from _items(text)
        elif begin != "{":
            raise RawError(name, f"{text.ahead()[:40]!r} begins neither a list nor an object", "JSON objects")
        elif _WRAPPER.match(text.ahead()):
            yield from _wrapped(text)
        else:
            yield text.value("a closing }")


def _items(text: "_Text") -> Iterator[Any]:
    """The values of the list that begins here."""
    text.take()
    while text.peek() != "]":
        yield text.value("a closing ]")
    text.take()


def _wrapped(text: "_Text") -> Iterator[Any]:
    """The values of the one list of objects in the object that begins here; its other values are left out."""
    text.take()
    found = ""
    while text.peek() != "}":
        key = text.value("a closing }")
        if text.peek() != ":":
            raise text.broken("a colon after a name")
        text.take()
        if text.peek() != "[" or key not in WRAPPERS:
            text.value("a closing }")
            continue
        if found:
            hint = f"one file for each, or one list: jq '.{found}' FILE > {found}.json"
            raise RawError(text.name, f"holds two lists, {found!r} and {key!r}", "one list of objects", hint)
        found = str(key)
        yield from _items(text)
    text.take()


class _Text:
    """The text of a JSON file, read as it is needed; at the end `peek` is "" between values."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name, self._buffer, self._position = name, "", 0
        # what is not UTF-8 is a fault of its cell, not of the file
        self._stream = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")

    def peek(self) -> str:
        """The next character that is no space or comma."""
        while True:
            found = _SPACE.match(self._buffer, self._position)
            self._position = found.end() if found else self._position
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._more():
                return ""

    def ahead(self) -> str:
        """Some of the text from the next character on."""
        return self._buffer[self._position : self._position + 1024]

    def take(self) -> None:
        """Go past the character that `peek` gave."""
        self._position += 1

    def value(self, expected: str) -> Any:
        """The value that begins here; a BadRow where it is nested too deep. Raises RawError where it is cut."""
        if not self.peek():
            raise self.cut(expected)
        while True:
            try:
                value, end = self._decoded()
            except json.JSONDecodeError as error:
                if self._is_malformed(error):
                    raise self.broken(error.msg) from None
                end = len(self._buffer)
            if end < len(self._buffer):  # else a number or word may go on in the next chunk
                self._position = end
                return value
            if not self._more():
                return self._at_the_end(expected)

    def _at_the_end(self, expected: str) -> Any:
        try:
            value, self._position = self._decoded()
        except json.JSONDecodeError:
            raise self.cut(expected) from None
        return value

    def _decoded(self) -> tuple[Any, int]:
        """The value that begins here, or a BadRow where it is nested too deep; and where it ends."""
        try:
            value, end = _decoder.raw_decode(self._buffer, self._position)
            _check_depth(self._buffer, self._position, end)
        except RecursionError:
            return BadRow(TOO_DEEP, _TOO_DEEP), self._end_of_value()
        return value, end

    def _is_malformed(self, error: json.JSONDecodeError) -> bool:
        """Whether more text cannot mend it: the fault is not at the end of what was read."""
        return error.pos < len(self._buffer) - 16 and not error.msg.startswith(("Unterminated", "Invalid \\"))

    def _end_of_value(self) -> int:
        """Where the list or object that begins here ends. Raises JSONDecodeError where it goes on."""
        depth = 0
        for token in _TOKEN.finditer(self._buffer, self._position):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if depth > SKIPPED_DEPTH:
                raise self.broken(f"{SKIPPED_DEPTH:,} lists and objects inside each other")
            if depth == 0:
                return token.end()
        raise json.JSONDecodeError("no end", self._buffer, len(self._buffer))

    def _more(self) -> bool:
        """Read on, as much again as is waiting; False at the end of the file."""
        waiting = len(self._buffer) - self._position
        check_length(self.name, waiting)
        more = self._stream.read(max(CHUNK, waiting))
        self._buffer, self._position = self._buffer[self._position :] + more, 0
        return bool(more)

    def cut(self, expected: str) -> RawError:
        """The error for a file that ends inside a value."""
        return RawError(self.name, "the JSON is cut off", expected, "fetch the file again")

    def broken(self, found: str) -> RawError:
        """The error for text that is no JSON."""
        near = self._buffer[self._position : self._position + 60]
        return RawError(self.name, f"malformed JSON ({found}) in the value that begins {near!r}", "JSON")
