"""The backbones: transformers base models without lm_head, and the few facts of them the trainer needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from curate.errors import TrainError
from trainer import prefix_attention
from trainer.batch import Batch

Kind = Literal[
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm", "llava_onevision", "gemma3", "gemma4", "text"
]

VISION_KINDS: dict[str, Kind] = {
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "internvl": "internvl",
    "smolvlm": "smolvlm",
    "llava_onevision": "llava_onevision",
    "gemma3": "gemma3",
    "gemma4": "gemma4",
}
TOWERS = {
    "internvl": "vision_tower", "smolvlm": "vision_model", "llava_onevision": "vision_tower",
    "gemma3": "vision_tower", "gemma4": "vision_tower",
}  # fmt: skip
"""The attribute of the module that encodes images, where it is not `visual`."""
TEXT_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "gemma4_text")
BOTH_WAYS = {"gemma3": "token_type_ids", "gemma4": "mm_token_type_ids"}
"""Kinds whose images attend to all of themselves, and the input that says which tokens are those of images."""
NOT_TOWER = ("merger.", "deepstack_merger_list.")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A base model and its facts. `vision` is the module that encodes images, None for text.

    A backbone that `shares` attends by plans. The others (sliding windows; Gemma 3 and 4, where an image attends
    to all of itself) have their own attention, and take padded batches only.
    """

    module: nn.Module
    kind: Kind
    hidden_size: int
    image_token_id: int | None
    video_token_id: int | None
    vision: nn.Module | None
    shares: bool = True

    @staticmethod
    def load(where: str | Path, dtype: torch.dtype = torch.float32, *, attn: str = "curate") -> "Backbone":
        """Load the base model of a checkpoint directory or Hub id, without lm_head; no code of it is run.

        `attn` "curate" attends by plans (prefix_attention.install); any other name is a transformers
        implementation, which can take only padded batches. While an HfDeepSpeedConfig of stage 3 exists the
        weights are loaded partitioned. Raises TrainError if there is no such checkpoint, its model type is not
        supported, or a weight is missing.
        """
        where = str(where)
        config = _config(where)
        kind = _kind(config, where)
        shares = kind not in BOTH_WAYS and prefix_attention.plannable(config.get_text_config())
        attn = attn if shares or attn != "curate" else "sdpa"
        options = {} if attn == "curate" else {"attn_implementation": attn}
        with quiet():
            module, report = AutoModel.from_pretrained(
                where, dtype=dtype, trust_remote_code=False, output_loading_info=True, **options
            )
        _complete(report, where)
        for name in ("audio_tower", "embed_audio"):  # of Gemma 4: no pair has sound
            if isinstance(part := getattr(module, name, None), nn.Module):
                part.requires_grad_(requires_grad=False)
        if attn == "curate":
            prefix_attention.install(module)
        return Backbone.of(module, kind, shares=shares)

    @staticmethod
    def of(module: Any, kind: Kind, *, shares: bool = True) -> "Backbone":
        """Describe a base model that is already built."""
        config = module.config
        text = config.get_text_config()
        vision = None if kind == "text" else getattr(module, TOWERS.get(kind, "visual"))
        image, video = (getattr(config, f"{name}_token_id", None) for name in ("image", "video"))
        return Backbone(module, kind, text.hidden_size, image, video, vision, shares)

    def hidden(self, batch: Batch) -> Tensor:
        """Compute the last hidden state of every position, [B, T, hidden]."""
        plan: dict[str, Any] = {} if batch.plan is None else {"plan": batch.plan}
        if self.kind in BOTH_WAYS:
            seen: Any = batch.input_ids == self.image_token_id
            plan[BOTH_WAYS[self.kind]] = seen.int()
        output = self.module(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            **batch.media,
            **plan,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def tower(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the vision tower: patches, positions, blocks.

        The layers that map its output into the language model's space are not part of the tower, and are trained
        even if it is frozen: Qwen's merger (Qwen3-VL's deepstack mergers too), the projector of InternVL and
        LLaVA-OneVision and Gemma, SmolVLM's connector.
        """
        if self.vision is not None:
            for name, parameter in self.vision.named_parameters():
                if not name.startswith(NOT_TOWER):
                    yield parameter

    @property
    def text_prefix(self) -> str:
        """What the paths of the language model's parts begin with, inside `module`."""
        return {"text": "", "smolvlm": "text_model."}.get(self.kind, "language_model.")

    @property
    def text(self) -> nn.Module:
        """The language model."""
        return self.module.get_submodule(self.text_prefix.rstrip("."))

    def text_linears(self) -> Iterator[str]:
        """Yield the paths, inside `module`, of the language model's linear layers."""
        for name, part in self.module.named_modules():
            if isinstance(part, nn.Linear) and name.startswith(self.text_prefix):
                yield name


def saved_dtype(where: str) -> torch.dtype:
    """Look up the dtype of a checkpoint's weights in its config; fp32 if the config has none."""
    dtype = _config(where).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def _config(where: str) -> Any:
    local = Path(where)
    if not local.exists() and (where.startswith((".", "/", "~")) or where.count("/") > 1):
        raise TrainError(where, "no such directory", "a checkpoint directory or a Hub id")
    if local.exists() and not (local / "config.json").is_file():
        raise TrainError(where, "no config.json", "a directory written by save_pretrained, or a Hub id")
    try:
        return AutoConfig.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError) as error:
        hint = "a model that runs its own code is not loaded" if "trust_remote_code" in str(error) else ""
        raise TrainError(where, _sentence(error), "a checkpoint that transformers knows", hint) from None


def _kind(config: Any, where: str) -> Kind:
    if config.model_type in VISION_KINDS:
        return VISION_KINDS[config.model_type]
    if config.model_type in TEXT_TYPES:
        return "text"
    known = ", ".join([*VISION_KINDS, *TEXT_TYPES])
    raise TrainError(where, f"model type {config.model_type!r}", f"one of {known}")


def _complete(report: dict[str, Any], where: str) -> None:
    """Refuse missing weights: transformers would draw them at random, with a warning."""
    missing = sorted(report["missing_keys"])
    if missing:
        raise TrainError(where, f"{len(missing)} weights are missing, the first is {missing[0]}", "all weights")


def _sentence(error: Exception) -> str:
    return str(error).strip().split("\n")[0].split(". ")[0].removesuffix(".")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers: no progress bar, and no report about the lm_head that is left out on purpose."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
