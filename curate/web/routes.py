"""The server's routes: ours, and those that the clients of vLLM, SGLang and five trainers ask.

    /score          ours: {prompt, replies} -> {scores, problems}, or {questions: [...]} -> lists of both
    /pooling  /classify  /v1/embeddings     as vLLM and SGLang (verl)
    /get_reward     OpenRLHF       /slime   SLIME       /lf   LLaMA-Factory
    /health  /v1/models  /metrics

Scores are raw; `use_activation: true` asks for their sigmoid.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from curate.web import access
from curate.web.bodies import BadRequestError, Reader
from curate.web.model import Model, Scored
from curate.web.scoring_queue import ClosedError, ModelError, QueueFullError, ScoringQueue, ScoringTask
from curate.web.settings import Settings

RETRY = {"Retry-After": "1"}


class _RefusedError(Exception):
    """Raised for a request that gets an error: its status, and what is wrong."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


Answer = Callable[[Any], Awaitable[Any]]


class Server:
    """The routes of one model."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.queue = ScoringQueue(model, limit=settings.queue, batch=settings.batch)
        self._answered: Counter[tuple[str, int]] = Counter()
        self._started = int(time.time())

    def app(self) -> Starlette:
        """The application; its thread lives as long as it is served."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> Any:
            self.queue.start()
            yield
            await asyncio.to_thread(self.queue.close)

        posts: dict[str, Answer] = {
            "/score": self._score, "/pooling": self._pooling, "/classify": self._classify,
            "/v1/embeddings": self._embeddings, "/get_reward": self._get_reward, "/slime": self._slime,
            "/lf": self._llama_factory,
        }  # fmt: skip
        routes = [Route(path, self._post(path, answer), methods=["POST"]) for path, answer in posts.items()]
        gets = {"/health": self._health, "/v1/models": self._models, "/metrics": self._metrics}
        routes += [Route(path, self._get(path, answer)) for path, answer in gets.items()]
        return Starlette(routes=routes, lifespan=lifespan)

    # --- one request

    def _post(self, path: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                self._check(request)
                found = _json(await answer(await self._body(request)))
            except BadRequestError as error:
                found = _error(400, str(error))
            except _RefusedError as error:
                found = _error(error.status, error.message, error.headers)
            except ModelError as error:
                found = _error(500, f"the model failed: {error.detail}")
            self._answered[path, found.status_code] += 1
            return found

        return handle

    def _get(self, path: str, answer: Callable[[], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                if path != "/health":
                    self._check(request)
                found = answer()
            except _RefusedError as error:
                found = _error(error.status, error.message, error.headers)
            self._answered[path, found.status_code] += 1
            return found

        return handle

    def _check(self, request: Request) -> None:
        """Refuse who may not ask."""
        found = access.refusal(request, self.settings)
        if found is not None:
            raise _RefusedError(*found)

    async def _body(self, request: Request) -> Any:
        """The JSON of a body within the limits; a web page of another origin cannot send its type unasked."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _RefusedError(415, "expected Content-Type: application/json")
        try:
            data = await asyncio.wait_for(self._bytes(request), self.settings.body_seconds)
        except TimeoutError:
            close = {"Connection": "close"}
            raise _RefusedError(408, f"the body took over {self.settings.body_seconds:g} s", close) from None
        except ClientDisconnect:
            raise _RefusedError(400, "the body was cut off") from None
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise _RefusedError(400, f"not JSON: {error}") from None
        if not isinstance(body, dict):
            raise _RefusedError(400, "expected a JSON object")
        return body

    async def _bytes(self, request: Request) -> bytes:
        limit = self.settings.body_bytes
        parts: list[bytes] = []
        size = int(request.headers.get("content-length") or 0)
        if size <= limit:
            size = 0
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > limit:
                    break
        if size > limit:
            raise _RefusedError(413, f"a body of more than {limit >> 20} MiB", {"Connection": "close"})
        return b"".join(parts)

    def _reader(self) -> Reader:
        return Reader(self.model, self.settings.images, self.settings.multi_turn)

    async def _scores(self, task: ScoringTask) -> Sequence[Scored]:
        if len(task.dialogues) > self.settings.queue:
            raise _RefusedError(413, f"{len(task.dialogues)} dialogues, the queue takes {self.settings.queue}")
        try:
            return await self.queue.score(task)
        except QueueFullError:
            raise _RefusedError(503, "the queue is full", RETRY) from None  # of 4xx verl asks no second time
        except ClosedError:
            raise _RefusedError(503, "the server is stopping", RETRY) from None

    async def _all(self, task: ScoringTask) -> list[float]:
        """The scores of all dialogues; one without a score is a bad request."""
        out = []
        for number, one in enumerate(await self._scores(task)):
            if one.score is None:
                raise BadRequestError(f"dialogue {number} cannot be scored: {one.problem}")
            out.append(one.score)
        return out

    # --- routes

    async def _score(self, body: Any) -> Any:
        questions = self._reader().questions(body)
        found = iter(await self._scores(questions.task))
        groups = [[next(found) for _ in range(count)] for count in questions.replies]
        scores = [[one.score for one in group] for group in groups]
        problems = [[one.problem for one in group] for group in groups]
        if "questions" not in body:
            return {"model": self.model.name, "scores": scores[0], "problems": problems[0]}
        return {"model": self.model.name, "scores": scores, "problems": problems}

    async def _pooling(self, body: Any) -> Any:
        values = _activated(await self._all(self._reader().inputs(body)), body)
        return self._listed([{"object": "pooling", "data": [value]} for value in values])

    async def _classify(self, body: Any) -> Any:
        values = _activated(await self._all(self._reader().inputs(body)), body)
        return self._listed([{"label": "LABEL_0", "probs": [value], "num_classes": 1} for value in values])

    async def _embeddings(self, body: Any) -> Any:
        values = await self._all(self._reader().inputs(body))
        return self._listed([{"object": "embedding", "embedding": [value]} for value in values])

    def _listed(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        data = [{"index": number, **item} for number, item in enumerate(items)]
        now = time.time()
        head = {"id": f"score-{int(now * 1e6):x}", "object": "list", "created": int(now)}
        return {**head, "model": self.model.name, "data": data}

    async def _get_reward(self, body: Any) -> Any:
        """OpenRLHF trains on; a reply without a score, or a full queue, gets the fallback, which is counted."""
        queries, prompts = body.get("query"), body.get("prompts")
        if not isinstance(queries, list) or not queries:
            raise BadRequestError("query: expected a list that is not empty")
        if prompts is not None and (not isinstance(prompts, list) or len(prompts) != len(queries)):
            raise BadRequestError("prompts: expected as many as queries")
        reader = self._reader()
        found = [reader.query(*pair) for pair in zip(queries, prompts or [None] * len(queries), strict=True)]
        dialogues = [one for one in found if not isinstance(one, str)]
        scores: list[float | None] = [None] * len(dialogues)
        if dialogues:
            task = ScoringTask(dialogues, [()] * len(dialogues))
            with suppress(_RefusedError):
                scores = [one.score for one in await self._scores(task)]
        rest = iter(scores)
        given = [None if isinstance(one, str) else next(rest) for one in found]
        rewards = [self.settings.fallback if score is None else score for score in given]
        logs = {"unscored": [float(score is None) for score in given]}
        return {"rewards": rewards, "scores": rewards, "extra_logs": logs}

    async def _slime(self, body: Any) -> Any:
        [value] = await self._all(self._reader().sample(body))
        return value

    async def _llama_factory(self, body: Any) -> Any:
        return {"scores": await self._all(self._reader().rendered("messages", body.get("messages")))}

    def _health(self) -> Response:
        return _error(503, "the server is stopping", RETRY) if self.queue.closed else _json({"status": "ok"})

    def _models(self) -> Response:
        one = {"id": self.model.name, "object": "model", "created": self._started, "owned_by": "curate"}
        return _json({"object": "list", "data": [one]})

    def _metrics(self) -> Response:
        """Prometheus' text format."""
        counts = self.queue.counts
        lines = [
            f'curate_requests_total{{route="{path}",status="{status}"}} {count}'
            for (path, status), count in sorted(self._answered.items())
        ]
        lines += [
            f"curate_dialogues_total {counts.dialogues}", f"curate_unscored_total {counts.unscored}",
            f"curate_batches_total {counts.batches}", f"curate_model_errors_total {counts.failed}",
            f"curate_scoring_seconds_total {counts.seconds:.6f}", f"curate_waiting {self.queue.waiting}",
        ]  # fmt: skip
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _activated(scores: Sequence[float], body: Any) -> list[float]:
    wanted = body.get("use_activation")
    if wanted is not None and not isinstance(wanted, bool):
        raise BadRequestError("use_activation: expected true or false")
    return [_sigmoid(score) for score in scores] if wanted else list(scores)


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error in the shape of OpenAI's and vLLM's."""
    kind = "BadRequestError" if status == 400 else "InternalServerError" if status == 500 else "RequestError"
    return _json({"error": {"message": message, "type": kind, "code": status}}, status, headers)
