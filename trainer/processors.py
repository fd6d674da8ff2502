"""The tokenizer, chat template and image processor of a checkpoint; no code of it is run."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.utils import cached_file

from curate.errors import TrainError
from trainer.media import Grids, ImageLayout, Tiles
from trainer.split_images import AnyRes, Patches, Splits, Squares


def load_tokenizer(model_dir: str | Path) -> Any:
    """Load a fast tokenizer. Raises TrainError if there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainError(
            str(model_dir), f"no tokenizer ({_first_line(error)})", "a checkpoint's directory with tokenizer.json"
        ) from None
    if not tokenizer.is_fast:
        raise TrainError(str(model_dir), f"a slow tokenizer, {type(tokenizer).__name__}", "tokenizer.json")
    return tokenizer


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def load_template(model_dir: str | Path, tokenizer: Any) -> str:
    """Find the chat template: chat_template.jinja, or a processor's chat_template.json, or the tokenizer's own.

    Raises TrainError if there is none.
    """
    older = _json(model_dir, "chat_template.json")
    if older and _file(model_dir, "chat_template.jinja") is None:
        return str(older["chat_template"])
    if not tokenizer.chat_template:
        raise TrainError(
            str(model_dir),
            "no chat template",
            "chat_template.jinja, as instruct models have it",
            "use the instruct checkpoint, or put its chat_template.jinja beside tokenizer.json",
        )
    return str(tokenizer.get_chat_template())


def _file(model_dir: str | Path, name: str) -> Path | None:
    found = cached_file(model_dir, name, _raise_exceptions_for_missing_entries=False)
    return Path(found) if found else None


def load_layout(
    model_dir: str | Path,
    tokenizer: Any,
    min_pixels: int | None,
    max_pixels: int | None,
    max_frame_pixels: int | None = None,
) -> ImageLayout | None:
    """Make the layout of the checkpoint's image processor; None if it has no image processor.

    Raises TrainError for that of another kind of model.
    """
    whole = _json(model_dir, "processor_config.json")
    kind = (_json(model_dir, "preprocessor_config.json") or whole.get("image_processor", {})).get(
        "image_processor_type"
    )
    if kind is None:
        return None
    number = tokenizer.convert_tokens_to_ids
    if kind.startswith("Qwen2VL"):
        bounds = Grids.bounds(min_pixels, max_pixels)
        processor = Qwen2VLImageProcessorPil.from_pretrained(model_dir, **bounds)
        return Grids(processor, number("<|image_pad|>"), _frames(processor, max_frame_pixels, model_dir))
    if kind.startswith("GotOcr2"):
        bounds = Tiles.bounds(GotOcr2ImageProcessorPil.from_pretrained(model_dir), min_pixels, max_pixels)
        processor = GotOcr2ImageProcessorPil.from_pretrained(model_dir, **bounds)
        special = (number("<IMG_CONTEXT>"), number("<img>"), number("</img>"))
        return Tiles(processor, special, whole.get("image_seq_length", 256))
    if kind.startswith("Gemma3"):
        processor = Gemma3ImageProcessorPil.from_pretrained(model_dir)
        return Squares(
            processor, number("<image_soft_token>"), whole.get("image_seq_length", 256), min_pixels, max_pixels
        )
    if kind.startswith("Gemma4"):
        bounds = Patches.bounds(Gemma4ImageProcessorPil.from_pretrained(model_dir), min_pixels, max_pixels)
        processor = Gemma4ImageProcessorPil.from_pretrained(model_dir, **bounds)
        ends = (number(getattr(tokenizer, f"{name}_token")) for name in ("image", "boi", "eoi"))
        return Patches(processor, *ends)
    if kind.startswith(("SmolVLM", "LlavaOnevision")):
        smol = kind.startswith("SmolVLM")
        return _split(model_dir, tokenizer, whole, min_pixels, max_pixels, smol=smol)
    known = "that of a Qwen-VL, InternVL, SmolVLM, LLaVA-OneVision or Gemma checkpoint"
    raise TrainError(str(model_dir), f"an image processor {kind}", known)


def _split(
    model_dir: str | Path,
    tokenizer: Any,
    whole: dict[str, Any],
    min_pixels: int | None,
    max_pixels: int | None,
    *,
    smol: bool,
) -> ImageLayout:
    """The layout of a backbone that splits images, SmolVLM or LLaVA-OneVision."""
    placeholder = tokenizer.convert_tokens_to_ids("<image>")
    if not smol:
        processor = LlavaOnevisionImageProcessorPil.from_pretrained(model_dir)
        return AnyRes(processor, placeholder, whole.get("num_image_tokens", 729), min_pixels, max_pixels)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    bounded = Splits.bounds(SmolVLMImageProcessorPil.from_pretrained(model_dir), min_pixels, max_pixels)
    processor = SmolVLMImageProcessorPil.from_pretrained(model_dir, **bounded)
    return Splits(processor, placeholder, whole.get("image_seq_len", 169), encode)


def _frames(processor: Any, max_pixels: int | None, model_dir: str | Path) -> Any:
    """The processor for frames of videos, which are at most as large as images."""
    least, most = (
        int(processor.size["shortest_edge"]),
        int(processor.size["longest_edge"]),
    )  # pixels, by these names
    if max_pixels is None or max_pixels >= most:
        return processor
    bounds = Grids.bounds(min(least, max_pixels), max_pixels)
    return Qwen2VLImageProcessorPil.from_pretrained(model_dir, **bounds)


def _json(model_dir: str | Path, name: str) -> dict[str, Any]:
    """Read a JSON file of the checkpoint; {} if it has none of that name."""
    path = _file(model_dir, name)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path else {}
