"""What the encoder writes is what upstream's own processors write, with the scored token where it says."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
import xxhash
from PIL import Image
from transformers import AutoTokenizer
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from curate.errors import TrainError
from tests.support.encoders import copy_of, encoder, shot
from tests.support.pairs import turn
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import bomb
from trainer.encode import Encoder, Refused, Row, TooLong
from trainer.media import BadMedia, Medium, evenly

KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl")
UPSTREAM = {
    "qwen2_vl": Qwen2VLProcessor,
    "qwen2_5_vl": Qwen2_5_VLProcessor,
    "qwen3_vl": Qwen3VLProcessor,
    "internvl": InternVLProcessor,
}
IMAGE_TOKEN = {"internvl": "<IMG_CONTEXT>"}


def processor(kind):
    """Upstream's processor, without the video part, which needs torchvision."""

    class Plain(UPSTREAM[kind]):
        @classmethod
        def get_attributes(cls):
            return ["image_processor", "tokenizer"]

        @property
        def model_input_names(self):
            return []

    where = checkpoint(kind)
    more = {"image_seq_length": 4} if kind == "internvl" else {}
    images = GotOcr2ImageProcessorPil if kind == "internvl" else Qwen2VLImageProcessorPil
    return Plain(images.from_pretrained(where), AutoTokenizer.from_pretrained(where), **more)


def chat(*turns):
    """The turns as upstream's templates take them."""
    return [
        {"role": role, "content": [{"type": b.type, **({"text": b.text} if b.text else {})} for b in content]}
        for role, content in turns
    ]


def upstream(kind, turns, images):
    """(ids, tensors) of the whole dialogue."""
    made = processor(kind)
    text = made.tokenizer.apply_chat_template(chat(*turns), tokenize=False)
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # InternVL's of transformers 5.17, under NumPy 2
        done = made(images=pictures or None, text=[text], return_tensors="pt")
    return done["input_ids"][0], {k: done[k] for k in ("pixel_values", "image_grid_thw") if k in done}


DIALOGUES = {
    "text": ([turn("user", "How many\ncats?")], 0),
    "image": ([turn("user", "<image>", "What is it?")], 1),
    "images": ([turn("system", "Be short."), turn("user", "A ", "<image>", " or ", "<image>", "?")], 2),
    "turns": ([turn("user", "<image>", "Hi"), turn("assistant", "Ho."), turn("user", "And ", "<image>")], 2),
}


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_and_pixels_are_upstreams(kind, name):
    prompt, count = DIALOGUES[name]
    images = [shot(90 + 50 * i, 70, seed=i) for i in range(count)]
    replies = [[turn("assistant", "Two cats, 图片.")], [turn("assistant", "Two dogs.\n")]]
    [tree] = encoder(kind).dialogue(prompt, replies, images)
    for ids, reply in zip(tree.ids, replies, strict=True):
        whole, tensors = upstream(kind, [*prompt, *reply], images)
        assert ids.tolist() == whole[:-1].tolist()  # without the "\n" after the end of the turn
        assert {k: v.shape for k, v in tree.media.items()} == {k: v.shape for k, v in tensors.items()}
        assert all(torch.equal(tree.media[k], v) for k, v in tensors.items())
    assert torch.equal(tree.ids[0][: tree.shared], tree.ids[1][: tree.shared])
    assert tree.ids[0][tree.shared] != tree.ids[1][tree.shared]


@pytest.mark.parametrize("kind", [*KINDS, "text"])
def test_the_scored_token_ends_the_turn(kind):
    end = AutoTokenizer.from_pretrained(checkpoint(kind)).convert_tokens_to_ids("<|im_end|>")
    replies = [[turn("assistant", text)] for text in ("Yes.", "No.\n\n", "")]
    [tree] = encoder(kind).dialogue([turn("user", "Well?")], replies, [])
    assert [int(ids[-1]) for ids in tree.ids] == [end] * 3
    assert [int((ids == end).sum()) for ids in tree.ids] == [3] * 3  # system, user, assistant


def test_a_template_without_an_end_token_is_left_as_it_is(tmp_path):
    where = copy_of("text", tmp_path)
    (where / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    own = Encoder(where, max_length=100)
    [tree] = own.dialogue([turn("user", "a")], [[turn("assistant", "b")]], [])
    assert own.tokenizer.decode(tree.ids[0]) == "user: a\nassistant: b\n"


def test_text_templates_get_text():
    [tree] = encoder("text").dialogue([turn("user", "a", "b")], [[turn("assistant", "c")]], [])
    own = encoder("text").tokenizer
    assert own.decode(tree.ids[0]).endswith("<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\nc<|im_end|>")


def test_a_processors_older_template_file_is_read(tmp_path):
    where = copy_of("qwen2_5_vl", tmp_path)
    (where / "chat_template.jinja").unlink()
    (where / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages[-1].role }}<|im_end|>\n"}))
    own = Encoder(where, max_length=100)
    [tree] = own.dialogue([turn("user", "a")], [[turn("assistant", "b")]], [])
    assert own.tokenizer.decode(tree.ids[0]) == "assistant<|im_end|>"


def test_roles_and_turns_go_to_the_template_as_they_are():
    prompt = [turn("system", "s"), turn("user", "u"), turn("assistant", "call"), turn("tool", "4")]
    own = encoder("text")
    [tree] = own.dialogue(prompt, [[turn("assistant", "more"), turn("tool", "5"), turn("assistant", "9")]], [])
    turns = own.tokenizer.decode(tree.ids[0]).replace("<|im_start|>", "").split("<|im_end|>")
    assert turns == ["system\ns", "\nuser\nu", "\nassistant\ncall", "\ntool\n4", "\nassistant\nmore",
                     "\ntool\n5", "\nassistant\n9", ""]  # fmt: skip


@pytest.mark.parametrize("kind", ["qwen3_vl", "internvl"])
@pytest.mark.parametrize("nested", [False, True])
def test_image_processors_as_the_hub_has_them(kind, nested, tmp_path):
    where = copy_of(kind, tmp_path)
    config = json.loads((where / "preprocessor_config.json").read_text())
    config["image_processor_type"] += "Fast"
    (where / "preprocessor_config.json").write_text(json.dumps(config))
    if nested:  # as a processor's save_pretrained leaves it
        path = where / "processor_config.json"
        facts = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**facts, "image_processor": config}))
        (where / "preprocessor_config.json").unlink()
    question, replies, images = [turn("user", "<image>")], [[turn("assistant", "A")]], [shot(100, 60)]
    [tree] = Encoder(where, max_length=500).dialogue(question, replies, images)
    [plain] = encoder(kind).dialogue(question, replies, images)
    assert torch.equal(tree.ids[0], plain.ids[0])
    assert torch.equal(tree.media["pixel_values"], plain.media["pixel_values"])


def test_an_image_processor_of_another_kind(tmp_path):
    where = copy_of("text", tmp_path)
    (where / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    with pytest.raises(TrainError, match="an image processor CLIPImageProcessor; expected that of a Qwen-VL, "):
        Encoder(where, max_length=100)


def test_no_chat_template_is_one_clear_line(tmp_path):
    where = copy_of("text", tmp_path)
    (where / "chat_template.jinja").unlink()
    with pytest.raises(TrainError) as caught:
        Encoder(where, max_length=100)
    assert (
        str(caught.value) == f"{where}: no chat template; expected chat_template.jinja, as instruct models have it"
    )
    assert caught.value.hint.startswith("use the instruct checkpoint")


def test_no_tokenizer_is_one_clear_line(tmp_path):
    with pytest.raises(TrainError, match=r"no tokenizer \(.*\); expected a checkpoint's directory"):
        Encoder(tmp_path, max_length=100)


def test_a_dialogue_that_the_template_refuses(tmp_path):
    where = copy_of("text", tmp_path)
    rule = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    (where / "chat_template.jinja").write_text(rule + "{{ messages[0].content }}")
    own = Encoder(where, max_length=100)
    own.dialogue([turn("user", "a")], [[turn("assistant", "b")]], [])
    with pytest.raises(Refused, match="no system turns") as caught:
        own.dialogue([turn("system", "a")], [[turn("assistant", "b")]], [])
    assert caught.value.reason == "template_refuses"


def test_the_day_does_not_enter_a_score(tmp_path):
    where = copy_of("text", tmp_path)
    (where / "chat_template.jinja").write_text("{{ date_string or strftime_now('%d %b %Y') }}")
    own = Encoder(where, max_length=100)
    [tree] = own.dialogue([turn("user", "a")], [[turn("assistant", "b")]], [])
    assert own.tokenizer.decode(tree.ids[0]) == "26 Jul 2024"


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_has_few_small_frames_and_an_image_stays_large(kind):
    """Of eight frames of 112x112 the third and the seventh, each as an image of at most 56x56 is."""
    frames = [shot(112, 112, seed=seed) for seed in range(8)]
    prompt_and_replies = [turn("user", "<video>", "<image>", "What?")], [[turn("assistant", "A")]]
    [tree] = encoder(kind, max_frames=2, max_frame_pixels=3136).dialogue(*prompt_and_replies, [frames, frames[0]])
    if kind == "internvl":  # a frame is one tile, whatever its size
        [image] = encoder(kind).dialogue(*image_of(frames[0]))
        assert len(tree.media["pixel_values"]) == 2 + len(image.media["pixel_values"])
        return
    small = [encoder(kind, max_pixels=3136).dialogue(*image_of(frames[at]))[0].media for at in (2, 6)]
    whole = encoder(kind).dialogue(*image_of(frames[0]))[0].media
    for name, values in tree.media.items():
        assert torch.equal(values, torch.cat([one[name] for one in (*small, whole)]))
    assert len(small[0]["pixel_values"]) < len(whole["pixel_values"]) / 3


def image_of(data):
    return [turn("user", "<image>", "What?")], [[turn("assistant", "A")]], [data]


@pytest.mark.parametrize(
    ("count", "most", "taken"),
    [(32, 4, [4, 12, 20, 28]), (3, 2, [0, 2]), (3, 16, [0, 1, 2]), (5, 1, [2]), (3, None, [0, 1, 2])],
)
def test_frames_are_taken_evenly(count, most, taken):
    frames = [bytes([number]) for number in range(count)]
    assert [frame[0] for frame in evenly(frames, most)] == taken


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_is_its_frames_in_order(kind):
    frames = [shot(60, 60, seed=i) for i in range(3)]
    own = encoder(kind)
    [tree] = own.dialogue([turn("user", "<video>", "What?")], [[turn("assistant", "A")]], [frames])
    made = processor(kind)
    text = own.tokenizer.decode(tree.ids[0]).split("user\n")[1].split("What?")[0]
    if kind == "internvl":  # one tile a frame and the labels of upstream's video route
        written = made.replace_video_token({"pixel_values_videos": [np.zeros((3, 3, 56, 56))]}, 0)
        assert (text, len(tree.media["pixel_values"])) == (written + "\n", 3)
    else:
        alone, tensors = upstream(kind, [turn("user", "<image>", "<image>", "<image>", "What?")], frames)
        assert text == made.tokenizer.decode(alone).split("user\n")[1].split("What?")[0]
        assert torch.equal(tree.media["pixel_values"], tensors["pixel_values"])


def test_a_text_backbone_reads_no_media():
    own = encoder("text")
    for kind, media in (("image", shot(8, 8)), ("video", [shot(8, 8)])):
        with pytest.raises(BadMedia) as caught:
            own.dialogue([turn("user", f"<{kind}>")], [[turn("assistant", "A")]], [media])
        assert caught.value.reason == f"{kind}_unsupported"
    [tree] = own.dialogue([turn("user", "<|image_pad|>")], [[turn("assistant", "A")]], [])  # only words here
    assert tree.media == {}


def row(**given):
    fields = {"pair_id": "p", "source": "s", "prompt": (turn("user", "?"),), "margin": None}
    return Row(
        **{**fields, "chosen": (turn("assistant", "A b c"),), "rejected": (turn("assistant", "D"),), **given}
    )


def medium(*data, kind="image"):
    return Medium(kind, tuple(xxhash.xxh3_128_hexdigest(one) for one in data), data)


def test_a_pair():
    own = encoder("qwen2_5_vl")
    done = own.pair(row(prompt=(turn("user", "<image>", "?"),), media=(medium(shot(56, 56)),), margin=2.0))
    [tree] = done.trees
    assert (done.pair_id, done.source, done.margin, done.tie, done.weight) == ("p", "s", 2.0, False, 1.0)
    assert done.chosen_length == len(own.tokenizer("A b c")["input_ids"])
    assert done.rejected_length == len(own.tokenizer("D")["input_ids"])
    assert tree.media["image_grid_thw"].tolist() == [[1, 4, 4]]
    assert done.tokens() == tree.tokens
    assert done.tokens(share=False) == sum(map(len, tree.ids))
    assert own.pair(row(margin=0.0)).tie


def test_replies_are_tokenised_once_where_their_lengths_are_not_needed():
    own = encoder("text")
    counted = own.measure(row()).pair
    own.counts_replies = False  # as in a run without length_norm
    alone = own.measure(row()).pair
    assert (alone.chosen_length, alone.rejected_length) == (1, 1)
    assert min(counted.chosen_length, counted.rejected_length) > 0
    assert counted.chosen_length > 1
    assert all(torch.equal(one, two) for one, two in zip(alone.trees[0].ids, counted.trees[0].ids, strict=True))


def test_measuring_needs_no_pixels():
    whole = shot(112, 84, kind="JPEG")
    cut = whole[: len(whole) // 2]
    own = encoder("qwen2_5_vl")
    good, bad = (row(prompt=(turn("user", "<image>"),), media=(medium(data),)) for data in (whole, cut))
    measured = own.measure(bad)
    assert measured.pair.tokens() == own.measure(good).pair.tokens() == own.pair(good).tokens()
    assert measured.pair.trees[0].media == {}
    with pytest.raises(BadMedia) as caught:
        own.decode(measured)
    assert caught.value.reason == "image_damaged"


@pytest.mark.parametrize("kind", KINDS)
def test_images_in_replies_make_trees_of_their_own(kind):
    shared, first, second = (shot(60, 60, seed=i) for i in range(3))
    question = (turn("user", "<image>", "Which?"),)
    chosen, rejected = (turn("assistant", "this: ", "<image>"),), (turn("assistant", "that: ", "<image>"),)
    media = (medium(shared), medium(first), medium(second))
    done = encoder(kind).pair(row(prompt=question, chosen=chosen, rejected=rejected, media=media))
    assert [(len(tree.ids), tree.shared) for tree in done.trees] == [(1, 0), (1, 0)]
    for tree, reply, own in zip(done.trees, (chosen, rejected), (first, second), strict=True):
        ids, tensors = upstream(kind, [*question, *reply], [shared, own])
        assert tree.ids[0].tolist() == ids[:-1].tolist()
        assert torch.equal(tree.media["pixel_values"], tensors["pixel_values"])


def test_too_long_says_how_long():
    own = encoder("text", max_length=30)
    replies = [[turn("assistant", "b")], [turn("assistant", "word " * 100)]]
    with pytest.raises(TooLong) as caught:
        own.dialogue([turn("user", "a")], replies, [])
    whole = Encoder(checkpoint("text"), max_length=1000).dialogue([turn("user", "a")], replies, [])
    assert caught.value.tokens == len(whole[0].ids[1])
    assert caught.value.reason == "too_long"


BOUNDS = [  # kind, bounds, tokens of an image of 224x112
    ("qwen2_5_vl", {}, 5 * 2),  # the checkpoint's own 112*112: 140x56
    ("qwen2_5_vl", {"max_pixels": 28 * 28 * 2}, 2),
    ("qwen2_5_vl", {"min_pixels": 28 * 28 * 60, "max_pixels": 28 * 28 * 99}, 11 * 6),
    ("qwen3_vl", {"max_pixels": 32 * 32 * 2}, 2),
    ("internvl", {}, 4 * (2 + 1)),  # tiles of 56: 2x1, and the thumbnail
    ("internvl", {"max_pixels": 56 * 56}, 4),
    ("internvl", {"min_pixels": 56 * 56 * 4}, 4 * (4 + 1)),
]


@pytest.mark.parametrize(("kind", "bounds", "tokens"), BOUNDS)
def test_pixels_are_bounded(kind, bounds, tokens):
    own = encoder(kind, **bounds)
    [tree] = own.dialogue([turn("user", "<image>")], [[turn("assistant", "A")]], [shot(224, 112)])
    placeholder = own.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN.get(kind, "<|image_pad|>"))
    assert int((tree.ids[0] == placeholder).sum()) == tokens
    assert own.facts()["images"]["image_processor_type"].startswith(("Qwen2VL", "GotOcr2"))


def test_facts_tell_tokenizers_templates_and_bounds_apart(tmp_path):
    where = copy_of("qwen2_5_vl", tmp_path)
    (where / "chat_template.jinja").write_text("{{ messages }}")
    first, other, bounded = encoder("qwen2_5_vl").facts(), Encoder(where, max_length=2000).facts(), None
    assert {key for key in first if first[key] != other[key]} == {"template"}
    bounded = encoder("qwen2_5_vl", max_pixels=28 * 28 * 2).facts()
    assert {key for key in first if first[key] != bounded[key]} == {"images"}
    assert bounded["images"]["size"]["longest_edge"] == 28 * 28 * 2


REFUSED = {
    "not_an_image": b"hello",
    "image_too_large": bomb(),
    "image_refused": shot(2001, 10),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_images_that_are_refused(reason):
    with pytest.raises(BadMedia) as caught:
        encoder("qwen2_5_vl").dialogue([turn("user", "<image>")], [[turn("assistant", "A")]], [REFUSED[reason]])
    assert caught.value.reason == reason


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 150), (3, 64), (199, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_thin_images_are_as_large_as_planned(kind, size):
    own = encoder(kind)
    [tree] = own.dialogue([turn("user", "<image>")], [[turn("assistant", "A")]], [shot(*size)])
    placeholders = int((tree.ids[0] == own.layout.placeholder).sum())
    made = tree.media["pixel_values"]
    assert placeholders == (4 * len(made) if kind == "internvl" else len(made) // 4)


def test_blocks_and_media_must_match():
    own, question, reply = encoder("qwen2_5_vl"), [turn("user", "<image>")], [[turn("assistant", "A")]]
    for media in ([], [shot(8, 8), shot(8, 8)], [[shot(8, 8)]]):
        with pytest.raises(BadMedia) as caught:
            own.dialogue(question, reply, media)
        assert caught.value.reason == "media_mismatch"


def test_the_filler_is_short_and_weighs_nothing():
    filler = encoder("internvl").filler()
    assert (filler.weight, filler.tokens(), len(filler.trees[0].ids)) == (0.0, 3, 2)
    assert filler.trees[0].media == {}
