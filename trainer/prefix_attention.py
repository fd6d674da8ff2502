"""Attention over a packed row of trees: every reply attends to its own prompt and to itself, and to nothing else.

There are two implementations of a plan: `curate_tree` makes an SDPA call for each segment, on any device;
`curate_varlen` makes one variable-length call over gathered keys and values, on CUDA in half precision. Both are
registered with transformers. The plan reaches every layer as the forward keyword `plan`; without a plan both are
plain SDPA with the mask that they get.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from curate.errors import TrainError

TREE, VARLEN, VISION = "curate_tree", "curate_varlen", "curate_flash_vision"

Kernel = Callable[[Tensor, Tensor, Tensor, "Lengths", float | None, bool], Tensor]
"""Attention of q [Tq, H, D] over k, v [Tk, Hkv, D] in segments, causal aligned at the last key: [Tq, H, D]."""


Move = Callable[[Tensor], Tensor]
"""Copies a tensor to a device."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`queries` consecutive tokens of the row; its keys are the first `prefix` tokens of `owner`, then its own."""

    queries: int
    prefix: int = 0
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Where segments begin in the queries and in the keys (int32 [segments + 1]), and the longest of each."""

    cu_q: Tensor
    cu_k: Tensor
    max_q: int
    max_k: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Segment s: queries cu_q[s]:cu_q[s+1] of the row against keys gather[cu_k[s]:cu_k[s+1]].

    Causal, aligned at the last key. `gather` is int64 over positions of the row, None if it would be all of them
    in order. `segments` is the same for code that runs on the host."""

    segments: tuple[Segment, ...]
    lengths: Lengths
    gather: Tensor | None

    def moved(self, move: Move) -> "Plan":
        """The same with each tensor moved."""
        lengths = replace(self.lengths, cu_q=move(self.lengths.cu_q), cu_k=move(self.lengths.cu_k))
        return replace(self, lengths=lengths, gather=None if self.gather is None else move(self.gather))


def plan(segments: Sequence[Segment]) -> Plan:
    """Plan the attention of a row that consists of these segments in order."""
    queries = [segment.queries for segment in segments]
    keys = [segment.prefix + segment.queries for segment in segments]
    starts = list(accumulate(queries, initial=0))
    ranges: list[Tensor] = []
    for segment, start in zip(segments, starts, strict=False):
        owner = starts[segment.owner]
        ranges += [torch.arange(owner, owner + segment.prefix), torch.arange(start, start + segment.queries)]
    cu_q, cu_k = (torch.tensor([0, *accumulate(each)], dtype=torch.int32) for each in (queries, keys))
    shared = any(segment.prefix for segment in segments)
    return Plan(
        tuple(segments), Lengths(cu_q, cu_k, max(queries), max(keys)), torch.cat(ranges) if shared else None
    )


def install(module: nn.Module) -> str:
    """Make a transformers base model attend by plans; its vision tower gets the fastest kernel that is installed.

    Returns the name of the implementation. The model's layers must be `plannable`. Raises TrainError for attention
    dropout: a shared prefix would get one dropout mask where two forwards get two."""
    config: Any = module.config
    text = getattr(config, "text_config", config)
    _check(text)
    for name, function in ((TREE, tree_attention), (VARLEN, varlen_attention), (VISION, vision_attention)):
        AttentionInterface.register(name, function)
        AttentionMaskInterface.register(name, _mask)
    fast = torch.cuda.is_available() and lacking(text) is None
    chosen = VARLEN if fast else TREE
    module_any: Any = module
    if text is config:
        module_any.set_attn_implementation(chosen)
    else:
        vision = VISION if fast and config.model_type.startswith("qwen") else "sdpa"
        module_any.set_attn_implementation({"text_config": chosen, "vision_config": vision})
    return chosen


def lacking(text: Any) -> str | None:
    """Why a model's text attention has no variable-length call on this GPU; None if it has one."""
    heads = getattr(text, "num_attention_heads", 1)
    width = getattr(text, "head_dim", None) or getattr(text, "hidden_size", 0) // heads
    if not 0 < width <= 256 or width % 8:
        return f"heads are {width} wide, not a multiple of 8 up to 256"
    if (capability := torch.cuda.get_device_capability()) < (8, 0):
        return f"compute capability {capability[0]}.{capability[1]}, not 8.0 or later"
    return None if varlen_kernel() is not None else "neither torch's varlen_attn nor flash-attn is there"


def plannable(text: Any) -> bool:
    """Whether every layer of a language model has full attention: plans cannot express sliding windows."""
    windowed = getattr(text, "sliding_window", None)  # Mistral's way; where there are layer types, those count
    kinds = getattr(text, "layer_types", None) or ["sliding_attention" if windowed else "full_attention"]
    return set(kinds) == {"full_attention"}


def _check(text: Any) -> None:
    if getattr(text, "attention_dropout", 0.0):
        raise TrainError(
            "model", f"attention_dropout {text.attention_dropout}", "0: a shared prefix is drawn once"
        )


def _mask(*, attention_mask: Tensor | None = None, **arguments: Any) -> Tensor | None:
    """Padded batches get SDPA's mask; a packed row gets none: upstream would build one of T x T from positions."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **arguments)


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    plan: Plan | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend with one SDPA call per segment: query [1, H, T, D], key and value [1, Hkv, T, D] -> [1, T, H, D].

    The backward pass of `split` is one concatenation; slices of the row would each cost a row of zeros."""
    if plan is None:
        return _sdpa(module, query, key, value, attention_mask, scaling=scaling, **options)
    lengths = [segment.queries for segment in plan.segments]
    keys, values = torch.split(key, lengths, dim=2), torch.split(value, lengths, dim=2)
    outputs = []
    for segment, q, k, v in zip(plan.segments, torch.split(query, lengths, dim=2), keys, values, strict=True):
        mask = None
        if segment.prefix:
            k = torch.cat([keys[segment.owner][:, :, : segment.prefix], k], dim=2)
            v = torch.cat([values[segment.owner][:, :, : segment.prefix], v], dim=2)
            mask = q.new_ones(1, 1, segment.queries, k.shape[2], dtype=torch.bool).tril(segment.prefix)
        outputs.append(_sdpa(module, q, k, v, mask, scaling=scaling)[0])
    return torch.cat(outputs, dim=1), None


def _sdpa(*arguments: Any, **options: Any) -> tuple[Tensor, None]:
    """transformers' own SDPA, which repeats grouped heads where it must; causal without a mask."""
    return cast(tuple[Tensor, None], sdpa_attention_forward(*arguments, **options))


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    plan: Plan | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend with one variable-length call for the whole plan; `tree_attention` does what the kernel cannot."""
    kernel = varlen_kernel()
    if plan is None or kernel is None or not _half_on_cuda(query):
        return tree_attention(module, query, key, value, attention_mask, plan, scaling, **options)
    return by_lengths(kernel, query, key, value, plan, scaling), None


def by_lengths(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, plan: Plan, scaling: float | None
) -> Tensor:
    """Carry out a plan in one call of a kernel; shapes as in `tree_attention`."""
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    if plan.gather is not None:
        k, v = k.index_select(0, plan.gather), v.index_select(0, plan.gather)
    return kernel(q, k, v, plan.lengths, scaling, True)[None]


def vision_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend in all windows of a vision tower in one call; with SDPA upstream makes hundreds of calls per layer.

    transformers passes the whole row and its boundaries because the registered name has "flash" in it."""
    kernel = varlen_kernel()
    if kernel is None or not _half_on_cuda(query):
        lengths = cu_seq_lens_q.diff().tolist()
        windows = zip(*(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True)
        outputs = [
            _sdpa(module, *window, attention_mask, scaling=scaling, is_causal=False)[0] for window in windows
        ]
        return torch.cat(outputs, dim=1), None
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    bounds = cu_seq_lens_q.to(torch.int32)
    return kernel(q, k, v, Lengths(bounds, bounds, max_length_q, max_length_q), scaling, False)[None], None


def _half_on_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda and tensor.dtype in (torch.float16, torch.bfloat16)


@cache
def varlen_kernel() -> Kernel | None:
    """Find the variable-length kernel that is installed: core torch's, else flash-attn's, else None."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return _flash_attn()
    grouped = "enable_gqa" in inspect.signature(varlen_attn).parameters

    def call(q: Tensor, k: Tensor, v: Tensor, at: Lengths, scaling: float | None, causal: bool) -> Tensor:
        options: dict[str, Any] = {"scale": scaling, "window_size": (-1, 0) if causal else (-1, -1)}
        if grouped:
            options["enable_gqa"] = True
        else:
            k, v = (tensor.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for tensor in (k, v))
        return cast(Tensor, varlen_attn(q, k, v, at.cu_q, at.cu_k, at.max_q, at.max_k, **options))

    return call


def _flash_attn() -> Kernel | None:
    try:
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]
    except ImportError:
        return None

    def call(q: Tensor, k: Tensor, v: Tensor, at: Lengths, scaling: float | None, causal: bool) -> Tensor:
        bounds = (at.cu_q, at.cu_k, at.max_q, at.max_k)
        return cast(Tensor, flash_attn_varlen_func(q, k, v, *bounds, softmax_scale=scaling, causal=causal))

    return call
