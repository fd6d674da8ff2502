"""The columns of TRL and ms-swift as dialogues with their images.

    prompts      texts, rendered prompts, or message lists whose content is a text or a list of blocks
    completions  texts, or message lists
    images       for each row a list of images, or `image` with one, or images inside the prompt's blocks
    messages     ms-swift's: the whole dialogue, in place of prompts

An image is one of PIL, bytes, a mapping with `bytes` or `path` (as `datasets` has them undecoded), or a path.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from curate.errors import ConfigError
from curate.schema import Block, Message, from_fields
from trainer.dialogues import RENDERED
from trainer.media import encoded


class Rollout(NamedTuple):
    """A dialogue, whose last message is the completion, with its images in the order of its blocks."""

    messages: list[Message]
    images: tuple[bytes, ...]


def rollouts(completions: Sequence[Any], columns: Mapping[str, Any]) -> list[Rollout]:
    """Make a dialogue of each completion. Raises ConfigError for columns of another form."""
    prompts = columns.get("prompts")
    if prompts is None and columns.get("messages") is not None:
        prompts = [_without_reply(messages) for messages in columns["messages"]]
    if prompts is None:
        seen = ", ".join(sorted(columns)) or "none"
        raise ConfigError("reward", f"columns {seen}", "prompts (TRL) or messages (ms-swift) beside completions")
    images = _images(columns, len(completions))
    rows = zip(prompts, completions, images, strict=True)
    return [_rollout(prompt, completion, own) for prompt, completion, own in rows]


def text_of(completion: Any) -> str:
    """The text of a completion, as answers are looked for in it."""
    if isinstance(completion, str):
        return completion
    return "".join(block.text or "" for block in _messages(completion, iter(()), [])[-1].content)


def _rollout(prompt: Any, completion: Any, images: list[Any]) -> Rollout:
    question: Sequence[Any] = [{"role": RENDERED, "content": prompt}] if isinstance(prompt, str) else prompt
    answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
    found: list[Any] = []
    rest = iter(images)
    messages = _messages([*question, *answer], rest, found)
    if not found:
        found = images
        messages = _with_blocks(messages, len(images))
    return Rollout(messages, tuple(map(encoded, found)))


def _with_blocks(messages: list[Message], count: int) -> list[Message]:
    """The messages with so many image blocks before the first text of the user, where TRL puts them too."""
    at = next((i for i, message in enumerate(messages) if message.role in ("user", RENDERED)), None)
    if at is None or not count:
        return messages
    first = messages[at]._replace(content=(*[Block("image", None)] * count, *messages[at].content))
    return [*messages[:at], first, *messages[at + 1 :]]


def _messages(turns: Any, images: Iterator[Any], found: list[Any]) -> list[Message]:
    """Messages of ours; the image of each block, its own or the next of `images`, is appended to `found`."""
    if not all(isinstance(turn, Mapping) and "role" in turn for turn in turns):
        raise ConfigError("reward", f"{turns!r:.60}", "a text or a list of messages")
    out = []
    for turn in turns:
        content = turn.get("content")
        if content is None or isinstance(content, str):
            out.append(from_fields({**turn, "content": content or ""}))
        else:
            out.append(Message(turn["role"], tuple(_block(block, images, found) for block in content)))
    return out


def _block(block: Mapping[str, Any], images: Iterator[Any], found: list[Any]) -> Block:
    kind = block.get("type")
    if kind == "text":
        return Block("text", str(block.get("text") or ""))
    if kind != "image":
        raise ConfigError("reward", f"a block of type {kind!r}", "text or image")
    image = block.get("image")
    image = next(images, None) if image is None else image
    if image is not None:
        found.append(image)
    return Block("image", None)


def _without_reply(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """ms-swift's `messages` end with the completion."""
    return messages[:-1] if messages and messages[-1].get("role") == "assistant" else messages


def _images(columns: Mapping[str, Any], rows: int) -> list[list[Any]]:
    for name in ("images", "image"):
        column = columns.get(name)
        if column is not None:
            return [_listed(value) for value in column]
    return [[] for _ in range(rows)]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
