"""SmolVLM and LLaVA-OneVision: tokens by an image's size are those of upstream, and the pixels too."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from curate.errors import TrainError
from curate.schema import Block, Message
from tests.support.questions import png, question, turn
from tests.support.tiny_models import checkpoint
from tests.support.training import curve, rows, small_mix, trained
from trainer.backbones import BOTH_WAYS, quiet
from trainer.config import HeadConfig
from trainer.encode import Encoder
from trainer.media import BadMedia, Picture, read_header
from trainer.model import build
from trainer.packing import dummy_image, pack
from trainer.score import Scorer, score_items
from trainer.split_images import AnyRes, Patches, Splits
from trainer.writers import WriterOptions

EDGES = st.integers(1, 3000)


def encoder(kind, **bounds) -> Encoder:
    return Encoder(checkpoint(kind), max_length=4096, **bounds)


def llava() -> AnyRes:
    """The layout of the published checkpoints: tiles of 384 pixels and 729 tokens, 36 resolutions."""
    return AnyRes(LlavaOnevisionImageProcessorPil(), 7, 729)


@settings(max_examples=200)
@given(EDGES, EDGES)
def test_tokens_of_llava_onevision_are_upstreams(height, width):
    made = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    made.image_processor, made.num_image_tokens = LlavaOnevisionImageProcessorPil(), 729
    made.vision_aspect_ratio = "anyres_max_9"
    wanted = made._get_number_of_features(height, width, 384, 384)
    assert llava().ids(Picture(b"", height, width)) == [7] * wanted


@settings(max_examples=40)
@given(st.integers(20, 400), st.integers(20, 400))
def test_tokens_of_smolvlm_are_upstreams(height, width):
    own = encoder("smolvlm")
    processor = SmolVLMImageProcessorPil.from_pretrained(checkpoint("smolvlm"), return_row_col_info=True)
    made = processor(images=[Image.new("RGB", (width, height))], return_tensors="pt")
    written = get_image_prompt_string(
        made["rows"][0][0], made["cols"][0][0], 4, "<fake_token_around_image>", "<image>", "<global-img>"
    )
    ids = own.layout.ids(Picture(b"", height, width))
    assert ids == own.literals.encode(written)
    tiles = made["pixel_values"].shape[1]
    assert ids.count(own.layout.placeholder) == 4 * tiles


@pytest.mark.parametrize("kind", ["smolvlm", "llava_onevision"])
def test_pixels_are_upstreams(kind):
    own, sizes = encoder(kind), [(84, 56), (30, 200), (56, 56)]
    data = [png(*size, shade=i) for i, size in enumerate(sizes)]
    tensors = own.layout.tensors([read_header(one) for one in data])
    class_of = {"smolvlm": SmolVLMImageProcessorPil, "llava_onevision": LlavaOnevisionImageProcessorPil}[kind]
    processor, at = class_of.from_pretrained(checkpoint(kind)), 0
    for one in data:
        made = processor(images=[Image.open(io.BytesIO(one)).convert("RGB")], return_tensors="pt")
        pixels = made["pixel_values"][0]
        found = tensors["pixel_values"][at : at + len(pixels)]
        assert torch.equal(found.squeeze(1) if kind == "smolvlm" else found, pixels)
        at += len(pixels)
    assert at == len(tensors["pixel_values"])


def test_bounds_are_in_pixels():
    tall = Picture(b"", 1200, 400)
    free, bounded = llava(), AnyRes(LlavaOnevisionImageProcessorPil(), 7, 729, max_pixels=384 * 384)
    assert len(bounded.ids(tall)) < len(free.ids(tall)) / 1.5
    assert bounded._size(tall) == (665, 221)
    larger = AnyRes(LlavaOnevisionImageProcessorPil(), 7, 729, min_pixels=500_000)
    assert larger._size(Picture(b"", 100, 100)) == (707, 707)
    assert encoder("smolvlm", max_pixels=56 * 56).layout.ids(Picture(b"", 300, 300)).count(0) == 0
    one = encoder("smolvlm", max_pixels=56 * 56).layout
    assert one.ids(Picture(b"", 300, 300)).count(one.placeholder) == 4
    four = encoder("smolvlm").layout
    assert four.ids(Picture(b"", 300, 300)).count(four.placeholder) == 4 * 5
    with pytest.raises(TrainError, match="min_pixels: found 9; expected none: SmolVLM resizes images to one"):
        Splits.bounds(SmolVLMImageProcessorPil(), 9, None)


@pytest.mark.parametrize(("kind", "tokens"), [("smolvlm", 4), ("llava_onevision", 17)])
def test_a_frame_of_a_video_is_one_tile(kind, tokens):
    own, model = encoder(kind), build(checkpoint(kind), HeadConfig())
    prompt = (Message("user", (Block("video", None), Block("image", None), Block("text", "What?"))),)
    frames, image = (png(90, 60, 1), png(90, 60, 2), png(90, 60, 3)), png(90, 60, 4)
    reply = turn("assistant", "A cat.")
    (tree,) = own.dialogue(prompt, (reply,), (frames, image))
    assert int((tree.ids[0] == model.backbone.image_token_id).sum()) > 3 * tokens
    with torch.no_grad():
        assert torch.isfinite(model(pack([tree], model.backbone))).all()
    video = (Message("user", (Block("video", None),)),)
    (tree,) = own.dialogue(video, (reply,), (frames,))
    assert int((tree.ids[0] == model.backbone.image_token_id).sum()) == 3 * tokens


def test_a_single_frame_is_no_group():
    own = encoder("llava_onevision")
    video = (Message("user", (Block("video", None),)),)
    with pytest.raises(BadMedia) as caught:
        own.dialogue(video, (turn("assistant", "A"),), ((png(90, 60, 1),),))
    assert caught.value.reason == "video_unsupported"


# ------------------------------------------------------------------------------------------------------- Gemma 3


def windowed(where: Path) -> Path:
    """A tiny Mistral with windows of 16 tokens."""
    shutil.copytree(checkpoint("text"), where)
    config = AutoConfig.from_pretrained(where).to_dict()
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "eos_token_id", "bos_token_id", "pad_token_id")  # fmt: skip
    mistral = AutoConfig.for_model("mistral", **{name: config[name] for name in names}, sliding_window=16)
    with quiet():
        AutoModelForCausalLM.from_config(mistral, dtype=torch.float32).save_pretrained(where)
    return where


@pytest.mark.parametrize("kind", ["gemma3", "gemma4", "mistral"])
def test_a_backbone_that_does_not_share_runs_padded_as_upstream(kind, tmp_path):
    where = windowed(tmp_path / "mistral") if kind == "mistral" else checkpoint(kind)
    model, own = build(where, HeadConfig()).eval(), Encoder(where, max_length=4096)
    assert not model.backbone.shares
    with quiet():
        upstream = AutoModel.from_pretrained(where, dtype=torch.float32, attn_implementation="sdpa")
    two_questions = [question("a", 30, (3, 40), ((56, 56),) * (kind != "mistral")), question("b", 2, (5, 1))]
    trees = [tree for one in two_questions for tree in own.dialogue(one.prompt, one.replies, one.media)]
    assert all(tree.shared for tree in trees)
    wanted = []
    for tree in trees:
        for ids in tree.ids:
            typed = {
                name: (ids == model.backbone.image_token_id).int()[None] for name in [BOTH_WAYS.get(kind)] if name
            }
            hidden = upstream(input_ids=ids[None], use_cache=False, **tree.media, **typed).last_hidden_state
            wanted.append(model.head(hidden[0, -1:].float()))
    batch = pack(trees, model.backbone, dummy_image=dummy_image(model.backbone))
    assert batch.plan is None
    with torch.no_grad():
        torch.testing.assert_close(model(batch), torch.cat(wanted), rtol=0, atol=1e-5)
    scored = [score for one in score_items(model, own, two_questions, 10_000) for score in one.scores]
    assert scored == pytest.approx(torch.cat(wanted).tolist(), abs=1e-5)


@settings(max_examples=20)
@given(st.integers(8, 300), st.integers(8, 300))
def test_tokens_and_pixels_of_gemma_4_are_upstreams(width, height):
    own, data = encoder("gemma4").layout, png(width, height, 3)
    made = Gemma4ImageProcessorPil.from_pretrained(checkpoint("gemma4"))(
        images=[Image.open(io.BytesIO(data)).convert("RGB")], return_tensors="pt"
    )
    picture = read_header(data)
    assert own.ids(picture) == [own.start, *[own.placeholder] * int(made["num_soft_tokens_per_image"][0]), own.end]
    tensors = own.tensors([picture, replace(picture, frame=True)])
    for name in ("pixel_values", "image_position_ids"):
        assert torch.equal(tensors[name][:1], made[name])
        assert len(tensors[name]) == 2


def test_bounds_of_gemma_4_are_numbers_of_tokens():
    processor = Gemma4ImageProcessorPil()  # as published: patches of 16 pixels, 3 x 3 of them a token, 280 tokens
    assert Patches.bounds(processor, None, 501_760) == {"max_soft_tokens": 140}
    assert Patches.bounds(processor, None, 10**7) == {"max_soft_tokens": 280}
    with pytest.raises(TrainError, match="max_pixels: found 9; expected at least 161280: 70 tokens"):
        Patches.bounds(processor, None, 9)
    with pytest.raises(TrainError, match="min_pixels: found 9; expected none: Gemma 4 has a number of tokens"):
        Patches.bounds(processor, 9, None)


def test_line_breaks_around_an_image_join_those_of_the_text():
    own, with_image = encoder("gemma3"), question("x", 2, (1,), ((56, 56),))
    (tree,) = own.dialogue(with_image.prompt, with_image.replies, with_image.media)
    text = own.tokenizer.decode(tree.ids[0])
    whole = text.replace("<image_soft_token>" * 4, "<image_soft_token>")
    assert "user\n\n\n<start_of_image><image_soft_token><end_of_image>\n\na word" in whole
    assert own.literals.encode(text) == tree.ids[0].tolist()
    with pytest.raises(
        TrainError, match="min_pixels, max_pixels: 0 to 100; expected 3136 within: every image is 56x56"
    ):
        encoder("gemma3", max_pixels=100)


def test_a_backbone_that_does_not_share_trains_and_writes_nothing(tmp_path, capsys):
    mix = small_mix(tmp_path / "mix", critiques=True)
    more = ("model=tiny/gemma3", "max_tokens=4000", "max_pixels=null")
    runs = {layout: trained(mix, tmp_path / layout, *more, f"layout={layout}") for layout in ("packed", "padded")}
    assert curve(runs["packed"]) == curve(runs["padded"])
    assert capsys.readouterr().err.count("replies are not shared, but padded") == 2
    given = trained(mix, tmp_path / "given", *more, "paradigm=critic", "critic.evaluate=given")
    with pytest.raises(TrainError, match="sliding windows, or attention both ways in images; expected a backbone"):
        trained(mix, tmp_path / "critic", *more, "paradigm=critic")
    with pytest.raises(TrainError, match="expected a backbone that writes texts"):
        Scorer.load(given / "final", 4096)
    assert Scorer.load(given / "final", 4096, WriterOptions(given=True)).writer is None
    judge = trained(mix, tmp_path / "judge", *more, "paradigm=generative")
    assert [row["orders"]["verdicts"] for row in rows(judge) if "eval" in row][-1] == 6


def test_a_placeholder_in_a_text_is_characters():
    own = encoder("smolvlm")
    with_image = question("x", 2, (1,), ((56, 56),))
    (tree,) = own.dialogue((turn("user", "What is <image>?", 1)), with_image.replies, with_image.media)
    assert int((tree.ids[0] == own.layout.placeholder).sum()) == 4 * 5
    assert "<image>?" in own.tokenizer.decode(tree.ids[0])
