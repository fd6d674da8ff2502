"""The ways in which the values of a column can be read as verdicts about two replies."""

from collections.abc import Iterator
from typing import Any

from curate.sources.generic.verdicts import KNOWN


def verdict_tables(
    values: set[str], base: int | None, sides: dict[str, str] | None = None
) -> Iterator[tuple[Any, str]]:
    """(table of verdicts, what it says) of each way to read the values; an empty table where the words are known.

    `base` is the number that the first reply has in the name of its column, if the names count.
    """
    if not values:
        return
    if values <= set(KNOWN):
        yield {}, ""
        return
    if sides and values <= set(sides) | {"tie"}:
        yield {**sides, "tie": "tie"}, "the better reply is named"
        return
    if not all(value.lstrip("-").isdigit() for value in values):
        numbers = _numbers(values)
        if numbers is not None and min(numbers) >= 1 and max(numbers) <= 2:
            yield 1.5, "below 1.5 the first is better"
        return
    numbers_seen = sorted(map(int, values))
    if numbers_seen[0] < 0 < numbers_seen[-1]:
        yield 0.0, "negative numbers mean the first reply"
        graded = {str(n): "tie" if n == 0 else {"a" if n > 0 else "b": float(abs(n))} for n in numbers_seen}
        yield graded, "positive numbers mean the first reply"
    else:
        yield from _small_numbers(values, base)


def _small_numbers(values: set[str], base: int | None) -> Iterator[tuple[Any, str]]:
    """The ways to read 0, 1, 2 and 3 as verdicts."""
    one, nil = {"1": "a", "2": "b"}, {"0": "a", "1": "b"}
    from_one = (one, "1 means the first reply, 2 the second")
    from_nil = (nil, "0 means the first reply, 1 the second")
    yes = ({"1": "a", "0": "b"}, "1 means the first reply, 0 the second")
    if base == 0 and values <= {"0", "1"}:
        yield from_nil
    elif values <= {"1", "2"} and (base == 1 or len(values) == 2):
        yield from_one
    elif values <= {"1"}:
        yield from (from_one, yes, from_nil)
    elif values <= {"0", "1"}:
        yield from (from_nil, yes)
    elif values <= {"0", "1", "2"}:
        yield {"0": "tie", **one}, "1 means the first reply, 2 the second, 0 a tie"
        yield {**nil, "2": "tie"}, "0 means the first reply, 1 the second, 2 a tie"
    elif values <= {"1", "2", "3"}:
        yield {**one, "3": "tie"}, "1 means the first reply, 2 the second, 3 a tie"


def _numbers(values: set[str]) -> list[float] | None:
    try:
        return [float(value) for value in values]
    except ValueError:
        return None
