"""Messages in the dialects of publishers: read as ours, or a skip that says what was not understood."""

import pytest

from curate.errors import SkipRow
from curate.schema import Block, Message
from curate.sources.base import MediaSource
from curate.sources.messages import read_messages, tools_of, turns

OSLO = '{"name":"weather","arguments":{"city":"Oslo"}}'
CALL = {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}


def one(**message):
    """One assistant message without media, unless it says so."""
    media = []
    (found,) = read_messages([{"role": "assistant", **message}], media)
    assert media == []
    return found.content


def why(**message) -> tuple[str, str]:
    with pytest.raises(SkipRow) as caught:
        read_messages([{"role": "assistant", **message}], [])
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "tool_calls": [CALL]},
        {"content": None, "tool_calls": [{"type": "function", "id": None, **CALL}]},
        {"content": None, "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]},
        {"content": None, "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo", "day": None}}]},
        {"content": None, "tool_calls": f"[{OSLO}]"},
        {"content": None, "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        {"content": [{"type": "tool_use", "name": "weather", "input": {"city": "Oslo"}}]},
        {"content": [{"type": "tool_call", "value": OSLO}]},
        {"role": None, "content": None, "from": "function_call", "value": OSLO},
    ],
)
def test_a_call_is_a_block_in_every_dialect(message):
    assert one(**message) == (Block("tool_call", OSLO),)


def test_text_and_reasoning_stand_beside_calls():
    call = Block("tool_call", OSLO)
    assert one(content="Let me look.", tool_calls=[CALL]) == (Block("text", "Let me look."), call)
    for key in ("reasoning_content", "reasoning", "thinking"):
        assert one(content="Hi", **{key: "Hm."}) == (Block("reasoning", "Hm."), Block("text", "Hi"))
    blocks = [{"type": "text", "text": "Hi"}, {"type": "thinking", "thinking": "Hm."}]
    assert one(content=blocks, tool_calls=[CALL]) == (Block("reasoning", "Hm."), Block("text", "Hi"), call)


def test_a_tool_answers_a_call():
    given = [{"role": "tool", "name": "weather", "tool_call_id": "c1", "content": "4 C"}]
    assert turns(given) == [
        Message("tool", (Block("tool_call_id", "c1"), Block("tool_name", "weather"), Block("text", "4 C")))
    ]
    assert turns([{"from": "observation", "value": "4 C"}]) == [Message("tool", (Block("text", "4 C"),))]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": "x", "tool_calls": [{"id": "c1"}]}, "tool_call_unreadable"),
        ({"content": "x", "tool_calls": {"name": "weather"}}, "tool_call_unreadable"),
        ({"content": None, "tool_calls": "weather(Oslo)"}, "tool_call_unreadable"),
        ({"from": "function_call", "role": None, "value": "weather(Oslo)"}, "tool_call_unreadable"),
        ({"content": "x", "images": ["a.png"]}, "message_key_not_read"),
        ({"content": "x", "audio": {"id": "a"}}, "message_key_not_read"),
        ({"content": None}, "content_not_text"),
        ({"content": [{"type": "audio"}]}, "unknown_block"),
        ({"content": [{"type": "image", "image": ""}]}, "image_missing"),
        ({"content": "x", "reasoning": 7}, "reasoning_not_text"),
        ({"role": "narrator", "content": "x"}, "unknown_role"),
    ],
)
def test_what_is_not_understood_is_a_skip(message, reason):
    assert why(**message)[0] == reason


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "image": "a.png"}, {"type": "image", "url": "a.png"}, {"type": "image", "path": "a.png"},
        {"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "image_url", "value": "a.png"},
        {"type": "image", "image": {"bytes": None, "path": "a.png"}, "text": None},
    ],
)  # fmt: skip
def test_an_image_in_every_dialect(block):
    media = []
    (found,) = read_messages([{"role": "user", "content": [block, {"type": "text", "value": "Sky?"}]}], media)
    assert found.content == (Block("image", None), Block("text", "Sky?"))
    assert media == [MediaSource(path="a.png")]


def test_text_adapters_refuse_images():
    with pytest.raises(SkipRow, match="media_in_messages"):
        turns([{"role": "user", "content": [{"type": "image"}]}])


def test_nulls_of_another_dialect_are_no_fields():
    filled = {"role": None, "content": None, "from": "gpt", "value": "Blue", "tool_calls": None, "name": None}
    assert turns([filled]) == turns([{"role": "assistant", "content": "Blue"}])


@pytest.mark.parametrize(
    ("value", "found"), [(None, None), ("", None), ([], None), ("[]", None), ('[{"name": "f"}]', '[{"name":"f"}]')]
)
def test_tools_are_json(value, found):
    assert tools_of(value) == found


@pytest.mark.parametrize("value", ["weather", 7, ["weather"], {"name": "f"}])
def test_tools_that_are_no_list_of_objects(value):
    with pytest.raises(SkipRow, match="tools_unreadable"):
        tools_of(value)
