"""The generative paradigm: a judge reads a question with two replies, and writes which of them is better.

Its verdict is one digit, or follows its reasoning: `<think>...</think><answer>1|2</answer>`. In training the order
of a pair's replies is drawn from the seed and the pair's id, and is swapped with every epoch; only what the judge
has to write is predicted. In evaluations it answers in both orders, about every two replies of an item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, groupby, islice, permutations
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from curate.config import build
from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.evalsets.orders import Order, vote
from curate.schema import FIELD_BLOCKS, MEDIA_BLOCKS, Block, Message
from trainer import prompt_files, verdicts
from trainer.batch import Tree
from trainer.config import GenerativeConfig
from trainer.encode import Encoded, Encoder, Measured, Row, TooLong
from trainer.judging import Judgement, TextCounts, cache_tokens, filled, room
from trainer.media import BadMedia, Picture, Unusable
from trainer.model import RewardModel
from trainer.packing import make_tree, pack, token_batches
from trainer.sampling import Sampling
from trainer.writing import write

PROMPT = "judge_prompt.txt"  # in a run directory: what its judge is prompted with
PLACES = ("{question}", "{reply_1}", "{reply_2}")
WHAT = f"a text with each of {', '.join(PLACES)} once"

Media = bytes | Sequence[bytes]


def read_prompt(path: str | None, form: str) -> str:
    """Read the prompt of a judge (None: ours). Raises TrainError if a placeholder of a text is missing."""
    text = prompt_files.read(path, f"{form}.txt", WHAT)
    for place in PLACES:
        if (count := text.count(place)) != 1:
            raise TrainError(str(path or f"{form}.txt"), f"{place} {count} times", WHAT)
    return text


def settings_to_save(prompt: str, config: GenerativeConfig) -> dict[str, Any]:
    """Return what reward_config.json of a judge records: its prompt and how it answers."""
    return {
        "prompt": prompt, "prompt_hash": prompt_files.digest(prompt), "form": config.form,
        "max_text": config.max_text, "samples": config.samples, "temperature": config.temperature,
    }  # fmt: skip


def saved_settings(directory: Path, facts: Mapping[str, Any]) -> tuple[str, GenerativeConfig]:
    """Read the prompt and the rest of what `settings_to_save` made. Raises TrainError if it is not that."""
    prompt = facts.get("prompt")
    if not isinstance(prompt, str) or prompt_files.digest(prompt) != facts.get("prompt_hash"):
        raise TrainError(str(directory), "another prompt than the model was trained with", "the one it names")
    names = ("form", "max_text", "samples", "temperature")
    named = {name: facts[name] for name in names if name in facts}
    where = f"{directory / 'reward_config.json'}: $.encoder"
    config: GenerativeConfig = build(named, GenerativeConfig, where)
    return prompt, config


class JudgeEncoder(Encoder):
    """Encodes questions with two replies in one turn of the user, as `prompt` lays them out, and what to answer.

    With `reasoned`, a pair's critiques are the reasoning that precedes its answer.
    """

    period = 2  # the order of replies is swapped with every epoch

    def __init__(
        self, model_dir: str | Path, *, prompt: str, reasoned: bool = False, seed: int = 0, **bounds: Any
    ) -> None:
        super().__init__(model_dir, **bounds)
        self.prompt, self.reasoned, self.seed = prompt, reasoned, seed

    def facts(self) -> dict[str, Any]:
        """Describe what the tokens and pixels depend on, for a run's records."""
        form = "reasoned" if self.reasoned else "verdict"
        return super().facts() | {"prompt": prompt_files.digest(self.prompt), "form": form}

    @cached_property
    def digits(self) -> tuple[int, int]:
        """The tokens 1 and 2. Raises TrainError for a tokenizer that has not one for each."""
        first, second = self.literals.encode("1"), self.literals.encode("2")
        if len(first) != 1 or len(second) != 1 or first == second:
            raise TrainError("tokenizer", f"1 is {len(first)} tokens, 2 is {len(second)}", "one token for each")
        return first[0], second[0]

    @cached_property
    def after(self) -> tuple[int, ...]:
        """The tokens that follow the verdict's digit in training."""
        return (*self.literals.encode("</answer>"), *self.end) if self.reasoned else ()

    def measure(self, row: Row) -> Measured:
        """Encode a pair in the order of its coin, with its answer, without pixels. Raises Unusable."""
        if row.margin == 0.0:
            raise Unusable("tie", "")
        first = chosen_first(self.seed, row)
        answer = self._answer(row, 1 if first else 2)
        ids, _, pictures = self._prompt_tokens(_Judged.of(row), (0, 1) if first else (1, 0))
        whole = torch.cat([ids, torch.tensor(answer)])
        if len(whole) > self.max_length:
            raise TooLong(len(whole))
        return self._pair(row, (Tree((whole,), 0, {}, (len(answer),)),), (pictures,))

    def unanswered(self, row: Row) -> Encoded:
        """Encode a pair in both orders, chosen first in the first branch, up to where answers begin.

        Raises Unusable.
        """
        return self.decode(self._pair(row, *self._both(_Judged.of(row), 2)))

    def dialogue(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[Media],
        tools: str | None = None,
    ) -> tuple[Tree, ...]:
        """Encode every two of the replies in both orders: branches are in the order of `itertools.permutations`.

        Raises Unusable.
        """
        question = _Judged(prompt, replies, media, tools)
        return self._with_pixels(*self._both(question, len(replies)))

    def filler(self) -> Encoded:
        """Make the shortest pair, of weight 0: a token, the answer, and what follows it."""
        ids = torch.tensor([self.literals.encode("a")[0], self.digits[0], *self.after])
        return Encoded("", "", (Tree((ids,), 0, {}, (len(ids) - 1,)),), None, False, 1, 1, weight=0.0)

    def _answer(self, row: Row, number: int) -> list[int]:
        """The tokens that the judge has to write. Raises Unusable for a pair without reasoning."""
        digit = self.digits[number - 1]
        if not self.reasoned:
            return [digit]
        critiques = [row.chosen_critique, row.rejected_critique][:: 1 if number == 1 else -1]
        lines = [f"Reply {i}: {text.strip()}" for i, text in enumerate(critiques, 1) if text and text.strip()]
        reasoning = "\n\n".join(lines)
        if not reasoning:
            raise Unusable("no_reasoning", "")
        if any(tag in reasoning for tag in verdicts.TAGS):
            raise Unusable("tag_in_reasoning", "")
        return [
            *self.literals.encode(f"<think>{self.literals.mark(reasoning)}</think><answer>"),
            digit,
            *self.after,
        ]

    def _pair(self, row: Row, trees: tuple[Tree, ...], pictures: tuple[tuple[Picture, ...], ...]) -> Measured:
        chosen, rejected = map(self._length, (row.chosen, row.rejected))
        pair = Encoded(row.pair_id, row.source, trees, row.margin, row.margin == 0.0, chosen, rejected, row.weight)
        return Measured(pair, pictures)

    def _both(self, judged: "_Judged", replies: int) -> tuple[tuple[Tree, ...], tuple[tuple[Picture, ...], ...]]:
        """Trees without media of all ordered pairs of replies, and the pictures of each.

        Two replies share what precedes them, in one tree. Of more, pairs share that begin with the same reply.
        """
        orders = list(permutations(range(replies), 2))
        groups = (
            [orders] if replies == 2 else [list(one) for _, one in groupby(orders, key=lambda order: order[0])]
        )
        made = [self._group(judged, group) for group in groups]
        return tuple(chain.from_iterable(trees for trees, _ in made)), tuple(
            chain.from_iterable(p for _, p in made)
        )

    def _group(
        self, judged: "_Judged", orders: Sequence[tuple[int, int]]
    ) -> tuple[tuple[Tree, ...], tuple[tuple[Picture, ...], ...]]:
        """One tree with a branch for each of these orders, or a tree for each if they cannot share."""
        branches, ends, pictures = zip(*(self._prompt_tokens(judged, order) for order in orders), strict=True)
        longest = max(map(len, branches))
        if longest > self.max_length:
            raise TooLong(longest)
        alike = all(images == pictures[0] for images in pictures)
        shared = make_tree(branches, {}, max(ends)) if alike else None
        if shared is not None:
            return (shared,), (pictures[0],)
        return tuple(Tree((ids,), 0, {}) for ids in branches), pictures

    def _prompt_tokens(self, judged: "_Judged", order: tuple[int, int]) -> tuple[Tensor, int, tuple[Picture, ...]]:
        """The tokens up to where the judge answers, those up to the last media token, and the pictures."""
        content, media = judged.laid_out(self.prompt, order)
        message = Message("user", content)
        self._check_headers(message)
        turn = self._turns([message], iter(media))
        ids, end = self._branch(self._turns([], iter(())), turn, None, True)
        return ids, end, turn.pictures


def chosen_first(seed: int, row: Row) -> bool:
    """Whether a pair's chosen reply comes first in training: a coin in the first epoch, then in turns."""
    coin = xxhash.xxh3_64_intdigest(row.pair_id.encode(), seed=seed)
    return bool((coin + row.epoch) % 2)


class _Judged:
    """A question with its replies and their media, to be laid out in any order."""

    def __init__(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[Media],
        tools: str | None,
    ) -> None:
        parts = [_blocks(prompt), *map(_blocks, replies)]
        if tools is not None:
            parts[0] = [Block("text", f"Tools: {tools}\n\n"), *parts[0]]
        rest = iter(media)
        counts = [sum(block.type in MEDIA_BLOCKS for block in part) for part in parts]
        if sum(counts) != len(media):
            raise BadMedia("media_mismatch", f"{len(media)} media for {sum(counts)} blocks")
        found = [(part, list(islice(rest, count))) for part, count in zip(parts, counts, strict=True)]
        self._question, *self._replies = found

    @classmethod
    def of(cls, row: Row) -> "_Judged":
        """Make one of a pair, the chosen reply first."""
        return cls(row.prompt, (row.chosen, row.rejected), [medium.read() for medium in row.media], row.tools)

    def laid_out(self, prompt: str, order: tuple[int, int]) -> tuple[tuple[Block, ...], list[Media]]:
        """The content of the judge's turn, and its media in order. What texts contain is no place for others."""
        texts = dict(zip(PLACES, (self._question, *(self._replies[i] for i in order)), strict=True))
        content: list[Block] = []
        media: list[Media] = []
        rest = prompt
        for place in sorted(PLACES, key=prompt.index):
            before, _, rest = rest.partition(place)
            content += [Block("text", before), *texts[place][0]]
            media += texts[place][1]
        return tuple(_joined([*content, Block("text", rest)])), media


def _blocks(messages: Sequence[Message]) -> list[Block]:
    """A dialogue as blocks of one turn; several messages, or one of another role, begin with their roles."""
    plain = len(messages) == 1 and messages[0].role in ("user", "assistant")
    blocks: list[Block] = []
    for number, message in enumerate(messages):
        if not plain:
            blocks.append(Block("text", f"{chr(10) * 2 if number else ''}{message.role.capitalize()}: "))
        for block in message.content:
            named = Block("text", f"({block.type.replace('_', ' ')}: {block.text})\n")
            blocks.append(named if block.type in FIELD_BLOCKS else block)
    return blocks


def _joined(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks of text that follow each other as one."""
    text = ""
    for block in blocks:
        if block.type in MEDIA_BLOCKS:
            if text:
                yield Block("text", text)
            yield block
            text = ""
        else:
            text += block.text or ""
    if text:
        yield Block("text", text)


class Judge:
    """Judges every two replies of an item in both orders (see `judging.Writer`).

    A reply's score is the mean of what it is preferred by over each of the item's replies, so that the scores of
    two differ by the mean preference of both orders: the log-odds of their verdicts, or with reasoning the mean
    vote, from -1 to 1. `ranks` processes that use a judge together run the same number of forward passes; one
    alone takes several for an item of many replies, of `max_tokens` each.
    """

    def __init__(
        self,
        encoder: JudgeEncoder,
        config: GenerativeConfig,
        any_rank: Callable[[bool], bool] = bool,
        *,
        ranks: int = 1,
        seed: int = 0,
        max_tokens: int | None = None,
    ) -> None:
        self.limit = config.max_text
        self._max_tokens = max_tokens
        self.sampling = Sampling(samples=config.samples, temperature=config.temperature, seed=seed)
        self._encoder, self._any_rank, self._ranks = encoder, any_rank, ranks
        self._counts = TextCounts()

    def pair(self, row: Row) -> Encoded:
        """Encode a pair in both orders. Raises Unusable."""
        return self._encoder.unanswered(row)

    def item(self, question: Question) -> tuple[Tree, ...]:
        """Encode every two replies of an item in both orders. Raises Unusable."""
        if len(question.replies) < 2:
            raise Unusable("one_reply", "")
        return self._encoder.dialogue(question.prompt, question.replies, question.media)

    def tokens_of(self, trees: Sequence[Tree]) -> int:
        """How many tokens an item takes: of a forward pass, or of the cache with what is written."""
        if not self._encoder.reasoned:
            return sum(tree.tokens for tree in trees)
        return cache_tokens(trees, self.limit, self.sampling.samples)

    def room(self, max_tokens: int) -> int:
        """How many of these tokens may be in memory where a forward pass has `max_tokens`."""
        return room(max_tokens) if self._encoder.reasoned else max_tokens

    @torch.no_grad()
    def __call__(self, model: RewardModel, items: Sequence[Sequence[Tree]]) -> list[Judgement]:
        """Judge items whose trees are those of `item` or `pair`."""
        trees = [tree for item in items for tree in item]
        branches = [sum(len(tree.ids) for tree in item) for item in items]
        verdicts_of = self._written if self._encoder.reasoned else self._read
        found = chain.from_iterable(verdicts_of(model, part) for part in self._parts(trees))
        return [_judgement(list(islice(found, count))) for count in branches]

    def _parts(self, trees: Sequence[Tree]) -> Iterator[Sequence[Tree]]:
        """The trees that are in memory together."""
        if self._ranks > 1 or self._max_tokens is None:
            yield trees
        else:
            yield from token_batches(trees, lambda tree: self.tokens_of([tree]), self.room(self._max_tokens))

    def _read(self, model: RewardModel, trees: Sequence[Tree]) -> list["_Verdict"]:
        """The verdicts of branches by the next token's probabilities."""
        batch = pack(filled(trees, model.backbone, self._ranks), model.backbone)
        batch = batch.to(next(model.parameters()).device)
        logits: Tensor = model(batch)
        first, second = self._encoder.digits
        preferred = (logits[:, first] - logits[:, second]).tolist()
        numbers = {first: 1, second: 2}
        return [
            _Verdict(odds, (numbers.get(token),), (self._text(token),))
            for odds, token in zip(preferred, logits.argmax(-1).tolist(), strict=True)
        ][: sum(len(tree.ids) for tree in trees)]

    def _text(self, *tokens: int) -> str:
        return str(self._encoder.tokenizer.decode(tokens, skip_special_tokens=False))

    def _written(self, model: RewardModel, trees: Sequence[Tree]) -> list["_Verdict"]:
        """The verdicts of branches by what the model writes after them."""
        assert model.lm_head is not None, "a judge has a language model head"
        end, eos = self._encoder.end, self._encoder.tokenizer.eos_token_id
        found = write(
            model.backbone, model.lm_head, filled(trees, model.backbone, self._ranks), end=end,
            stops=frozenset({end[0], eos} - {None}), limit=self.limit, sampling=self.sampling,
            any_rank=self._any_rank,
        )  # fmt: skip
        branches = sum(len(tree.ids) for tree in trees)
        number = branches * self.sampling.samples
        self._counts = self._counts.plus(found.ids[:number], found.ended[:number])
        texts = iter([self._text(*tokens) for tokens in found.ids])
        groups = [tuple(islice(texts, self.sampling.samples)) for _ in range(branches)]
        read = [tuple(map(verdicts.strict, group)) for group in groups]
        return [_Verdict(vote(one), one, group) for one, group in zip(read, groups, strict=True)]

    def take_counts(self) -> TextCounts:
        """Return the counts of texts so far, and count anew."""
        counts, self._counts = self._counts, TextCounts()
        return counts

    def summary(self) -> str:
        """Describe the texts so far in words; empty where only probabilities are read."""
        return self._counts.summary("verdicts", self.limit) if self._encoder.reasoned else ""


class _Verdict:
    """What the judge says of two replies in one order; `preferred` is above 0 for the first."""

    def __init__(self, preferred: float, read: tuple[int | None, ...], texts: tuple[str, ...]) -> None:
        self.preferred, self.read, self.texts = preferred, read, texts


def _judgement(found: Sequence[_Verdict]) -> Judgement:
    """Join the verdicts of all ordered pairs of an item's replies."""
    replies = next(n for n in range(2, len(found) + 2) if n * (n - 1) == len(found))
    scores = [0.0] * replies
    orders = list(permutations(range(replies), 2))
    for (first, second), one in zip(orders, found, strict=True):
        scores[first] += one.preferred / 2 / replies
        scores[second] -= one.preferred / 2 / replies
    return Judgement(
        scores,
        tuple(Order(*order, one.read) for order, one in zip(orders, found, strict=True)),
        tuple(tuple(map(verdicts.published, one.texts)) for one in found),
        tuple(one.texts for one in found),
    )
