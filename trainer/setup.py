"""Makes the parts of a training run from its config: mix, evaluation sets, encoder, model, engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from curate.errors import TrainError
from trainer import tiny_models
from trainer.batch import Tree
from trainer.config import CriticConfig, TrainConfig
from trainer.critic import INSTRUCTION, Critic, CriticEncoder, keep_instruction, read_instruction
from trainer.distributed import World, deepspeed_config, engine, partitioned_load
from trainer.encode import Encoder
from trainer.flops import peak_flops
from trainer.model import RewardModel, build
from trainer.packing import dummy_image
from trainer.readers import MixReader, PairsReader, read_files
from trainer.validation import any_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The parts of a training run."""

    config: TrainConfig
    directory: Path
    world: World
    mix: MixReader
    sets: dict[str, PairsReader]  # to evaluate on; the best model is the best on the first
    encoder: Encoder
    model: RewardModel
    engine: Any
    critic: Critic | None  # writes the critiques that evaluations score after; None if they need none
    dummy: Tree | None  # an image for micro-batches without one: all ranks must run the same modules
    peak: float | None  # FLOPs per second of all devices; None if unknown


def set_up(config: TrainConfig, directory: Path, world: World) -> Run:
    """Make the parts of a run, those of the data first: a fault in the data is found in a moment."""
    images = Path(config.images) if config.images else None
    mix = MixReader(Path(config.mix), "shard", images)
    sets = eval_sets(config, images)
    source = model_directory(config, directory, world)
    encoder = make_encoder(config, source, directory, world)
    model, deepspeed_engine = load_model(config, source, world)
    peak = peak_flops(torch.cuda.get_device_name()) if world.device.type == "cuda" else None
    return Run(
        config=config, directory=directory, world=world, mix=mix, sets=sets, encoder=encoder, model=model,
        engine=deepspeed_engine, critic=make_critic(config, encoder, world), dummy=dummy_image(model.backbone),
        peak=peak and peak * world.size,
    )  # fmt: skip


def make_encoder(config: TrainConfig, source: str, directory: Path, world: World) -> Encoder:
    """Make the encoder of the run's paradigm, which for a critic also knows what asks for critiques."""
    bounds: dict[str, Any] = {name: getattr(config, name) for name in ("max_length", "min_pixels", "max_pixels")}
    if config.paradigm == "naive":
        return Encoder(source, **bounds)
    settings = config.critic or CriticConfig()
    if world.chief:
        keep_instruction(settings.instruction, directory)
    world.barrier()
    return CriticEncoder(source, instruction=read_instruction(str(directory / INSTRUCTION)), **bounds)


def make_critic(config: TrainConfig, encoder: Encoder, world: World) -> Critic | None:
    """Make what writes critiques in evaluations; None for the naive paradigm, and if given ones are scored."""
    settings = config.critic or CriticConfig()
    if not isinstance(encoder, CriticEncoder) or settings.evaluate == "given":
        return None
    return Critic(encoder, settings.max_critique, any_rank, ranks=world.size)


def load_model(config: TrainConfig, source: str, world: World) -> tuple[RewardModel, Any]:
    """Build the model from a checkpoint and put it into its engine."""
    bf16 = world.device.type == "cuda" if config.bf16 is None else config.bf16
    filled = deepspeed_config(config, bf16=bf16)
    dtype = torch.bfloat16 if bf16 else torch.float32
    with partitioned_load(filled):
        model = build(
            source,
            config.head,
            paradigm=config.paradigm,
            freeze_vision=config.freeze_vision,
            lora=config.lora,
            dtype=dtype,
            seed=config.seed,
        )
    if config.gradient_checkpointing:
        model.checkpoint_activations()
    return model, engine(model, model.head, config, filled)


def eval_sets(config: TrainConfig, images: Path | None) -> dict[str, PairsReader]:
    """Open the mix's held-out pairs, if it has some, then the named sets: a mix's holdout, or pairs files.

    Raises TrainError for a set without pairs.
    """
    holdout = MixReader(Path(config.mix), "holdout", images)
    sets: dict[str, PairsReader] = {"holdout": holdout} if len(holdout) else {}
    for name, where in config.eval_sets.items():
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


def model_directory(config: TrainConfig, directory: Path, world: World) -> str:
    """Find the checkpoint to start from; `tiny/KIND` is written into the run directory, by one process."""
    if world.chief:
        tiny_models.source(config.model, directory / "model", seed=config.seed)
    world.barrier()
    return tiny_models.source(config.model, directory / "model", seed=config.seed)


def sizes(run: Run) -> str:
    """Describe the model and the processes in words."""
    trained = sum(getattr(p, "ds_numel", p.numel()) for p in run.model.parameters() if p.requires_grad)
    processes = f"{run.world.size} process{'es' if run.world.size > 1 else ''} on {run.world.device.type}"
    model = f"{trained / 1e6:,.2f} M trained parameters, {len(run.mix):,} pairs"
    return f"{model}, {processes}, ZeRO-{run.config.zero}"
