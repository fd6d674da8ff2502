"""A real model on real pairs: SmolLM2-135M-Instruct and HH-RLHF, by the commands that a user types.

    python benchmarks/real_model.py --model DIR --pairs harmless-base_test.jsonl.gz --work DIR

Heads on frozen features, LoRA and full fine-tuning, a judge before and after training, and ensembles, all judged
on 500 held-out pairs that no run has seen. benchmarks/smollm2.py makes the model. About two hours of CPU; a
stopped run continues. Every trained arm gets `--steps` of 32 pairs.
"""

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import xxhash
from measure import facts, save, table

HELD_OUT = 500
ENSEMBLES = (("naive_full", "naive_lora"), ("naive_full", "verdict"))

OWN = """\
adapter: preference  # transcripts, whose common part is the prompt
files: ["*.jsonl"]
license: mit
"""
RECIPE = """\
name: hh
seed: 7
sources: {hh_train: all}
steps: [ties, identical, empty_reply, decontaminate: {against: [hh_held_out]}]
"""
PRESET = """\
model: {model}
batch_pairs: 32
max_length: 1024
max_tokens: 4096
bf16: true
zero: 0
gradient_checkpointing: false
warmup: 0.1
save_every_minutes: 10
"""
HEADS = """\
name: heads
recipe: ./hh.yaml
preset: ./smollm2.yaml
seeds: 5
settings: {epochs: 4.0}
baseline: two_silu
arms:
  one_layer: {settings: {head.layers: 1}}
  two_silu: {}
  two_linear: {settings: {head.activation: none}}
"""
PARADIGMS = """\
name: paradigms
recipe: ./hh.yaml
preset: ./smollm2.yaml
seeds: 1
settings: {zero: 1}
baseline: naive_full
arms:
  naive_full: {settings: {lr: 2.0e-5, head_lr: 1.0e-3, max_steps: STEPS}}
  naive_lora: {settings: {lora: {rank: 16}, lr: 2.0e-4, head_lr: 1.0e-3, max_steps: STEPS}}
  verdict_untrained: {settings: {paradigm: generative, max_steps: 0}}
  verdict: {settings: {paradigm: generative, lr: 2.0e-5, max_steps: STEPS}}
"""


def prepare(work: Path, model: Path, pairs: Path, steps: int, skipped: list[str]) -> dict[str, int]:
    """Write raw files, manifests, recipe, preset and ablations; return the rows of each side.

    Held out are the rows of the smallest hashes: the same ones in whatever order they come.
    """
    with gzip.open(pairs, "rb") as stream:
        rows = sorted(stream, key=xxhash.xxh3_64_intdigest)
    sides = {"hh_held_out": rows[:HELD_OUT], "hh_train": rows[HELD_OUT:]}
    texts = {f"raw/{name}/rows.jsonl": b"".join(part).decode() for name, part in sides.items()}
    texts |= {"manifests/hh_train.yaml": OWN, "manifests/evalsets/hh_held_out.yaml": OWN, "hh.yaml": RECIPE}
    texts |= {"smollm2.yaml": PRESET.format(model=model), "heads.yaml": HEADS}
    lines = PARADIGMS.replace("STEPS", str(steps)).splitlines()
    kept = [line for line in lines if line.strip().partition(":")[0] not in skipped]
    texts |= {"paradigms.yaml": "\n".join(kept) + "\n"}
    for name, text in texts.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return {name: len(part) for name, part in sides.items()}


def curate(work: Path, *words: str | Path) -> Any:
    """Run a command in the workspace; return its JSON. What it says as it works goes to stderr."""
    command = [sys.executable, "-m", "curate", *map(str, words), "--workspace", ".", "--json"]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else sys.exit(done.returncode)  # stderr said why


def arms(work: Path, name: str, *words: str) -> list[dict[str, Any]]:
    """Run an ablation; return a row of figures for each arm."""
    report = curate(work, "ablate", f"{name}.yaml", "-e", "hh_held_out", *words)
    return [
        {"name": arm, **_percent(value), **report["costs"][arm]}
        for arm, values in report["values"].items()
        for value in values
        if value["measure"] == "overall"
    ]


def _percent(value: dict[str, Any]) -> dict[str, Any]:
    return {"accuracy": 100 * value["value"], "interval": [100 * one for one in value["interval"]]}


def main() -> None:
    """Run what is missing; print and save the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="SmolLM2 as benchmarks/smollm2.py saves it")
    parser.add_argument("--pairs", type=Path, required=True, help="HH-RLHF, .jsonl.gz")
    parser.add_argument("--work", type=Path, required=True, help="the workspace; runs in it continue")
    parser.add_argument("--steps", type=int, default=24, help="optimizer steps of 32 pairs [default: 24]")
    parser.add_argument("--skip", nargs="*", default=[], help="arms of the paradigms that are left out")
    given = parser.parse_args()
    work = given.work.resolve()
    results = facts() | {"steps": given.steps}
    results["rows"] = prepare(work, given.model.resolve(), given.pairs, given.steps, given.skip)
    results["arms"] = arms(work, "heads", "--probe") + arms(work, "paradigms")
    rows = [[one["name"], one["accuracy"], *one["interval"], one["seconds"]] for one in results["arms"]]
    print(table(rows, ("arm", "accuracy, %", "low", "high", "seconds")))
    results["ensembles"] = []
    for members in (one for one in ENSEMBLES if not {*one} & {*given.skip}):
        files = [next(work.glob(f"runs/paradigms-*/{member}-seed0/scores/*.jsonl")) for member in members]
        whole = curate(work, "evaluate", "-e", "hh_held_out", "--ensemble", "mean", *files)
        results["ensembles"].append({"members": members, **whole})
    save("real_model", results)


if __name__ == "__main__":
    main()
