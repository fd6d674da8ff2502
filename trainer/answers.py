r"""Whether a reply gives the right answer, by the rule of paper 5.3.

The answer of a reply is what it states as its answer, never what merely occurs in it: the last
`<answer>...</answer>`, else the last `\boxed{...}`, else what follows the last "####", "answer is" or "answer:" on
its line, else the whole reply if it is one line. Letters and words are compared as they are; anything else as
mathematics.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice
from typing import Literal

from trainer.math_pool import MathPool

Match = Literal["math", "exact"] | Callable[[str, str], bool]
"""How answers are compared: by math-verify where they are neither letters nor words, exactly, or by a function
of the right answer and the whole reply."""

TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
STATED = re.compile(r"(?:####|\banswer\s*(?:is\b\s*:?|:))[*_\s]*([^\n]+)", re.IGNORECASE)
LETTER = re.compile(r"[(\[]?([A-Za-z])(?:[)\].:]+(?:\s.*)?)?", re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
WORDS = re.compile(r"[^\W\d_]+(?:[ '\-][^\W\d_]+)*")
AROUND = "*_`$\"' \t\r\n"
LONGEST = 300  # characters of an answer; longer ones are compared exactly


def stated(reply: str) -> str | None:
    """The answer that a reply states; None if it states none."""
    for found in (TAGGED.findall(reply)[-1:], _boxed(reply)[-1:], STATED.findall(reply)[-1:]):
        if found:
            inner = _boxed(found[0])
            return _trimmed(inner[-1] if inner else found[0])
    whole = _trimmed(reply)
    return whole if whole and "\n" not in whole else None


def _boxed(text: str) -> list[str]:
    r"""What is inside of each `\boxed{...}`, with braces balanced."""
    found = []
    for start in (match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)):
        depth = 1
        for end in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                found.append(text[start:end])
                break
    return found


def _trimmed(text: str) -> str:
    """An answer without white space, quotes, dollar signs, emphasis and the full stop around it."""
    bare = text.strip(AROUND).removesuffix(".").strip(AROUND)
    return re.sub(r"^\\(?:text|mathrm|textbf)\{([^{}]*)\}$", r"\1", bare).strip()


def right(answers: Sequence[str], replies: Sequence[str], match: Match) -> list[bool]:
    """Whether each reply gives the answer beside it. Raises TrainError if math-verify is needed and missing."""
    if callable(match):
        return [bool(match(answer, reply)) for answer, reply in zip(answers, replies, strict=True)]
    found: list[bool] = []
    unsure: dict[int, tuple[str, str]] = {}
    for answer, reply in zip(answers, replies, strict=True):
        wanted, given = _trimmed(answer), stated(reply)
        found.append(given is not None and _same(wanted, given))
        if match == "math" and given and not found[-1] and _is_math(wanted, given, reply):
            unsure[len(found) - 1] = (wanted, given)
    if unsure:
        for place, equal in zip(unsure, _equal(list(unsure.values())), strict=True):
            found[place] = equal
    return found


def _same(wanted: str, given: str) -> bool:
    """Whether answers are equal as texts, or name the same option: "B" is `(B)`, `B.` and `B) a dog`."""
    if _plain(wanted) == _plain(given):
        return True
    one, other = LETTER.fullmatch(wanted), LETTER.fullmatch(given)
    return bool(one and other and len(wanted) <= 4 and one[1].upper() == other[1].upper())


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_math(wanted: str, given: str, reply: str) -> bool:
    """Whether two answers that differ as texts could be equal as mathematics.

    A reply that states its answer by being nothing else has to be a number: mathematics finds one in any text.
    """
    words = LETTER.fullmatch(wanted) or WORDS.fullmatch(wanted) or WORDS.fullmatch(given)
    bare = _trimmed(reply) == given and not NUMBER.fullmatch(given)
    return not (words or bare) and max(len(wanted), len(given)) <= LONGEST


@cache
def _pool() -> MathPool:
    return MathPool()


def _equal(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    r"""Compare as mathematics; a percentage is equal to its number and to its hundredth."""
    variants = [[(wanted, given) for wanted in _values(one) for given in _values(other)] for one, other in pairs]
    results = iter(_pool().equal([pair for each in variants for pair in each]))
    return [any(list(islice(results, len(each)))) for each in variants]


def _values(text: str) -> list[str]:
    number = re.sub(r"\\?%$", "", text).strip()
    return [text] if number == text else [number, f"({number})/100"]
