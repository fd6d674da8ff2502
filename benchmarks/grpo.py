"""GRPO with our rewards: a policy learns sums by TRL, and the curve of its reward is written down.

    python benchmarks/grpo.py --policy DIR --reward MODEL|URL --steps 20 --out benchmarks/results/grpo.json

Needs the extras `dev` and `reward`. The policy is a checkpoint of a causal language model with a chat template:
benchmarks/smollm2.py makes one of SmolLM2-135M-Instruct. The reward is hybrid: 1 for the right answer, else the
sigmoid of the reward model's score. With `--rule` and `--rm` the other two of paper 5.3.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from trainer.reward import CurateReward

ASK = "What is {} + {}? Reply with the number only."


def sums(count: int, *, vision: Any = None) -> Any:
    """Sums with their answers, in a fixed order."""
    pairs = [(3 + 7 * i % 17, 2 + 5 * i % 13) for i in range(count)]
    rows = [{"prompt": [{"role": "user", "content": ASK.format(a, b)}], "answer": str(a + b)} for a, b in pairs]
    return Dataset.from_list([row if vision is None else {**row, "images": [vision]} for row in rows])


def train(
    policy: str | Path, rewards: Sequence[Any], data: Any, *, steps: int, rate: float, generations: int = 8,
    length: int = 16, seed: int = 0, **more: Any
) -> list[dict[str, float]]:  # fmt: skip
    """Train a policy; returns the metrics of each step, as TRL logs them."""
    from trl import GRPOConfig, GRPOTrainer

    with tempfile.TemporaryDirectory() as out:
        settings = {
            "output_dir": out, "max_steps": steps, "learning_rate": rate, "num_generations": generations,
            "per_device_train_batch_size": 2 * generations, "max_completion_length": length, "logging_steps": 1,
            "report_to": [], "seed": seed, "save_strategy": "no", "use_cpu": True, "beta": 0.0,
            "disable_tqdm": True, "lr_scheduler_type": "constant", "bf16": False,
        }  # fmt: skip
        trainer = GRPOTrainer(
            model=str(policy), reward_funcs=list(rewards), args=GRPOConfig(**{**settings, **more}),
            train_dataset=data,
        )  # fmt: skip
        trainer.train()
        return [row for row in trainer.state.log_history if "reward" in row]


def main() -> None:
    """Train and write the curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--reward", help="a reward model's directory, an ensemble, or the URL of curate serve")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--rule", action="store_true")
    kind.add_argument("--rm", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=1e-5)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    reward = CurateReward(None if given.rule else given.reward, None if given.rm else "math")
    start = time.monotonic()
    rows = train(given.policy, [reward], sums(64), steps=given.steps, rate=given.rate)
    names = [name for name in rows[0] if name.startswith(("reward", reward.__name__))]
    curve = [{name: row[name] for name in ("step", *names) if name in row} for row in rows]
    facts = {"policy": given.policy.name, "reward": reward.__name__, "seconds": round(time.monotonic() - start, 1)}
    given.out.write_text(json.dumps(facts | {"curve": curve}, indent=1) + "\n")


if __name__ == "__main__":
    main()
