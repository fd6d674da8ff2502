"""The piece of a text that has most of a document, by the plain definition of it."""

from collections.abc import Sequence

FINE = 3


def room(words: int) -> int:
    """In how many words of a text a document must be."""
    return words + words // 2 + 8


def runs(words: Sequence[object]) -> list[tuple[object, ...]]:
    """The runs of three words."""
    return [tuple(words[i : i + FINE]) for i in range(len(words) - FINE + 1)]


def covered_words(there: Sequence[bool], words: int) -> list[bool]:
    """Which words are in a run that is there."""
    return [any(there[max(i - FINE + 1, 0) : i + 1]) for i in range(words)]


def plain_piece(document: Sequence[object], text: Sequence[object]) -> tuple[list[bool], int, int, list[int]]:
    """(Runs of the document in the piece, its first word, the word after its last, covered words of the text)."""
    own, others = runs(document), runs(text)
    covered = covered_words([run in set(own) for run in others], len(text))
    width = room(len(document))
    starts = range(max(len(text) - width, 0) + 1)
    first = max(starts, key=lambda at: (sum(covered[at : at + width]), -at))
    end = min(first + width, len(text))
    inside = set(others[first : max(end - FINE + 1, first)])
    return [run in inside for run in own], first, end, [i for i, one in enumerate(covered) if one]
