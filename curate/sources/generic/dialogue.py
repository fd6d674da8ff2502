"""Prompts, replies and media in every form that trainers' data formats give them."""

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from curate.errors import SkipRow
from curate.schema import MEDIA_BLOCKS, Block, Message
from curate.sources.base import MediaSource, Row, message, with_media
from curate.sources.generic.columns import Reader
from curate.sources.images import media_of
from curate.sources.messages import first_difference, is_transcript, read_messages, role_of, transcript, videos_of

Replies = Literal["text", "images", "videos"]


class Dialogue(NamedTuple):
    """Turns with their media, in the order of their blocks: a prompt, or a reply."""

    messages: list[Message]
    media: list[MediaSource]


def messages(value: Any, name: str) -> Dialogue:
    """A message list and the media in it. Skips: `<name>_not_messages`, and those of `read_messages`."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        kinds = {type(turn).__name__ for turn in value} if isinstance(value, list) else {type(value).__name__}
        raise SkipRow(f"{name}_not_messages", f"list of {', '.join(sorted(kinds))}" if value else "empty")
    media: list[MediaSource] = []
    return Dialogue(read_messages(value, media, name), media)


MEDIA_PATH = re.compile(r"\S+\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif|mp4|webm|mov|avi|mkv|m4v)", re.IGNORECASE)


def reply_of(value: Any, name: str, replies: Replies = "text") -> Dialogue:
    """One side: a text, a message, or a message list that starts and ends with the assistant.

    With `replies` it is an image or a video instead. Skips: `no_reply`, `reply_is_a_path` (a file name where a
    text is expected: map it as media), `<name>_not_text`, those of `messages`.
    """
    if replies != "text":
        media = media_of(value) if replies == "images" else videos_of(value)
        if not media:
            raise SkipRow("image_missing", name)
        return Dialogue([Message("assistant", tuple(Block(item.kind, None) for item in media))], media)
    if isinstance(value, str):
        if MEDIA_PATH.fullmatch(value.strip()):
            raise SkipRow("reply_is_a_path", value[:80])
        return Dialogue([message("assistant", value)], [])
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        raise SkipRow(f"{name}_is_a_list_of_texts", f"{len(value)} texts")
    if not isinstance(value, list | dict):
        raise SkipRow(f"{name}_not_text", type(value).__name__)
    turns, media = messages([value] if isinstance(value, dict) else value, name)
    if not turns or turns[0].role != "assistant" or turns[-1].role != "assistant":
        raise SkipRow("no_reply", f"{name} has the roles {[turn.role for turn in turns]}"[:80])
    if sum(block.type in MEDIA_BLOCKS for turn in turns for block in turn.content) != len(media):
        raise SkipRow("placeholder_mismatch", f"{name} has image blocks without images")
    return Dialogue(turns, media)


def prompt_of(value: Any, reader: Reader, row: Row) -> Dialogue:
    """An explicit prompt, a text or a message list, with the row's system text and media in place.

    Skips: `prompt_not_text`, `prompt_ends_with_assistant`, `system_twice`, `placeholder_mismatch`, those of
    `messages`.
    """
    if isinstance(value, str):
        if is_transcript(value):
            turns = transcript(value)
            return _placed(Dialogue(turns[:-1] if not _text(turns[-1:]) else turns, []), reader, row)
        return _placed(Dialogue([message("user", value)], []), reader, row)
    if not isinstance(value, list):
        raise SkipRow("prompt_not_text", type(value).__name__)
    dialogue = messages(value, "prompt")
    if dialogue.messages and dialogue.messages[-1].role == "assistant":
        raise SkipRow("prompt_ends_with_assistant")
    return _placed(dialogue, reader, row)


def is_dialogue(value: Any) -> bool:
    """Whether a message list or a transcript holds its prompt itself: it does not start with the assistant."""
    if isinstance(value, str):
        return is_transcript(value)
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return role_of(value[0]) not in (None, "assistant")


def split(chosen: Any, rejected: Any, reader: Reader, row: Row) -> tuple[Dialogue, Dialogue, Dialogue]:
    """(prompt, chosen, rejected) from two whole dialogues: the prompt is the turns that they share.

    Skips: `no_reply`, `prompts_differ` with the turn where they part, those of `messages`.
    """
    left, right = (_dialogue(value, name) for value, name in ((chosen, "chosen"), (rejected, "rejected")))
    for turns, _ in (left, right):
        if not turns or turns[-1].role != "assistant":
            raise SkipRow("no_reply", f"a side has the roles {[turn.role for turn in turns]}"[:80])
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left.messages, right.messages, strict=False))
    )
    same = min(
        same, len(left.messages) - 1, len(right.messages) - 1
    )  # replies that are equal are replies all the same
    prompt, first, second = _cut(left, same), _rest(left, same), _rest(right, same)
    if any(side.messages[0].role != "assistant" for side in (first, second)) or not prompt.messages:
        raise SkipRow("prompts_differ", first_difference(left.messages, right.messages))
    if prompt.media != _cut(right, same).media:
        raise SkipRow("prompts_differ", "their media")
    return _placed(prompt, reader, row), first, second


def _dialogue(value: Any, name: str) -> Dialogue:
    return Dialogue(transcript(value), []) if isinstance(value, str) else messages(value, name)


def _cut(dialogue: Dialogue, turns: int) -> Dialogue:
    """The first turns with their media."""
    count = sum(block.type in MEDIA_BLOCKS for turn in dialogue.messages[:turns] for block in turn.content)
    return Dialogue(dialogue.messages[:turns], dialogue.media[:count])


def _rest(dialogue: Dialogue, turns: int) -> Dialogue:
    """The turns after the first ones, with their media."""
    return Dialogue(dialogue.messages[turns:], dialogue.media[len(_cut(dialogue, turns).media) :])


def common_start(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(prompt, chosen, rejected) of two texts that share their prompt: what they share up to the last white space.

    As TRL's `extract_prompt`, but no word is cut. Skips: `prompt_missing` where they share no whole word.
    """
    shared = "".join(
        first for first, _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
    )
    ends = [match.end() for match in re.finditer(r"\s", shared)]
    end = ends[-1] if ends else 0
    if not shared[:end].strip():
        raise SkipRow("prompt_missing", "no column prompt, and the two texts do not begin alike")
    return shared[:end].strip(), chosen[end:].strip(), rejected[end:].strip()


def _placed(dialogue: Dialogue, reader: Reader, row: Row) -> Dialogue:
    """The prompt with the row's system text, and with the media of the row's own columns in their places."""
    turns, inside, beside = dialogue.messages, dialogue.media, reader.media(row)
    if inside and beside and inside != beside:
        raise SkipRow("placeholder_mismatch", f"{len(inside)} media in messages, {len(beside)} beside them")
    media = inside or beside
    system = reader.text(row, "system")
    if system:
        turns = _with_system(turns, message("system", system))
    kinds = [block.type for turn in turns for block in turn.content if block.type in MEDIA_BLOCKS]
    if not kinds:
        # without any media column "<video>" is but text about a web page
        expects = media or reader.knows(row, "images") or reader.knows(row, "videos")
        return Dialogue(*with_media(turns, media)) if expects else Dialogue(turns, [])
    if kinds != [item.kind for item in media]:
        raise SkipRow("placeholder_mismatch", f"{len(kinds)} media blocks, {len(media)} media")
    return Dialogue(turns, media)


def _with_system(turns: list[Message], system: Message) -> list[Message]:
    if not turns or turns[0].role != "system":
        return [system, *turns]
    if turns[0] != system:
        raise SkipRow("system_twice")
    return turns


def _text(turns: Sequence[Message]) -> str:
    return "".join(block.text or "" for turn in turns for block in turn.content)


def same_text(dialogue: Any, given: Any) -> bool:
    """Whether a dialogue holds what the prompt beside it says: all its turns, or the text of one of them."""
    turns = _dialogue(dialogue, "chosen").messages
    if isinstance(given, str):
        return is_transcript(given) or any(given.strip() == _text([turn]).strip() for turn in turns)
    return isinstance(given, list) and messages(given, "prompt").messages in (turns, turns[:-1])
