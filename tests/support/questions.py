"""Questions with every kind of prompt, and tiny reward models to ask, each made once a session."""

import functools
import io
import tempfile
from pathlib import Path

import torch
from PIL import Image

from curate.evalsets.itemfile import Question
from curate.schema import Block, Message
from tests.support.tiny_models import checkpoint
from trainer.config import HeadConfig
from trainer.encode import Encoder
from trainer.model import RewardModel, build

_HOLDER = tempfile.TemporaryDirectory(prefix="curate-reward-")


def png(width: int, height: int, shade: int) -> bytes:
    sink = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).point(lambda x: x ^ shade).convert("RGB").save(sink, "PNG")
    return sink.getvalue()


def turn(role: str, text: str, images: int = 0) -> tuple[Message, ...]:
    return (Message(role, (*[Block("image", None)] * images, Block("text", text))),)


def question(name: str, words: int, lengths: tuple[int, ...], sizes: tuple[tuple[int, int], ...] = ()) -> Question:
    replies = tuple(turn("assistant", f"reply {i} " + "very " * length) for i, length in enumerate(lengths))
    media = tuple(png(*size, shade=i * 31) for i, size in enumerate(sizes))
    return Question(name, turn("user", "a word " * words + "?", len(sizes)), replies, media)


QUESTIONS = (
    question("pair", 3, (2, 9)),
    question("best of four", 20, (1, 30, 4, 4)),
    question("many", 1, (1, 2, 3, 4, 5, 6, 7)),
    question("long", 60, (50, 1)),
    question("image", 5, (3, 12), ((56, 56),)),
    question("two images", 2, (7, 2), ((84, 56), (56, 112))),
)


@functools.cache
def saved(kind: str) -> Path:
    """The directory of a saved reward model; do not write into it."""
    return build(checkpoint(kind), HeadConfig()).save_pretrained(Path(_HOLDER.name) / kind)


@functools.cache
def loaded(kind: str) -> tuple[RewardModel, Encoder]:
    """The same, loaded with its encoder; do not change it."""
    return RewardModel.from_pretrained(saved(kind)), Encoder(saved(kind), max_length=4096)


def of_kind(kind: str) -> list[Question]:
    return [one for one in QUESTIONS if kind != "text" or not one.media]


def scores(results) -> dict[str, torch.Tensor]:
    return {one.item: torch.tensor(one.scores) for one in results}
