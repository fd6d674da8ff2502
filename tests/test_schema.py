"""Identity is by content, and survives a Parquet round trip."""

import io

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import schema
from curate.errors import SkipRow
from curate.pairs.columns import PairColumns, finish, group_id
from curate.schema import PAIRS_FILE, Block, Media, Message
from curate.sources.base import Draft, reply, user

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
kinds = st.sampled_from(["text", "reasoning", "tool_name"])
blocks = st.one_of(st.builds(Block, kinds, words), st.just(Block("image", None)))
messages = st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.lists(blocks, max_size=3).map(tuple)),
    max_size=3,
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5)
drafts = st.builds(
    Draft,
    prompt=messages, chosen=messages, rejected=messages, margin=numbers, chosen_score=numbers,
    category=st.none() | words, tools=st.none() | words,
    extra=st.none() | st.dictionaries(words, words, max_size=2),
)  # fmt: skip
media = st.lists(st.builds(Media, st.just("image"), st.lists(words, max_size=2).map(tuple)), max_size=2).map(tuple)


def stored(*found):
    columns = PairColumns("s", "mit", "human", "abc")
    for pair in found:
        columns.add("f:1", group_id("s", None, [pair]), pair)
    buffer = io.BytesIO()
    pq.write_table(columns.take(), buffer)
    return pq.read_table(buffer)


def back(row):
    """The pair of a stored row, as it came out of Parquet."""

    def turns(column):
        return [Message(m["role"], tuple(Block(b["type"], b["text"]) for b in m["content"])) for m in row[column]]

    import json

    draft = Draft(
        prompt=turns("prompt"), chosen=turns("chosen"), rejected=turns("rejected"), margin=row["margin"],
        chosen_score=row["chosen_score"], category=row["category"], tools=row["tools"],
        extra=json.loads(row["extra"]) if row["extra"] else None,
    )  # fmt: skip
    return finish("s", draft, tuple(Media(m["kind"], tuple(m["keys"])) for m in row["media"]), row["media_bytes"])


def media_of(draft):
    """One image for each media block."""
    turns = (*draft.prompt, *draft.chosen, *draft.rejected)
    count = sum(block.type == "image" for turn in turns for block in turn.content)
    return tuple(Media("image", (f"k{i}",)) for i in range(count))


@given(drafts, media)
def test_the_id_survives_parquet(draft, media):
    media = (
        media
        if not any(b.text is None for m in (*draft.chosen, *draft.rejected) for b in m.content)
        else media_of(draft)
    )
    table = stored(finish("s", draft, media, 7))
    assert table.schema.equals(PAIRS_FILE)
    again = stored(back(table.to_pylist()[0]))
    for column in (
        "pair_id",
        "group_id",
        "prompt_key",
        "chosen_key",
        "rejected_key",
        "text_bytes",
        "reply_media",
        "has_fields",
        "known",
    ):
        assert table[column].to_pylist() == again[column].to_pylist()


@given(drafts)
def test_text_bytes_is_the_utf8_size_of_all_text(draft):
    texts = [b.text or "" for m in (*draft.prompt, *draft.chosen, *draft.rejected) for b in m.content]
    assert stored(finish("s", draft, (), 0))["text_bytes"].to_pylist() == [sum(len(t.encode()) for t in texts)]


def pair(source="s", **changes):
    given = {"prompt": user("q"), "chosen": reply("a"), "rejected": reply("b"), **changes}
    media = given.pop("media", ())
    return finish(source, Draft(**given), media, 0)


def ids(*found):
    return stored(*found)["pair_id"].to_pylist()


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": user("q ")},
        {"chosen": reply("b"), "rejected": reply("a")},
        {"margin": 1.0},
        {"margin": 0.0},
        {"chosen_score": 1.0},
        {"category": ""},
        {"annotator": "gpt-4"},
        {"extra": {"a": 1}},
        {"media": (Media("image", ("k",)),)},
        {"prompt": [*user("q"), *user("")]},
        {"prompt": [Message("user", (Block("text", "q"), Block("image", None)))]},
    ],
)
def test_any_other_content_is_another_id(changes):
    assert len(set(ids(pair(), pair(**changes)))) == 2


def test_where_a_row_lies_and_int_or_float_make_no_difference():
    assert ids(pair(margin=2)) == ids(pair(margin=2.0))
    assert ids(pair(), pair())[0] == ids(pair(), pair())[1]


def test_another_source_is_another_id():
    assert ids(pair("s")) != ids(pair("t"))


def test_known_id():
    """Ids are for ever: this one may only change with schema.VERSION."""
    assert ids(pair(margin=1.0)) == [KNOWN_ID]


KNOWN_ID = "023f778da45171906093921fc3acd90d"


def test_a_row_names_its_group_by_its_pairs_in_any_order():
    one, two = pair(), pair(margin=1.0)
    assert group_id("s", None, [one, two]) == group_id("s", None, [two, one])
    assert group_id("s", None, [one]) != group_id("s", None, [one, two])
    assert group_id("s", "post 1", [one]) == group_id("s", "post 1", [two])


@pytest.mark.parametrize(
    "changes",
    [{"prompt": user("\ud800")}, {"category": "\ud800"}, {"extra": {"a": "\udfff"}}, {"group": "\udfff"}],
)
def test_lone_surrogates_are_a_skip(changes):
    with pytest.raises(SkipRow, match="not_unicode"):
        pair(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"category": {"name": "safety"}}, "category_not_text"),
        ({"group": 17}, "group_not_text"),
        ({"chosen_critique": ["good"]}, "chosen_critique_not_text"),
        ({"license": 3}, "license_not_text"),
        ({"extra": {"a": b"\xff"}}, "extra_not_json"),
    ],
)
def test_what_an_adapter_hands_on_unread_is_a_skip_where_it_is_of_another_type(changes, reason):
    with pytest.raises(SkipRow) as caught:
        pair(**changes)
    assert caught.value.reason == reason


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_must_be_finite(number):
    with pytest.raises(SkipRow, match="number_not_finite"):
        pair(margin=number)


IMAGE = Block("image", None)


def picture(*blocks):
    return [Message("assistant", (*blocks, Block("text", "here")))]


def test_media_of_replies_are_covered_by_the_keys_of_the_replies():
    one, two, three = (Media("image", (key,)) for key in ("1", "2", "3"))
    prompt_turns = [Message("user", (IMAGE, Block("text", "edit it")))]
    given = {"prompt": prompt_turns, "chosen": picture(IMAGE), "rejected": picture(IMAGE)}
    left, right, other = (
        stored(pair(**given, media=media)) for media in ((one, two, three), (one, three, two), (two, two, three))
    )
    assert left["reply_media"].to_pylist() == [2]
    assert left["prompt_key"] == right["prompt_key"] != other["prompt_key"]
    assert left["chosen_key"] == right["rejected_key"] == other["chosen_key"] != left["rejected_key"]
    assert len({*ids(pair(**given, media=(one, two, three))), *ids(pair(**given, media=(one, three, two)))}) == 2
    with pytest.raises(SkipRow) as caught:
        pair(**given, media=(one, two))
    assert (caught.value.reason, caught.value.detail) == ("placeholder_mismatch", "3 media blocks, 2 media")


def test_tools_and_calls_are_part_of_the_pair():
    call = schema.tool_call("weather", '{"city": "Oslo"}')
    assert call == Block("tool_call", '{"name":"weather","arguments":{"city":"Oslo"}}')
    reply_turns = [Message("assistant", (Block("text", ""), call))]
    plain, called, offered = pair(chosen=reply("")), pair(chosen=reply_turns), pair(chosen=reply_turns, tools="[]")
    assert [one.has_fields for one in (plain, called, offered)] == [False, True, True]
    assert len({one.pair_id for one in (plain, called, offered)}) == 3
    keys = stored(plain, called, offered)
    assert len(set(keys["chosen_key"].to_pylist())) == 2
    assert len(set(keys["prompt_key"].to_pylist())) == 2


def test_message_fields_for_chat_templates():
    weather = {"name": "weather", "arguments": {"city": "Oslo"}}
    call = schema.tool_call("weather", {"city": "Oslo"}, "c1")
    turn = Message("assistant", (Block("reasoning", "Hm."), Block("text", "Let me look."), call))
    fields = {
        "role": "assistant", "content": [{"type": "text", "text": "Let me look."}], "reasoning_content": "Hm.",
        "tool_calls": [{"type": "function", "id": "c1", "function": weather}],
    }  # fmt: skip
    assert schema.to_fields(turn) == fields
    assert schema.from_fields(fields | {"name": None, "tool_call_id": None}) == turn
    answer = Message("tool", (Block("tool_call_id", "c1"), Block("tool_name", "weather"), Block("text", "4 C")))
    assert schema.from_fields(schema.to_fields(answer)) == answer
    assert schema.to_fields(reply("x")[0]) == {"role": "assistant", "content": [{"type": "text", "text": "x"}]}


def test_known_counts_what_a_copy_has_more_of():
    table = stored(
        pair(), pair(margin=1.0), pair(margin=0.0, chosen_score=1.0, rejected_score=1.0, chosen_critique="c")
    )
    assert table["known"].to_pylist() == [0, 1, 4]
