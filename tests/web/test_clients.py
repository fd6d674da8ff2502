"""The reward clients of other trainers, as released, talk to `curate serve` unchanged.

Each is the function of the package's own file: the packages themselves need GPUs to be imported. SLIME is on no
index; its client posts, checks the status and takes the JSON, as in test_routes.
"""

import ast
import asyncio
import itertools
import json
import logging
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import torch
from transformers import AutoTokenizer

from tests.support.questions import saved, turn
from tests.support.serving import running
from trainer.serve import loaded

pytestmark = pytest.mark.slow
MODEL = saved("text")
CHAT = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "Yes."}]
PACKAGES = {"openrlhf": "0.11.2", "verl": "0.9.1", "llamafactory": "0.9.5"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """A directory with the wheels, and aiohttp beside them."""
    root = tmp_path_factory.mktemp("packages")
    names = [f"{name}=={version}" for name, version in PACKAGES.items()]
    pip = [sys.executable, "-m", "pip", "--quiet", "--isolated", "--disable-pip-version-check"]
    subprocess.run([*pip, "download", "--no-deps", "--dest", root, *names], check=True)
    subprocess.run([*pip, "install", "--target", root / "libraries", "aiohttp"], check=True)
    return root


@pytest.fixture(scope="module")
def aiohttp(packages):
    sys.path.append(str(packages / "libraries"))
    yield pytest.importorskip("aiohttp")
    sys.path.remove(str(packages / "libraries"))


@pytest.fixture(scope="module")
def server():
    with running(MODEL) as one:
        yield one


@pytest.fixture(scope="module")
def expected():
    return loaded(MODEL, 4096).score([[*turn("user", "Well?"), *turn("assistant", "Yes.")]], [()])[0].score


@pytest.fixture(scope="module")
def rendered():
    return AutoTokenizer.from_pretrained(MODEL).apply_chat_template(CHAT, tokenize=False)


def functions(packages: Path, package: str, file: str, names: set[str], known: dict) -> SimpleNamespace:
    """Functions and methods of a file of a wheel, run in a namespace of what they use."""
    [wheel] = packages.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        [path] = [name for name in opened.namelist() if name.endswith(file)]
        tree = ast.parse(opened.read(path))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    wanted = [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name in names]
    source = "from __future__ import annotations\n" + "\n\n".join(map(ast.unparse, wanted))
    space = {"logger": logging.getLogger("client"), "asyncio": asyncio, "json": json, **known}
    exec(compile(source, file, "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


def test_openrlhf(packages, aiohttp, server, expected, rendered):
    client = functions(
        packages, "openrlhf", "openrlhf/utils/agent.py", {"_fetch_rewards_via_http"}, {"aiohttp": aiohttp}
    )
    url = f"{server.url}/get_reward"
    executor = SimpleNamespace(reward_endpoints=[url], _reward_endpoint_cycle=itertools.cycle([url]))
    prompt = AutoTokenizer.from_pretrained(MODEL).apply_chat_template(
        CHAT[:1], tokenize=False, add_generation_prompt=True
    )
    query = prompt + "Yes.<|im_end|>"
    [found] = asyncio.run(client._fetch_rewards_via_http(executor, [query], [prompt], ["label"]))
    assert found["rewards"] == found["scores"] == [pytest.approx(expected, abs=1e-6)]
    assert rendered.startswith(query)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_verl(packages, aiohttp, server, expected, rendered, engine):
    names = {"_post_request", "compute_score_disrm"}
    client = functions(packages, "verl", "reward_loop/reward_loop.py", names, {"aiohttp": aiohttp})

    class Worker:
        reward_router_address = server.url.removeprefix("http://")
        model = SimpleNamespace(rollout=SimpleNamespace(name=engine), model_path=str(MODEL))
        config = SimpleNamespace(reward=SimpleNamespace(reward_model=model))
        _post_request, compute_score_disrm = client._post_request, client.compute_score_disrm

        async def _preprocess_reward_inputs(self, _):
            return rendered

    found = asyncio.run(Worker().compute_score_disrm(None))
    assert found == {"reward_score": pytest.approx(expected, abs=1e-6)}


def test_llama_factory(packages, server, expected, rendered):
    known = {"requests": requests, "torch": torch}
    client = functions(packages, "llamafactory", "ppo_utils.py", {"get_rewards_from_server"}, known)
    found = client.get_rewards_from_server(f"{server.url}/lf", [rendered, rendered])
    assert found.tolist() == [pytest.approx(expected, abs=1e-6)] * 2
