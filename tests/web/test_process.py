"""`curate serve` as a process: it says where it listens, ends in order, and says why it does not begin."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from curate.errors import ConfigError, CurateError, WorkspaceError
from curate.web.settings import TOKEN
from tests.support.questions import saved
from trainer import serve

MODEL = saved("text")
RENDERED = (
    "<|im_start|>system\nBe.<|im_end|>\n<|im_start|>user\nWell?<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>"
)


def start(*arguments, **environment):
    command = [sys.executable, "-m", "curate", "serve", *map(str, arguments)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
    )


@contextlib.contextmanager
def served(*arguments, **environment):
    """(process, its address) of a server on a free port; it is killed in the end."""
    with start(MODEL, "--port", 0, *arguments, **environment) as process:
        try:
            for line in process.stderr:
                if found := re.search(r"serving .* at (http://\S+)", line):
                    break
            yield process, found[1]
        finally:
            process.kill()


def post(url, body, **headers):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def wait_for(url, metric, query=""):
    while metric not in urllib.request.urlopen(f"{url}/metrics{query}").read().decode():
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_was_taken_is_answered_before_the_end(how):
    with served() as (process, url), ThreadPoolExecutor(2) as threads:
        long = [RENDERED.format("very " * 500 + str(number)) for number in range(20)]
        sent = [threads.submit(post, f"{url}/lf", {"messages": long}) for _ in range(2)]
        wait_for(url, "curate_waiting 40")
        process.send_signal(how)
        assert [len(one.result()["scores"]) for one in sent] == [20] * 2
        assert process.wait(60) == (130 if how == signal.SIGINT else -how)
        assert process.stderr.read() == ""


def test_a_kill_loses_the_connection_and_nothing_hangs(tmp_path):
    token = tmp_path / "token"
    token.write_text("a-token-of-sixteen\n")
    body = {"messages": [RENDERED.format("very " * 500)] * 40}
    with served("--token-file", token) as (process, url), ThreadPoolExecutor(1) as threads:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            post(f"{url}/lf", body)
        sent = threads.submit(post, f"{url}/lf?token=a-token-of-sixteen", body)
        wait_for(url, "curate_waiting 40", "?token=a-token-of-sixteen")
        process.kill()
        with pytest.raises(OSError):
            sent.result(10)


def test_a_token_from_the_environment(monkeypatch):
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(ConfigError, match="token: 5 characters"):
        serve.main([str(MODEL)])


@pytest.mark.parametrize(
    ("arguments", "found", "hint"),
    [
        ((MODEL, "--host", "0.0.0.0"), "--host: 0.0.0.0 and no token", "CURATE_SERVE_TOKEN"),
        (("/nowhere",), "/nowhere: no reward_config.json", "best/"),
        (("/nowhere.yaml",), "/nowhere.yaml", ""),
        ((MODEL, "--token-file", "/nowhere"), "/nowhere: No such file or directory", ""),
    ],
)
def test_why_it_does_not_begin(arguments, found, hint):
    with pytest.raises(CurateError) as caught:
        serve.main([str(one) for one in arguments])
    assert str(caught.value).startswith(found)
    assert hint in caught.value.hint


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(WorkspaceError) as caught:
        serve.main([str(MODEL), "--port", str(taken.getsockname()[1])])
    assert re.match(r"127\.0\.0\.1:\d+: cannot listen", str(caught.value))
    assert caught.value.hint == "--port names another"
