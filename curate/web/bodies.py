"""The bodies of requests as dialogues. What is not understood is refused: a BadRequestError says where."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from curate.schema import Block, Message, from_fields
from curate.web.model import Media, Model
from curate.web.scoring_queue import ScoringTask


class BadRequestError(Exception):
    """Raised for a body that cannot be read: where in it, and what was found."""


class Questions(NamedTuple):
    """What /score asks: dialogues, and how many replies each question has."""

    task: ScoringTask
    replies: tuple[int, ...]


@dataclass(slots=True)
class Reader:
    """Reads bodies for one model; a request has at most `images` images."""

    model: Model
    images: int
    multi_turn: bool
    _seen: int = field(default=0, init=False)

    def questions(self, body: Any) -> Questions:
        """`{prompt, replies}`, or `{questions: [{prompt, replies}]}`."""
        given = body.get("questions", [body])
        dialogues: list[list[Message]] = []
        media: list[Media] = []
        counts = []
        for where, one in _numbered("questions", given):
            prompt, images = self._prompt(where, _field(where, one, "prompt"))
            replies = list(_numbered(f"{where}.replies", _field(where, one, "replies")))
            counts.append(len(replies))
            for at, reply in replies:
                more: list[bytes | tuple[bytes, ...]] = []
                turns = [self.model.reply(reply)] if isinstance(reply, str) else self._messages(at, reply, more)
                dialogues.append([*prompt, *turns])
                media.append([*images, *more])
        return Questions(ScoringTask(dialogues, media), tuple(counts))

    def inputs(self, body: Any) -> ScoringTask:
        """vLLM's `input` (a rendered text, token ids, or a list of either) or `messages` of one dialogue."""
        for name in ("truncate_prompt_tokens", "dimensions"):
            if body.get(name) is not None:
                raise BadRequestError(f"{name}: not supported")
        if body.get("encoding_format", "float") != "float":
            raise BadRequestError("encoding_format: float only")
        if "messages" in body:
            media: list[bytes | tuple[bytes, ...]] = []
            messages = self._messages("messages", body["messages"], media)
            if not messages or messages[-1].role != "assistant":
                raise BadRequestError("messages: the last one is the assistant's, which is scored")
            return ScoringTask([messages], [media])
        given = _field("body", body, "input")
        alone = isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int))
        return self.rendered("input", [given] if alone else given)

    def rendered(self, where: str, texts: Any) -> ScoringTask:
        """Rendered dialogues, as texts or token ids."""
        dialogues = []
        for at, text in _numbered(where, texts):
            found = self.model.split(self._text(at, text), trusted=self.multi_turn)
            if isinstance(found, str):
                raise BadRequestError(f"{at}: {found}")
            dialogues.append(found)
        return ScoringTask(dialogues, [()] * len(dialogues))

    def query(self, query: Any, prompt: Any) -> Sequence[Message] | str:
        """OpenRLHF's `query` with its prompt: what follows the prompt is the reply. A text says why it is none."""
        if not isinstance(query, str):
            return "query: not a text"
        if prompt is None:
            return self.model.split(query, trusted=self.multi_turn)
        if not isinstance(prompt, str) or not query.startswith(prompt):
            return "query: does not begin with its prompt"
        turns = self.model.prompt(prompt)
        return turns if isinstance(turns, str) else [*turns, self.model.reply(query.removeprefix(prompt))]

    def sample(self, body: Any) -> ScoringTask:
        """SLIME's `{prompt, response}`; the prompt is a rendered text or messages."""
        prompt = _field("body", body, "prompt")
        if isinstance(prompt, list) and prompt and _is_empty_reply(prompt[-1]):
            prompt = prompt[:-1]
        turns, images = self._prompt("prompt", prompt)
        response = _field("body", body, "response")
        if not isinstance(response, str):
            raise BadRequestError("response: not a text")
        return ScoringTask([[*turns, self.model.reply(response)]], [images])

    def _text(self, where: str, given: Any) -> str:
        if isinstance(given, str):
            return given
        if not isinstance(given, list) or not all(isinstance(one, int) for one in given):
            raise BadRequestError(f"{where}: expected a text or token ids")
        try:
            return self.model.decode(given)
        except ValueError as error:
            raise BadRequestError(f"{where}: {error}") from None

    def _prompt(self, where: str, given: Any) -> tuple[Sequence[Message], Media]:
        if isinstance(given, str):
            turns = self.model.prompt(given)
            if isinstance(turns, str):
                raise BadRequestError(f"{where}.prompt: {turns}")
            return turns, ()
        media: list[bytes | tuple[bytes, ...]] = []
        return self._messages(f"{where}.prompt", given, media), media

    def _messages(self, where: str, given: Any, media: list[bytes | tuple[bytes, ...]]) -> list[Message]:
        out = []
        for at, turn in _numbered(where, given):
            role = _field(at, turn, "role")
            if not isinstance(role, str):
                raise BadRequestError(f"{at}.role: not a text")
            content = turn.get("content")
            if content is None or isinstance(content, str):
                out.append(_fields(at, {**turn, "content": content or ""}))
                continue
            blocks = [self._block(place, block, media) for place, block in _numbered(f"{at}.content", content)]
            plain = [{"type": block.type, "text": block.text} for block in blocks]
            out.append(_fields(at, {**turn, "content": plain}))
        return out

    def _block(self, where: str, block: Any, media: list[bytes | tuple[bytes, ...]]) -> Block:
        kind = _field(where, block, "type")
        if kind == "text":
            text = block.get("text")
            if not isinstance(text, str):
                raise BadRequestError(f"{where}.text: not a text")
            return Block("text", text)
        if kind in ("image_url", "image"):
            given = _field(where, block, kind)
            media.append(self._image(where, given.get("url") if isinstance(given, dict) else given))
            return Block("image", None)
        if kind == "video_frames":
            frames = _numbered(f"{where}.{kind}", _field(where, block, kind))
            media.append(tuple(self._image(at, frame) for at, frame in frames))
            return Block("video", None)
        raise BadRequestError(f"{where}.type: {kind!r:.40}, expected text, image_url, image or video_frames")

    def _image(self, where: str, uri: Any) -> bytes:
        """The bytes of a data URI; no address is fetched."""
        if not isinstance(uri, str) or not uri.startswith("data:"):
            raise BadRequestError(f"{where}: an image is a data URI with base64; no address is fetched")
        self._seen += 1
        if self._seen > self.images:
            raise BadRequestError(f"{where}: more than {self.images} images in one request")
        head, _, data = uri.partition(",")
        try:
            if not head.endswith(";base64"):
                raise ValueError
            return base64.b64decode(data, validate=True)
        except (ValueError, binascii.Error):
            raise BadRequestError(f"{where}: a data URI without base64") from None


def _numbered(where: str, given: Any) -> list[tuple[str, Any]]:
    """The values of a list, each with its place."""
    if not isinstance(given, list) or not given:
        raise BadRequestError(f"{where}: expected a list that is not empty")
    return [(f"{where}[{number}]", value) for number, value in enumerate(given)]


def _field(where: str, given: Any, name: str) -> Any:
    if not isinstance(given, dict) or name not in given:
        raise BadRequestError(f"{where}: expected an object with {name!r}")
    return given[name]


def _fields(where: str, turn: dict[str, Any]) -> Message:
    try:
        return from_fields(turn)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise BadRequestError(f"{where}: not a message") from None


def _is_empty_reply(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") == "assistant" and not turn.get("content")
