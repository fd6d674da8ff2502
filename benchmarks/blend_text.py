"""Texts of the blend: those of pairs, edits of them, and how alike two texts are, by a plain definition."""

import math
import re
from collections.abc import Sequence
from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt
from raw_files import SEED, Prose, _vocabulary, tape

SHINGLE = 5
WORD = re.compile(r"\w+")


class Voice(Prose):
    """Text of any length, the same for the same seed; to begin one costs microseconds."""

    def __init__(self, *seed: object) -> None:
        self.random = Random("/".join(map(str, seed)))
        self._tapes = tape(False), tape(True)

    def draw(self) -> int:
        """A number below 2**31."""
        return self.random.getrandbits(31)

    def length(self, mean: int) -> int:
        """A lognormal length (sigma 0.7) with that mean, from 24 to 12 times the mean."""
        return int(min(max(self.random.lognormvariate(math.log(mean) - 0.245, 0.7), 24), 12 * mean))

    def say(self, mean: int, least: int = 24) -> str:
        """Text of a length around that mean."""
        return self.text(max(self.length(mean), least))

    def edited(self, text: str, share: float) -> str:
        """The text with this share of its words replaced, at least one."""
        pieces = re.split(r"(\s+)", text)
        words = range(0, len(pieces), 2)
        changed = [at for at in words if self.random.random() < share] or [self.random.choice(words)]
        for at in changed:
            pieces[at] = f"{_syllable(self.random)}{_syllable(self.random)}"
        return "".join(pieces)

    def lightly_edited(self, text: str) -> str:
        """As people disguise a question: other case and punctuation, one word in 33 another."""
        return " ".join(self.edited(text, 0.03).replace(",", " -").replace(".", ";").split()).upper()


def _syllable(random: Random) -> str:
    return random.choice("bdfgklmnprstvz") + random.choice("aeiou")


@cache
def _exam_words() -> tuple[list[str], npt.NDArray[np.float64]]:
    """The words of the tapes, and how common each and all before it are."""
    words = _vocabulary(np.random.default_rng([SEED, 0]), "etaoinshrdlucmfwypvbgkjqxz")
    return words, np.cumsum(1 / (np.arange(len(words)) + 2.7) ** 1.07)


class Examiner(Voice):
    """Says nothing twice, and nothing that a Voice says, in the same words: benchmarks speak so."""

    def text(self, length: int) -> str:
        """Sentences of about `length` characters in all."""
        words, weights = _exam_words()
        random = np.random.default_rng(self.random.getrandbits(60))
        ranks = np.searchsorted(weights, random.random(max(3, length * 2 // 11)) * weights[-1]).tolist()
        drawn = [words[rank] for rank in ranks]
        for at in range(0, len(drawn), 9 + length % 5):
            drawn[at] = drawn[at].capitalize()
            drawn[at - 1] += "." if at else ""
        return " ".join(drawn)


def share_for(jaccard: float) -> float:
    """How many words to replace for about that Jaccard similarity of word 5-grams."""
    kept = 2 * jaccard / (1 + jaccard)
    return float(1 - kept ** (1 / SHINGLE))


def jaccard(left: Sequence[str], right: Sequence[str]) -> float:
    """The least similarity of the texts side by side, by sets of word 5-grams; their words if they are shorter."""
    return min(_jaccard(_shingles(one), _shingles(other)) for one, other in zip(left, right, strict=True))


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return {tuple(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE + 1, 1))}


def _jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    return len(left & right) / len(left | right)
