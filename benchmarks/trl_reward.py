"""A reward model by TRL's own RewardTrainer on a text export of real rows: SmolLM2-135M, HH-RLHF, 20 steps.

    python benchmarks/trl_reward.py --model DIR --rows DIR

DIR of the model is a checkpoint with a chat template, as benchmarks/smollm2.py makes it; DIR of the rows holds
`harmless-base_test.jsonl.gz`. They become pairs, a mix and an export with the commands of the README. The first
`--pairs` of the export with at most LONGEST tokens are the training set, gone through twice, so the mean loss of
the first half of the steps and that of the second are of the same pairs: it shows that TRL trains on what was
meant, not how good the model is.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import measure
from datasets import load_dataset
from transformers import AutoTokenizer
from trl import RewardConfig, RewardTrainer

LONGEST = 96
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


def train(model: Path, place: Path, pairs: int, steps: int) -> Any:
    """Train; the log of the steps."""
    data = load_dataset("parquet", data_files=str(place / "train/*.parquet"), split="train")
    tokenizer = AutoTokenizer.from_pretrained(model)

    def fits(row: Any) -> bool:
        dialogues = [row["prompt"] + row[side] for side in ("chosen", "rejected")]
        texts = tokenizer.apply_chat_template(dialogues, tokenize=False)
        return max(map(len, tokenizer(texts)["input_ids"])) <= LONGEST

    chosen = list(islice((i for i in range(len(data)) if fits(data[i])), pairs))
    settings = RewardConfig(
        output_dir=str(place / "run"), max_steps=steps, per_device_train_batch_size=1, learning_rate=5e-5,
        max_length=LONGEST, logging_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no", seed=0,
        lr_scheduler_type="constant", gradient_checkpointing=False,
    )  # fmt: skip
    trainer = RewardTrainer(model=str(model), args=settings, train_dataset=data.select(chosen))
    trainer.train()
    return [{name: one[name] for name in ("step", "loss")} for one in trainer.state.log_history if "loss" in one]


def main() -> None:
    """Export, train, print the losses and save them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--work", type=Path, help="where the export is kept, and taken from if it is there")
    given = parser.parse_args()
    facts = measure.facts()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        done = work / "export" / "export.json"
        receipt = json.loads(done.read_text()) if done.exists() else export(given.rows, work)
        started = time.process_time()
        log = train(given.model, work / "export", given.pairs, given.steps)
        cost = time.process_time() - started
    print(measure.table([(one["step"], f"{one['loss']:.3f}") for one in log], ("step", "loss")))
    half = len(log) // 2
    first, second = (sum(one["loss"] for one in some) / half for some in (log[:half], log[half:]))
    print(f"mean of the first half {first:.3f}, of the second {second:.3f}")
    result = {**facts, "export": receipt["splits"], "pairs": given.pairs, "steps": log}
    result |= {"first_half": first, "second_half": second, "cpu_s": round(cost)}
    print(f"wrote {measure.save('trl_reward', result)}")


if __name__ == "__main__":
    main()
