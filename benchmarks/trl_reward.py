"""A reward model by TRL's own RewardTrainer on a text export of real rows: SmolLM2-135M, HH-RLHF, 20 steps.

    python benchmarks/trl_reward.py --model DIR --rows DIR

DIR of the model is a checkpoint with a chat template, as benchmarks/smollm2.py makes it; DIR of the rows holds
`harmless-base_test.jsonl.gz`. They become pairs, a mix and an export with the commands of the README. The first
`--pairs` of the export, repeated, are the training set, so that the loss of 20 small steps can fall: it shows that
TRL trains on what was meant, not how good the model is. Before and after, the trainer's own `evaluate` gives the
loss on those pairs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from datasets import load_dataset
from trl import RewardConfig, RewardTrainer

FILE = "harmless-base_test.jsonl.gz"
RECIPE = """
name: hh
sources:
  hh_rlhf: {all: true, options: {subsets: [harmless-base], split: test}}
steps: [turn_structure, empty_reply, identical, exact_duplicates]
holdout: {rows_per_source: 200}
"""


def curate(*words: str | Path) -> Any:
    """A command of curate; what it prints as JSON."""
    command = [sys.executable, "-m", "curate", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def export(rows: Path, root: Path) -> Any:
    """The rows as a text export; its receipt."""
    folder = root / "raw" / "hh_rlhf" / "harmless-base"
    folder.mkdir(parents=True)
    shutil.copy(rows / FILE, folder / "test.jsonl.gz")
    recipe = root / "hh.yaml"
    recipe.write_text(RECIPE)
    where = ("--workspace", root / "data")
    mix = curate("mix", recipe, "--raw", root / "raw", *where)
    return curate("export", mix["directory"], "--to", "trl-text", "--out", root / "export", *where)


def train(model: Path, place: Path, pairs: int, steps: int) -> tuple[Any, Any]:
    """Train; (the log of the steps, the losses on the training pairs before and after)."""
    data = load_dataset("parquet", data_files=str(place / "train/*.parquet"), split="train")
    settings = RewardConfig(
        output_dir=str(place / "run"), max_steps=steps, per_device_train_batch_size=4, learning_rate=5e-5,
        max_length=256, logging_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no", seed=0,
        lr_scheduler_type="constant", gradient_checkpointing=False, per_device_eval_batch_size=4,
    )  # fmt: skip
    trainer = RewardTrainer(model=str(model), args=settings, train_dataset=data.select(range(pairs)))
    before = trainer.evaluate(trainer.train_dataset)
    trainer.train()
    after = trainer.evaluate(trainer.train_dataset)
    log = [
        {name: one[name] for name in ("step", "loss", "accuracy")}
        for one in trainer.state.log_history
        if "loss" in one
    ]
    names = ("eval_loss", "eval_accuracy")
    return log, {when: {name: one[name] for name in names} for when, one in (("before", before), ("after", after))}


def main() -> None:
    """Export, train, print the losses and save them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    facts = measure.facts()
    with tempfile.TemporaryDirectory() as scratch:
        receipt = export(given.rows, Path(scratch))
        started = time.process_time()
        log, losses = train(given.model, Path(scratch) / "export", given.pairs, given.steps)
        cost = time.process_time() - started
    print(
        measure.table([(one["step"], one["loss"], one["accuracy"]) for one in log], ("step", "loss", "accuracy"))
    )
    first, last = (sum(one["loss"] for one in some) / len(some) for some in (log[:5], log[-5:]))
    print(
        f"mean of the first five {first:.3f}, of the last five {last:.3f}; on the same pairs: {json.dumps(losses)}"
    )
    result = {
        **facts, "export": receipt["splits"], "pairs": given.pairs, "steps": log, "first_five": first,
        "last_five": last, "on_the_same_pairs": losses, "cpu_s": round(cost),
    }  # fmt: skip
    print(f"wrote {measure.save('trl_reward', result)}")


if __name__ == "__main__":
    main()
