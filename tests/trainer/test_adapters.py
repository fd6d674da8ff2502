"""LoRA through peft: a peft that does not work with transformers is one line, before a model is loaded."""

import sys

import peft  # so that the one in its place goes with the test
import pytest
import transformers

from curate.errors import TrainError
from curate.installation import install_command
from trainer.config import HeadConfig, LoraConfig
from trainer.model import build


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from transformers import gone_since", "cannot import name 'gone_since' from 'transformers'"),
        ("LoraConfig = object", "module 'peft' has no attribute 'inject_adapter_in_model'"),
    ],
)
def test_a_peft_that_does_not_fit_is_refused_before_a_model_is_loaded(code, why, tmp_path, monkeypatch):
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft/__init__.py").write_text(code)
    (tmp_path / "peft-0.1.0.dist-info").mkdir()
    (tmp_path / "peft-0.1.0.dist-info/METADATA").write_text("Name: peft\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == peft.__name__]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(TrainError) as caught:
        build(tmp_path / "no-model-here", HeadConfig(), lora=LoraConfig())
    ours = f"lora: peft 0.1.0 does not work with transformers {transformers.__version__} ({why}"
    assert str(caught.value).startswith(ours)
    assert "\n" not in str(caught.value)
    assert caught.value.hint == f"{install_command('trainer')}, or lora=null"
