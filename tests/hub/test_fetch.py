"""Fetched files are the pinned ones, whatever the network does, and nothing is sent twice that is there."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from curate import sources
from curate.errors import HubError, WorkspaceError
from curate.hub import manifests
from curate.hub.receipts import fetched
from curate.hub.retry import Attempts, RetryPolicy, TransientError, Unreachable, retry_after
from curate.workspace import Workspace
from tests.support.command import Command
from tests.support.hub import Hub, Plan
from tests.support.hub_commands import curate, parquet, without_seconds

REPO, FILE = "nvidia/HelpSteer3", "preference/train.jsonl.gz"
TOKEN = {"HF_TOKEN": "hf_reader"}
DATA = hashlib.shake_256(b"rows").digest(400_000)


@pytest.fixture
def hub(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        yield hub


def plant(hub: Hub, root: Path, *, env: dict[str, str] | None = None, **more) -> str:
    """A Hub with HelpSteer3, pinned; its commit."""
    commit = hub.add_repo(REPO, {FILE: DATA, "README.md": b"---\nlicense: cc-by-4.0\n---\n"}, **more)
    done = curate(hub, root, "pin", "helpsteer3", **(env or {}))
    assert done.returncode == 0, done.stderr
    hub.requests.clear()
    return commit


def raw(root: Path, commit: str) -> Path:
    return root / "data/raw/helpsteer3" / commit


def lines(done: SimpleNamespace) -> list[str]:
    return done.stderr.splitlines()


def test_pinned_files_come_verified_with_a_receipt(hub, tmp_path):
    commit = plant(hub, tmp_path)
    assert fetched(Workspace(tmp_path / "data"), "helpsteer3") is None
    done = curate(hub, tmp_path, "fetch", "helpsteer3")
    assert done.returncode == 0, done.stderr
    assert lines(done) == [
        "helpsteer3: 1 file, 400,000 bytes to fetch",
        f"helpsteer3: {FILE}, 400,000 bytes, verified",
        f"helpsteer3: data/raw/helpsteer3/{commit} (1 file, 400,000 bytes)",
    ]
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA
    assert [path.name for path in (raw(tmp_path, commit) / "preference").iterdir()] == ["train.jsonl.gz"]
    assert json.loads((tmp_path / "data/raw/helpsteer3/fetched.json").read_text()) == {
        "source": "helpsteer3",
        "repo": REPO,
        "commit": commit,
        "revision": "main",
        "pinned": True,
        "license": "cc-by-4.0",
        "complete": True,
        "files": [{"path": FILE, "bytes": 400_000, "sha256": hashlib.sha256(DATA).hexdigest()}],
    }
    found = fetched(Workspace(tmp_path / "data"), "helpsteer3")
    assert (found.directory, found.revision) == (raw(tmp_path, commit), commit)
    assert (found.license, found.pinned, found.complete) == ("cc-by-4.0", True, True)
    assert [seen.endpoint for seen in hub.requests] == ["get"], "a pinned source needs no API"

    assert fetched(Workspace(tmp_path / "data"), "helpsteer3", commit) == found
    with pytest.raises(
        WorkspaceError, match=rf"\$\.commit: found {commit[:10]}; expected the pinned cccccccccc"
    ) as caught:
        fetched(Workspace(tmp_path / "data"), "helpsteer3", "c" * 40)
    assert caught.value.hint == "curate fetch helpsteer3"

    hub.requests.clear()
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert hub.requests == [], "and a fetched one no network"
    (raw(tmp_path, commit) / FILE).write_bytes(b"cut")
    with pytest.raises(WorkspaceError, match=r"train.jsonl.gz: 3 bytes; expected 400,000 bytes") as caught:
        fetched(Workspace(tmp_path / "data"), "helpsteer3")
    assert caught.value.hint == "curate fetch helpsteer3"
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


def test_every_passing_fault_passes_and_no_byte_comes_twice(hub, tmp_path):
    commit = plant(hub, tmp_path)
    for kind, after in (("fin", 100_000), ("reset", 50_000), ("fin", 0)):
        hub.fail(kind, on="get", after=after)
    for kind in ("500", "502", "503", "504", "429", "drop"):
        hub.fail(kind, on="get")
    hub.fail("429-retry-after", on="get", seconds=1)
    hub.fail("429-ratelimit", on="get", seconds=1)
    done = curate(hub, tmp_path, "fetch", "helpsteer3", CURATE_HUB_ATTEMPTS="12")
    assert done.returncode == 0, done.stderr
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA
    whole = [seen for seen in hub.seen("get") if seen.status in (200, 206)]
    assert sum(seen.sent for seen in whole) < 450_000, "what was lost on the way in a reset, and no more"
    assert whole[1].range == "bytes=100000-"
    assert len(hub.log) == 11


def test_a_stalled_body_is_requested_again(hub, tmp_path):
    commit = plant(hub, tmp_path)
    hub.fail("stall", on="get", seconds=600)
    done = curate(hub, tmp_path, "fetch", "helpsteer3", HF_HUB_DOWNLOAD_TIMEOUT="4")
    assert done.returncode == 0, done.stderr
    assert [seen.range for seen in hub.seen("get")] == [None, "bytes=200000-"]
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


def test_a_server_without_ranges_begins_anew(hub, tmp_path):
    commit = plant(hub, tmp_path)
    hub.fail("fin", on="get", after=1000)
    hub.fail("no-range", on="get")
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert [seen.status for seen in hub.seen("get")] == [200, 200]
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


def test_a_new_beginning_that_breaks_off_is_no_part_of_the_file(hub, tmp_path):
    """Half of it came; then a server without ranges begins anew and breaks off; then ranges work again."""
    commit = plant(hub, tmp_path)
    hub.fail("fin", on="get")
    hub.fail("anew", on="get", after=1000)
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA
    assert [seen.range for seen in hub.seen("get")] == [None, f"bytes={len(DATA) // 2}-", "bytes=1000-"]


def start(hub: Hub, root: Path, *args: str, **env: str) -> Command:
    return Command(*args, env=hub.env(root / "home", CURATE_HUB_FIRST_WAIT="0.01", **env), cwd=root)


def part_of(root: Path, commit: str) -> Path:
    return raw(root, commit) / "preference/.train.jsonl.gz.part"


def has_half(part: Path) -> bool:
    return part.exists() and part.stat().st_size >= 150_000


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_after_a_kill_or_ctrl_c_the_next_run_continues_in_mid_file(hub, tmp_path, how, code):
    commit = plant(hub, tmp_path)
    hub.fail("stall", on="get", seconds=600)
    running = start(hub, tmp_path, "fetch", "helpsteer3", HF_HUB_DOWNLOAD_TIMEOUT="3000")
    hub.wait(lambda: has_half(part_of(tmp_path, commit)), running)
    running.send_signal(how)
    _, stderr_text = running.communicate(timeout=600)
    assert running.returncode == code, stderr_text
    assert "Traceback" not in stderr_text
    kept = part_of(tmp_path, commit).stat().st_size
    assert kept == 200_000
    assert fetched(Workspace(tmp_path / "data"), "helpsteer3") is None, "nothing looks finished"

    hub.requests.clear()
    done = curate(hub, tmp_path, "fetch", "helpsteer3")
    assert done.returncode == 0, done.stderr
    assert [(seen.range, seen.sent) for seen in hub.seen("get")] == [("bytes=200000-", 200_000)]
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA
    assert not part_of(tmp_path, commit).exists()


def test_wrong_bytes_of_the_right_length_are_fetched_again(hub, tmp_path):
    commit = plant(hub, tmp_path)
    hub.fail("corrupt", on="get", times=2)
    done = curate(hub, tmp_path, "fetch", "helpsteer3")
    assert done.returncode == 0, done.stderr
    wrong = [line for line in lines(done) if "wrong bytes" in line]
    assert len(wrong) == 2
    assert wrong[0].startswith(f"{REPO}/{FILE}: wrong bytes (sha256 ")
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


def test_bytes_that_stay_wrong_are_refused(hub, tmp_path):
    commit = plant(hub, tmp_path)
    hub.fail("corrupt", on="get", times=99)
    done = curate(hub, tmp_path, "fetch", "helpsteer3")
    assert done.returncode == 1
    error, hint = lines(done)[-2:]
    assert error.startswith(f"error: {REPO}/{FILE}: the bytes received 3 times have sha256 ")
    assert error.endswith(f"; expected sha256 {hashlib.sha256(DATA).hexdigest()}")
    assert hint.startswith("hint: something between this machine and the Hub")
    assert list((raw(tmp_path, commit) / "preference").iterdir()) == []


def test_a_part_file_that_was_tampered_with_does_no_harm(hub, tmp_path):
    commit = plant(hub, tmp_path)
    part = part_of(tmp_path, commit)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


def test_regular_files_are_verified_by_their_git_id(hub, tmp_path):
    repo, name = "YiyangAiLab/POVID_preference_data_for_VLLMs", "POVID_preference_data_for_VLLMs.json"
    commit = hub.add_repo(repo, {name: b'[{"a": 1}]'})
    assert curate(hub, tmp_path, "pin", "povid").returncode == 0
    assert manifests.read("povid", tmp_path / "manifests").files[0].git_oid is not None
    hub.fail("corrupt", on="get")
    done = curate(hub, tmp_path, "fetch", "povid")
    assert done.returncode == 0, done.stderr
    assert "wrong bytes (git " in done.stderr
    assert (tmp_path / "data/raw/povid" / commit / name).read_bytes() == b'[{"a": 1}]'


# refusals


def refusal(done: SimpleNamespace) -> list[str]:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return [line for line in lines(done) if line.startswith(("error:", "hint:"))]


def test_a_vanished_file_is_named(hub, tmp_path):
    commit = plant(hub, tmp_path)
    hub.fail("vanish", on="get", times=9)
    assert refusal(curate(hub, tmp_path, "fetch", "helpsteer3")) == [
        f"error: {REPO}/{FILE}: no such file at {commit[:10]}",
        "hint: it was removed upstream; curate pin --check lists what else changed",
    ]


def test_attempts_end_and_say_so(hub, tmp_path):
    plant(hub, tmp_path)
    hub.fail("503", on="get", times=99)
    error, hint = refusal(curate(hub, tmp_path, "fetch", "helpsteer3", CURATE_HUB_ATTEMPTS="3"))
    assert (
        without_seconds(error) == f"error: {REPO}/{FILE}: the Hub answers 503 (3 times in N s); expected an answer"
    )
    assert hint == "hint: run the same command again later: it continues from what is there"
    assert len(hub.seen("get")) == 3


def test_a_server_that_asks_for_a_longer_wait_than_the_policy_allows_is_named(hub, tmp_path):
    plant(hub, tmp_path)
    hub.fail("429-retry-after", on="get", seconds=3600)
    error, _ = refusal(curate(hub, tmp_path, "fetch", "helpsteer3"))
    assert without_seconds(error).endswith(
        "the Hub answers 429 (once in N s, and the server asks to wait 3,600 s); expected an answer"
    )


def test_gated_repos_say_what_to_do(hub, tmp_path):
    hub.add_token("hf_reader", "reader")
    plant(hub, tmp_path, gated="manual", env=TOKEN)
    url = f"{hub.endpoint}/datasets/{REPO}"
    assert manifests.read("helpsteer3", tmp_path / "manifests").gated == "manual"
    assert refusal(curate(hub, tmp_path, "fetch", "helpsteer3")) == [
        f"error: {REPO}/{FILE}: gated, and you have no token",
        f"hint: accept the terms at {url}, then run `hf auth login`, or set HF_TOKEN",
    ]
    assert refusal(curate(hub, tmp_path, "fetch", "helpsteer3", **TOKEN)) == [
        f"error: {REPO}/{FILE}: gated, and your token may not read it",
        f"hint: accept the terms at {url}",
    ]
    hub.grant(REPO, "reader")
    assert curate(hub, tmp_path, "fetch", "helpsteer3", **TOKEN).returncode == 0


def test_private_repos_need_a_token_and_it_is_never_printed(hub, tmp_path):
    hub.add_token("hf_reader", "nvidia")
    commit = plant(hub, tmp_path, private=True, env=TOKEN)
    error, hint = refusal(curate(hub, tmp_path, "fetch", "helpsteer3"))
    assert error == f"error: {REPO}/{FILE}: does not exist, or is private and you have no token"
    assert hint.startswith("hint: run `hf auth login`, or set HF_TOKEN; see http://127.0.0.1")
    hub.fail("503", on="get", times=8)
    done = curate(hub, tmp_path, "fetch", "helpsteer3", **TOKEN, CURATE_DEBUG="1")
    assert done.returncode != 0
    assert "hf_reader" not in done.stderr + done.stdout
    done = curate(hub, tmp_path, "fetch", "helpsteer3", HF_TOKEN="hf_stale")
    assert refusal(done) == [
        f"error: {REPO}/{FILE}: the Hub does not know your token",
        "hint: run `hf auth login`, or set HF_TOKEN",
    ]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "hub" not in path.parts]
    assert not any(b"hf_reader" in path.read_bytes() for path in files)
    assert not part_of(tmp_path, commit).exists() or part_of(tmp_path, commit).stat().st_size == 0


def test_the_token_does_not_travel_to_the_cdn(tmp_path):
    with Hub(tmp_path / "hub", cdn=True) as hub:
        hub.add_token("hf_reader", "nvidia")
        commit = plant(hub, tmp_path, private=True, env=TOKEN)
        hub.fail("fin", on="get")
        assert curate(hub, tmp_path, "fetch", "helpsteer3", **TOKEN).returncode == 0
        assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA
        sent = [seen for seen in hub.requests if seen.sent > 1000]
        assert sent
        assert all(seen.user is None for seen in sent)


def test_offline_says_so(hub, tmp_path):
    plant(hub, tmp_path)
    assert refusal(curate(hub, tmp_path, "fetch", "helpsteer3", HF_HUB_OFFLINE="1")) == [
        f"error: {REPO}/{FILE}: HF_HUB_OFFLINE is set; expected a network",
        "hint: unset HF_HUB_OFFLINE, or bring the files into the Hub cache first",
    ]
    assert hub.requests == []


def test_without_network_it_ends_soon_and_says_why(hub, tmp_path):
    plant(hub, tmp_path)
    hub.stop()
    for command in (("fetch", "helpsteer3"), ("pin", "helpsteer3", "shp"), ("pin", "--check")):
        error, hint = refusal(curate(hub, tmp_path, *command))
        assert ": no connection to 127.0.0.1; expected an answer" in error
        assert hint.startswith("hint: check the network, proxy and HF_ENDPOINT")


def test_a_host_that_swallows_packets_is_given_up_as_soon(hub, tmp_path):
    with contextlib.ExitStack() as sockets:
        deaf = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # its queue is full: the next SYN is dropped
            one = sockets.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        done = curate(hub, tmp_path, "pin", "helpsteer3", HF_ENDPOINT=endpoint)
    assert refusal(done)[0] == f"error: {REPO}@main: no connection to 127.0.0.1 within 3 s; expected an answer"


class LoginPage(http.server.BaseHTTPRequestHandler):
    """What a hotel's network says to every request."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Welcome</html>")

    def log_message(self, *_):
        pass


def test_a_login_page_is_an_error(hub, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), LoginPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        done = curate(hub, tmp_path, "pin", "helpsteer3", HF_ENDPOINT=endpoint)
        server.shutdown()
    assert refusal(done) == [
        f"error: {REPO}: the answer is not the Hub's; expected JSON",
        "hint: check HF_ENDPOINT and the proxy: a login page may have answered",
    ]


def test_the_client_and_compiled_passes_are_imported_where_they_work():
    code = """
import sys
from curate.cli import commands
for name in commands.COMMANDS:
    commands.load(name)
print(sorted({'httpx2', 'huggingface_hub', 'numba'} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_answer_that_is_not_the_hubs_is_an_error(tmp_path, hub):
    done = curate(hub, tmp_path, "pin", "helpsteer3", HF_ENDPOINT="nonsense")
    assert refusal(done) == [
        "error: HF_ENDPOINT: found 'nonsense'; expected an address such as https://huggingface.co",
        "hint: unset HF_ENDPOINT, or correct it",
    ]


def test_an_unpinned_source_wants_to_be_pinned(hub, tmp_path):
    commit = hub.add_repo(REPO, {FILE: DATA}, license="cc-by-4.0")
    assert refusal(curate(hub, tmp_path, "fetch", "helpsteer3")) == [
        "error: helpsteer3: not pinned; expected a commit in its manifest",
        "hint: curate pin helpsteer3, or add --unpinned",
    ]
    done = curate(hub, tmp_path, "fetch", "helpsteer3", "--unpinned", "--json")
    assert done.returncode == 0, done.stderr
    (fetched_source,) = json.loads(done.stdout)
    assert (fetched_source["commit"], fetched_source["pinned"], fetched_source["revision"]) == (
        commit,
        False,
        "main",
    )
    assert fetched(Workspace(tmp_path / "data"), "helpsteer3").pinned is False
    assert not (tmp_path / "manifests").exists()


# the disk


def test_a_disk_too_small_is_seen_before_the_start(hub, tmp_path):
    facts = manifests.blank("helpsteer3", sources.get("helpsteer3"))
    huge = manifests.File(path=FILE, bytes=10**18, sha256="0" * 64)
    manifests.write(dataclasses.replace(facts, commit="c" * 40, files=(huge,)), tmp_path / "manifests")
    error, hint = refusal(curate(hub, tmp_path, "fetch", "helpsteer3"))
    assert error.startswith("error: data: ")
    assert error.endswith(" bytes free; expected 1,000,000,000,000,000,000 bytes for the fetch")
    assert hint == "hint: free some space, choose another --workspace, or fetch less with --max-rows"
    assert hub.requests == []


def test_a_disk_that_fills_up_in_mid_file_keeps_what_came(hub, tmp_path):
    commit = plant(hub, tmp_path)
    limited = subprocess.run(
        [sys.executable, "-m", "curate", "fetch", "helpsteer3"],
        env=hub.env(tmp_path / "home"), cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (123_000, 123_000)),
    )  # fmt: skip
    assert refusal(limited) == [
        f"error: data/raw/helpsteer3/{commit}/preference/.train.jsonl.gz.part: no space left to write",
        "hint: free some space and run the same command again: it continues from what is finished",
    ]
    hub.requests.clear()
    assert curate(hub, tmp_path, "fetch", "helpsteer3").returncode == 0
    assert hub.seen("get")[0].range == f"bytes={123_000}-"
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


# what need not travel


def test_a_file_in_the_hub_cache_is_linked(hub, tmp_path):
    commit = plant(hub, tmp_path)
    code = f"from huggingface_hub import hf_hub_download as get; get({REPO!r}, {FILE!r}, repo_type='dataset')"
    subprocess.run([sys.executable, "-c", code], env=hub.env(tmp_path / "home"), check=True)
    hub.requests.clear()
    done = curate(hub, tmp_path, "fetch", "helpsteer3", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    (blob,) = (tmp_path / "home/hf/hub").glob("datasets--*/blobs/*")
    assert (raw(tmp_path, commit) / FILE).samefile(blob)
    assert hub.requests == []


def test_a_wrong_file_in_the_hub_cache_is_left_alone(hub, tmp_path):
    commit = plant(hub, tmp_path)
    snapshot = tmp_path / "home/hf/hub/datasets--nvidia--HelpSteer3/snapshots" / commit / FILE
    snapshot.parent.mkdir(parents=True)
    snapshot.write_bytes(b"x" * len(DATA))
    done = curate(hub, tmp_path, "fetch", "helpsteer3")
    assert done.returncode == 0, done.stderr
    assert f"{snapshot}: not the bytes of {REPO}/{FILE}; not used" in done.stderr
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


SHARDED = "allenai/tulu-3-IF-augmented-on-policy-70b"
SHARDS = {f"data/train-{i}.parquet": parquet(100 * i, start=1000 * i) for i in (1, 2, 3, 4)}


def shards_in(root: Path, commit: str) -> dict[str, bytes]:
    folder = root / "data/raw/tulu3_if" / commit
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_commit_brings_only_what_changed(hub, tmp_path):
    hub.add_repo(SHARDED, SHARDS)
    assert curate(hub, tmp_path, "pin", "tulu3_if").returncode == 0
    assert curate(hub, tmp_path, "fetch", "tulu3_if").returncode == 0
    changed = {**SHARDS, "data/train-2.parquet": parquet(7)}
    commit = hub.commit(SHARDED, changed)
    assert curate(hub, tmp_path, "pin", "tulu3_if").returncode == 0
    hub.requests.clear()
    assert curate(hub, tmp_path, "fetch", "tulu3_if").returncode == 0
    assert [seen.path.rsplit("/", 1)[-1] for seen in hub.seen("get")] == ["train-2.parquet"]
    assert shards_in(tmp_path, commit) == changed


def test_max_rows_brings_the_fewest_files_and_more_later(hub, tmp_path):
    commit = hub.add_repo(SHARDED, {**SHARDS, "notes.md": b"#", "test/x.parquet": parquet(1)})
    assert curate(hub, tmp_path, "pin", "tulu3_if").returncode == 0
    done = curate(hub, tmp_path, "fetch", "tulu3_if", "--max-rows", "450")
    assert done.returncode == 0, done.stderr
    assert sorted(shards_in(tmp_path, commit)) == ["data/train-1.parquet", "data/train-4.parquet"]
    assert lines(done)[-1].endswith(", not all files)")
    [size, whole] = [
        sum(map(len, some))
        for some in ([SHARDS["data/train-1.parquet"], SHARDS["data/train-4.parquet"]], SHARDS.values())
    ]
    assert lines(done)[0] == f"tulu3_if: --max-rows 450 needs {size:,} of {whole:,} bytes"
    assert not fetched(Workspace(tmp_path / "data"), "tulu3_if").complete
    hub.requests.clear()
    recipe = tmp_path / "blend.yaml"
    recipe.write_text("name: blend\nseed: 1\nsources:\n  tulu3_if: all\n")
    done = curate(hub, tmp_path, "fetch", "blend.yaml")
    assert done.returncode == 0, done.stderr
    assert len(hub.seen("get")) == 2, "the two that are there stay"
    assert shards_in(tmp_path, commit) == SHARDS
    assert fetched(Workspace(tmp_path / "data"), "tulu3_if").complete


def test_files_that_max_rows_cannot_limit_are_named_before_the_fetch(hub, tmp_path):
    plant(hub, tmp_path)
    done = curate(hub, tmp_path, "fetch", "helpsteer3", "--max-rows", "5")
    assert lines(done)[:2] == [
        "helpsteer3: --max-rows 5 needs 400,000 of 400,000 bytes; all of 1 row file (400,000 bytes), whose number "
        "of rows is not known",
        "helpsteer3: 1 file, 400,000 bytes to fetch",
    ]


def test_a_source_that_fails_does_not_keep_the_others_from_coming(hub, tmp_path):
    commit = plant(hub, tmp_path)
    done = curate(hub, tmp_path, "fetch", "shp", "helpsteer3", "hh_rlhf")
    assert refusal(done) == [
        "error: shp: not pinned; expected a commit in its manifest; hint: curate pin shp, or add --unpinned",
        "error: hh_rlhf: not pinned; expected a commit in its manifest",
        "hint: curate pin hh_rlhf, or add --unpinned",
    ]
    assert (raw(tmp_path, commit) / FILE).read_bytes() == DATA


# everything at once


def run_seed(tmp_path: Path, seed: int) -> None:
    with Hub(tmp_path / "hub") as hub:
        files = {**SHARDS, "data/train-5.parquet": parquet(2000)}
        commit = hub.add_repo(SHARDED, files)
        assert curate(hub, tmp_path, "pin", "tulu3_if").returncode == 0
    draws = Plan(seed=seed, rate=0.6, most=3, endpoints=("get",), seconds=0.1)
    with Hub(tmp_path / "hub", faults=draws) as hub:
        for run in range(12):
            env = {"CURATE_HUB_ATTEMPTS": "4", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
            running = start(hub, tmp_path, "fetch", "tulu3_if", **env)
            if (seed + run) % 3 == 0 and run < 2:
                for _ in range(400):  # let something come, then pull the plug
                    if len(hub.requests) > 2 + seed % 5 or running.poll() is not None:
                        break
                    time.sleep(0.01)
                running.kill()
            _, stderr_text = running.communicate(timeout=600)
            assert "Traceback" not in stderr_text, stderr_text
            if running.returncode == 0:
                break
        else:
            raise AssertionError(f"never finished: {stderr_text}")
        assert shards_in(tmp_path, commit) == files
        assert fetched(Workspace(tmp_path / "data"), "tulu3_if").complete


@pytest.mark.parametrize("seed", range(5))
def test_any_mix_of_faults_and_kills_ends_in_the_same_files(tmp_path, seed):
    run_seed(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 200))
def test_many_mixes_of_faults_and_kills_end_in_the_same_files(tmp_path, seed):
    run_seed(tmp_path, seed)


# the policy alone


def attempts(policy: RetryPolicy, key: str = "x") -> tuple[Attempts, list[float]]:
    """Attempts by a clock that only their own sleep moves, and how long they slept."""
    slept: list[float] = []
    return Attempts(policy, key, slept.append, lambda: sum(slept)), slept


def test_waits_double_with_jitter_that_depends_on_the_key_alone():
    one, waits = attempts(RetryPolicy(attempts=9))
    for _ in range(8):
        one.sleep_after(TransientError("503"), "x")
    bases = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(base / 2 <= wait <= base for wait, base in zip(waits, bases, strict=True))
    again, same = attempts(RetryPolicy(attempts=9))
    other, different = attempts(RetryPolicy(attempts=9), "y")
    for _ in range(8):
        again.sleep_after(TransientError("503"), "x")
        other.sleep_after(TransientError("503"), "y")
    assert same == waits
    assert different != waits


def test_new_bytes_start_the_count_anew_and_old_ones_do_not():
    one, waits = attempts(RetryPolicy(attempts=3))
    for position in (10, 20, 30, 40):
        one.sleep_after(TransientError("cut"), "x")
        one.progress(position)
    assert len(waits) == 4
    one.sleep_after(TransientError("cut"), "x")
    one.progress(15)
    one.sleep_after(TransientError("cut"), "x")
    one.progress(40)
    with pytest.raises(HubError) as caught:
        one.sleep_after(TransientError("cut"), "x")
    assert str(caught.value) == f"x: cut (3 times in {sum(waits[4:]):.0f} s); expected an answer"
    assert sum(waits[4:]) > 1


def test_what_the_server_asks_for_is_waited_and_a_little_more():
    one, waits = attempts(RetryPolicy())
    one.sleep_after(TransientError("429", wait=7), "x")
    assert 7 <= waits[0] <= 8


def test_a_host_that_never_answered_is_given_up_within_its_seconds():
    error = TransientError("no connection", reached=False)
    one, waits = attempts(RetryPolicy(first_wait=2.9))
    one.sleep_after(error, "x")
    with pytest.raises(Unreachable, match="x: no connection; expected an answer"):
        one.sleep_after(error, "x")
    assert len(waits) == 1
    assert waits[0] <= 3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120.0), (" 5 ", 5.0), ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
     ("soon", None), ("-3", None), ("", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after(value, now=100.0) == seconds


def test_the_retry_policy_is_configured_by_the_environment(monkeypatch):
    monkeypatch.setenv("CURATE_HUB_ATTEMPTS", "2")
    monkeypatch.setenv("CURATE_HUB_SECONDS", "9.5")
    assert RetryPolicy.from_env() == RetryPolicy(attempts=2, seconds=9.5)
    monkeypatch.setenv("CURATE_HUB_SECONDS", "never")
    with pytest.raises(Exception, match="CURATE_HUB_SECONDS: found 'never'; expected a number above 0"):
        RetryPolicy.from_env()
