"""The reward model: a backbone, and a small head that reads the last real token of every branch.

A critic also has the language model head of its checkpoint, since it writes a critique before it scores. A judge
(the generative paradigm) has only that.

A saved model is one directory: the backbone as transformers saves it (with LoRA: its adapter, and the name of the
base), `head.safetensors`, `reward_config.json`, and the tokenizer and processor files of the source checkpoint.
`lm_head.weight` is among the backbone's weights, unless it is the embeddings or, with LoRA, the base's.
Scoring needs nothing else (with LoRA: the base).
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.utils import cached_file

from curate import config
from curate.errors import TrainError
from trainer import adapters, hub_models, lm_head
from trainer.backbones import Backbone, quiet
from trainer.batch import Batch
from trainer.config import HeadConfig, LoraConfig, Paradigm
from trainer.hub_models import PROCESSOR_FILES
from trainer.lm_head import LmHead, branch_means
from trainer.recompute import checkpoint_options

HEAD_FILE, CONFIG_FILE = "head.safetensors", "reward_config.json"
NOT_LINEAR = "score.weight"
"""An empty tensor of this name among a saved model's weights: transformers' sequence classification classes, whose
head has this name, would draw one at random where there is none, and refuse the model for one of another shape."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


class Fp32Linear(nn.Module):
    """A linear layer that computes in fp32 whatever its input, autocast, or an engine that recasts its weights."""

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in, dtype=torch.float32).normal_(0, std))
        self.bias = nn.Parameter(torch.zeros(fan_out, dtype=torch.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer: [.., fan_in] -> fp32 [.., fan_out]."""
        with torch.autocast(x.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return functional.linear(x.float(), self.weight.float(), bias)


class RewardHead(nn.Module):
    """Linear layers with an activation between them, and dropout before each, as in MM-RLHF's head."""

    def __init__(self, hidden_size: int, head_config: HeadConfig) -> None:
        super().__init__()
        inner = hidden_size if head_config.width is None else head_config.width
        self.layers = nn.ModuleList(
            Fp32Linear(fan_in, fan_out, bias=head_config.bias, std=_init_std(head_config, fan_in))
            for fan_in, fan_out in pairwise([hidden_size, *[inner] * (head_config.layers - 1), 1])
        )
        self.activation = ACTIVATIONS[head_config.activation]
        self.dropout = head_config.dropout

    def forward(self, features: Tensor) -> Tensor:
        """Compute scores from features: [S, hidden] -> fp32 [S]."""
        x = features.float()
        for number, layer in enumerate(self.layers):
            x = self.activation(x) if number else x
            x = layer(functional.dropout(x, self.dropout, self.training))
        return x.squeeze(-1)


def _init_std(head_config: HeadConfig, fan_in: int) -> float:
    return (fan_in + 1) ** -0.5 if head_config.init_std is None else head_config.init_std


class RewardModel(nn.Module):
    """Scores branches. `backbone` describes the base model, whose module is registered as `base`.

    `head` is None for a judge, `lm_head` for the naive paradigm.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: RewardHead | None,
        head_config: HeadConfig | None,
        *,
        source: str,
        lora: LoraConfig | None,
        lm_head: LmHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head_config = backbone, head_config
        self.source, self.lora = source, lora
        self.base, self.head, self.lm_head = backbone.module, head, lm_head

    def features(self, batch: Batch) -> Tensor:
        """Compute the last hidden state at each branch's last real token: fp32 [S, hidden]."""
        return self.backbone.hidden(batch).flatten(0, 1)[batch.pool].float()

    def forward(self, batch: Batch, *, with_losses: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the score of each branch, fp32 [S]; a judge's are logits of the next token, [S, vocabulary].

        `with_losses` adds the mean cross-entropy of each branch's targets, fp32 [S]; the naive paradigm has none.
        The language model head then runs even if there are no targets: all ranks must run the same modules.
        """
        hidden = self.backbone.hidden(batch).flatten(0, 1)
        pooled = hidden[batch.pool]
        scores: Tensor = self._logits(pooled, with_losses) if self.head is None else self.head(pooled.float())
        if not with_losses:
            return scores
        assert self.lm_head is not None, "naive models have no losses of tokens"
        losses = self.lm_head(hidden[batch.targets.before], batch.targets.ids)
        return scores, branch_means(losses, batch.targets.branch, len(batch.pool))

    def _logits(self, pooled: Tensor, with_losses: bool) -> Tensor:
        """The next token's logits; beside losses they are there to be counted only."""
        assert self.lm_head is not None, "a judge has a language model head"
        with torch.set_grad_enabled(torch.is_grad_enabled() and not with_losses):
            logits: Tensor = self.lm_head(pooled)
        return logits

    @property
    def paradigm(self) -> Paradigm:
        """How the model judges replies."""
        return "generative" if self.head is None else "naive" if self.lm_head is None else "critic"

    def checkpoint_activations(self, *, selective: bool = False) -> None:
        """Recompute each layer in the backward pass, or with `selective` all of it but its products.

        transformers makes the inputs of every embedding require gradients, which only its reentrant kind needs: a
        frozen vision tower would be recomputed and back-propagated.
        """
        base: Any = self.base
        enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
        enable(checkpoint_options(selective=selective))
        base.disable_input_require_grads()

    def merge_lora(self) -> "RewardModel":
        """Add the adapters to the base weights, in place: the scores stay, and the model is saved as a whole."""
        if self.lora is not None:
            adapters.merge(self.base)
            self.lora = None
        return self

    def save_pretrained(
        self,
        directory: str | Path,
        state_dict: Mapping[str, Tensor] | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write everything that scoring needs into a directory.

        `state_dict` replaces the model's own (ZeRO-3 gathers it; its head is written in fp32). `encoder` is how
        dialogues were encoded in training; it is kept in reward_config.json.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        state = self.state_dict() if state_dict is None else state_dict
        base: Any = self.base
        with quiet():
            if self.lora is None:
                own = self.lm_head is not None and not lm_head.is_tied(self.lm_head, self.backbone)
                more = {lm_head.KEY: state[lm_head.KEY]} if own else {}
                more |= {NOT_LINEAR: torch.empty(0)}
                base.save_pretrained(directory, state_dict=_inside(state, "base.") | more)
            else:
                adapters.save(base, _inside(state, "base."), directory)
                base.config.architectures = [type(base).__name__]  # as the other branch writes it
            base.config.save_pretrained(directory)
        if self.head is not None:
            head = {name: tensor.float().contiguous() for name, tensor in _inside(state, "head.").items()}
            save_file(head, directory / HEAD_FILE)
        copy_processor(self.source, directory)
        (directory / CONFIG_FILE).write_text(json.dumps(self._facts(dict(encoder or {})), indent=2) + "\n")
        return directory

    def _facts(self, encoder: dict[str, Any]) -> dict[str, Any]:
        base = str(Path(self.source).absolute()) if Path(self.source).exists() else self.source
        name, revision = hub_models.identity(self.source) or (base, None)
        return {
            "paradigm": self.paradigm,
            "kind": self.backbone.kind,
            "hidden_size": self.backbone.hidden_size,
            "head": dataclasses.asdict(self.head_config) if self.head_config else None,
            "base": name,
            "revision": revision,
            "lora": dataclasses.asdict(self.lora) if self.lora else None,
            "encoder": encoder,
        }

    @classmethod
    def from_pretrained(cls, directory: str | Path, dtype: torch.dtype = torch.float32) -> "RewardModel":
        """Load the model that `save_pretrained` wrote, with its backbone in `dtype`, in eval mode.

        Raises TrainError if the directory holds no reward model, or its head is missing or of another shape, and
        ConfigError if its reward_config.json is not what was written.
        """
        directory = Path(directory)
        facts = read_facts(directory)
        where = f"{directory / CONFIG_FILE}: $"
        paradigm: Paradigm = config.build(facts.get("paradigm", "naive"), Paradigm, f"{where}.paradigm")
        judge = paradigm == "generative"
        head_config: HeadConfig = config.build({} if judge else facts["head"], HeadConfig, f"{where}.head")
        lora: LoraConfig | None = config.build(facts["lora"], LoraConfig | None, f"{where}.lora")
        checkpoint = directory if lora is None else adapter_base(directory)
        if lora is not None:
            adapters.check_peft()
        backbone = Backbone.load(checkpoint, dtype)
        writer = None if paradigm == "naive" else lm_head.load(checkpoint, backbone, dtype)
        if lora is not None:
            adapters.add(backbone, lora)
            saved = directory / adapters.FILE
            adapters.load(backbone.module, _read(saved), saved)
        if judge:
            return cls(backbone, None, None, source=str(directory), lora=lora, lm_head=writer).eval()
        head = RewardHead(backbone.hidden_size, head_config)
        _load_head(head, directory)
        _cast_for_zero3(head, dtype)
        return cls(backbone, head, head_config, source=str(directory), lora=lora, lm_head=writer).eval()


def build(
    model: str | Path,
    head: HeadConfig,
    *,
    paradigm: Paradigm = "naive",
    freeze_vision: bool = True,
    lora: LoraConfig | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> RewardModel:
    """Build a reward model to train from a checkpoint directory or Hub id; the seed draws head and adapters.

    A judge has no `head`. With LoRA only the adapters and the head are trained: the language model head of critics
    and judges stays as it was. Raises TrainError for LoRA with `freeze_vision` false.
    """
    if lora is not None and not freeze_vision:
        raise TrainError("lora", "freeze_vision is false", "true: LoRA trains adapters of the language model only")
    if lora is not None:
        adapters.check_peft()
    backbone = Backbone.load(model, dtype)
    if freeze_vision:
        for parameter in backbone.tower():
            parameter.requires_grad_(False)
    writer = None if paradigm == "naive" else lm_head.load(model, backbone, dtype)
    if writer is not None and lora is not None:
        writer.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if lora is not None:
            adapters.add(backbone, lora)
        drawn = None if paradigm == "generative" else RewardHead(backbone.hidden_size, head)
    if drawn is None:
        return RewardModel(backbone, None, None, source=str(model), lora=lora, lm_head=writer).train()
    _cast_for_zero3(drawn, dtype)
    return RewardModel(backbone, drawn, head, source=str(model), lora=lora, lm_head=writer).train()


def read_facts(directory: str | Path) -> dict[str, Any]:
    """Read reward_config.json of a saved model. Raises TrainError if it is missing or is not one."""
    path = Path(directory) / CONFIG_FILE
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except OSError:
        inside = sorted(str(found.parent) for found in Path(directory).glob(f"*/{CONFIG_FILE}"))
        hint = f"did you mean {' or '.join(inside)}?" if inside else "a run writes one into its best/ and final/"
        raise TrainError(str(directory), f"no {CONFIG_FILE}", "a reward model", hint) from None
    except ValueError as error:
        raise TrainError(str(path), f"not JSON: {error}", "what save_pretrained wrote") from None
    lacking = [key for key in ("head", "base", "lora", "encoder") if key not in facts]
    if lacking:
        raise TrainError(str(path), f"no {', '.join(lacking)}", "what save_pretrained wrote")
    return facts


def adapter_base(directory: Path) -> str:
    """The checkpoint that a saved LoRA model's adapter was trained on. Raises TrainError if it is gone."""
    facts = read_facts(directory)
    base = str(facts["base"])
    if Path(base).is_absolute() and not Path(base).exists():
        raise TrainError(
            str(directory), f"its base model {base} is gone", "the checkpoint that the adapter was trained on",
            f"set `base` in {CONFIG_FILE}",
        )  # fmt: skip
    return hub_models.snapshot(base, facts.get("revision"))


def _cast_for_zero3(head: RewardHead, dtype: torch.dtype) -> None:
    """Cast the head under ZeRO-3, which holds all weights in one buffer of one dtype; the head still computes in
    fp32, and its optimizer's copy is fp32."""
    if is_deepspeed_zero3_enabled():
        head.to(dtype)


def _inside(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def copy_processor(source: str, directory: Path) -> None:
    """Copy the tokenizer and processor files of a checkpoint into a directory."""
    for name in PROCESSOR_FILES:
        found = cached_file(
            source,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if found is not None and Path(found).resolve() != (directory / name).resolve():
            shutil.copyfile(found, directory / name)


def _load_head(head: RewardHead, directory: Path) -> None:
    path = directory / HEAD_FILE
    saved, drawn = _read(path), head.state_dict()
    shapes, expected = ({name: tuple(t.shape) for name, t in state.items()} for state in (saved, drawn))
    if shapes != expected:
        raise TrainError(str(path), f"head of shape {_shape(shapes)}", f"{_shape(expected)} as {CONFIG_FILE} says")
    head.load_state_dict(saved)


def _shape(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return " ".join("x".join(map(str, shape)) for name, shape in sorted(shapes.items()) if name.endswith("weight"))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise TrainError(str(path), "no such file", "the weights that save_pretrained wrote") from None
    except (SafetensorError, OSError) as error:
        raise TrainError(str(path), f"cannot be read ({error})", "a whole safetensors file") from None
