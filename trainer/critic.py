"""The critic paradigm: after a reply comes a turn that asks for a critique, then the critique, then the score.

A side of a pair that has a critique ends with these two turns, and the critique's tokens are to be predicted; a
side without one is as in the naive paradigm. Both sides share the prompt and its media.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor
from torch.nn.functional import pad

from curate.errors import TrainError
from curate.schema import Block, Message
from curate.workspace import atomic
from trainer.batch import Tree
from trainer.encode import Encoded, Encoder, Measured, Refused, Row
from trainer.model import RewardModel
from trainer.packing import dummy_image
from trainer.writing import write

OURS = Path(__file__).parent / "prompts" / "critic.txt"
CACHE_TOKENS = 131_072
"""Tokens of the cache of keys and values that critiques are written over; 7.5 GB with Qwen2.5-7B in bf16."""
INSTRUCTION = "critic_instruction.txt"  # in a run directory: what its critiques are asked for with


def read_instruction(path: str | None) -> str:
    """Read the file that asks for a critique (None: ours). Raises TrainError if there is no text in it."""
    where = OURS if path is None else Path(path)
    try:
        text = where.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise TrainError(str(where), str(reason), "the text that asks for a critique") from None
    if not text:
        raise TrainError(str(where), "empty", "the text that asks for a critique")
    return text


def keep_instruction(path: str | None, run: Path) -> None:
    """Keep the instruction in the run directory. Raises TrainError if the run began with another one."""
    text, kept = read_instruction(path), run / INSTRUCTION
    if not kept.exists():
        with atomic(kept) as temporary:
            temporary.write_text(text, encoding="utf-8")
    elif read_instruction(str(kept)) != text:
        hint = f"copy {kept} back over it, or give another --out"
        raise TrainError(str(path or OURS), "changed since the run began", f"the text of {kept}", hint)


def instruction_hash(text: str) -> str:
    """Compute the hash of an instruction that models and runs record."""
    return xxhash.xxh3_64_hexdigest(text.encode())


def settings_to_save(instruction: str, limit: int) -> dict[str, Any]:
    """Describe how critiques are asked for, for a model's reward_config.json."""
    return {"instruction": instruction, "instruction_hash": instruction_hash(instruction), "max_critique": limit}


def saved_settings(directory: Path, facts: Mapping[str, Any]) -> tuple[str, int]:
    """Read instruction and limit from what `settings_to_save` made. Raises TrainError if it is not that."""
    instruction, limit = facts.get("instruction"), facts.get("max_critique")
    if not isinstance(instruction, str) or not isinstance(limit, int) or limit < 1:
        raise TrainError(
            str(directory), "a critic without instruction or max_critique", "both, in reward_config.json"
        )
    if instruction_hash(instruction) != facts.get("instruction_hash"):
        raise TrainError(str(directory), "another instruction than the model was trained with", "the one it names")
    return instruction, limit


class CriticEncoder(Encoder):
    """Encodes pairs with their critiques, each asked for by `instruction` in a turn of the user."""

    def __init__(self, model_dir: str | Path, *, instruction: str, **bounds: Any) -> None:
        super().__init__(model_dir, **bounds)
        self.instruction = instruction

    def facts(self) -> dict[str, Any]:
        """Describe what the tokens and pixels depend on, for a run's records."""
        return super().facts() | {"instruction": instruction_hash(self.instruction)}

    @cached_property
    def end(self) -> tuple[int, ...]:
        """The tokens that end a critique's turn. Raises TrainError for a template that writes none."""
        _, marked = self._asked("critique")
        tokens = self.literals.encode(marked[marked.rindex("critique") + len("critique") :])
        if not tokens:
            raise TrainError("chat template", "nothing ends a turn of the assistant", "a token that does")
        return tuple(tokens)

    def dialogue(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[bytes | Sequence[bytes]],
        tools: str | None = None,
    ) -> tuple[Tree, ...]:
        """Encode replies as `Encoder.dialogue` does, each up to where its critique begins. Raises Unusable."""
        asked = [(*reply, self._ask()) for reply in replies]
        trees, pictures = self._trees(prompt, asked, media, tools, True)
        return self._with_pixels(trees, pictures)

    def asking(self, row: Row) -> Encoded:
        """Encode a pair whose replies are followed by the instruction, up to where critiques are to begin.

        Raises Unusable.
        """
        asked = [(*reply, self._ask()) for reply in (row.chosen, row.rejected)]
        return self.decode(self._measured(row, asked, answer_next=True))

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
        return (*reply, self._ask(), _turn("assistant", critique)) if critique else tuple(reply)

    def _ask(self) -> Message:
        return _turn("user", self.instruction)

    def _critique(self, text: str) -> Tensor:
        """The tokens that a model has to write for this critique, with the end of its turn. Raises Refused."""
        before, whole = self._asked(text)
        if not whole.startswith(before):
            raise Refused("the turn of a critique does not begin as the template lets the assistant begin one")
        return torch.tensor(self.literals.encode(whole.removeprefix(before)))

    def _asked(self, critique: str) -> tuple[str, str]:
        """The instruction's turn up to where the assistant's begins, and with the whole critique."""
        before = self._render(self._turns([self._ask()], iter(())).messages, None, True)
        return before, self._render(self._turns(self._critiqued((), critique), iter(())).messages, None)


class Critic:
    """Scores branches after critiques that its model writes greedily, each of at most `limit` tokens.

    `written` counts critiques, `cut` those that reached the limit, `tokens` their tokens. `ranks` processes that
    use it together run the same number of forward passes, if `any_rank` says whether a flag is true on any.
    """

    def __init__(
        self, encoder: CriticEncoder, limit: int, any_rank: Callable[[bool], bool] = bool, *, ranks: int = 1
    ) -> None:
        self.limit, self._encoder, self._any_rank, self._ranks = limit, encoder, any_rank, ranks
        self.written = self.cut = self.tokens = 0

    def encode(self, row: Row) -> Encoded:
        """Encode a pair up to where critiques begin, as `__call__` takes its trees. Raises Unusable."""
        return self._encoder.asking(row)

    def tokens_of(self, trees: Sequence[Tree]) -> int:
        """How many tokens of the cache trees take with their critiques, at most."""
        return sum(tree.tokens + len(tree.ids) * (tree.shared + self.limit) for tree in trees)

    @staticmethod
    def room(max_tokens: int) -> int:
        """How many tokens the cache may hold where a forward pass has `max_tokens`: it needs less memory."""
        return max(max_tokens, CACHE_TOKENS)

    @torch.no_grad()
    def __call__(self, model: RewardModel, trees: Sequence[Tree], *, counted: bool = True) -> list[float]:
        """Score every branch of trees that `CriticEncoder` made, up to where a critique begins.

        A rank without pairs has trees that are not `counted`.
        """
        assert model.lm_head is not None, "a critic has a language model head"
        blank = dummy_image(model.backbone) if self._ranks > 1 and not any(tree.media for tree in trees) else None
        more = [] if blank is None else [replace(blank, ids=(pad(blank.ids[0], (0, 1)),))]
        end, eos = self._encoder.end, self._encoder.tokenizer.eos_token_id
        stops = frozenset({end[0]} if eos is None else {end[0], eos})
        found = write(
            model.backbone, model.lm_head, [*trees, *more], end=end, stops=stops, limit=self.limit,
            any_rank=self._any_rank,
        )  # fmt: skip
        branches = sum(len(tree.ids) for tree in trees)
        if counted:
            self._count(found.ids[:branches], found.ended[:branches])
        scores: list[float] = model.head(found.hidden.float()).tolist()
        return scores[:branches]

    def take_counts(self) -> tuple[int, int, int]:
        """Return `written`, `cut` and `tokens`, and count anew."""
        counts = self.written, self.cut, self.tokens
        self.written = self.cut = self.tokens = 0
        return counts

    def summary(self) -> str:
        """Describe the critiques so far in words."""
        mean = self.tokens / self.written if self.written else 0
        return f"{self.written:,} critiques of {mean:,.0f} tokens on average; {self.cut:,} reached {self.limit:,}"

    def _count(self, critiques: Sequence[Sequence[int]], ended: Sequence[bool]) -> None:
        self.written += len(critiques)
        self.cut += len(ended) - sum(ended)
        self.tokens += sum(map(len, critiques))


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
