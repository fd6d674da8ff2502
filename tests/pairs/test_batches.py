"""Pairs made many at once are those made one by one: ids, keys, groups, columns and skips."""

import dataclasses

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.pairs.batches import GivenRow, Provenance, _one_by_one, tables_of
from curate.schema import Block, Media, Message
from curate.sources.base import Draft

STAMP = Provenance(source="mine", license="mit", annotator=None, revision="abc")
TEXT = st.sampled_from(["", "Yes", "é", "漢字", "\U0001f600", "a\0b", "x" * 300])
ODD_TEXT = TEXT | st.sampled_from(["\ud800"])
BLOCK = st.builds(Block, st.just("text"), TEXT)
TURN = st.builds(
    Message, st.sampled_from(["user", "assistant", "system"]), st.lists(BLOCK, min_size=1, max_size=3).map(tuple)
)
IMAGE = Media("image", ("0" * 32,))
NUMBER = st.sampled_from([None, 0.0, -0.0, 1, 2.5, 1e300])
ODD_NUMBER = NUMBER | st.sampled_from([float("nan"), float("inf"), True])
OPTIONAL = st.none() | TEXT


@st.composite
def drafts(draw):
    """A draft and its media: mostly plain, and now and then one with tools, calls, odd numbers or odd text."""
    odd = draw(st.integers(0, 5)) == 0
    prompt, chosen, rejected = (draw(st.lists(TURN, max_size=3)) for _ in range(3))
    media = draw(st.sampled_from([(), (IMAGE,), (IMAGE, Media("video", ("1" * 32, "2" * 32)))]))
    prompt += [Message("user", tuple(Block(one.kind, None) for one in media))] if media else []
    draft = Draft(
        prompt=prompt, chosen=chosen, rejected=rejected, margin=draw(NUMBER), chosen_score=draw(NUMBER),
        chosen_critique=draw(OPTIONAL), category=draw(OPTIONAL), annotator=draw(OPTIONAL), license=draw(OPTIONAL),
        group=draw(OPTIONAL), extra=draw(st.sampled_from([None, {}, {"b": 1, "a": [None, 1.5]}])),
    )  # fmt: skip
    if odd:
        change = draw(
            st.sampled_from([
                {"tools": "[]"}, {"margin": draw(ODD_NUMBER)}, {"category": draw(ODD_TEXT)}, {"category": 7},
                {"extra": {"a": b"bytes"}}, {"extra": {"a": "\ud800"}},
                {"chosen": [Message("assistant", (Block("reasoning", "so"), Block("text", "x")))]},
                {"chosen": [Message("assistant", (Block("text", draw(ODD_TEXT)),))]},
            ])
        )  # fmt: skip
        draft = dataclasses.replace(draft, **change)
    return draft, (media, 10 * len(media))


@st.composite
def rows(draw):
    given_rows = draw(st.lists(st.lists(drafts(), min_size=1, max_size=3), min_size=1, max_size=40))
    return [
        GivenRow(7 * number, [draft for draft, _ in row], [media for _, media in row])
        for number, row in enumerate(given_rows)
    ]


@given(rows())
@settings(max_examples=60, deadline=None)
def test_many_at_once_are_as_one_by_one(given_rows):
    skips, alone_skips = {}, {}
    made = list(tables_of(STAMP, "f.jsonl", given_rows, skips))
    table, numbers = _one_by_one(STAMP, "f.jsonl", given_rows, alone_skips)
    assert pa.concat_tables([one for one, _ in made]).to_pylist() == table.to_pylist()
    assert np.concatenate([numbers for _, numbers in made]).tolist() == numbers.tolist()
    assert {at: (skip.reason, skip.detail) for at, skip in skips.items()} == {
        at: (skip.reason, skip.detail) for at, skip in alone_skips.items()
    }


def test_nothing_is_made_of_nothing():
    assert list(tables_of(STAMP, "f", [], {})) == []
