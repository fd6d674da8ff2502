"""What the tests of training share: a small mix, its config, and what a run must repeat exactly."""

import json
from pathlib import Path

from tests.support.trainer_shards import FRAMES, IMAGES, make, mixed, name_mix
from trainer import config, train

SETTINGS = (
    "batch_pairs=8", "max_tokens=700", "epochs=1", "workers=0", "eval_every_pairs=16", "save_every_pairs=16",
)  # fmt: skip


def small_mix(root: Path, pairs: int = 45, *, critiques: bool = False) -> Path:
    """A finished mix of two sources with images, a video and ties; five pairs are held out.

    With `critiques` every reply has one but each fourth pair's rejected one.
    """
    made = mixed(pairs)
    for number, row in enumerate(made if critiques else ()):
        row |= {"chosen_critique": f"Right {number}.", "rejected_critique": "Wrong." if number % 4 else None}
    return name_mix(make(root, made, [*IMAGES, *FRAMES], held=5))


def settings(mix: Path, out: Path, *more: str) -> list[str]:
    """`key=value` of a run on the small mix."""
    return [*SETTINGS, *more, f"mix={mix}", f"out={out}"]


def trained(mix: Path, out: Path, *more: str) -> Path:
    """The run directory, trained in this process from its config file as `trainer.train` does."""
    path = config.write(config.resolve("tiny_cpu", settings(mix, out, *more)))
    train.train(config.read(path))
    return out


def rows(run: Path) -> list[dict]:
    """metrics.jsonl without what a clock measured."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.endswith("_per_s")} for row in lines]


def curve(run: Path) -> list[float]:
    """Loss and gradient norm of every step, then the margins of every evaluation."""
    steps = [row for row in rows(run) if "loss" in row]
    evals = [row["margin"] for row in rows(run) if "eval" in row]
    return [number for row in steps for number in (row["loss"], row["grad_norm"])] + evals
