"""Reads verdicts on two replies from what a judge wrote: strictly, or by the rule of R1-Reward's code."""

import re

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
STRICT = re.compile(r"\s*<think>.*</think>\s*<answer>\s*([12])\s*</answer>\s*", re.DOTALL)
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def strict(text: str) -> int | None:
    """Read `<think>...</think><answer>1|2</answer>`, with each tag once and nothing but white space around it.

    Returns 1, 2, or None for any other text.
    """
    found = STRICT.fullmatch(text)
    return int(found[1]) if found and all(text.count(tag) == 1 for tag in TAGS) else None


def published(text: str) -> int:
    """Read a verdict as the evaluation scripts of R1-Reward do: 1 or 2 for any text.

    The first `<answer>` counts, or without one the last digit 1 or 2 of the text. The first reply wins where that
    is a number equal to 1; all else, also no verdict at all, is for the second.
    """
    tagged = ANSWER.search(text)
    digits = re.findall("[12]", text)
    label = tagged[1].strip() if tagged else digits[-1] if digits else ""
    try:
        return 1 if float(label) == 1 else 2
    except ValueError:
        return 2
