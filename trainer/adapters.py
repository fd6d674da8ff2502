"""LoRA adapters on a backbone, through peft alone.

transformers has methods of its own for adapters; each release of them asks for a newer peft, at times one that is
not out yet, though peft's own functions work. So they are not used.
"""

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from curate.errors import TrainError
from curate.installation import install_command
from trainer import hub_models
from trainer.backbones import Backbone
from trainer.config import LoraConfig
from trainer.distributed import name_accelerator

FILE = "adapter_model.safetensors"
NAME = "default"
PREFIX = "base_model.model."  # peft's own, before each name in the file


@contextmanager
def fitting_peft() -> Iterator[Any]:
    """Import peft for the block. Raises TrainError with both versions if it does not work with transformers."""
    name_accelerator()
    try:
        import peft

        yield peft
    except (ImportError, AttributeError, TypeError) as error:
        peft_is, transformers_is = (importlib.metadata.version(name) for name in ("peft", "transformers"))
        raise TrainError(
            "lora",
            f"peft {peft_is} does not work with transformers {transformers_is} ({' '.join(str(error).split())})",
            "versions that fit",
            f"{install_command('trainer')}, or lora=null",
        ) from error


def check_peft() -> None:
    """Raise TrainError if LoRA cannot work with the installed peft."""
    with fitting_peft() as peft:
        for name in (
            "LoraConfig",
            "inject_adapter_in_model",
            "get_peft_model_state_dict",
            "set_peft_model_state_dict",
        ):
            getattr(peft, name)


def add(backbone: Backbone, lora: LoraConfig) -> None:
    """Add adapters to the language model's linear layers, and freeze everything else in the backbone."""
    kinds = sorted({name.rpartition(".")[2] for name in backbone.text_linears()})
    targets = kinds if lora.target is None else list(lora.target)
    unknown = [name for name in targets if name not in kinds]
    if unknown:
        raise TrainError("lora.target", f"no layer {unknown[0]!r}", f"some of {', '.join(kinds)}")
    prefix = re.escape(backbone.text_prefix)
    pattern = rf"{prefix}.*\.({'|'.join(re.escape(name) for name in targets)})"
    backbone.module.requires_grad_(False)
    with fitting_peft() as peft:
        adapter = peft.LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pattern
        )
        named = hub_models.identity(str(backbone.module.name_or_path))
        adapter.base_model_name_or_path, adapter.revision = named or (backbone.module.name_or_path, None)
        peft.inject_adapter_in_model(adapter, backbone.module, NAME)


def save(module: Any, state: Mapping[str, Tensor], directory: Path) -> None:
    """Write the adapters of `module` in peft's format; `state` is the state of the whole module."""
    with fitting_peft() as peft:
        adapters = peft.get_peft_model_state_dict(module, state_dict=dict(state), adapter_name=NAME)
        save_file(
            {PREFIX + key: value.contiguous() for key, value in adapters.items()},
            directory / FILE,
            {"format": "pt"},
        )
        module.peft_config[NAME].save_pretrained(str(directory))


def load(module: Any, state: Mapping[str, Tensor], where: Path) -> None:
    """Load the adapters of `module` from what `save` wrote. Raises TrainError if the two do not match."""
    adapters = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    with fitting_peft() as peft:
        result = peft.set_peft_model_state_dict(module, adapters, adapter_name=NAME)
    missing = [name for name in result.missing_keys if "lora_" in name]
    if missing or result.unexpected_keys:
        raise TrainError(
            str(where), f"{(missing or result.unexpected_keys)[0]} does not match", "the adapter of this base"
        )


def merge(module: Any) -> None:
    """Add the adapters to the weights of `module`, in place; it has none afterwards."""
    from peft.tuners.lora import LoraLayer

    for name, part in list(module.named_modules()):
        if isinstance(part, LoraLayer):
            part.merge()
            module.set_submodule(name, part.get_base_layer())
    del module.peft_config
