"""Makes the parts of a training run from its config: mix, evaluation sets, encoder, model, engine."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from curate.errors import TrainError
from trainer import critic, generative, hub_models, lengths, memory, prompt_files, tiny_models
from trainer.backbones import Backbone
from trainer.batch import Tree
from trainer.config import MEDIA_BOUNDS, CriticConfig, GenerativeConfig, TrainConfig
from trainer.critic import Critic, CriticEncoder
from trainer.distributed import World, deepspeed_config, engine, partitioned_load, use_bf16
from trainer.encode import Encoder
from trainer.flops import peak_flops
from trainer.generative import Judge, JudgeEncoder, read_prompt
from trainer.judging import Writer, check_writes
from trainer.lengths import Lengths
from trainer.model import RewardModel, build
from trainer.packing import dummy_image
from trainer.prefix_attention import lacking
from trainer.readers import MixReader, PairsReader, read_files
from trainer.recompute import compile_layers
from trainer.transfer import Transfer
from trainer.validation import any_rank

UNSHARED = "this backbone has sliding windows or attends both ways in images: replies are not shared, but padded"

FEW_PAIRS = 8
"""With fewer pairs of a step for each process, the longest pairs make processes wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The parts of a training run."""

    config: TrainConfig
    directory: Path
    world: World
    mix: MixReader
    sets: dict[str, PairsReader]  # to evaluate on; the best model is the best on the first
    encoder: Encoder
    lengths: Lengths | None  # of the mix's pairs, measured before the first step
    model: RewardModel
    engine: Any
    writer: Writer | None  # writes the texts that evaluations score by; None if they need none
    transfer: Transfer  # takes batches to the device
    dummy: Tree | None  # an image for micro-batches without one: all ranks must run the same modules
    peak: float | None  # FLOPs per second of all devices; None if unknown


def set_up(config: TrainConfig, directory: Path, world: World) -> Run:
    """Make the parts of a run, those of the data first: a fault in the data is found in a moment."""
    images = Path(config.images) if config.images else None
    mix = MixReader(Path(config.mix), "shard", images)
    sets = eval_sets(config, images)
    source = model_directory(config, directory, world)
    encoder = make_encoder(config, source, directory, world)
    encoder.counts_replies = config.loss.length_norm
    model, deepspeed_engine = load_model(config, source, world)
    share = shares(config, model.backbone)
    peak = peak_flops(torch.cuda.get_device_name()) if world.device.type == "cuda" else None
    return Run(
        config=config, directory=directory, world=world, mix=mix, sets=sets, encoder=encoder, model=model,
        lengths=lengths.known(config, mix, encoder, directory, world, share=share),
        transfer=Transfer(world.device, next(model.base.parameters()).dtype),
        engine=deepspeed_engine, writer=make_writer(config, encoder, model.backbone, world),
        dummy=dummy_image(model.backbone), peak=peak and peak * world.size,
    )  # fmt: skip


def shares(config: TrainConfig, backbone: Backbone) -> bool:
    """Whether replies of a pair share their prompt's tokens in the rows of a run."""
    return config.share_prefix and config.layout == "packed" and backbone.shares


def make_encoder(config: TrainConfig, source: str, directory: Path, world: World) -> Encoder:
    """Make the encoder of the run's paradigm, with the run's copy of the prompt of critiques or verdicts."""
    bounds: dict[str, Any] = {name: getattr(config, name) for name in ("max_length", *MEDIA_BOUNDS)}
    if config.paradigm == "naive":
        return Encoder(source, **bounds)
    if config.paradigm == "critic":
        path = (config.critic or CriticConfig()).instruction
        text = _kept(path, "critic.txt", critic.WHAT, directory / critic.INSTRUCTION, world)
        return CriticEncoder(source, instruction=text, **bounds)
    settings = config.generative or GenerativeConfig()
    read_prompt(settings.prompt, settings.form)
    text = _kept(settings.prompt, f"{settings.form}.txt", generative.WHAT, directory / generative.PROMPT, world)
    reasoned = settings.form == "reasoned"
    return JudgeEncoder(source, prompt=text, reasoned=reasoned, seed=config.seed, **bounds)


def _kept(path: str | None, ours: str, what: str, copy: Path, world: World) -> str:
    """The prompt of a run, which keeps a copy of it."""
    if world.chief:
        prompt_files.keep(path, ours, what, copy)
    world.barrier()
    return prompt_files.read(str(copy), ours, what)


def make_writer(config: TrainConfig, encoder: Encoder, backbone: Backbone, world: World) -> Writer | None:
    """Make what writes critiques or verdicts in evaluations; None where scores need no text, or given ones.

    Raises TrainError for a backbone that writes no text.
    """
    more: dict[str, Any] = {"ranks": world.size, "seed": config.seed}
    if isinstance(encoder, JudgeEncoder):
        if encoder.reasoned:
            check_writes(backbone, config.model)
        return Judge(encoder, config.generative or GenerativeConfig(), any_rank, **more)
    settings = config.critic or CriticConfig()
    if not isinstance(encoder, CriticEncoder) or settings.evaluate == "given":
        return None
    check_writes(backbone, config.model)
    return Critic(encoder, settings, any_rank, **more)


def writer_settings(config: TrainConfig, encoder: Encoder) -> dict[str, Any]:
    """Describe how the run's critiques or verdicts are prompted for and written, for its models."""
    if isinstance(encoder, CriticEncoder):
        return critic.settings_to_save(encoder.instruction, config.critic or CriticConfig())
    if isinstance(encoder, JudgeEncoder):
        return generative.settings_to_save(encoder.prompt, config.generative or GenerativeConfig())
    return {}


def load_model(config: TrainConfig, source: str, world: World) -> tuple[RewardModel, Any]:
    """Build the model from a checkpoint and put it into its engine."""
    bf16 = use_bf16(config.bf16, world.device)
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
    if world.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(world.device)
        memory.check(model, config, ranks=world.size, free=free + torch.cuda.memory_allocated(), bf16=bf16)
    if config.gradient_checkpointing:
        model.checkpoint_activations(selective=config.gradient_checkpointing == "selective")
    if config.compile:
        compile_layers(model.backbone.text)
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
    """Find the checkpoint to start from: a directory on every rank's machine, the same commit for all.

    `tiny/KIND` is written into the run directory, by one process; a model of the Hub is pinned there.
    """
    if world.chief:
        tiny_models.source(config.model, directory / "model", seed=config.seed)
    world.barrier()
    source = tiny_models.source(config.model, directory / "model", seed=config.seed)
    hub_models.pinned(source, config.revision, directory, chief=world.chief)
    world.barrier()
    return hub_models.pinned(source, config.revision, directory, chief=False)


def sizes(run: Run) -> str:
    """Describe the model and the processes in words."""
    trained = sum(getattr(p, "ds_numel", p.numel()) for p in run.model.parameters() if p.requires_grad)
    processes = f"{run.world.size} process{'es' if run.world.size > 1 else ''} on {run.world.device.type}"
    model = f"{trained / 1e6:,.2f} M trained parameters, {len(run.mix):,} pairs"
    return f"{model}, {processes}, ZeRO-{run.config.zero}"


def slower(run: Run) -> Iterator[str]:
    """Describe what makes the run slower than it could be."""
    backbone, pairs, ranks = run.model.backbone, run.config.batch_pairs, run.world.size
    if run.config.balance_steps == 1 and ranks > 1 and pairs < FEW_PAIRS * ranks:
        few = f"{pairs:,} pairs a step on {ranks:,} processes"
        yield f"{few}: some wait for others; balance_steps=16 evens them out"
    if not backbone.shares:
        yield UNSHARED
    elif run.world.device.type == "cuda":
        text: Any = backbone.text
        why = "fp32" if run.transfer.dtype is torch.float32 else lacking(text.config)
        if why is not None:
            yield f"attention in a call for each reply, not in one: {why}"
