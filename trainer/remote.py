"""A client of `curate serve`: the same scores as in this process, over its route /score."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.schema import Message, to_fields
from trainer.dialogues import Media, Scored, score_dialogues

ATTEMPTS = 8
BUSY = (429, 503)  # the server says when to come again
TOGETHER = 8  # requests


class _Answer(NamedTuple):
    """What the server found for one question."""

    scores: Sequence[float]
    problem: str | None


class Remote:
    """Scores dialogues by the server at `url`; `token` is what it was started with.

    Requests are repeated while the server is busy. Raises TrainError where it cannot be reached or fails.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 600.0) -> None:
        self.url, self._token, self._timeout = url.rstrip("/"), token, timeout

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media] | None = None) -> list[Scored]:
        """Score the last message of each dialogue, as `Scorer.score` does."""
        attached: Sequence[Media] = [()] * len(dialogues) if media is None else media
        return score_dialogues(self._items, dialogues, attached, lambda prompt: [prompt])  # the server splits it

    def _items(self, questions: Iterable[Question]) -> Iterator[_Answer]:
        with ThreadPoolExecutor(TOGETHER) as threads:
            yield from threads.map(self._scores_of, list(questions))

    def _scores_of(self, question: Question) -> _Answer:
        found = self._post("/score", body_of(question))
        try:
            scores, problems = found["scores"], found["problems"]
            problem = next((one for one in problems if one is not None), None)
            if len(scores) != len(question.replies):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise TrainError(
                self.url, "an answer of another form", "that of /score", "curate serve MODEL"
            ) from None
        return _Answer(scores, problem)

    def _post(self, route: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + route, json.dumps(body).encode(), headers)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code not in BUSY or attempt == ATTEMPTS:
                    raise TrainError(self.url, f"{error.code}: {_message(error)}", "scores") from None
                time.sleep(float(error.headers.get("Retry-After") or 1))
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise TrainError(
                    self.url, f"no answer ({error})", "curate serve", "is it running there?"
                ) from None
        raise AssertionError("the last attempt returns or raises")


def body_of(question: Question) -> dict[str, Any]:
    """The body of a request to /score: the prompt's messages, the replies', images as data URIs."""
    media = iter(question.media)

    def messages(turns: Sequence[Message]) -> list[dict[str, Any]]:
        return [
            {**to_fields(turn), "content": [_block(block, media) for block in _content(turn)]} for turn in turns
        ]

    return {"prompt": messages(question.prompt), "replies": [messages(reply) for reply in question.replies]}


def _content(turn: Message) -> list[dict[str, Any]]:
    return list(to_fields(turn)["content"])


def _block(block: dict[str, Any], media: Iterator[bytes | tuple[bytes, ...]]) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    data = next(media, b"")
    if block["type"] == "image":
        assert isinstance(data, bytes), "an image block has one image"
        return {"type": "image_url", "image_url": {"url": _data_uri(data)}}
    return {
        "type": "video_frames",
        "video_frames": [_data_uri(frame) for frame in data if isinstance(frame, bytes)],
    }


def _data_uri(data: bytes) -> str:
    return f"data:image/*;base64,{base64.b64encode(data).decode()}"


def _message(error: urllib.error.HTTPError) -> str:
    try:
        found = json.loads(error.read())
        return str(found["error"]["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)
