"""Messages in the dialects that publishers write, as ours: one reader for all adapters.

    role, content                 text, or blocks; `from` and `value` in ShareGPT
    {type: text, text | value}    and image, image_url, input_image, video, video_url, reasoning, tool_call
    tool_calls, function_call     OpenAI's; also a turn with the role `function_call` and the call as JSON
    role tool                     with `name` and `tool_call_id`; `observation` and `function` are other names for
    it
    reasoning_content             also `reasoning` and `thinking`

A key whose value is null counts as absent: Arrow fills every dialect's keys into every message of a file. What is
said in a form that is not known is a skip, never passed over.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import orjson

from curate.errors import SkipRow
from curate.schema import MEDIA_BLOCKS, Block, Message, tool_call
from curate.sources.base import MediaSource
from curate.sources.images import media_of

ROLE_NAMES = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "assistant": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "function_call": "assistant",
}  # fmt: skip

REASONING = ("reasoning_content", "reasoning", "thinking")
UNREAD = ("image", "images", "video", "videos", "audio", "audios", "files", "attachments", "refusal")
"""Keys of a message that hold content which no dialect above puts there."""

READ_KEYS = {*UNREAD, *REASONING, "tool_calls", "function_call", "tool_call_id", "name"}
"""Keys that decide, beside role and content, what a message is; all others are passed over."""

IMAGE_TYPES = ("image", "image_url", "input_image")
VIDEO_TYPES = ("video", "video_url")
TEXT_TYPES = ("text", "input_text", "output_text")


def read_messages(value: Any, media: list[MediaSource], name: str = "messages") -> list[Message]:
    """The messages of a list; their media are appended to `media` in the order of the blocks.

    Skips: `<name>_not_a_list`, and those of `read_message`.
    """
    if not isinstance(value, list | tuple):
        raise SkipRow(f"{name}_not_a_list", type(value).__name__)
    for turn in value:
        if not isinstance(turn, dict):
            raise SkipRow(f"{name}_not_a_list", f"a list of {type(turn).__name__}")
    return [read_message(turn, media) for turn in value]


def role_of(turn: Mapping[str, Any]) -> str | None:
    """Our name of a turn's role; None where it has none or one that is unknown."""
    name = _first(turn, ("role", "from"))
    return ROLE_NAMES.get(name.strip().lower()) if isinstance(name, str) else None


def read_message(turn: Mapping[str, Any], media: list[MediaSource]) -> Message:
    """One turn.

    Skips: `unknown_role`, `content_not_text`, `unknown_block`, `tool_call_unreadable`, `message_key_not_read`, and
    those of `media_of`.
    """
    role = role_of(turn)
    if role is None:
        raise SkipRow("unknown_role", repr(_first(turn, ("role", "from")))[:80])
    if len(turn) == 2 and isinstance(text := turn.get("content"), str):  # nearly every message goes the short way
        return Message(role, (Block("text", text),))
    for key in UNREAD:
        if turn.get(key):
            raise SkipRow("message_key_not_read", key)
    content = _first(turn, ("content", "value"))
    if str(_first(turn, ("role", "from"))).strip().lower() == "function_call":
        return Message(role, tuple(_calls(content)))
    before = _before(turn, role)
    calls = _tool_calls(turn)
    blocks = _content(content, media, empty=bool(before or calls))
    # a block of reasoning or a call inside the content goes where the message's own fields go
    inside = [block for block in blocks if block.type == "reasoning"]
    called = [block for block in blocks if block.type == "tool_call"]
    rest = [block for block in blocks if block.type not in ("reasoning", "tool_call")]
    return Message(role, (*inside, *before, *rest, *called, *calls))


def _first(turn: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The first value that is not null."""
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def _before(turn: Mapping[str, Any], role: str) -> list[Block]:
    """The reasoning of an assistant, or what call a tool answers."""
    reasoning = _first(turn, REASONING)
    blocks = [Block("reasoning", _text(reasoning, "reasoning"))] if reasoning else []
    if role == "tool":
        if (call_id := turn.get("tool_call_id")) is not None:
            blocks.append(Block("tool_call_id", _text(call_id, "tool_call_id")))
        if (name := turn.get("name")) is not None:
            blocks.append(Block("tool_name", _text(name, "name")))
    return blocks


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise SkipRow(f"{name}_not_text", type(value).__name__)
    return value


def _content(content: Any, media: list[MediaSource], *, empty: bool) -> list[Block]:
    """The blocks of a message; one without text is allowed where `empty` says that it has something else."""
    if empty and content in (None, ""):
        return []
    if isinstance(content, str):
        return [Block("text", content)]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise SkipRow("content_not_text", type(content).__name__)
    return [_block(block, media) for block in content] or [Block("text", "")]


def _block(block: Any, media: list[MediaSource]) -> Block:
    if isinstance(block, str):
        return Block("text", block)
    if not isinstance(block, dict):
        raise SkipRow("unknown_block", type(block).__name__)
    kind, text = block.get("type"), _first(block, ("text", "value"))
    if kind in (None, *TEXT_TYPES) and isinstance(text, str):
        return Block("text", text)
    if kind in IMAGE_TYPES:
        media.extend(_block_media(block, ("image", "url", "path", "image_url", "bytes", "source", "value")))
        return Block("image", None)
    if kind in VIDEO_TYPES:
        media.extend(videos_of(_first(block, ("video", "url", "path", "video_url", "value"))))
        return Block("video", None)
    if kind in ("reasoning", "thinking"):
        return Block("reasoning", _text(_first(block, ("thinking", "reasoning", "text", "value")), "reasoning"))
    if kind == "tool_call":
        return _only(_calls(_first(block, ("tool_call", "value", "text"))))
    if kind == "tool_use":
        return _call({"id": block.get("id"), "name": block.get("name"), "arguments": block.get("input")})
    raise SkipRow("unknown_block", repr(kind)[:80])


def _block_media(block: Mapping[str, Any], keys: Sequence[str]) -> list[MediaSource]:
    """The image that a block names; none where its image is in a column beside the messages."""
    value = _first(block, keys)
    if value is None:
        return []
    if isinstance(value, dict) and not {"bytes", "path"} & set(value):
        value = _first(
            value, ("url", "data")
        )  # {"url": ...} of OpenAI, {"type": "base64", "data": ...} of Anthropic
    found = media_of(value)
    if len(found) != 1:
        raise SkipRow("image_missing" if not found else "unknown_block", f"{len(found)} images in one block")
    return found


def videos_of(value: Any) -> list[MediaSource]:
    """The videos of a value: a path or a list of paths; none for null and an empty list. Skips:
    `video_not_a_path`."""
    if isinstance(value, dict):
        value = _first(value, ("path", "url"))
    paths = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not all(isinstance(path, str) and path for path in paths):
        raise SkipRow("video_not_a_path", type(value).__name__)
    return [MediaSource(kind="video", path=path) for path in paths]


def _tool_calls(turn: Mapping[str, Any]) -> list[Block]:
    """The calls of an OpenAI message."""
    calls = turn.get("tool_calls")
    if isinstance(calls, str) and calls.strip():
        return _calls(calls)
    found = [_call(call) for call in calls] if isinstance(calls, list) else []
    if calls and not found:
        raise SkipRow("tool_call_unreadable", type(calls).__name__)
    legacy = turn.get("function_call")
    return [*found, *([_call(legacy)] if legacy else [])]


def _calls(value: Any) -> list[Block]:
    """The calls in JSON text: one object or a list of them."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise SkipRow("tool_call_unreadable", value[:80]) from None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise SkipRow("tool_call_unreadable", type(value).__name__)
    return [_call(call) for call in value]


def _only(blocks: list[Block]) -> Block:
    if len(blocks) != 1:
        raise SkipRow("tool_call_unreadable", f"{len(blocks)} calls in one block")
    return blocks[0]


def _call(call: Any) -> Block:
    """One call: {"function": {"name", "arguments"}}, or {"name", "arguments"} themselves."""
    inner = call.get("function") if isinstance(call, dict) and isinstance(call.get("function"), dict) else call
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise SkipRow("tool_call_unreadable", repr(call)[:80])
    arguments = _first(inner, ("arguments", "parameters", "input"))
    call_id = call.get("id")
    try:
        return tool_call(inner["name"], _without_nulls({} if arguments is None else arguments), call_id)
    except (orjson.JSONEncodeError, TypeError):
        raise SkipRow("tool_call_unreadable", repr(arguments)[:80]) from None


def _without_nulls(value: Any) -> Any:
    """Arguments as they were before Arrow gave every call the keys of all others."""
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def tools_of(value: Any) -> str | None:
    """The JSON of the functions that a row offers; None for null, "" and an empty list.

    Skips: `tools_unreadable` for what is no JSON list of objects.
    """
    if value is None or value in ("", []):
        return None
    try:
        tools = orjson.loads(value) if isinstance(value, str) else value
        if isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools):
            return orjson.dumps(tools).decode() if tools else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError):
        pass
    raise SkipRow("tools_unreadable", repr(value)[:80])


def turns(messages: Any) -> list[Message]:
    """The messages of a list that has no media. Skips: `media_in_messages`, and those of `read_messages`."""
    media: list[MediaSource] = []
    found = read_messages(messages, media)
    if media or any(block.type in MEDIA_BLOCKS for turn in found for block in turn.content):
        raise SkipRow("media_in_messages")
    return found


def split_dialogue(chosen: Any, rejected: Any) -> tuple[list[Message], list[Message], list[Message]]:
    """(prompt, chosen, rejected) from two whole dialogues that share everything before the last turn.

    Skips: `prompts_differ`, `no_reply` (a side is empty or does not end with the assistant).
    """
    left = turns(chosen)
    # most prompts agree as upstream wrote them: then only the last turn of the other side is read anew
    same = isinstance(rejected, list) and bool(rejected) and rejected[:-1] == chosen[:-1]
    return split_turns(left, [*left[:-1], *turns(rejected[-1:])] if same else turns(rejected))


def split_turns(left: list[Message], right: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """(prompt, chosen, rejected) of two dialogues. Skips: as `split_dialogue`."""
    for side in (left, right):
        if not side or side[-1].role != "assistant":
            raise SkipRow("no_reply")
    if left[:-1] != right[:-1]:
        raise SkipRow("prompts_differ", first_difference(left[:-1], right[:-1]))
    return left[:-1], left[-1:], right[-1:]


def first_difference(left: Sequence[Message], right: Sequence[Message]) -> str:
    """Where two dialogues stop being the same: "turn 2 of 3 and 5 (assistant)"."""
    same = sum(1 for _ in takewhile(lambda turns: turns[0] == turns[1], zip(left, right, strict=False)))
    roles = [side[same].role for side in (left, right) if same < len(side)]
    return f"turn {same + 1} of {len(left)} and {len(right)} ({', '.join(dict.fromkeys(roles))})"


SPEAKER = re.compile(r"(?:^\s*|\n\n)(Human|Assistant):")


def is_transcript(text: str) -> bool:
    """Whether a text is a dialogue as HH-RLHF writes it: `\\n\\nHuman: ...\\n\\nAssistant: ...`, from its very
    start."""
    return SPEAKER.match(text) is not None and "\n\nAssistant:" in text


def transcript(text: str) -> list[Message]:
    """The turns of a transcript; white space around a turn is layout. Skips: `not_a_transcript`."""
    before, *parts = SPEAKER.split(text)
    if before.strip() or not parts:
        raise SkipRow("not_a_transcript", repr(before)[:80])
    return [
        Message("user" if speaker == "Human" else "assistant", (Block("text", content.strip()),))
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
