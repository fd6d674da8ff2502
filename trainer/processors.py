"""The tokenizer, chat template and image processor of a checkpoint; no code of it is run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    """A checkpoint whose image processor is read, its tokenizer, and the bounds of pixels that a run asks for."""

    directory: str | Path
    tokenizer: Any
    config: dict[str, Any]  # of the whole processor
    min_pixels: int | None
    max_pixels: int | None
    max_frame_pixels: int | None

    def token(self, text: str) -> int:
        """The number of a special token."""
        number: int = self.tokenizer.convert_tokens_to_ids(text)
        return number

    def setting(self, name: str, default: int) -> int:
        """A number of the processor's config, or its default."""
        number: int = self.config.get(name, default)
        return number


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
    own = _json(model_dir, "preprocessor_config.json") or whole.get("image_processor", {})
    kind = own.get("image_processor_type")
    if kind is None:
        return None
    saved = _Saved(
        directory=model_dir, tokenizer=tokenizer, config=whole, min_pixels=min_pixels, max_pixels=max_pixels,
        max_frame_pixels=max_frame_pixels,
    )  # fmt: skip
    for prefix, layout_of in LAYOUTS.items():
        if kind.startswith(prefix):
            return layout_of(saved)
    known = "that of a Qwen-VL, InternVL, SmolVLM, LLaVA-OneVision or Gemma checkpoint"
    raise TrainError(str(model_dir), f"an image processor {kind}", known)


def _grids(saved: _Saved) -> ImageLayout:
    bounds = Grids.bounds(saved.min_pixels, saved.max_pixels)
    processor = Qwen2VLImageProcessorPil.from_pretrained(saved.directory, **bounds)
    frames = _frames(processor, saved.max_frame_pixels, saved.directory)
    return Grids(processor, saved.token("<|image_pad|>"), frames)


def _tiles(saved: _Saved) -> ImageLayout:
    kind = GotOcr2ImageProcessorPil
    bounds = Tiles.bounds(kind.from_pretrained(saved.directory), saved.min_pixels, saved.max_pixels)
    special = (saved.token("<IMG_CONTEXT>"), saved.token("<img>"), saved.token("</img>"))
    return Tiles(kind.from_pretrained(saved.directory, **bounds), special, saved.setting("image_seq_length", 256))


def _squares(saved: _Saved) -> ImageLayout:
    processor, token = Gemma3ImageProcessorPil.from_pretrained(saved.directory), saved.token("<image_soft_token>")
    return Squares(processor, token, saved.setting("image_seq_length", 256), saved.min_pixels, saved.max_pixels)


def _patches(saved: _Saved) -> ImageLayout:
    kind = Gemma4ImageProcessorPil
    bounds = Patches.bounds(kind.from_pretrained(saved.directory), saved.min_pixels, saved.max_pixels)
    ends = (saved.token(getattr(saved.tokenizer, f"{name}_token")) for name in ("image", "boi", "eoi"))
    return Patches(kind.from_pretrained(saved.directory, **bounds), *ends)


def _splits(saved: _Saved) -> ImageLayout:
    kind = SmolVLMImageProcessorPil
    bounds = Splits.bounds(kind.from_pretrained(saved.directory), saved.min_pixels, saved.max_pixels)
    processor = kind.from_pretrained(saved.directory, **bounds)

    def encode(text: str) -> list[int]:
        ids: list[int] = saved.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return Splits(processor, saved.token("<image>"), saved.setting("image_seq_len", 169), encode)


def _any_resolution(saved: _Saved) -> ImageLayout:
    processor = LlavaOnevisionImageProcessorPil.from_pretrained(saved.directory)
    tokens = saved.setting("num_image_tokens", 729)
    return AnyRes(processor, saved.token("<image>"), tokens, saved.min_pixels, saved.max_pixels)


LAYOUTS: Mapping[str, Callable[[_Saved], ImageLayout]] = {
    "Qwen2VL": _grids,
    "GotOcr2": _tiles,
    "Gemma3": _squares,
    "Gemma4": _patches,
    "SmolVLM": _splits,
    "LlavaOnevision": _any_resolution,
}
"""By what the name of an image processor's class begins with, what makes the layout of its images."""


def _frames(processor: Any, max_pixels: int | None, model_dir: str | Path) -> Any:
    """The processor for frames of videos, which are at most as large as images."""
    least, most = (int(processor.size[f"{name}_edge"]) for name in ("shortest", "longest"))  # in pixels
    if max_pixels is None or max_pixels >= most:
        return processor
    bounds = Grids.bounds(min(least, max_pixels), max_pixels)
    return Qwen2VLImageProcessorPil.from_pretrained(model_dir, **bounds)


def _json(model_dir: str | Path, name: str) -> dict[str, Any]:
    """Read a JSON file of the checkpoint; {} if it has none of that name."""
    path = _file(model_dir, name)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path else {}
