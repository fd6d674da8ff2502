"""What counts as a verdict: the strict form, and the rule of R1-Reward's code."""

import random
import re

import pytest

from trainer.verdicts import TAGS, published, strict

PARTS = (
    *TAGS,
    "1",
    "2",
    "3",
    "0",
    " ",
    "\n",
    "x",
    "<answer>1</answer>",
    "<think>a</think>",
    "<",
    ">",
    "/",
    "é",
    "nan",
)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("<think>a 2</think><answer>1</answer>", 1),
        ("\n<think>\n1\n\n2\n</think>\n<answer>\n2 </answer>\n", 2),
        ("<think></think><answer>2</answer>", 2),
        ("<answer>1</answer>", None),
        ("<think>a</think><answer>3</answer>", None),
        ("<think>a</think><answer>1 2</answer>", None),
        ("<think>a</think><answer>Reply 1</answer>", None),
        ("<think>a</think><answer>1</answer> I am sure", None),
        ("So: <think>a</think><answer>1</answer>", None),
        ("<think>a</think><think>b</think><answer>1</answer>", None),
        ("<think><answer>2</answer></think><answer>1</answer>", None),
        ("<think>a</think><answer>1</answer><answer>1</answer>", None),
        ("<THINK>a</THINK><ANSWER>1</ANSWER>", None),
        ("<think>a</think><answer>1", None),
        ("1", None),
        ("", None),
    ],
)
def test_a_strict_verdict_is_all_of_the_form(text, verdict):
    assert strict(text) == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("<think>2</think><answer>1</answer>", 1),
        ("<answer> 1.0 </answer>", 1),
        ("<answer>2</answer><answer>1</answer>", 2),
        ("<answer>Reply 1</answer>", 2),  # not a number, though it says 1
        ("<answer></answer> 1", 2),
        ("the first of the 2, so 1", 1),
        ("Reply 1 beats Reply 2", 2),
        ("21", 1),  # the last digit
        ("neither", 2),
        ("", 2),
    ],
)
def test_the_published_rule_gives_every_text_a_verdict(text, verdict):
    assert published(text) == verdict


def test_ten_thousand_texts():
    """Of random texts the strict parser takes those of the form alone, and the published rule none in vain."""
    draw = random.Random(0)
    taken = 0
    for _ in range(10_000):
        parts = ["<think>", "a", "</think>", "<answer>", draw.choice("12"), "</answer>"][: draw.choice((0, 6))]
        for _ in range(draw.randrange(6)):
            at = draw.randrange(len(parts) + 1)
            parts[at : at + draw.randrange(2)] = draw.choices(PARTS, k=draw.randrange(2))
        text = "".join(parts)
        verdict = strict(text)
        assert published(text) in (1, 2)
        if verdict is None:
            continue
        taken += 1
        before, _, answer = text.partition("</think>")
        assert before.lstrip().startswith("<think>")
        assert re.sub(r"\s", "", answer) == f"<answer>{verdict}</answer>"
        assert [text.count(tag) for tag in TAGS] == [1] * 4
        assert published(text) == verdict, "whatever is of the form reads the same by both rules"
    assert 1000 < taken < 4000
