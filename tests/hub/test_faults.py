"""The loopback Hub's faults: each does what it says, at the level of bytes, and every plan ends."""

import http.client
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hub import ENDPOINTS, KINDS, Fault, Hub, Plan
from tests.support.hub.raw import Raw, send
from tests.support.paths import ROOT

BODY = bytes(range(256)) * 40
REPO = "up/data"
FILE = f"/datasets/{REPO}/resolve/main/train.bin"
INFO = f"/api/datasets/{REPO}"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        hub.add_token("hf_up", "up")
        hub.add_repo(REPO, {"train.bin": BODY, "other.bin": BODY[::-1]})
        yield hub


@pytest.mark.parametrize(
    ("kind", "status", "headers"),
    [
        ("429", 429, {"Retry-After": None, "RateLimit": None}),
        ("429-retry-after", 429, {"Retry-After": "1", "RateLimit": None}),
        ("429-ratelimit", 429, {"Retry-After": None, "RateLimit": '"api";r=0;t=1'}),
        ("500", 500, {"Content-Type": "application/json; charset=utf-8"}),
        ("502", 502, {"Content-Type": "text/html"}),
        ("503", 503, {"Content-Type": "application/json; charset=utf-8"}),
        ("504", 504, {"Content-Type": "text/html"}),
    ],
)
@pytest.mark.parametrize(
    ("on", "path", "method"), [("info", INFO, "GET"), ("get", FILE, "GET"), ("head", FILE, "HEAD")]
)
def test_refused_once_then_well(
    hub: Hub, kind: str, status: int, headers: dict[str, str | None], on: str, path: str, method: str
) -> None:
    hub.fail(kind, on=on)
    first, second = (send(hub.endpoint, path, method) for _ in range(2))
    assert (first.status, second.status) == (status, 200)
    assert {name: first.headers.get(name) for name in headers} == headers
    assert [(f.kind, f.endpoint, f.path, f.visit) for f in hub.log] == [(kind, on, path, 1)]


@pytest.mark.parametrize(("after", "sent"), [(None, len(BODY) // 2), (10, 10), (0, 0), (10**9, len(BODY) - 1)])
def test_fin_in_mid_body(hub: Hub, after: int | None, sent: int) -> None:
    hub.fail("fin", on="get", after=after)
    with pytest.raises(http.client.IncompleteRead) as raised:
        send(hub.endpoint, FILE)
    assert raised.value.partial == BODY[:sent]
    assert raised.value.expected == len(BODY) - sent
    assert [(s.status, s.sent, s.fault) for s in hub.seen("get")] == [(200, sent, "fin")]
    rest = send(hub.endpoint, FILE, Range=f"bytes={sent}-")
    assert (rest.status, rest.body) == (206, BODY[sent:])


def test_reset_in_mid_body(hub: Hub) -> None:
    hub.fail("reset", on="get")
    with pytest.raises(ConnectionResetError):
        send(hub.endpoint, FILE)
    assert [(s.status, s.sent) for s in hub.seen("get")] == [(200, len(BODY) // 2)]


def test_reset_in_the_middle_of_an_upload(hub: Hub) -> None:
    hub.fail("reset", on="commit")
    with pytest.raises(ConnectionError):
        send(hub.endpoint, f"{INFO}/commit/main", "POST", b"x" * 1000, Authorization="Bearer hf_up")
    (seen,) = hub.seen("commit")
    assert (seen.status, 500 <= seen.received < 1000) == (0, True)


def test_drop_answers_nothing(hub: Hub) -> None:
    hub.fail("drop", on="info")
    with pytest.raises(http.client.RemoteDisconnected):
        send(hub.endpoint, INFO)
    assert [s.status for s in hub.seen("info")] == [0]


@pytest.mark.parametrize("byte_range", [None, "bytes=5000-"])
def test_one_wrong_byte_and_the_right_length(hub: Hub, byte_range: str | None) -> None:
    hub.fail("corrupt", on="get")
    headers = {"Range": byte_range} if byte_range else {}
    wrong, right = (send(hub.endpoint, FILE, **headers) for _ in range(2))
    assert len(wrong.body) == len(right.body)
    assert [i for i, (a, b) in enumerate(zip(wrong.body, right.body, strict=True)) if a != b] == [
        len(right.body) // 2
    ]
    assert wrong.headers["ETag"] == right.headers["ETag"]


def test_a_listed_file_vanishes_and_comes_back(hub: Hub) -> None:
    hub.fail("vanish", path="*/train.bin", times=2)
    replies = [send(hub.endpoint, FILE, method) for method in ("HEAD", "GET", "GET")]
    assert [(r.status, r.headers.get("X-Error-Code")) for r in replies] == [
        (404, "EntryNotFound"),
        (404, "EntryNotFound"),
        (200, None),
    ]
    listed = json.loads(send(hub.endpoint, f"{INFO}/tree/main").body)
    assert "train.bin" in [item["path"] for item in listed]


@pytest.mark.parametrize("kind", ["trickle", "stall"])
@pytest.mark.parametrize("path", [FILE, INFO])
def test_slow_is_whole_in_the_end(hub: Hub, kind: str, path: str) -> None:
    quick = send(hub.endpoint, path)
    hub.fail(kind, seconds=0.1)
    assert send(hub.endpoint, path).body == quick.body
    assert [f.kind for f in hub.log] == [kind]


def test_a_stall_outlasts_a_client_with_a_short_timeout(hub: Hub) -> None:
    hub.fail("stall", on="get", seconds=600)
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=60)
    connection.request("GET", FILE)
    reply = connection.getresponse()
    assert reply.read(len(BODY) // 2) == BODY[: len(BODY) // 2]
    connection.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        reply.read()
    connection.close()


def test_ranges(hub: Hub) -> None:
    hub.fail("no-range", on="get", skip=4)
    wanted = ["bytes=0-9", "bytes=-3", "bytes=10230-99999", "bytes=10240-", "bytes=1-2"]
    replies = [send(hub.endpoint, FILE, Range=byte_range) for byte_range in wanted]
    assert [(r.status, r.headers.get("Content-Range")) for r in replies] == [
        (206, "bytes 0-9/10240"),
        (206, "bytes 10237-10239/10240"),
        (206, "bytes 10230-10239/10240"),
        (416, "bytes */10240"),
        (200, None),
    ]
    assert [r.body for r in replies[:3]] == [BODY[:10], BODY[-3:], BODY[10230:]]
    assert replies[4].body == BODY
    assert [s.range for s in hub.seen("get")] == wanted


def test_a_fault_names_its_file_and_its_turn(hub: Hub) -> None:
    hub.fail("503", on="get", path="*/other.bin", skip=1, times=2)
    other = FILE.replace("train", "other")
    assert [send(hub.endpoint, path).status for path in (FILE, other, FILE, other, other, other)] == [
        200,
        200,
        200,
        503,
        503,
        200,
    ]


@pytest.mark.parametrize(
    ("kind", "on"), [("corrupted", "get"), ("race", "get"), ("corrupt", "info"), ("503", "gets")]
)
def test_a_fault_that_cannot_be_is_refused(kind: str, on: str) -> None:
    with pytest.raises(ValueError, match=kind):
        Fault(kind=kind, on=on)


REQUESTS = [(endpoint, f"/{name}") for endpoint in ENDPOINTS for name in "ab"]


@given(st.integers(), st.floats(0, 1), st.integers(0, 3), st.permutations(REQUESTS * 3))
def test_a_drawn_plan_ends_and_depends_on_no_order(
    seed: int, rate: float, most: int, order: list[tuple[str, str]]
) -> None:
    plans = [Plan(seed=seed, rate=rate, most=most) for _ in range(2)]
    for plan, requests in zip(plans, (REQUESTS * 3, order), strict=True):
        for endpoint, path in requests:
            plan.next(endpoint, path)
    first, second = (Counter(plan.log) for plan in plans)
    assert first == second
    assert all(fault.kind in ENDPOINTS[fault.endpoint] for fault in first)
    assert max(Counter((f.endpoint, f.path) for f in first).values(), default=0) <= most


def test_with_rate_one_everything_fails_first_and_all_kinds_are_drawn() -> None:
    plan = Plan(seed=1, rate=1, most=100)
    for _ in range(100):
        for endpoint in ENDPOINTS:
            assert plan.next(endpoint, "/") is not None
    assert {fault.kind for fault in plan.log} == set(KINDS)


def repeated(hub: Hub, path: str, good: bytes | None = None) -> tuple[Raw, int]:
    """The first reply that is right, and the number of attempts it took."""
    for attempts in range(1, 10):
        try:
            reply = send(hub.endpoint, path)
        except (http.client.HTTPException, OSError):
            continue
        if reply.status == 200 and good in (None, reply.body):
            return reply, attempts
    raise AssertionError(f"{path} never came")


@pytest.mark.parametrize("seed", range(5))
def test_repeated_requests_reach_the_end(tmp_path: Path, seed: int) -> None:
    harmful = [kind for kind in KINDS if kind not in ("stall", "trickle", "no-range")]
    with Hub(tmp_path, faults=Plan(seed=seed, rate=1, most=2, kinds=harmful)) as hub:
        hub.add_repo(REPO, {"train.bin": BODY})
        info, attempts = repeated(hub, INFO)
        assert (json.loads(info.body)["id"], attempts) == (REPO, 3)
        assert repeated(hub, FILE, BODY)[1] == 3
        assert len(hub.log) == 4


def test_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.hub", "--root", str(tmp_path), "--faults", "1", "--rate", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            endpoint = re.fullmatch(r"export HF_ENDPOINT=(http://127\.0\.0\.1:\d+) .*\n", line)[1]
            me = send(endpoint, "/api/whoami-v2", Authorization="Bearer hf_test")
            server.send_signal(signal.SIGINT)
            _, stderr_text = server.communicate(timeout=600)
        finally:
            server.kill()
    assert json.loads(me.body)["name"] == "me"
    assert '"GET /api/whoami-v2 HTTP/1.1" 200' in stderr_text
    assert server.returncode == 0
