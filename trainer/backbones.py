"""The backbones: transformers base models without lm_head, and the few facts of them the trainer needs."""

from typing import Literal

Kind = Literal["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "text"]
