import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from curate.errors import TrainError
from tests.support.tiny_models import checkpoint
from trainer import tiny_models


def test_a_tiny_checkpoint_is_a_function_of_its_seed(tmp_path):
    weights = [(tiny_models.save("text", tmp_path / str(i), seed=seed) / "model.safetensors").read_bytes()
               for i, seed in enumerate((0, 0, 1))]  # fmt: skip
    assert weights[0] == weights[1] != weights[2]
    assert (tmp_path / "0/tokenizer.json").read_bytes() == (tmp_path / "1/tokenizer.json").read_bytes()


@given(st.text())
def test_the_tiny_tokenizer_encodes_any_text(text):
    tokenizer = tiny_models.build_tokenizer("text")
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


def test_the_tiny_chat_template_is_qwens():
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("qwen2_5_vl"))
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}
    assert tokenizer.apply_chat_template([user, reply], tokenize=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Hi<|im_end|>\n"
        "<|im_start|>assistant\nYes<|im_end|>\n"
    )


def test_an_unknown_tiny_kind_is_named(tmp_path):
    with pytest.raises(TrainError, match=r"unknown kind 'qwen9'; expected one of qwen2_vl, .*text"):
        tiny_models.save("qwen9", tmp_path)
    with pytest.raises(TrainError, match="hidden 40; expected a multiple of 32"):
        tiny_models.save("text", tmp_path, hidden=40)
