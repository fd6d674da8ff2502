"""Tiny checkpoints of every backbone kind, laid out as the Hub's are, for tests and the CPU preset.

`python -m trainer.tiny_models qwen2_5_vl DIR` writes one.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, get_args

import torch
from tokenizers import pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedConfig
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from curate.errors import TrainError
from trainer.backbones import Kind, quiet

HEAD_DIM = 16
VISION_HIDDEN = 32
VOCAB = 512
PIXEL_LIMIT = 112 * 112
TILE, PATCH = 56, 14  # InternVL and SmolVLM: a tile of 4x4 patches is 2x2 tokens
PINPOINTS = [[TILE * rows, TILE * columns] for rows in (1, 2) for columns in (1, 2)]  # LLaVA-OneVision

QWEN_SPECIALS = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
SPLIT_SPECIALS = {
    "smolvlm": ["<|im_start|>", "<image>", "<fake_token_around_image>", "<global-img>",
                *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5))],
    "llava_onevision": ["<|im_start|>", "<image>", "<video>"],
    "gemma3": ["<|im_start|>", "<start_of_image>", "<image_soft_token>", "<end_of_image>"],
}  # fmt: skip
GEMMA4_SPECIALS = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
INTERNVL_SPECIALS = {
    "im_start_token": "<|im_start|>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message.role != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for block in message.content %}"
    "{% if block.type == 'image' %}IMAGE{% elif block.type == 'video' %}VIDEO{% else %}{{ block.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_MEDIA = ("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>")
INTERNVL_MEDIA = ("<IMG_CONTEXT>\n", "<video>\n")
SPLIT_MEDIA = ("<image>", "<video>")
GEMMA_MEDIA = ("<start_of_image>", "<start_of_image>")
GEMMA4_MEDIA = ("<|image|>", "<|image|>")

CORPUS = (
    "You are a helpful assistant. What is shown in the picture? The image shows a red square on a white table.",
    "Answer the question with one word: how many cats are there? There are two cats, and one of them is black.",
    "def add(first, second):\n    return first + second\n\n\nprint(add(1, 2))\n",
    "I am sorry, but I can not help with that. Here is another way to think about this problem:\n\n1. First,",
    "The better reply is right, short and polite; the worse reply is wrong, long or rude. Therefore the answer is",
    "Solve for x: 3x + 7 = 25. Subtract 7 from both sides, then divide by 3: x = 6.\n\n**Answer:** 6\n",
    "图片里有什么？图片里有一只猫。 ¿Qué hay en la imagen? Was ist auf dem Bild zu sehen?",
)


def save(kind: str, directory: str | Path, seed: int = 0, hidden: int = 64, layers: int = 2) -> Path:
    """Write a whole checkpoint of this kind: config, fp32 weights, tokenizer, chat template, image processor.

    The same arguments give the same weights and tokens. `hidden` is the text width, a multiple of 32; `layers` is
    the number of text layers. Raises TrainError for an unknown kind or another width.
    """
    if kind not in get_args(Kind):
        raise TrainError("tiny", f"unknown kind {kind!r}", f"one of {', '.join(get_args(Kind))}")
    if hidden < 32 or hidden % 32:
        raise TrainError("tiny", f"hidden {hidden}", "a multiple of 32")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(kind)
    config = _model_config(kind, tokenizer, hidden, layers)
    model_class: Any = AutoModelForCausalLM if kind == "text" else AutoModelForImageTextToText
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class.from_config(config, dtype=torch.float32)
        if kind == "gemma3":  # upstream leaves it at zero, so that images would be nothing
            torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, 0, hidden**-0.5)
        model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    if kind != "text":
        _image_processor(kind).save_pretrained(directory)
    if facts := _processor_facts(kind):
        (directory / "processor_config.json").write_text(json.dumps(facts))
    return directory


def _processor_facts(kind: str) -> dict[str, Any]:
    """What a checkpoint's processor_config.json says; {} for kinds that have none."""
    tile = (TILE // PATCH) ** 2
    found: dict[str, dict[str, Any]] = {
        "internvl": {"image_seq_length": tile // 4, "processor_class": "InternVLProcessor"},
        "smolvlm": {"image_seq_len": tile // 4, "processor_class": "SmolVLMProcessor"},
        "llava_onevision": {"num_image_tokens": tile, "processor_class": "LlavaOnevisionProcessor"},
        "gemma3": {"image_seq_length": tile // 4, "processor_class": "Gemma3Processor"},
        "gemma4": {"processor_class": "Gemma4Processor"},
    }
    return found.get(kind, {})


def source(model: str, directory: Path, seed: int = 0) -> str:
    """Resolve a model's name: `tiny/KIND` is written to `directory` once, any other name is returned as it is."""
    if not model.startswith("tiny/"):
        return model
    if not directory.exists():
        temporary = directory.with_name(f".{directory.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        save(model.removeprefix("tiny/"), temporary, seed=seed)
        temporary.rename(directory)
    return str(directory)


def build_tokenizer(kind: str) -> Qwen2Tokenizer:
    """Train a Qwen tokenizer, a byte-level BPE learnt from CORPUS: it encodes any text."""
    learner = Qwen2Tokenizer()._tokenizer  # normalizer and pre-tokenizer as upstream's
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, show_progress=False)
    )
    bpe = json.loads(learner.to_str())["model"]
    named = {"internvl": INTERNVL_SPECIALS, "gemma4": GEMMA4_SPECIALS}
    return Qwen2Tokenizer(
        vocab=bpe["vocab"],
        merges=[tuple(merge) for merge in bpe["merges"]],
        eos_token="<|im_end|>",
        extra_special_tokens=named[kind] if kind in named else SPLIT_SPECIALS.get(kind, QWEN_SPECIALS),
        chat_template=_chat_template(kind),
    )


def _chat_template(kind: str) -> str:
    own = {
        "internvl": INTERNVL_MEDIA,
        "gemma3": GEMMA_MEDIA,
        "gemma4": GEMMA4_MEDIA,
        **dict.fromkeys(("smolvlm", "llava_onevision"), SPLIT_MEDIA),
    }
    image, video = own.get(kind, QWEN_MEDIA)
    return CHAT_TEMPLATE.replace("IMAGE", image).replace("VIDEO", video)


def _image_processor(kind: str) -> Any:
    if kind == "internvl":
        return GotOcr2ImageProcessorPil(
            size={"height": TILE, "width": TILE}, crop_to_patches=True, min_patches=1, max_patches=4
        )
    if kind == "smolvlm":
        return SmolVLMImageProcessorPil(size={"longest_edge": 2 * TILE}, max_image_size={"longest_edge": TILE})
    if kind == "gemma3":
        return Gemma3ImageProcessorPil(size={"height": TILE, "width": TILE})
    if kind == "gemma4":
        return Gemma4ImageProcessorPil(max_soft_tokens=70, patch_size=4, pooling_kernel_size=2)
    if kind == "llava_onevision":
        return LlavaOnevisionImageProcessorPil(
            size={"height": TILE, "width": TILE}, image_grid_pinpoints=PINPOINTS
        )
    return Qwen2VLImageProcessorPil(
        patch_size=16 if kind == "qwen3_vl" else PATCH, min_pixels=28 * 28, max_pixels=PIXEL_LIMIT
    )


def _model_config(kind: str, tokenizer: Qwen2Tokenizer, hidden: int, layers: int) -> PreTrainedConfig:
    text = _text_config(kind, tokenizer, hidden, layers)
    if kind == "text":
        return AutoConfig.for_model("qwen2", **text)
    return AutoConfig.for_model(
        kind, text_config=text, vision_config=_vision_config(kind, hidden), **_media_ids(kind, tokenizer)
    )


def _text_config(kind: str, tokenizer: Qwen2Tokenizer, hidden: int, layers: int) -> dict[str, Any]:
    """Weights are drawn with 1/sqrt(hidden): with the usual 0.02 layers of this width would do almost nothing."""
    config: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": hidden, "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers, "num_attention_heads": hidden // HEAD_DIM,
        "num_key_value_heads": hidden // HEAD_DIM // 2, "max_position_embeddings": 32768,
        "initializer_range": hidden**-0.5, "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    if kind == "qwen3_vl":
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
        return config | {"head_dim": HEAD_DIM, "rope_parameters": rope}
    if kind in ("qwen2_vl", "qwen2_5_vl"):
        return config | {
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
        }
    if kind == "gemma3":
        windows = ["sliding_attention", "full_attention"] * (layers // 2 + 1)
        more = {"head_dim": HEAD_DIM, "query_pre_attn_scalar": HEAD_DIM, "sliding_window": 24}
        return config | more | {"layer_types": windows[:layers], "tie_word_embeddings": False}
    if kind == "gemma4":
        windows = ["sliding_attention", "full_attention"] * (layers // 2 + 1)
        wider: dict[str, Any] = {
            "head_dim": HEAD_DIM, "global_head_dim": 2 * HEAD_DIM, "sliding_window": 24,
            "layer_types": windows[:layers],
            "vocab_size_per_layer_input": len(tokenizer), "hidden_size_per_layer_input": 8,
            "use_bidirectional_attention": "vision", "num_kv_shared_layers": 2 * (layers > 3),
        }  # fmt: skip
        return config | wider | {"tie_word_embeddings": False}
    return config | ({"model_type": {"smolvlm": "llama"}.get(kind, "qwen2")} if kind != "text" else {})


def _vision_config(kind: str, hidden: int) -> dict[str, Any]:
    heads = VISION_HIDDEN // HEAD_DIM
    scale = {"initializer_range": VISION_HIDDEN**-0.5}
    if kind == "internvl":
        size = {"hidden_size": VISION_HIDDEN, "num_hidden_layers": 2, "num_attention_heads": heads}
        return scale | size | {"intermediate_size": 64, "image_size": [TILE, TILE], "patch_size": [PATCH, PATCH]}
    if kind == "gemma4":
        size = {"hidden_size": VISION_HIDDEN, "num_hidden_layers": 2, "num_attention_heads": heads}
        own = {"num_key_value_heads": heads, "head_dim": HEAD_DIM, "pooling_kernel_size": 2, "patch_size": 4}
        return scale | size | own | {"intermediate_size": 64, "position_embedding_size": 128}
    if kind in SPLIT_SPECIALS:
        more = {"model_type": "siglip_vision_model", "vision_use_head": False} if kind != "smolvlm" else {}
        size = {"hidden_size": VISION_HIDDEN, "num_hidden_layers": 2, "num_attention_heads": heads}
        return size | more | {"intermediate_size": 64, "image_size": TILE, "patch_size": PATCH}
    shared = scale | {"depth": 2, "num_heads": heads}
    if kind == "qwen2_vl":
        return shared | {"embed_dim": VISION_HIDDEN, "hidden_size": hidden, "mlp_ratio": 2}
    shared |= {"hidden_size": VISION_HIDDEN, "out_hidden_size": hidden, "intermediate_size": 64}
    if kind == "qwen2_5_vl":
        return shared | {"window_size": 56, "fullatt_block_indexes": [1]}
    return shared | {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}


def _media_ids(kind: str, tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    number = tokenizer.convert_tokens_to_ids
    if kind == "internvl":
        return {"image_token_id": number("<IMG_CONTEXT>"), "image_seq_length": (TILE // PATCH // 2) ** 2}
    if kind == "smolvlm":
        return {"image_token_id": number("<image>"), "scale_factor": 2}
    if kind == "gemma3":
        ends = {"boi_token_index": number("<start_of_image>"), "eoi_token_index": number("<end_of_image>")}
        return {"image_token_id": number("<image_soft_token>"), "mm_tokens_per_image": 4, **ends}
    if kind == "gemma4":
        ends = {"boi_token_id": number("<|image>"), "eoi_token_id": number("<image|>")}
        others = {"video_token_id": None, "audio_token_id": None, "boa_token_id": None, "eoa_token_index": None}
        return {"image_token_id": number("<|image|>"), **ends, **others, "tie_word_embeddings": False}
    if kind == "llava_onevision":
        tokens = {"image_token_id": number("<image>"), "video_token_id": number("<video>")}
        return tokens | {"image_grid_pinpoints": PINPOINTS}
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
             "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}  # fmt: skip
    return {key: number(token) for key, token in names.items()}


if __name__ == "__main__":
    save(sys.argv[1], sys.argv[2])
