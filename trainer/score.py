"""Score every reply to every item of an eval set: `python -m trainer.score MODEL ITEMS... --out DIR`.

Each items file (curate.evalsets.itemfile) gives DIR/<its stem>.jsonl, a score file in curate's own format, which
is there once it is whole. Until then its lines are in DIR/<its stem>.jsonl.part, and the same command continues
from them. An item that cannot be scored (too long, media missing or refused) gets a line with the reason.
"""

import argparse
import fcntl
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from curate.checksums import published
from curate.errors import TrainError, WorkspaceError
from curate.evalsets.itemfile import ItemFile, Question
from curate.schema import Message
from trainer import programs
from trainer.batch import Tree
from trainer.config import MEDIA_BOUNDS
from trainer.dialogues import Media, Scored, score_dialogues
from trainer.encode import Encoder
from trainer.judging import Judgement, Writer
from trainer.logs import Progress, say
from trainer.media import Unusable
from trainer.model import RewardModel, read_facts
from trainer.packing import pack, token_batches
from trainer.writers import AS_SAVED, WriterOptions, readers_of


class ItemScores(NamedTuple):
    """The scores of an item's replies, or the reason why it has none; `judged` is what a judge of two answered."""

    item: str
    scores: Sequence[float]
    problem: str | None = None
    judged: Judgement | None = None


class _EncodedItem(NamedTuple):
    item: str
    trees: tuple[Tree, ...]
    problem: str | None

    def tokens(self, *, share: bool) -> int:
        return sum(tree.tokens if share else tree.unshared_tokens for tree in self.trees)


@torch.no_grad()
def score_items(
    model: RewardModel,
    encoder: Encoder,
    questions: Iterable[Question],
    max_tokens: int,
    writer: Writer | None = None,
) -> Iterator[ItemScores]:
    """Score each question's replies in fp32, in order, in forward passes of at most `max_tokens` tokens.

    An item of more tokens has a pass of its own. With a `writer`, whose encoder it must be, the scores are those
    by the texts that the model writes. Raises TrainError for a score that is not finite.
    """
    encode = encoder.item if writer is None else writer.item
    encoded = (_encode(encode, question) for question in questions)
    if writer is None:
        batches = token_batches(encoded, lambda one: one.tokens(share=model.backbone.shares), max_tokens)
    else:
        batches = token_batches(encoded, lambda one: writer.tokens_of(one.trees), writer.room(max_tokens))
    for batch in batches:
        scored = [one for one in batch if one.problem is None]
        found = iter(_judged(model, [one.trees for one in scored], writer) if scored else [])
        for one in batch:
            judged = next(found) if one.problem is None else Judgement([])
            if not all(map(math.isfinite, judged.scores)):
                hint = "the model diverged in training"
                raise TrainError(one.item, f"scores {judged.scores}", "finite numbers", hint)
            yield ItemScores(one.item, judged.scores, one.problem, judged if judged.orders else None)


def _judged(model: RewardModel, items: Sequence[Sequence[Tree]], writer: Writer | None) -> list[Judgement]:
    if writer is not None:
        return writer(model, items)
    device = next(model.parameters()).device
    scores = iter(model(pack([tree for item in items for tree in item], model.backbone).to(device)).tolist())
    return [Judgement([next(scores) for tree in item for _ in tree.ids]) for item in items]


def _encode(encode: Callable[[Question], tuple[Tree, ...]], question: Question) -> _EncodedItem:
    if question.problem is not None:
        return _EncodedItem(question.item, (), question.problem)
    try:
        return _EncodedItem(question.item, encode(question), None)
    except Unusable as error:
        problem = f"{error.reason}: {error.detail}" if error.detail else error.reason
        return _EncodedItem(question.item, (), problem)


class ScoreWriter:
    """Writes a score file as DIR/NAME.jsonl.part, from which a killed run continues.

    Its first line holds the settings that scores depend on; with other settings it starts anew. Its last item may
    be incomplete, so that item is scored again. Raises WorkspaceError while another process writes the file.
    """

    def __init__(self, path: Path, benchmark: str, settings: dict[str, Any]) -> None:
        self.path, self._benchmark = path, benchmark
        self._part = path.with_name(f"{path.name}.part")
        self._head = _json_line({"settings": settings})
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, "a+b")  # noqa: SIM115 - closed by __exit__
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise WorkspaceError(str(self._part), "in use by another run", "", "wait until it has ended") from None
        self.done = self._resume()

    def _resume(self) -> set[str]:
        """Keep the items that are complete; returns their keys."""
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

    def add(self, scored: ItemScores) -> None:
        """Write an item's lines."""
        about = {"benchmark": self._benchmark, "item": scored.item}
        rows: list[dict[str, Any]] = []
        for candidate, score in enumerate(scored.scores):
            judged = {} if scored.judged is None else {"judged": _orders_of(candidate, scored.judged)}
            rows.append({**about, "candidate": candidate, "score": score, **judged})
        if scored.problem is not None:
            rows = [{**about, "unscored": scored.problem}]
        self._file.write(b"".join(map(_json_line, rows)))
        self._file.flush()

    def publish(self) -> None:
        """Publish the lines, without the first, under the name of a finished score file."""
        self._file.seek(len(self._head))
        with published(self.path) as temporary:
            temporary.write_bytes(self._file.read())
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _orders_of(first: int, judged: Judgement) -> list[dict[str, Any]]:
    """The answers where this reply came first: the other reply, the verdicts, and the texts."""
    orders = zip(judged.orders, judged.published, judged.texts, strict=True)
    return [
        {"second": order.second, "verdicts": order.verdicts, "published": published, "texts": texts}
        for order, published, texts in orders
        if order.first == first
    ]


def _json_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded model with its encoder; `settings` is what its scores depend on besides its files."""

    model: RewardModel
    encoder: Encoder
    settings: dict[str, Any]
    max_tokens: int
    writer: Writer | None = None

    @classmethod
    def load(cls, directory: Path, max_tokens: int, options: WriterOptions = AS_SAVED) -> "Scorer":
        """Load the model, on the GPU in bf16 if there is one, else on the CPU in fp32.

        Images are bounded as in training; dialogues only by the backbone's number of positions. Raises TrainError
        for options that the model's paradigm has not.
        """
        facts = read_facts(directory)["encoder"]
        bounds = {name: facts.get(name) for name in MEDIA_BOUNDS}
        device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
        model = RewardModel.from_pretrained(directory, dtype).to(device)
        encoder, writer, more = readers_of(model, directory, facts, bounds, options, max_tokens)
        return cls(model, encoder, {"dtype": str(dtype), "encoder": encoder.facts(), **more}, max_tokens, writer)

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media] | None = None) -> list[Scored]:
        """Score the last message of each dialogue; `media` holds those of each (see `score_dialogues`).

        Raises TrainError for a score that is not finite.
        """
        attached: Sequence[Media] = [()] * len(dialogues) if media is None else media
        return score_dialogues(self.items, dialogues, attached, self.encoder.turns_of)

    def items(self, questions: Iterable[Question]) -> Iterator[ItemScores]:
        """Score the replies of each question, in order. Raises TrainError for a score that is not finite."""
        return score_items(self.model, self.encoder, questions, self.max_tokens, self.writer)

    def write(self, items: Path, path: Path) -> None:
        """Score an items file and write its score file."""
        file = ItemFile(items)
        with ScoreWriter(path, file.benchmark, self.settings) as writer:
            if writer.done:
                say(f"{file.benchmark}: {len(writer.done):,} of {len(file):,} items are scored already")
            left = (question for question in file if question.item not in writer.done)
            progress = Progress(file.benchmark, len(writer.done), len(file))
            for scored in self.items(left):
                writer.add(scored)
                progress.tick()
            writer.publish()
        say(f"{file.benchmark}: {len(file):,} items, {path}")
        if self.writer is not None and (texts := self.writer.summary()):
            say(texts)


def main(arguments: Sequence[str]) -> None:
    """Score the items files with one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.score", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model")
    parser.add_argument("items", type=Path, nargs="+", help="items files, as curate evaluate writes them")
    parser.add_argument("--out", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens of one forward pass")
    parser.add_argument("--samples", type=int, help="critiques or verdicts for each reply or order, drawn")
    parser.add_argument("--given-critiques", action="store_true", help="score after the items' own critiques")
    options = parser.parse_args(arguments)
    writing = WriterOptions(samples=options.samples, given=options.given_critiques)
    scorer = Scorer.load(options.model, options.max_tokens, writing)
    for items in options.items:
        try:
            scorer.write(items, options.out / f"{items.stem}.jsonl")
        except torch.OutOfMemoryError:
            hint = "lower --max-tokens; the same command continues"
            raise TrainError(items.stem, "out of GPU memory", "", hint) from None


if __name__ == "__main__":
    programs.run(main)
