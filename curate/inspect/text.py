"""Text of pairs for terminals: beginnings and counts, in which every character is visible."""

from collections.abc import Iterable
from typing import Any

from curate.text.inert import terminal_text


def question(pair: dict[str, Any]) -> str:
    """The text of the last user turn of a pair's prompt."""
    turns = [turn for turn in pair["prompt"] if turn["role"] == "user"] or pair["prompt"]
    return text_of(turns[-1:])


def text_of(turns: Iterable[dict[str, Any]]) -> str:
    """The text blocks of turns, joined by line breaks."""
    return "\n".join(block["text"] for turn in turns for block in turn["content"] if block["text"] is not None)


def beginning(pair: dict[str, Any]) -> str:
    """The pair in one line of at most 68 characters: how its question and its chosen reply begin."""
    return f"{shorten(question(pair), 36)} -> {shorten(text_of(pair['chosen']), 28)}"


def shorten(text: str, most: int) -> str:
    """The text in one line of at most `most` characters."""
    line = terminal_text(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
