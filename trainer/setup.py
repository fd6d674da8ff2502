"""What a training run works with, made from its config: mix, evaluation sets, encoder, model, engine."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from curate.errors import TrainError
from trainer import tiny_models
from trainer.batch import Tree
from trainer.config import TrainConfig
from trainer.data import MixReader, PairsReader, read_files
from trainer.distributed import World, engine, partitioned_load, settings
from trainer.encode import Encoder
from trainer.flops import peak_flops
from trainer.model import RewardModel, build
from trainer.packing import dummy_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run works with."""

    asked: TrainConfig
    directory: Path
    world: World
    mix: MixReader
    sets: dict[str, PairsReader]  # to evaluate on; the best model is the best on the first
    encoder: Encoder
    model: RewardModel
    engine: Any
    dummy: Tree | None  # an image for micro-batches without one: all ranks must run the same modules
    peak: float | None  # FLOPs a second of all devices; None where unknown


def set_up(asked: TrainConfig, directory: Path, world: World) -> Run:
    """Everything a run needs: the data first, since a fault in it is found in a moment."""
    images = Path(asked.images) if asked.images else None
    mix = MixReader(Path(asked.mix), "shard", images)
    sets = eval_sets(asked, images)
    source = model_directory(asked, directory, world)
    encoder = Encoder(
        source, max_length=asked.max_length, max_pixels=asked.max_pixels, min_pixels=asked.min_pixels
    )
    bf16 = world.device.type == "cuda" if asked.bf16 is None else asked.bf16
    filled = settings(asked, bf16=bf16)
    dtype = torch.bfloat16 if bf16 else torch.float32
    with partitioned_load(filled):
        model = build(
            source, asked.head, freeze_vision=asked.freeze_vision, lora=asked.lora, dtype=dtype, seed=asked.seed
        )
    if asked.gradient_checkpointing:
        model.checkpoint_activations()
    peak = peak_flops(torch.cuda.get_device_name()) if world.device.type == "cuda" else None
    return Run(
        asked=asked, directory=directory, world=world, mix=mix, sets=sets, encoder=encoder, model=model,
        engine=engine(model, model.head, asked, filled), dummy=dummy_image(model.backbone),
        peak=peak and peak * world.size,
    )  # fmt: skip


def eval_sets(asked: TrainConfig, images: Path | None) -> dict[str, PairsReader]:
    """The mix's held-out pairs, where it has some, then the named sets: a mix's holdout, or pairs files."""
    holdout = MixReader(Path(asked.mix), "holdout", images)
    sets: dict[str, PairsReader] = {"holdout": holdout} if len(holdout) else {}
    for name, where in asked.eval_sets.items():
        path = Path(where)
        if (path / "lock.json").exists():
            sets[name] = MixReader(path, "holdout", images)
        else:
            files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
            sets[name] = read_files(files, images or path.parent / "images")
        if not len(sets[name]):
            raise TrainError(
                f"eval_sets.{name}", f"{where} holds no pairs", "a mix with a holdout, or pairs files"
            )
    return sets


def model_directory(asked: TrainConfig, directory: Path, world: World) -> str:
    """Where the checkpoint to start from is; `tiny/KIND` is built into the run, once."""
    if not asked.model.startswith("tiny/"):
        return asked.model
    built = directory / "model"
    if world.chief and not built.exists():
        temporary = directory / ".model.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        tiny_models.save(asked.model.removeprefix("tiny/"), temporary, seed=asked.seed)
        temporary.rename(built)
    world.barrier()
    return str(built)


def sizes(run: Run) -> str:
    """The model and the processes, in words."""
    trained = sum(getattr(p, "ds_numel", p.numel()) for p in run.model.parameters() if p.requires_grad)
    processes = f"{run.world.size} process{'es' if run.world.size > 1 else ''} on {run.world.device.type}"
    return f"{trained / 1e6:,.2f} M trained parameters, {len(run.mix):,} pairs, {processes}, ZeRO-{run.asked.zero}"
