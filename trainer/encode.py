"""Encodes dialogues as trees of tokens and pixels, by a checkpoint's own tokenizer, template and image processor.

This happens in two parts. `measure` renders, tokenises and sizes images by their headers: it finds how many tokens
a pair takes, or why it is unusable, without decoding a pixel. `decode` makes the pixels.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import xxhash
from jinja2 import TemplateError
from torch import Tensor

from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.schema import FIELD_BLOCKS, FIELD_NAMES, Block, Message, to_fields
from trainer.batch import Tree
from trainer.literals import Literals
from trainer.media import BadMedia, Medium, Picture, Unusable, evenly, read_header
from trainer.packing import make_tree
from trainer.processors import load_layout, load_template, load_tokenizer
from trainer.split_images import Squares
from trainer.turns import Turn, TurnTexts

DATE = "26 Jul 2024"
"""The date for templates that print one (Llama 3): a score must not depend on when it was computed."""

MEDIA_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<IMG_CONTEXT>", "<image>", "<image_soft_token>")
"""The tokens that models replace by features."""


class TooLong(Unusable):
    """Raised if a reply with its prompt takes more tokens than `max_length`. Reason: `too_long`."""

    def __init__(self, tokens: int) -> None:
        super().__init__("too_long", f"{tokens} tokens")
        self.tokens = tokens


class Refused(Unusable):
    """Raised if the chat template refuses a dialogue. Reason: `template_refuses`."""

    def __init__(self, detail: str) -> None:
        super().__init__("template_refuses", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of a pair that the trainer reads; `media` are in the order of their blocks."""

    pair_id: str
    source: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    media: tuple[Medium, ...] = ()
    margin: float | None = None
    chosen_critique: str | None = None
    rejected_critique: str | None = None
    tools: str | None = None
    weight: float = 1.0  # the factor of the pair's loss
    epoch: int = 0  # how often the pair has come before


@dataclass(frozen=True, slots=True)
class Encoded:
    """A pair as the model reads it.

    trees    one with the branches chosen and rejected; one for each where no shared prefix covers their media
    margin   as the source gives it; `tie` is true if it is 0
    chosen_length, rejected_length  tokens of the reply's text alone, without the template's; 1 if not counted
    weight   the factor of the pair's loss; a filler, with no id, only fills a micro-batch and has 0
    """

    pair_id: str
    source: str
    trees: tuple[Tree, ...]
    margin: float | None
    tie: bool
    chosen_length: int
    rejected_length: int
    weight: float = 1.0

    def tokens(self, *, share: bool = True) -> int:
        """How many tokens the pair takes in a packed row, with prefixes shared or not."""
        return sum(one.tokens if share else one.unshared_tokens for one in self.trees)


@dataclass(frozen=True, slots=True)
class Measured:
    """A pair whose trees have no media yet, and the images of each tree in the order of its placeholders."""

    pair: Encoded
    pictures: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True, slots=True)
class _Turns:
    """Messages in the form that templates take, with their images."""

    messages: list[dict[str, Any]]
    pictures: tuple[Picture, ...]


class Encoder:
    """Encodes dialogues for the model in `model_dir` (a checkpoint's directory, or its id in the local Hub cache).

    The score is read at the last token of each branch, which is the token that ends the turn: white space that a
    template writes after its last special token (Qwen's and InternVL's "\\n" after `<|im_end|>`) is cut off. So
    the scored text is a reply as a policy generates it, which ends with `<|im_end|>`.

    A dialogue is tokenised whole for each reply, without a generation prompt. `min_pixels` and `max_pixels` bound
    resized images as upstream's smart_resize does (InternVL: as a number of tiles); None keeps the checkpoint's
    own bound. A video is its frames as images in order: at most `max_frames` of them, taken evenly, of at most
    `max_frame_pixels` each (InternVL: a tile each). Thread-safe. Raises TrainError if the checkpoint lacks a
    tokenizer or a chat template.
    """

    period = 1  # after how many epochs a pair is encoded as before
    counts_replies = True  # whether pairs get the lengths of their replies; each is tokenised once more for them

    def __init__(
        self,
        model_dir: str | Path,
        *,
        max_length: int,
        max_pixels: int | None = None,
        min_pixels: int | None = None,
        max_frames: int | None = None,
        max_frame_pixels: int | None = None,
    ) -> None:
        self.max_length = max_length
        self.tokenizer = load_tokenizer(model_dir)
        self.template = load_template(model_dir, self.tokenizer)
        self.layout = load_layout(model_dir, self.tokenizer, min_pixels, max_pixels, max_frame_pixels)
        self.max_frames = max_frames
        self.literals = Literals(self.tokenizer)
        tokens = self.tokenizer.added_tokens_decoder
        self._media_ids = {number for number, token in tokens.items() if token.content in MEDIA_TOKENS}
        if self.layout is not None:
            self._media_ids.add(self.layout.placeholder)
        self._media_texts = [token.content for number, token in tokens.items() if number in self._media_ids]

    @cached_property
    def end(self) -> tuple[int, ...]:
        """The tokens that end a turn of the assistant. Raises TrainError for a template that writes none."""
        turns = [Message("user", (Block("text", "a"),)), Message("assistant", (Block("text", "answer"),))]
        rendered = self._render(self._turns(turns, iter(())).messages, None)
        tokens = self.literals.encode(rendered[rendered.rindex("answer") + len("answer") :])
        if not tokens:
            raise TrainError("chat template", "nothing ends a turn of the assistant", "a token that does")
        return tuple(tokens)

    def facts(self) -> dict[str, Any]:
        """Describe what the tokens and pixels depend on, for a run's records."""
        facts: dict[str, Any] = {
            "tokenizer": xxhash.xxh3_64_hexdigest(self.tokenizer.backend_tokenizer.to_str().encode()),
            "special_tokens_in_texts": "characters",
            "template": xxhash.xxh3_64_hexdigest(self.template.encode()),
            "max_length": self.max_length,
        }
        if self.layout is not None:
            facts["images"] = self.layout.facts()
            facts["max_frames"] = self.max_frames
        return facts

    def pair(self, row: Row) -> Encoded:
        """Encode one pair, with its pixels. Raises Unusable."""
        return self.decode(self.measure(row))

    def dialogue(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[bytes | Sequence[bytes]],
        tools: str | None = None,
    ) -> tuple[Tree, ...]:
        """Encode replies to one prompt: one tree with a branch for each, or a tree for each if they cannot share.

        `media` holds the bytes of each image, or of each frame of a video, in the order of the blocks of the
        prompt and then of the replies, `tools` the JSON of the functions that the assistant may call. Raises
        Unusable.
        """
        trees, pictures = self._trees(prompt, replies, media, tools)
        return self._with_pixels(trees, pictures)

    def item(self, question: Question) -> tuple[Tree, ...]:
        """Encode the replies of an eval set's item as `dialogue` does. Raises Unusable."""
        return self.dialogue(question.prompt, question.replies, question.media)

    def measure(self, row: Row) -> Measured:
        """Encode a pair without its pixels. Raises Unusable."""
        return self._measured(row, (row.chosen, row.rejected))

    def _measured(self, row: Row, branches: Sequence[Sequence[Message]], *, answer_next: bool = False) -> Measured:
        """The pair with these messages after its prompt; lengths are those of its replies."""
        media = [medium.read() for medium in row.media]
        trees, pictures = self._trees(row.prompt, branches, media, row.tools, answer_next)
        chosen, rejected = map(self._length, (row.chosen, row.rejected))
        pair = Encoded(row.pair_id, row.source, trees, row.margin, row.margin == 0.0, chosen, rejected, row.weight)
        return Measured(pair, pictures)

    def _length(self, reply: Sequence[Message]) -> int:
        return len(self.literals.encode_text(text_of(reply))) if self.counts_replies else 1

    def decode(self, measured: Measured) -> Encoded:
        """Add the pixels to a pair. Raises BadMedia("image_damaged") for damage that a header does not show."""
        return replace(measured.pair, trees=self._with_pixels(measured.pair.trees, measured.pictures))

    def filler(self) -> Encoded:
        """Make the shortest pair, of weight 0."""
        [first, *_] = self.literals.encode("a")
        ids = torch.tensor([first, first])
        return Encoded("", "", (Tree((ids, ids), 1, {}),), None, False, 1, 1, weight=0.0)

    def _with_pixels(self, trees: Sequence[Tree], pictures: Sequence[tuple[Picture, ...]]) -> tuple[Tree, ...]:
        tensors: dict[tuple[Picture, ...], dict[str, Tensor]] = {(): {}}
        for images in pictures:
            if images not in tensors and self.layout is not None:
                tensors[images] = self.layout.tensors(images)
        return tuple(replace(tree, media=tensors[images]) for tree, images in zip(trees, pictures, strict=True))

    def _trees(
        self,
        prompt: Sequence[Message],
        replies: Sequence[Sequence[Message]],
        media: Sequence[bytes | Sequence[bytes]],
        tools: str | None = None,
        answer_next: bool = False,
    ) -> tuple[tuple[Tree, ...], tuple[tuple[Picture, ...], ...]]:
        """Trees without media, and the pictures of each."""
        for message in chain(prompt, chain.from_iterable(replies)):
            self._check_headers(message)
        rest = iter(media)
        question = self._turns(prompt, rest)
        answers = [self._turns(reply, rest) for reply in replies]
        if next(rest, None) is not None:
            raise BadMedia("media_mismatch", "more media than blocks")
        made = [self._branch(question, answer, tools, answer_next) for answer in answers]
        branches, ends = zip(*made, strict=True)
        longest = max(map(len, branches))
        if longest > self.max_length:
            raise TooLong(longest)
        shared = None if any(answer.pictures for answer in answers) else make_tree(branches, {}, max(ends))
        if shared is not None:
            return (shared,), (question.pictures,)
        separate = tuple(Tree((ids,), 0, {}) for ids in branches)
        return separate, tuple(question.pictures + answer.pictures for answer in answers)

    def _turns(self, messages: Sequence[Message], media: Iterator[bytes | Sequence[bytes]]) -> _Turns:
        """Convert messages, with a block for every image and frame. Raises BadMedia."""
        turns: list[dict[str, Any]] = []
        pictures: list[Picture] = []
        for role, content in messages:
            blocks: list[dict[str, str]] = []
            for kind, text in content:
                if kind == "text":
                    blocks.append(_plain(text))
                    continue
                if kind in FIELD_BLOCKS:
                    self._check_support("tool_calls" if kind == "tool_call" else FIELD_NAMES[kind])
                    continue
                if self.layout is None:
                    raise BadMedia(f"{kind}_unsupported", "the backbone reads text only")
                data = next(media, None)
                if data is None:
                    raise BadMedia("media_mismatch", "more blocks than media")
                blocks += self._media_blocks(kind, data, pictures)
            fields = self.literals.mark(to_fields(Message(role, content)))
            blocks = self.literals.mark(self.literals.joined(blocks))
            whole = (
                "".join(block["text"] for block in blocks) if self.layout is None else blocks
            )  # as templates take it
            turns.append(fields | {"content": whole})
        return _Turns(turns, tuple(pictures))

    @cached_property
    def turn_texts(self) -> TurnTexts:
        """What the chat template writes around turns. Raises Unusable if it refuses every dialogue."""

        def render(turns: Sequence[Turn]) -> str:
            messages = [Message(role, (Block("text", text),)) for role, text in turns]
            return self._render(self._turns(messages, iter(())).messages, None)

        return TurnTexts.of(render)

    def turns_of(self, prompt: Message) -> Sequence[Message] | str:
        """The messages of a RENDERED prompt, with its image blocks before them; or why it has none."""
        text, blocks = text_of([prompt]), tuple(block for block in prompt.content if block.type != "text")
        if not self.literals.found_in(text):
            return [prompt._replace(role="user")]
        try:
            if blocks:
                raise Unusable("media_in_rendered_prompt", "images go with messages only")
            return self._as_messages(self.turn_texts.split_prompt(text))
        except Unusable as error:
            return f"{error.reason}: {error.detail}"

    def split(self, text: str, *, trusted: bool = False) -> list[Message]:
        """The messages of a rendered dialogue that ends with a reply, as `TurnTexts.split` finds them.

        A text that the tokenizer would begin with its first token may lack it. Raises Unusable.
        """
        first = self.tokenizer.bos_token or ""
        if self.turn_texts.starts["user"].startswith(first) and not text.startswith(first):
            text = first + text
        *prompt, (role, reply) = self.turn_texts.split(text, trusted=trusted)
        return [*self._as_messages(prompt), Message(role, (Block("text", reply),))]

    def _as_messages(self, prompt: Sequence[Turn]) -> list[Message]:
        if any(token in text for _, text in prompt for token in self._media_texts):
            raise Unusable("media_in_rendered_prompt", "its images are missing: send messages with them")
        return [Message(role, (Block("text", text),)) for role, text in prompt]

    @cached_property
    def _plain_headers(self) -> tuple[str, ...]:
        """What begins turns in a template that writes no special token there, so that a text could begin one."""
        try:
            gaps = self.turn_texts.between.values()
        except Unusable:
            return ()
        return tuple(gap.rstrip() for gap in gaps if gap.strip() and not self.literals.found_in(gap))

    def _check_headers(self, message: Message) -> None:
        """Raise Refused where a text would be read as the beginning of a turn."""
        for header in self._plain_headers:
            if header in text_of([message]):
                raise Refused(f"role_header_in_text: {header.strip()!r} begins a turn")

    def _check_support(self, field: str) -> None:
        """Raise Refused where the chat template would pass over a field of a message, or the tools."""
        if field in ("tool_calls", "reasoning_content", "tools") and field not in self.template:
            raise Refused(f"{field}_unsupported: the chat template does not read {field}")

    def _media_blocks(
        self, kind: str, data: bytes | Sequence[bytes], pictures: list[Picture]
    ) -> list[dict[str, str]]:
        """Make the blocks of one medium; its images are appended to `pictures`."""
        assert self.layout is not None
        if isinstance(data, bytes) != (kind == "image"):
            raise BadMedia("media_mismatch", f"a block of kind {kind} with other media")
        if isinstance(data, bytes):
            pictures.append(read_header(data))
            return [{"type": "image"}]
        blocks = []
        for number, frame in enumerate(evenly(data, self.max_frames), 1):
            pictures.append(read_header(frame, frame=True))
            label = self.layout.frame_label(number)
            blocks += [_plain(label), {"type": "image"}] if label else [{"type": "image"}]
        return blocks

    def _branch(
        self, question: _Turns, answer: _Turns, tools: str | None, answer_next: bool
    ) -> tuple[Tensor, int]:
        """The tokens of prompt and reply, and how many there are up to the last media token."""
        pictures = question.pictures + answer.pictures
        text = self._render([*question.messages, *answer.messages], tools, answer_next)
        rendered = self.literals.encode(self.layout.written(text) if isinstance(self.layout, Squares) else text)
        if self.layout is None:
            return torch.tensor(rendered), 0
        places = [i for i, token in enumerate(rendered) if token in self._media_ids]
        if [rendered[i] for i in places] != [self.layout.placeholder] * len(pictures):
            raise BadMedia("placeholder_in_text", f"{len(places)} placeholders for {len(pictures)} images")
        ids: list[int] = []
        start = end = 0
        for place, picture in zip(places, pictures, strict=True):
            ids += rendered[start:place] + self.layout.ids(picture)
            start, end = place + 1, len(ids)
        return torch.tensor(ids + rendered[start:]), end

    def _render(self, messages: list[dict[str, Any]], tools: str | None, answer_next: bool = False) -> str:
        """Render the dialogue as text up to the end of its last turn, or with `answer_next` up to where the
        assistant's next turn begins. Raises Refused."""
        if tools is not None:
            self._check_support("tools")
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tools=None if tools is None else self.literals.mark(json.loads(tools)),
                chat_template=self.template, tokenize=False, add_generation_prompt=answer_next, date_string=DATE,
            )  # fmt: skip
        except (TemplateError, TypeError, ValueError) as error:
            raise Refused(str(error)) from None
        ended = text.rstrip()
        return ended if ended.endswith(self.literals.specials) and not answer_next else text


def _plain(text: str | None) -> dict[str, str]:
    return {"type": "text", "text": text or ""}


def text_of(messages: Sequence[Message]) -> str:
    """Join the text of messages."""
    return "".join(block.text or "" for block in chain.from_iterable(message.content for message in messages))
