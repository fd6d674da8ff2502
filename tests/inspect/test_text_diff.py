"""Differences marked, long text cut: no character is lost or made up."""

from hypothesis import given
from hypothesis import strategies as st

from curate.inspect.text_diff import cut, differences, plain

WORDS = st.lists(st.sampled_from(["red ", "blue ", "a\n", "the  ", "fox."]), max_size=12).map("".join)


@given(WORDS, WORDS)
def test_marks_change_no_text(chosen, rejected):
    left, right = differences(chosen, rejected)
    assert "".join(span.text for span in left) == chosen
    assert "".join(span.text for span in right) == rejected


@given(st.text(max_size=400), st.text(max_size=400), st.integers(2, 300))
def test_a_cut_accounts_for_every_character(chosen, rejected, most):
    for spans in differences(chosen, rejected):
        kept = cut(spans, most)
        text = sum(len(span.text) for span in kept if not span.hidden)
        assert text + sum(span.hidden for span in kept) == sum(len(span.text) for span in spans)
        assert text <= most


def test_marks_are_left_out_where_all_differs():
    assert differences("It is four.", "I do not know.") == (plain("It is four."), plain("I do not know."))


def test_a_cut_keeps_what_is_near_a_difference():
    left, _ = differences("x " * 500 + "yes " + "z " * 500, "x " * 500 + "no " + "z " * 500)
    kept = "".join(span.marked for span in cut(left, 800))
    assert kept == (
        " … 920 characters hidden … " + "x " * 40 + "{+yes+} " + "z " * 39 + "z … 921 characters hidden … "
    )
