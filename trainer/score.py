"""Score every reply to every item of a benchmark: `python -m trainer.score MODEL ITEMS... --out DIR`.

Each items file (curate.evalsets.itemfile) gives DIR/<its stem>.jsonl, a score file in curate's own format, there
once it is whole. Until then its lines are in DIR/<its stem>.jsonl.part, and the same command continues from them.
An item that can not be scored (too long, media missing or refused) gets a line that says why: none vanishes.
"""

import argparse
import errno
import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import torch

from curate.errors import CurateError, TrainError, WorkspaceError
from curate.evalsets.itemfile import ItemFile, Question
from curate.workspace import atomic
from trainer.batch import Tree
from trainer.encode import Encoder
from trainer.logs import fail, say
from trainer.media import Unusable
from trainer.model import RewardModel, read_facts
from trainer.packing import pack

T = TypeVar("T")
EVERY = 5.0  # seconds between lines that say how far it is


class Verdict(NamedTuple):
    """An item with the scores of its replies, or with the reason why it has none."""

    item: str
    scores: Sequence[float]
    problem: str | None = None


class _Encoded(NamedTuple):
    item: str
    trees: tuple[Tree, ...]
    problem: str | None


def batches(values: Iterable[T], tokens: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Consecutive values of at most `budget` tokens together; one that is larger is alone."""
    held: list[T] = []
    total = 0
    for value in values:
        size = tokens(value)
        if held and total + size > budget:
            yield held
            held, total = [], 0
        held.append(value)
        total += size
    if held:
        yield held


@torch.no_grad()
def score(model: RewardModel, trees: Sequence[Tree]) -> list[list[float]]:
    """The fp32 score of each branch of each tree, from one forward pass."""
    device = next(model.parameters()).device
    flat = iter(model(pack(trees, model.backbone).to(device)).tolist())
    return [[next(flat) for _ in tree.ids] for tree in trees]


def score_trees(model: RewardModel, trees: Iterable[Tree], max_tokens: int) -> Iterator[list[float]]:
    """The scores of each tree's branches, in order; at most `max_tokens` tokens at a time, or one tree."""
    for batch in batches(trees, lambda tree: tree.tokens, max_tokens):
        yield from score(model, batch)


def score_items(
    model: RewardModel, encoder: Encoder, questions: Iterable[Question], max_tokens: int
) -> Iterator[Verdict]:
    """A verdict on each question, in order. Raises TrainError for a score that is not finite."""
    encoded = (_encode(encoder, question) for question in questions)
    for batch in batches(encoded, lambda one: sum(tree.tokens for tree in one.trees), max_tokens):
        trees = [tree for one in batch for tree in one.trees]
        scores = iter(score(model, trees) if trees else [])
        for one in batch:
            found = [value for _ in one.trees for value in next(scores)]
            if not all(map(math.isfinite, found)):
                raise TrainError(one.item, f"scores {found}", "finite numbers", "the model diverged in training")
            yield Verdict(one.item, found, one.problem)


def _encode(encoder: Encoder, question: Question) -> _Encoded:
    if question.problem is not None:
        return _Encoded(question.item, (), question.problem)
    try:
        trees = encoder.dialogue(question.prompt, question.replies, question.media)
    except Unusable as error:
        return _Encoded(question.item, (), f"{error.reason}: {error.detail}" if error.detail else error.reason)
    return _Encoded(question.item, trees, None)


class Sheet:
    """A score file in the making, DIR/NAME.jsonl.part: what is on it after a kill need not be scored again.

    Its first line holds the settings that scores depend on; with others it starts anew. The last item on it may be
    torn, so it is scored again. Raises WorkspaceError while another process writes it.
    """

    def __init__(self, path: Path, benchmark: str, settings: dict[str, Any]) -> None:
        self.path, self._benchmark = path, benchmark
        self._part = path.with_name(f"{path.name}.part")
        self._head = _line({"settings": settings})
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, "a+b")  # noqa: SIM115 - closed by __exit__
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise WorkspaceError(str(self._part), "in use by another run", "", "wait until it has ended") from None
        self.done = self._resume()

    def _resume(self) -> set[str]:
        """Keep the whole items on the sheet; their keys."""
        self._file.seek(0)
        lines = [line for line in self._file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        if lines[:1] != [self._head]:
            self._file.truncate(0)
            self._file.write(self._head)
            return set()
        items = [json.loads(line)["item"] for line in lines[1:]]
        whole = [i for i, item in enumerate(items) if item != items[-1]]
        self._file.truncate(sum(map(len, lines[: len(whole) + 1])))
        return {items[i] for i in whole}

    def add(self, verdict: Verdict) -> None:
        """Write an item's lines."""
        about = {"benchmark": self._benchmark, "item": verdict.item}
        rows = [{**about, "candidate": i, "score": value} for i, value in enumerate(verdict.scores)]
        if verdict.problem is not None:
            rows = [{**about, "unscored": verdict.problem}]
        self._file.write(b"".join(map(_line, rows)))
        self._file.flush()

    def publish(self) -> None:
        """Give the sheet, without its first line, the name of a finished score file."""
        self._file.seek(len(self._head))
        with atomic(self.path) as temporary:
            temporary.write_bytes(self._file.read())
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded model with its encoder, and what its scores depend on beside its files."""

    model: RewardModel
    encoder: Encoder
    settings: dict[str, Any]
    max_tokens: int

    @classmethod
    def load(cls, directory: Path, max_tokens: int) -> "Scorer":
        """The model on the GPU in bf16 if there is one, else on the CPU in fp32.

        Images are bounded as in training; dialogues only by the positions that the backbone knows.
        """
        bounds = {name: read_facts(directory)["encoder"].get(name) for name in ("min_pixels", "max_pixels")}
        device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
        model = RewardModel.from_pretrained(directory, dtype).to(device)
        base: Any = model.base
        longest = base.config.get_text_config().max_position_embeddings
        encoder = Encoder(directory, max_length=longest, **bounds)
        return cls(model, encoder, {"dtype": str(dtype), "encoder": encoder.facts()}, max_tokens)

    def write(self, items: Path, path: Path) -> None:
        """The score file of an items file."""
        file = ItemFile(items)
        with Sheet(path, file.benchmark, self.settings) as sheet:
            if sheet.done:
                say(f"{file.benchmark}: {len(sheet.done):,} of {len(file):,} items are scored already")
            left = (question for question in file if question.item not in sheet.done)
            clock = _Clock(file.benchmark, len(sheet.done), len(file))
            for verdict in score_items(self.model, self.encoder, left, self.max_tokens):
                sheet.add(verdict)
                clock.tick()
            sheet.publish()
        say(f"{file.benchmark}: {len(file):,} items, {path}")


class _Clock:
    """Says every few seconds how far it is."""

    def __init__(self, name: str, done: int, total: int) -> None:
        self._name, self._first, self._done, self._total = name, done, done, total
        self._start = self._said = time.monotonic()

    def tick(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            speed = (self._done - self._first) / (now - self._start)
            say(f"{self._name}: {self._done:,} of {self._total:,} items, {speed:,.1f} items/s")


def main(arguments: Sequence[str]) -> None:
    """Score the items files with one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.score", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model")
    parser.add_argument("items", type=Path, nargs="+", help="items files, as curate evaluate writes them")
    parser.add_argument("--out", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens of one forward pass")
    asked = parser.parse_args(arguments)
    scorer = Scorer.load(asked.model, asked.max_tokens)
    for items in asked.items:
        try:
            scorer.write(items, asked.out / f"{items.stem}.jsonl")
        except torch.OutOfMemoryError:
            raise TrainError(items.stem, "out of GPU memory", "", "lower --max-tokens; it continues") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CurateError as error:
        if os.environ.get("CURATE_DEBUG") == "1":
            raise
        sys.exit(fail(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "free some space and run the same command again: it continues"
        sys.exit(fail(WorkspaceError(str(error.filename or "the disk"), "no space left to write", "", hint)))
    except KeyboardInterrupt:
        sys.exit(130)
