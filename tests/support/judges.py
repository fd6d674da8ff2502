"""Pairs and encoders for the generative paradigm."""

import json
import random
from pathlib import Path

from tests.support.questions import png, turn
from tests.support.trainer_shards import key, make
from trainer.encode import Row
from trainer.generative import JudgeEncoder, read_prompt
from trainer.media import Medium

BRIEF = "{question}\n1 {reply_1}\n2 {reply_2}\nBetter?"
BEATS = (("paper", "rock"), ("scissors", "paper"), ("rock", "scissors"))


def judge_encoder(directory, form: str = "verdict", **more) -> JudgeEncoder:
    more = {"prompt": read_prompt(None, form), "max_length": 4096} | more
    return JudgeEncoder(directory, reasoned=form == "reasoned", **more)


def row(number: int = 0, *, image: bool = False, **changed) -> Row:
    data = png(56, 56, 3)
    facts = {
        "pair_id": str(number), "source": "ab"[number % 2], "prompt": turn("user", "What is shown?", int(image)),
        "media": (Medium("image", (key(data),), (data,), None),) if image else (),
        "chosen": turn("assistant", "A cat."), "rejected": turn("assistant", "A dog, and a table."),
        "chosen_critique": "Right: it is a cat.", "rejected_critique": "Wrong.",
    }  # fmt: skip
    return Row(**(facts | changed))


def rows(sees: bool) -> list[Row]:
    """Four pairs, the first with an image if the model sees."""
    return [row(number, image=sees and number == 0) for number in range(4)]


def circular_mix(root: Path, pairs: int, held: int, *, critiques: bool = False) -> Path:
    """A mix in which each of three replies beats the next: no score of a reply alone can say which is better."""
    draw = random.Random(1)
    made = []
    for number in range(pairs):
        better, worse = BEATS[draw.randrange(3)]
        extra = {"chosen_critique": f"{better} wins", "rejected_critique": f"{worse} loses"} if critiques else {}
        about = {"prompt": f"Question {number}", "chosen": better, "rejected": worse, "margin": 1.0}
        made.append(about | extra)
    directory = make(root, made, held=held)
    path = directory / "lock.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "r", "fingerprint": "f" * 16}))
    return directory
