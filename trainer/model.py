"""The reward model: a backbone without lm_head and a small head that reads the last real token of every branch."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["none", "tanh", "relu", "silu", "gelu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The shape of the reward head.

    `layers` linear layers (1 to 5) with `activation` and dropout between them; inner ones are `width` wide
    (None: the backbone's hidden size). Weights are drawn with `init_std` (None: 1/sqrt(fan_in + 1)), the last
    layer's too; biases start at zero.
    """

    layers: int = 2
    activation: Activation = "silu"
    width: int | None = None
    dropout: float = 0.0
    init_std: float | None = None
    bias: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """LoRA on the language model's linear layers; `target` names their last path parts (None: all of them)."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target: tuple[str, ...] | None = None
