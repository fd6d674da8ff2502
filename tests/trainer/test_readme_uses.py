"""The README's ways to use a reward model run as they are written."""

import re
import shutil
import sys
from types import ModuleType

import pytest
import torch
from transformers import AutoTokenizer

from tests.support.paths import ROOT
from tests.support.questions import saved
from tests.support.serving import running
from tests.support.tiny_models import checkpoint

SECTION = re.search(r"^## Use a reward model\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)[1]
SNIPPETS = {
    text.splitlines()[0][2:].split(":")[0]: text for text in re.findall(r"```python\n(.*?)```", SECTION, re.S)
}
REQUESTS = re.findall(r"^POST (/\w+) +(\{.*\})$", SECTION, re.M)


@pytest.fixture(scope="module")
def server():
    with running(saved("text")) as one:
        yield one


def run(name, server, **known):
    """The names that a snippet leaves, where the server is the one that runs here."""
    exec(SNIPPETS[name].replace("http://127.0.0.1:8000", server.url), known)
    return known


def test_each_use_has_five_lines_at_most():
    assert set(SNIPPETS) == {"TRL", "ms-swift", "verl", "OpenRLHF"}
    for text in SNIPPETS.values():
        assert len([line for line in text.splitlines() if line and not line.startswith("#")]) <= 5


@pytest.mark.filterwarnings("ignore")
def test_trl(server, tmp_path, monkeypatch):
    from datasets import Dataset
    from trl import GRPOConfig

    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved("text"), "runs/mine/best")
    shutil.copytree(checkpoint("text"), "policy")
    prompts = Dataset.from_list([{"prompt": "2+2?", "answer": "4"}] * 4)
    settings = GRPOConfig(
        output_dir="out", max_steps=1, per_device_train_batch_size=2, num_generations=2, max_completion_length=4,
        report_to=[], use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    assert run("TRL", server, prompts=prompts, settings=settings)["reward"].__name__ == "curate_hybrid"


def test_ms_swift(server, monkeypatch):
    rewards = ModuleType("swift.rewards")
    rewards.orms = {}
    monkeypatch.setitem(sys.modules, "swift", ModuleType("swift"))
    monkeypatch.setitem(sys.modules, "swift.rewards", rewards)
    run("ms-swift", server)
    messages = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "Yes."}]
    [value] = rewards.orms["mine"](args=None)(["Yes."], messages=[messages])
    assert isinstance(value, float)


def test_verl(server):
    compute = run("verl", server)["compute_score"]
    assert compute("set", "The answer is 8.", "8", {"prompt": "4+4?"}) == 1.0
    assert 0 < compute("set", "The answer is 9.", "8", {"prompt": "4+4?"}) < 1


def test_openrlhf(server):
    function = run("OpenRLHF", server)["reward_func"]
    tokenizer = AutoTokenizer.from_pretrained(saved("text"))
    turns = [{"role": "user", "content": "Well?"}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert function([prompt + "Yes.<|im_end|>"], [prompt], ["x"])["rewards"].dtype == torch.float32


def test_the_requests(server):
    assert [route for route, _ in REQUESTS] == ["/score", "/classify"]
    for route, body in REQUESTS:
        assert server.post(route, body.encode()).status == 200
