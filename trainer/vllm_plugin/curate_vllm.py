"""Reward models that curate exports, for vLLM: `pip install DIR/vllm_plugin`, then serve DIR as any model.

The architecture in config.json names a class that is made here: vLLM's own model without its language model head,
and the head that `curate_head` describes, in fp32, read at the last token.
"""

import importlib
from itertools import pairwise

MODELS = {  # architecture of the checkpoint: vLLM's module and class
    "Qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "Qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "Llama": ("llama", "LlamaForCausalLM"),
    "Mistral": ("llama", "LlamaForCausalLM"),
    "Qwen2VL": ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    "Qwen2_5_VL": ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
}


def head_of(config, hidden_size):
    """The head that config.json describes: a torch module, fp32, without weights that mean anything yet."""
    import torch
    from torch import nn

    activations = {"none": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
    inner = config["width"] or hidden_size
    widths = [hidden_size, *[inner] * (config["layers"] - 1), 1]
    layers = []
    for wide, narrow in pairwise(widths):
        if layers:
            layers.append(activations[config["activation"]]())
        layers.append(nn.Linear(wide, narrow, bias=config["bias"], dtype=torch.float32))
    return nn.Sequential(*layers)


def _class_of(name):
    from vllm.model_executor.layers.pooler import DispatchPooler
    from vllm.model_executor.models.adapters import as_seq_cls_model
    from vllm.model_executor.models.utils import WeightsMapper

    module, base = MODELS[name]
    Base = as_seq_cls_model(getattr(importlib.import_module(f"vllm.model_executor.models.{module}"), base))

    class CurateReward(Base):
        if "VL" in name:
            hf_to_vllm_mapper = WeightsMapper(
                orig_to_new_prefix={
                    "language_model.": "language_model.model.", "visual.": "visual.", "score.": "score.",
                }
            )  # fmt: skip

        def _init_pooler(self, vllm_config, prefix=""):  # noqa: ARG002 - vLLM's signature
            model = vllm_config.model_config
            self.score = head_of(model.hf_config.curate_head, model.get_hidden_size())
            return DispatchPooler.for_seq_cls(model.pooler_config, classifier=self.score)

    CurateReward.__name__ = CurateReward.__qualname__ = f"Curate{name}ForSequenceClassification"
    return CurateReward


def __getattr__(name):
    """Classes are made when vLLM asks for them, in the process that runs the model."""
    known = name.removeprefix("Curate").removesuffix("ForSequenceClassification")
    if known not in MODELS or name != f"Curate{known}ForSequenceClassification":
        raise AttributeError(name)
    made = globals()[name] = _class_of(known)
    return made


def register():
    """vLLM calls this in each of its processes."""
    from vllm import ModelRegistry

    for name in MODELS:
        made = f"Curate{name}ForSequenceClassification"
        ModelRegistry.register_model(made, f"curate_vllm:{made}")
