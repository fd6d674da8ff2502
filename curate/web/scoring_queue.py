"""A bounded queue before the model: what waits is scored together, in one thread."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from curate.schema import Message
from curate.web.model import Media, Model, Scored


class QueueFullError(Exception):
    """Raised for a request that would make more dialogues wait than the limit."""


class ClosedError(Exception):
    """Raised for a request after the server began to stop."""


class ModelError(Exception):
    """Raised for a request that the model failed at; `detail` is in one line."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ScoringTask(NamedTuple):
    """The dialogues of one request, each with its media."""

    dialogues: Sequence[Sequence[Message]]
    media: Sequence[Media]


@dataclass(slots=True)
class _Waiting:
    task: ScoringTask
    answer: "asyncio.Future[Sequence[Scored]]"
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class Counts:
    """What the queue has done."""

    dialogues: int = 0
    unscored: int = 0
    batches: int = 0
    failed: int = 0
    seconds: float = 0.0


class ScoringQueue:
    """Scores requests in the order of their arrival, up to `batch` dialogues at a time; `limit` may wait."""

    def __init__(self, model: Model, *, limit: int, batch: int) -> None:
        self._model, self._limit, self._batch = model, limit, batch
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)
        self.waiting = 0  # dialogues, with those that are being scored; changed by the event loop only
        self.closed = False
        self.counts = Counts()

    def start(self) -> None:
        """Start the thread that scores."""
        self._thread.start()

    def close(self) -> None:
        """Score what waits, and end."""
        self.closed = True
        self._queue.put(None)
        self._thread.join()

    async def score(self, task: ScoringTask) -> Sequence[Scored]:
        """Score a request. Raises QueueFullError, ClosedError or ModelError."""
        if self.closed:
            raise ClosedError
        count = len(task.dialogues)
        if self.waiting + count > self._limit:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        waiting = _Waiting(task, loop.create_future(), loop)
        self.waiting += count
        self._queue.put(waiting)
        try:
            return await asyncio.shield(waiting.answer)
        finally:
            self.waiting -= count

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            if first is None:
                return
            batch, ended = self._collect(first)
            start = time.monotonic()
            self._score(batch)
            self.counts.seconds += time.monotonic() - start

    def _collect(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """What waits now, up to the batch; and whether nothing follows any more."""
        batch, size = [first], len(first.task.dialogues)
        while size < self._batch:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
            size += len(following.task.dialogues)
        return batch, False

    def _score(self, batch: Sequence[_Waiting]) -> None:
        """Score requests together; if that fails, each alone, so that only those fail that the model fails at."""
        self.counts.batches += 1
        try:
            dialogues = [one for waiting in batch for one in waiting.task.dialogues]
            media = [one for waiting in batch for one in waiting.task.media]
            found = iter(self._model.score(dialogues, media))
            answers = [[next(found) for _ in waiting.task.dialogues] for waiting in batch]
        except Exception as error:  # noqa: BLE001 - whatever it is, the next request is answered
            if len(batch) > 1:
                for waiting in batch:
                    self._score([waiting])
                return
            logging.getLogger("curate").error("the model failed: %s", _line(error))
            self.counts.failed += 1
            _give(batch[0], ModelError(_line(error)))
            return
        for waiting, answer in zip(batch, answers, strict=True):
            self.counts.dialogues += len(answer)
            self.counts.unscored += sum(one.score is None for one in answer)
            _give(waiting, answer)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"


def _give(waiting: _Waiting, answer: Sequence[Scored] | ModelError) -> None:
    """Give the answer to the event loop that waits for it."""

    def deliver() -> None:
        if waiting.answer.done():
            return
        if isinstance(answer, ModelError):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)

    try:
        waiting.loop.call_soon_threadsafe(deliver)
    except RuntimeError:  # the loop has ended, and with it who waited
        return
