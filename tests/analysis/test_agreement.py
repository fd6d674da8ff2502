"""How far sources agree, on comparisons few enough to count."""

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analysis.agreement import agreement
from curate.statistics import wilson

Labels = Sequence[tuple[str, float | None]]


def frame(*labels: str | tuple[str, float | None], prompt: int = 7) -> pl.DataFrame:
    """Pairs like "AB" or ("AB", margin), A better than B, all of one prompt."""
    known = [one if isinstance(one, tuple) else (one, None) for one in labels]
    return pl.DataFrame(
        [(prompt, ord(pair[0]), ord(pair[1]), margin) for pair, margin in known],
        schema={
            "prompt_key": pl.UInt64, "chosen_key": pl.UInt64, "rejected_key": pl.UInt64, "margin": pl.Float64
        },
        orient="row",
    )  # fmt: skip


def prompts(*labels: str | tuple[str, float | None]) -> pl.DataFrame:
    """The same, each of a prompt of its own."""
    return pl.concat(frame(one, prompt=number) for number, one in enumerate(labels))


def test_agreement_of_sources():
    sources = {
        "shp": frame("AB", "CD", "EF", "EF", "GH", "HG"),
        "hh": frame("AB", "DC", "EF", "FE", "FE", "GH"),
        "other": frame("AB", prompt=8),
    }
    assert agreement(sources).rows() == [
        ("shp", "shp", 1, 0, 1, None, 1, None, None),
        ("shp", "hh", 4, 1, 1, 0.5, 1, *wilson(0.5, 1)),
        ("hh", "hh", 1, 0, 1, None, 1, None, None),
    ]


def test_intervals_count_prompts():
    apart = agreement({"a": prompts(*["AB"] * 40), "b": prompts(*["AB"] * 30, *["BA"] * 10)})
    assert apart.rows() == [("a", "b", 40, 30, 10, 0.75, 40, *wilson(30, 40))]
    pairs = [chr(65 + i) + chr(66 + j) for i in range(10) for j in range(i, 10)]
    one = agreement({"a": frame(*pairs), "b": frame(*pairs)})
    assert one.rows() == [("a", "b", 55, 55, 0, 1.0, 1, *wilson(1, 1))]


def test_ties_are_no_labels():
    labels = [(pair, 1.0) for pair in ["AB"] * 50]
    first = prompts(*labels, *[("AB", 0.0)] * 100)
    second = prompts(*labels, *[("BA", 0.0)] * 100)
    assert agreement({"a": first, "b": second}).rows() == [("a", "b", 50, 50, 0, 1.0, 50, *wilson(50, 50))]


def test_copies_are_no_second_label():
    copied = frame(("AB", 2.0), ("AB", 2.0), ("AB", 2.0), ("BA", 1.0), ("BA", 2.0))
    assert agreement({"a": copied, "b": frame("BA")}).rows() == [
        ("a", "a", 1, 0, 1, 0.0, 1, *wilson(0, 1)),
        ("a", "b", 1, 1, 0, 1.0, 1, *wilson(1, 1)),
    ]
    assert agreement({"a": frame(("AB", 2.0), ("AB", 1.0))}).rows() == [("a", "a", 1, 1, 0, 1.0, 1, *wilson(1, 1))]
    assert agreement({"a": frame("AB", "AB")}).height == 0


def test_no_agreement_without_shared_comparisons():
    assert agreement({}).height == 0
    undecided = agreement({"a": frame("AB", "BA"), "b": frame("AB")})
    assert undecided.rows() == [
        ("a", "a", 1, 0, 1, None, 1, None, None), ("a", "b", 1, 0, 0, None, 0, None, None)
    ]  # fmt: skip


LABELS = st.lists(
    st.tuples(
        st.sampled_from("ABCDE"), st.sampled_from("ABCDE"), st.sampled_from([None, 0.0, 1.0, 2.0])
    ).map(lambda one: (one[0] + one[1], one[2])),
    max_size=16,
)  # fmt: skip


@given(first=LABELS, second=LABELS)
def test_agreement_is_the_same_both_ways(first: Labels, second: Labels):
    one = agreement({"a": frame(*first), "b": frame(*second)}).filter(pl.col("left") != pl.col("right"))
    other = agreement({"b": frame(*second), "a": frame(*first)}).filter(pl.col("left") != pl.col("right"))
    assert one.drop("left", "right").equals(other.drop("left", "right"))
    assert all(row["agreeing"] + row["opposed"] <= row["shared"] for row in one.rows(named=True))


@given(labels=LABELS, swapped=st.lists(st.booleans(), min_size=16, max_size=16))
def test_the_slots_of_ties_do_not_matter(labels: Labels, swapped: list[bool]):
    turned = [
        (pair[::-1] if margin == 0 and turn else pair, margin)
        for (pair, margin), turn in zip(labels, swapped, strict=False)
    ]
    other = frame("AB", "CB", "ED")
    assert agreement({"a": frame(*labels), "b": other}).equals(agreement({"a": frame(*turned), "b": other}))


@pytest.mark.parametrize("copies", [1, 5])
def test_copies_change_nothing_between_sources(copies: int):
    once = {"a": frame("AB", "BA", "CD"), "b": frame("AB", "CD")}
    again = {**once, "a": frame(*["AB"] * copies, "BA", *["CD"] * copies)}
    assert agreement(again).equals(agreement(once))
