"""Score every reply to every item of an eval set: `python -m trainer.score MODEL ITEMS... --out DIR`.

Each items file (curate.evalsets.itemfile) gives DIR/<its stem>.jsonl, a score file in curate's own format, which
is there once it is whole. Until then its lines are in DIR/<its stem>.jsonl.part, and the same command continues
from them. An item that cannot be scored (too long, media missing or refused) gets a line with the reason.
"""

import argparse
import errno
import fcntl
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from curate.checksums import published
from curate.errors import CurateError, TrainError, WorkspaceError
from curate.evalsets.itemfile import ItemFile, Question
from curate.schema import Message
from trainer.batch import Tree
from trainer.critic import Critic, CriticEncoder, saved_settings
from trainer.dialogues import Media, Scored, score_dialogues
from trainer.encode import Encoder
from trainer.logs import Progress, fail, say
from trainer.media import Unusable
from trainer.model import RewardModel, read_facts
from trainer.packing import pack, token_batches


class ItemScores(NamedTuple):
    """The scores of an item's replies, or the reason why it has none."""

    item: str
    scores: Sequence[float]
    problem: str | None = None


class _EncodedItem(NamedTuple):
    item: str
    trees: tuple[Tree, ...]
    problem: str | None

    @property
    def tokens(self) -> int:
        return sum(tree.tokens for tree in self.trees)

    @property
    def replies(self) -> int:
        return sum(len(tree.ids) for tree in self.trees)


@torch.no_grad()
def score_items(
    model: RewardModel,
    encoder: Encoder,
    questions: Iterable[Question],
    max_tokens: int,
    critic: Critic | None = None,
) -> Iterator[ItemScores]:
    """Score each question's replies in fp32, in order, in forward passes of at most `max_tokens` tokens.

    An item of more tokens has a pass of its own. With a `critic`, whose encoder it must be, the scores are those
    after critiques that the model writes. Raises TrainError for a score that is not finite.
    """
    device = next(model.parameters()).device
    encoded = (_encode(encoder, question) for question in questions)
    if critic is None:
        batches = token_batches(encoded, lambda one: one.tokens, max_tokens)
    else:
        batches = token_batches(encoded, lambda one: critic.tokens_of(one.trees), critic.room(max_tokens))
    for batch in batches:
        trees = [tree for one in batch for tree in one.trees]
        if critic is not None and trees:
            scores = iter(critic(model, trees))
        else:
            scores = iter(model(pack(trees, model.backbone).to(device)).tolist() if trees else [])
        for one in batch:
            found = list(islice(scores, one.replies))
            if not all(map(math.isfinite, found)):
                raise TrainError(one.item, f"scores {found}", "finite numbers", "the model diverged in training")
            yield ItemScores(one.item, found, one.problem)


def _encode(encoder: Encoder, question: Question) -> _EncodedItem:
    if question.problem is not None:
        return _EncodedItem(question.item, (), question.problem)
    try:
        trees = encoder.dialogue(question.prompt, question.replies, question.media)
    except Unusable as error:
        problem = f"{error.reason}: {error.detail}" if error.detail else error.reason
        return _EncodedItem(question.item, (), problem)
    return _EncodedItem(question.item, trees, None)


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
        rows = [{**about, "candidate": i, "score": value} for i, value in enumerate(scored.scores)]
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


def _json_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A loaded model with its encoder; `settings` is what its scores depend on besides its files."""

    model: RewardModel
    encoder: Encoder
    settings: dict[str, Any]
    max_tokens: int
    critic: Critic | None = None

    @classmethod
    def load(cls, directory: Path, max_tokens: int) -> "Scorer":
        """Load the model, on the GPU in bf16 if there is one, else on the CPU in fp32.

        Images are bounded as in training; dialogues only by the backbone's number of positions.
        """
        facts = read_facts(directory)["encoder"]
        bounds = {name: facts.get(name) for name in ("min_pixels", "max_pixels")}
        device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
        model = RewardModel.from_pretrained(directory, dtype).to(device)
        base: Any = model.base
        longest = base.config.get_text_config().max_position_embeddings
        if model.paradigm == "naive":
            encoder = Encoder(directory, max_length=longest, **bounds)
            return cls(model, encoder, {"dtype": str(dtype), "encoder": encoder.facts()}, max_tokens)
        instruction, limit = saved_settings(directory, facts)
        if longest <= limit:
            hint = "lower max_critique in reward_config.json"
            raise TrainError(str(directory), f"{longest} positions", f"more than the {limit} of a critique", hint)
        asker = CriticEncoder(directory, instruction=instruction, max_length=longest - limit, **bounds)
        settings = {"dtype": str(dtype), "encoder": asker.facts(), "max_critique": limit}
        return cls(model, asker, settings, max_tokens, Critic(asker, limit))

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media] | None = None) -> list[Scored]:
        """Score the last message of each dialogue; `media` holds those of each (see `score_dialogues`).

        Raises TrainError for a score that is not finite.
        """
        shown: Sequence[Media] = [()] * len(dialogues) if media is None else media
        return score_dialogues(self.items, dialogues, shown, self.encoder.turns_of)

    def items(self, questions: Iterable[Question]) -> Iterator[ItemScores]:
        """Score the replies of each question, in order. Raises TrainError for a score that is not finite."""
        return score_items(self.model, self.encoder, questions, self.max_tokens, self.critic)

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
        if self.critic is not None:
            say(self.critic.summary())


def main(arguments: Sequence[str]) -> None:
    """Score the items files with one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.score", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model")
    parser.add_argument("items", type=Path, nargs="+", help="items files, as curate evaluate writes them")
    parser.add_argument("--out", type=Path, required=True, help="directory of the score files")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens of one forward pass")
    options = parser.parse_args(arguments)
    scorer = Scorer.load(options.model, options.max_tokens)
    for items in options.items:
        try:
            scorer.write(items, options.out / f"{items.stem}.jsonl")
        except torch.OutOfMemoryError:
            hint = "lower --max-tokens; the same command continues"
            raise TrainError(items.stem, "out of GPU memory", "", hint) from None


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
