"""The critic paradigm: after a reply comes a turn that asks for a critique, then the critique, then the score.

A side of a pair that has a critique ends with these two turns, and the critique's tokens are to be predicted; a
side without one is as in the naive paradigm. Both sides share the prompt and its media.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curate.config import build
from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.schema import Block, Message
from trainer import prompt_files
from trainer.batch import Tree
from trainer.config import CriticConfig
from trainer.encode import Encoded, Encoder, Measured, Refused, Row
from trainer.judging import Judgement, TextCounts, cache_tokens, filled, room
from trainer.media import Unusable
from trainer.model import RewardModel
from trainer.sampling import Sampling
from trainer.writing import write

INSTRUCTION = "critic_instruction.txt"  # in a run directory: what its critiques are prompted for with
WHAT = "the text that asks for a critique"


def read_instruction(path: str | None) -> str:
    """Read the prompt of a critique (None: ours). Raises TrainError if the file is empty."""
    return prompt_files.read(path, "critic.txt", WHAT)


def settings_to_save(instruction: str, config: CriticConfig) -> dict[str, Any]:
    """Return what reward_config.json of a critic records: its prompt and how critiques are written."""
    return {
        "instruction": instruction, "instruction_hash": prompt_files.digest(instruction),
        "max_critique": config.max_critique, "critiques": config.critiques, "temperature": config.temperature,
    }  # fmt: skip


def saved_settings(directory: Path, facts: Mapping[str, Any]) -> tuple[str, CriticConfig]:
    """Read the instruction and the rest of what `settings_to_save` made. Raises TrainError if it is not that."""
    instruction, limit = facts.get("instruction"), facts.get("max_critique")
    if not isinstance(instruction, str) or not isinstance(limit, int):
        raise TrainError(
            str(directory), "a critic without instruction or max_critique", "both, in reward_config.json"
        )
    if prompt_files.digest(instruction) != facts.get("instruction_hash"):
        raise TrainError(str(directory), "another instruction than the model was trained with", "the one it names")
    named = {name: facts[name] for name in ("max_critique", "critiques", "temperature") if name in facts}
    config: CriticConfig = build(named, CriticConfig, f"{directory / 'reward_config.json'}: $.encoder")
    return instruction, config


class CriticEncoder(Encoder):
    """Encodes pairs with their critiques, each prompted for by `instruction` in a turn of the user."""

    def __init__(self, model_dir: str | Path, *, instruction: str, **bounds: Any) -> None:
        super().__init__(model_dir, **bounds)
        self.instruction = instruction

    def facts(self) -> dict[str, Any]:
        """Describe what the tokens and pixels depend on, for a run's records."""
        return super().facts() | {"instruction": prompt_files.digest(self.instruction)}

    def dialogue(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[bytes | Sequence[bytes]],
        tools: str | None = None,
    ) -> tuple[Tree, ...]:
        """Encode replies as `Encoder.dialogue` does, each up to where its critique begins. Raises Unusable."""
        branches = [(*reply, self._instruction()) for reply in replies]
        trees, pictures = self._trees(prompt, branches, media, tools, True)
        return self._with_pixels(trees, pictures)

    def unanswered(self, row: Row) -> Encoded:
        """Encode a pair whose replies are followed by the instruction, up to where critiques are to begin.

        Raises Unusable.
        """
        branches = [(*reply, self._instruction()) for reply in (row.chosen, row.rejected)]
        return self.decode(self._measured(row, branches, answer_next=True))

    def item(self, question: Question) -> tuple[Tree, ...]:
        """Encode an item's replies with their given critiques. Raises Unusable, `no_critique` without one."""
        critiques = [(text or "").strip() for text in question.critiques or ("",)]
        if not all(critiques):
            raise Unusable("no_critique", "")
        replies = zip(question.replies, critiques, strict=True)
        branches = [self._critiqued(reply, critique) for reply, critique in replies]
        return self._with_pixels(*self._trees(question.prompt, branches, question.media))

    def measure(self, row: Row) -> Measured:
        """Encode a pair with its given critiques, without its pixels. Raises Unusable."""
        critiques = [(text or "").strip() for text in (row.chosen_critique, row.rejected_critique)]
        ends = [self._critique(text) if text else None for text in critiques]
        replies = zip((row.chosen, row.rejected), critiques, strict=True)
        branches = [self._critiqued(reply, critique) for reply, critique in replies]
        measured = self._measured(row, branches)
        trees = _with_targets(measured.pair.trees, ends)
        return replace(measured, pair=replace(measured.pair, trees=trees))

    def _critiqued(self, reply: Sequence[Message], critique: str) -> tuple[Message, ...]:
        """The reply's messages, then those of its critique, if it has one."""
        return (*reply, self._instruction(), _turn("assistant", critique)) if critique else tuple(reply)

    def _instruction(self) -> Message:
        return _turn("user", self.instruction)

    def _critique(self, text: str) -> Tensor:
        """The tokens that a model has to write for this critique, with the end of its turn. Raises Refused."""
        before, whole = self._turns_around(text)
        if not whole.startswith(before):
            raise Refused("the turn of a critique does not begin as the template lets the assistant begin one")
        return torch.tensor(self.literals.encode(whole.removeprefix(before)))

    def _turns_around(self, critique: str) -> tuple[str, str]:
        """The instruction's turn up to where the assistant's begins, and with the whole critique."""
        before = self._render(self._turns([self._instruction()], iter(())).messages, None, True)
        return before, self._render(self._turns(self._critiqued((), critique), iter(())).messages, None)


class Critic:
    """Scores branches by the mean score after critiques that its model writes (see `judging.Writer`).

    There are `config.critiques` for each branch, each of at most `config.max_critique` tokens. `ranks` processes
    that use it together run the same number of forward passes, if `any_rank` says whether a flag is true on any.
    """

    def __init__(
        self,
        encoder: CriticEncoder,
        config: CriticConfig,
        any_rank: Callable[[bool], bool] = bool,
        *,
        ranks: int = 1,
        seed: int = 0,
    ) -> None:
        self.limit = config.max_critique
        self.sampling = Sampling(samples=config.critiques, temperature=config.temperature, seed=seed)
        self._encoder, self._any_rank, self._ranks = encoder, any_rank, ranks
        self._counts = TextCounts()

    def pair(self, row: Row) -> Encoded:
        """Encode a pair up to where critiques begin. Raises Unusable."""
        return self._encoder.unanswered(row)

    def item(self, question: Question) -> tuple[Tree, ...]:
        """Encode an item's replies up to where critiques begin. Raises Unusable."""
        return self._encoder.dialogue(question.prompt, question.replies, question.media)

    def tokens_of(self, trees: Sequence[Tree]) -> int:
        """How many tokens of the cache trees take with their critiques, at most."""
        return cache_tokens(trees, self.limit, self.sampling.samples)

    def room(self, max_tokens: int) -> int:
        """How many of these tokens may be in memory where a forward pass has `max_tokens`."""
        return room(max_tokens)

    @torch.no_grad()
    def __call__(self, model: RewardModel, items: Sequence[Sequence[Tree]]) -> list[Judgement]:
        """Score every branch of items that end where a critique begins."""
        assert model.lm_head is not None, "a critic has a language model head"
        assert model.head is not None, "and one for rewards"
        trees = [tree for item in items for tree in item]
        end, eos = self._encoder.end, self._encoder.tokenizer.eos_token_id
        found = write(
            model.backbone, model.lm_head, filled(trees, model.backbone, self._ranks), end=end,
            stops=frozenset({end[0], eos} - {None}), limit=self.limit, sampling=self.sampling,
            any_rank=self._any_rank,
        )  # fmt: skip
        scores = model.head(found.hidden.float()).view(-1, self.sampling.samples).mean(1).tolist()
        texts = sum(len(tree.ids) for tree in trees) * self.sampling.samples
        self._counts = self._counts.plus(found.ids[:texts], found.ended[:texts])
        rest = iter(scores)
        return [Judgement([next(rest) for tree in item for _ in tree.ids]) for item in items]

    def take_counts(self) -> TextCounts:
        """Return the counts of critiques so far, and count anew."""
        counts, self._counts = self._counts, TextCounts()
        return counts

    def summary(self) -> str:
        """Describe the critiques so far in words."""
        return self._counts.summary("critiques", self.limit)


def _turn(role: str, text: str) -> Message:
    return Message(role, (Block("text", text),))


def _with_targets(trees: Sequence[Tree], critiques: Sequence[Tensor | None]) -> tuple[Tree, ...]:
    """Trees whose branches end with these critiques, which are to be predicted. Raises Refused if one does not."""
    counts = [0 if critique is None else len(critique) for critique in critiques]
    branches = [ids for tree in trees for ids in tree.ids]
    for ids, critique in zip(branches, critiques, strict=True):
        if critique is not None and not torch.equal(ids[len(ids) - len(critique) :], critique):
            raise Refused("the tokens of a critique depend on what precedes it")
    rest = iter(counts)
    return tuple(replace(tree, targets=tuple(next(rest) for _ in tree.ids)) for tree in trees)
