"""What a run takes of a GPU beside activations: weights, gradients and the optimizer, by the stage of ZeRO.

The table of docs/pages/training.md and the lines of the presets are computed by `state_bytes`.
"""

import math

from torch import nn

from curate.errors import TrainError
from trainer.config import TrainConfig

GB = 10**9
SPARE = 0.9
"""The share of a GPU that hints fill: activations need some."""


def state_bytes(whole: int, trained: int, *, zero: int, ranks: int, bf16: bool) -> int:
    """Count the bytes on each GPU of a model with so many parameters, of which so many are trained.

    AdamW has two numbers for each trained one, and beside bf16 weights or with ZeRO a copy of them in fp32; all
    three are divided among ranks from stage 1 on, summed gradients from stage 2 on, weights at stage 3. In bf16,
    stage 1 has gradients both as they are computed and summed in fp32.
    """
    size = 2 if bf16 else 4
    weights, sums = size * whole, 4 * trained
    copies = (12 if zero else 8) * trained
    if zero >= 2:
        divided = sums + copies
        return weights + divided // ranks if zero == 2 else (weights + divided) // ranks
    return weights + sums + (2 * trained if bf16 else 0) + copies // (ranks if zero else 1)


def counts(model: nn.Module) -> tuple[int, int]:
    """Count the parameters of a model, also a partitioned one: all, and those that are trained."""
    sizes = [(int(getattr(p, "ds_numel", p.numel())), p.requires_grad) for p in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)


def check(model: nn.Module, config: TrainConfig, *, ranks: int, free: int, bf16: bool) -> None:
    """Raise TrainError, with what would fit, for a model whose state needs more bytes than are free on a GPU."""
    whole, trained = counts(model)

    def need(zero: int, gpus: int = ranks) -> int:
        return state_bytes(whole, trained, zero=zero, ranks=gpus, bf16=bf16)

    if need(config.zero) <= free:
        return
    found = f"weights, gradients and optimizer take {_gb(need(config.zero))}, and {_gb(free)} are free"
    fits = next((zero for zero in (2, 3) if zero > config.zero and need(zero) <= SPARE * free), None)
    if fits is not None:
        hint = f"zero={fits} takes {_gb(need(fits))}"
    else:
        gpus = math.ceil(need(3, 1) / (SPARE * free))
        hint = f"zero=3 on {gpus} GPUs takes {_gb(need(3, gpus))} of each"
    if config.lora is None:
        hint += "; or train adapters, lora.rank=16"
    raise TrainError("GPU", found, "a model that fits", hint)


def _gb(size: float) -> str:
    return f"{size / GB:,.0f} GB" if size >= GB else f"{size / GB:,.2f} GB"
