"""A reply is right if it states the answer, not if the answer occurs in it."""

import sys

import pytest

from curate.errors import TrainError
from trainer import answers, math_pool
from trainer.answers import right, stated
from trainer.math_pool import MathPool

CASES = [
    ("8", "The answer is 8.", True),
    ("8", "**Answer:** 8", True),
    ("8", "8", True),
    ("8", r"\boxed{7}, no, \boxed{8}", True),
    ("8", r"\boxed{8}, no, \boxed{7}", False),
    ("8", "the answer is not 8", False),
    ("8", "qq 8 zz", False),  # gibberish that contains it
    ("8", "foo 8 bar baz\n 8 x", False),
    ("8", "answer: 1 2 3 4 5 6 7 8 9", False),
    ("2", r"\boxed{2, 3}", False),
    ("1,000", "#### 1000", True),
    ("3.0", r"\boxed{3}", True),
    ("1/2", r"<answer>\frac{1}{2}</answer>", True),
    ("0.5", "<answer>1/2</answer>", True),
    ("(1,2)", r"\boxed{(1, 2)}", True),
    ("x+1", r"\boxed{1+x}", True),
    (r"\sqrt{2}", r"The answer is $\sqrt2$", True),
    (r"\frac{1}{2}", r"<answer>So \boxed{0.5}</answer>", True),
    (r"50\%", r"\boxed{0.5}", True),
    ("50%", r"\boxed{50}", True),
    ("50%", r"\boxed{5}", False),
    ("B", "The answer is (B).", True),
    ("B", "Answer: B) a dog", True),
    ("(b)", "B", True),
    ("B", "A big B", False),
    ("A", "Answer: Actually, B", False),
    ("yes", "<answer>Yes.</answer>", True),
    ("yes", "no", False),
    ("A cat", "a  cat", True),
    ("A cat", "It is a cat", False),
    ("8", "", False),
    ("", "8", False),
]


def test_right_and_wrong_replies():
    found = right([answer for answer, _, _ in CASES], [reply for _, reply, _ in CASES], "math")
    assert [(*case[:2], got) for case, got in zip(CASES, found, strict=True)] == CASES


def test_exactly_is_without_mathematics():
    replies = [r"\boxed{0.5}", r"\boxed{1/2}", "(B) a dog"]
    assert right(["1/2", "1/2", "B"], replies, "exact") == [False, True, True]


def test_a_function_sees_the_whole_reply():
    assert right(["8", "9"], ["qq 8", "8"], lambda answer, reply: answer in reply) == [True, False]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<answer> 3 </answer><answer>4</answer>", "4"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{unclosed", r"\boxed{unclosed"),
        ("Two\nlines", None),
        (r"The answer is: $\text{cat}$.", "cat"),
    ],
)
def test_what_is_stated(reply, answer):
    assert stated(reply) == answer


def test_what_takes_too_long_is_not_equal(monkeypatch):
    monkeypatch.setattr(math_pool, "SECONDS", 0)  # here, not in the worker
    pool = MathPool(1)
    tower = "9^{9^{9^{9}}}"
    assert pool.equal([(tower, "9^{9^{9^{8}}}"), ("2", "1+1")]) == [False, True]  # a new worker after it


def test_without_math_verify(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    monkeypatch.setattr(math_pool, "find_spec", lambda _: None)
    answers._pool.cache_clear()
    with pytest.raises(TrainError, match="math-verify not installed") as caught:
        right(["1/2"], [r"\boxed{0.5}"], "math")
    assert caught.value.hint.endswith("[reward]'")
    assert right(["B"], ["(B)"], "math") == [True]  # needs no mathematics
    answers._pool.cache_clear()
