"""Merge a LoRA model's adapter into its base: `python -m trainer.merge MODEL --out DIR`.

DIR is then a reward model of its own, with a whole backbone that transformers loads without peft. Its scores are
those of MODEL up to rounding: the sum is made in fp32 and saved in the dtype of the base.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from curate.errors import TrainError
from trainer import checkpoint, programs
from trainer.backbones import saved_dtype
from trainer.distributed import World
from trainer.logs import say
from trainer.model import RewardModel, adapter_base, read_facts


def merge_model(directory: Path, out: Path) -> None:
    """Merge the LoRA model in `directory` and publish the result as `out`.

    Raises TrainError if `directory` holds no LoRA model or `out` exists, and WorkspaceError if the disk is full.
    """
    facts = read_facts(directory)
    if facts["lora"] is None:
        raise TrainError(
            str(directory), "no adapter to merge", "a model trained with LoRA", "it is whole as it is"
        )
    if out.exists():
        raise TrainError(str(out), "exists already", "the name of a new directory", "name another with --out")
    dtype = saved_dtype(adapter_base(directory))
    model = RewardModel.from_pretrained(directory).merge_lora()
    model.base.to(dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_model(model, 0, out, World(0, 1, torch.device("cpu")), facts["encoder"])
    say(f"merged: {out}")


def main(arguments: Sequence[str]) -> None:
    """Merge one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.merge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model trained with LoRA")
    parser.add_argument("--out", type=Path, required=True, help="directory of the merged model")
    options = parser.parse_args(arguments)
    merge_model(options.model, options.out)


if __name__ == "__main__":
    programs.run(main)
