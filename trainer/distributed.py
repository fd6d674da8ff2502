"""The processes of a run and their DeepSpeed engine; DeepSpeed's settings and pitfalls are all in this file."""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from curate.errors import TrainError
from trainer import slurm
from trainer.config import TrainConfig

SETTINGS = Path(__file__).parent / "deepspeed"


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run, seen from one of them."""

    rank: int
    size: int
    device: torch.device

    @property
    def chief(self) -> bool:
        """Whether this process prints and writes for all."""
        return self.rank == 0

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sum the numbers of all processes, in float64."""
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def gather(self, value: Any) -> list[Any]:
        """Collect the values of all processes, by rank."""
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def use_bf16(wanted: bool | None, device: torch.device) -> bool:
    """Whether to train in bf16: as the run says, else where the GPU can. Raises TrainError where it cannot."""
    able = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted and not able:
        found = f"{torch.cuda.get_device_name(device)} does not compute in bf16"
        raise TrainError("bf16", found, "a GPU of compute capability 8.0 or later", "bf16=false trains in fp32")
    return able and device.type == "cuda" if wanted is None else wanted


def start() -> World:
    """Join the processes that torchrun, deepspeed or srun started; without any of them, be the only one.

    Raises TrainError if there are more processes on this machine than GPUs.
    """
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")  # batches differ in size
    cuda = torch.cuda.is_available()
    name_accelerator()
    started = slurm.variables(os.environ)
    os.environ.update(started)
    local = int(os.environ.setdefault("LOCAL_RANK", "0"))
    if cuda:
        local = own_device(local, torch.cuda.device_count(), bound=bool(started))
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        backend = "nccl" if cuda else "gloo"
        if "RANK" in os.environ:
            dist.init_process_group(backend)
        else:
            store = dist.HashStore()  # type: ignore[attr-defined]
            dist.init_process_group(backend, store=store, rank=0, world_size=1)
        _deepspeed().init_distributed(dist_backend=backend, auto_mpi_discovery=False)
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    return World(dist.get_rank(), dist.get_world_size(), device)


def own_device(local: int, devices: int, *, bound: bool) -> int:
    """The number of the GPU of the process `local` of this machine; Slurm may show (`bound`) each task its own.

    Raises TrainError if there is none left.
    """
    if bound and devices == 1:
        return 0
    if local >= devices:
        raise TrainError("--nproc", f"{local + 1} processes on a machine with {devices} GPUs", "one for each GPU")
    return local


def name_accelerator() -> None:
    """Name DeepSpeed's accelerator before it is imported (also by peft): it would print a guess on stdout."""
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")


def _deepspeed() -> Any:
    """Import DeepSpeed without its op for shared memory, which needs a C++ compiler at run time; gloo does not."""
    for kind in (FutureWarning, DeprecationWarning):  # it calls what torch 2.13 deprecates
        warnings.filterwarnings("ignore", category=kind)
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def deepspeed_config(config: TrainConfig, *, bf16: bool) -> dict[str, Any]:
    """Fill in DeepSpeed's configuration: the JSON of the stage, and whatever depends on the run.

    Micro-batches differ in their number of pairs, so the loop itself divides by the pairs of the step and
    DeepSpeed must not: its batch sizes are 1, and the loop marks the last micro-batch of a step.
    Raises TrainError for bf16 at stage 0, where DeepSpeed keeps no exact fp32 weights.
    """
    if bf16 and config.zero == 0:
        raise TrainError("zero", "found 0 with bf16", "1, 2 or 3: they keep fp32 weights to update", "zero=1")
    filled: dict[str, Any] = json.loads((SETTINGS / f"zero{config.zero}.json").read_text(encoding="utf-8"))
    filled |= {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
    filled |= {"gradient_clipping": config.clip, "bf16": {"enabled": bf16}}
    if bf16:
        filled |= {"data_types": {"grad_accum_dtype": "fp32"}, "communication_data_type": "fp32"}
    return filled


@contextmanager
def partitioned_load(filled: dict[str, Any]) -> Iterator[None]:
    """Partition a model that is loaded inside the block: at stage 3 every rank holds only its share of it."""
    if filled["zero_optimization"]["stage"] < 3:
        yield
        return
    from transformers.integrations import HfDeepSpeedConfig

    alive = HfDeepSpeedConfig(filled)  # transformers finds it by a weak reference
    yield
    del alive


def engine(model: nn.Module, head: nn.Module | None, config: TrainConfig, filled: dict[str, Any]) -> Any:
    """Put the model into a DeepSpeed engine with torch's AdamW (DeepSpeed's own needs a compiler).

    The head stays in fp32 beside a bf16 backbone, except at stage 3, which has one dtype for all weights: there
    the head's are rounded for the forward pass, their fp32 originals are updated, and it computes in fp32.
    """
    own = [] if head is None else list(head.parameters())
    exact = [parameter.detach().clone() for parameter in own]

    def optimizer(_: Any) -> torch.optim.Optimizer:
        # DeepSpeed calls this after casting the whole model
        if config.zero < 3:
            for parameter, value in zip(own, exact, strict=True):
                parameter.data = value.to(parameter.device)
        return torch.optim.AdamW(_groups(model, own, config), weight_decay=config.weight_decay, fused=True)

    return _deepspeed().initialize(model=model, optimizer=optimizer, config=filled)[0]


def _groups(model: nn.Module, head: Sequence[nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """Separate groups for backbone and head, as their rates may differ; the schedule scales `peak_lr`."""
    heads = {id(parameter) for parameter in head}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rates = [(False, config.lr), (True, config.lr if config.head_lr is None else config.head_lr)]
    return [
        {"params": [p for p in trained if (id(p) in heads) == is_head], "lr": lr, "peak_lr": lr}
        for is_head, lr in rates
        if head or not is_head
    ]


def backward(engine: Any, loss: Tensor, *, last: bool) -> None:
    """Add the gradients of one micro-batch; after the `last` of a step they are averaged over ranks."""
    engine.set_gradient_accumulation_boundary(last)
    engine.backward(loss, scale_wrt_gas=False)


def update(engine: Any, factor: float) -> float:
    """Take the optimizer step at `factor` of each group's peak rate; returns the gradient norm before clipping."""
    for group in engine.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    plain = engine.zero_optimization_stage() == 0
    norm = _norm(engine.module.parameters()) if plain else 0.0  # DeepSpeed gives none at stage 0
    engine.step()
    return norm if plain else float(engine.get_global_grad_norm())


def _norm(parameters: Iterable[nn.Parameter]) -> float:
    return float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


def lost_peer(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


def leave() -> None:
    """Destroy the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def whole_state(model: nn.Module, stage: int, world: World) -> dict[str, Tensor] | None:
    """Gather the state dict of a partitioned model onto the chief, one parameter at a time; None below stage 3."""
    if stage < 3:
        return None
    gathered: Callable[..., Any] = _deepspeed().zero.GatheredParameters
    state = {name: value for name, value in model.state_dict().items() if world.chief}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        with gathered([parameter]):
            if world.chief:
                state[name] = parameter.detach().cpu().clone()
    return state
