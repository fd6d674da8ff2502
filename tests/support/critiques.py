"""Pairs with critiques, for the critic paradigm."""

import functools
import json
import random
import shutil
import tempfile
from pathlib import Path

from transformers import AutoModel

from tests.support.questions import png, turn
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import key, make
from trainer.backbones import quiet
from trainer.critic import CriticEncoder, read_instruction
from trainer.encode import Encoded, Row
from trainer.media import Medium

_HOLDER = tempfile.TemporaryDirectory(prefix="curate-tied-")
WORDS = ("red", "table", "cats", "black", "polite", "another", "answer", "picture")


def critic_encoder(directory) -> CriticEncoder:
    return CriticEncoder(directory, instruction=read_instruction(None), max_length=4096)


@functools.cache
def tied_checkpoint() -> Path:
    """A tiny text checkpoint whose language model head is its embeddings; do not write into it."""
    directory = Path(_HOLDER.name) / "tied"
    shutil.copytree(checkpoint("text"), directory)
    with quiet():
        AutoModel.from_pretrained(checkpoint("text")).save_pretrained(directory)  # without the head
    settings = json.loads((checkpoint("text") / "config.json").read_text()) | {"tie_word_embeddings": True}
    (directory / "config.json").write_text(json.dumps(settings))
    return directory


def critiqued_pairs(encoder: CriticEncoder) -> list[Encoded]:
    """Three pairs: both critiques (and an image if the model sees), only that of the rejected reply, none."""
    image = png(56, 56, 3)
    media = (Medium("image", (key(image),), (image,), None),) if encoder.layout else ()
    rows = [
        Row(
            pair_id=str(number), source="ab"[number % 2], media=own,
            prompt=turn("user", "What is shown?", len(own)),
            chosen=turn("assistant", "A cat."), rejected=turn("assistant", "A dog, and a cat, and a table."),
            chosen_critique=chosen, rejected_critique=rejected,
        )
        for number, (own, chosen, rejected) in enumerate(
            [(media, "Right: it is a cat.", "Wrong."), ((), None, " Too long, and wrong. "), ((), None, None)]
        )
    ]  # fmt: skip
    return [encoder.pair(row) for row in rows]


def planted_mix(root: Path, pairs: int, held: int, *, critiques: bool = True) -> Path:
    """A mix whose replies say nothing about which is better; only the critiques do."""
    draw = random.Random(1)
    rows = []
    for number in range(pairs):
        replies = [" ".join(draw.choices(WORDS, k=3)) for _ in range(2)]
        critique_columns = (
            {"chosen_critique": "right, and polite", "rejected_critique": "wrong, and rude"} if critiques else {}
        )
        rows.append(
            {"prompt": f"Question {number}", "chosen": replies[0], "rejected": replies[1], "margin": 1.0}
            | critique_columns
        )
    directory = make(root, rows, held=held)
    path = directory / "lock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "r", "fingerprint": "f" * 16}))
    return directory
