"""A Hub that answers wrongly while a mix is sent: one line, our own policy, no token to others, and no Xet."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.support import command, hub_runs
from tests.support.hub import ENDPOINTS, HOSTILE, Hub, OtherHost

REPO, TOKEN = "me/mix", "hf_writer"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The directory of mixes with one mix, `blend`, and the files that a repository must hold of it."""
    return hub_runs.make_mix(tmp_path_factory.mktemp("mixes"))


@pytest.fixture
def expected(made) -> dict[str, bytes]:
    return made[1]


@pytest.fixture
def root(made, tmp_path) -> Path:
    shutil.copytree(made[0], tmp_path / "data/mixes")
    return tmp_path


@pytest.fixture
def other_host():
    with OtherHost() as other_host:
        yield other_host


@pytest.fixture
def hub(tmp_path, other_host):
    with Hub(tmp_path / "hub", away=other_host.endpoint) as hub:
        hub.add_token(TOKEN, "me")
        yield hub


def publish(hub: Hub, root: Path, **more: str) -> tuple[int, list[str]]:
    settings = {"CURATE_HUB_FIRST_WAIT": "0.01", "CURATE_HUB_ATTEMPTS": "2", **more}
    words = ("publish", "blend", REPO, "--private", "--i-have-the-rights")
    done = command.curate(*words, env=hub.env(root / "home", TOKEN, **settings), cwd=root)
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()


def held(hub: Hub) -> dict[str, bytes]:
    return {path: data for path, data in hub.files(REPO).items() if path != ".gitattributes"}


HARMLESS = ("digits", "negative", "empty", "gated-word")  # to most endpoints: they end the loop


@pytest.mark.parametrize(
    "on", ["refs", "put", "commit", *(pytest.param(on, marks=pytest.mark.slow) for on in ("preupload", "batch"))]
)
def test_hostile_answers_are_one_line_each_and_the_mix_is_right_in_the_end(hub, other_host, root, expected, on):
    """One kind after the other strikes the endpoint, until a run succeeds in spite of one."""
    for kind in sorted(set(HOSTILE) & set(ENDPOINTS[on]), key=lambda kind: (kind in HARMLESS, kind)):
        hub.fail(kind, on=on)
    for _ in range(3 * len(HOSTILE)):
        code, lines = publish(hub, root)
        if code == 0:
            break
        assert [line.split()[0] for line in lines[-2:]] == ["error:", "hint:"], lines
    assert code == 0
    assert held(hub) == expected
    assert other_host.saw(TOKEN) == []
    assert len(hub.log) > 1


def test_the_token_is_not_sent_where_an_upload_is_to_be_verified(hub, other_host, root):
    hub.fail("href-away", on="batch")
    code, lines = publish(hub, root)
    assert code == 1
    assert lines[-2].startswith("error: 127.0.0.1: the answer leads to another host, 127.0.0.1:")
    assert {request.split()[0] for request in other_host.seen} == {b"PUT"}, "bytes go where they are to be stored"
    assert other_host.saw(TOKEN) == []


@pytest.mark.parametrize("setting", ["0", "", "no", "1"])
def test_xet_stays_off_whatever_the_environment_says(hub, root, expected, setting):
    code, lines = publish(hub, root, HF_HUB_DISABLE_XET=setting, HF_XET_HIGH_PERFORMANCE="1")
    assert (code, held(hub)) == (0, expected)
    assert [seen.path for seen in hub.requests if "xet" in seen.path] == []
    assert len(hub.seen("put")) > 0
    assert not [line for line in lines if "xet" in line.lower()]


def test_the_clients_bars_stay_off_whatever_the_environment_says(hub, root):
    code, lines = publish(hub, root, HF_HUB_DISABLE_PROGRESS_BARS="0", TQDM_POSITION="-1")
    assert code == 0
    assert not [line for line in lines if "it/s" in line or "%|" in line or "Upload" in line or "Warning" in line]
    assert f"{REPO}: {len(hub.seen('put'))} files, " in "\n".join(lines)


@pytest.mark.parametrize("on", ["put", "batch", "preupload"])
def test_only_our_policy_repeats_an_upload(hub, root, on):
    hub.fail("503", on=on, times=1000)
    code, lines = publish(hub, root, CURATE_HUB_ATTEMPTS="3")
    assert code == 1
    assert "the Hub answers 503 (3 times in " in lines[-2]
    assert max(Counter(struck.path for struck in hub.log).values()) == 3


@pytest.mark.parametrize("kind", ["503", "reset", "drop", "429"])
def test_an_upload_that_failed_is_sent_again_from_its_first_byte(hub, root, expected, kind):
    hub.fail(kind, on="put")
    assert publish(hub, root)[0] == 0
    assert held(hub) == expected
    assert [seen.status for seen in hub.seen("put") if seen.status == 400] == []


@pytest.mark.parametrize("on", ["put", "batch", "preupload", "commit", "whoami"])
def test_a_store_that_asks_for_an_hour_is_given_up_at_once(hub, root, on):
    hub.fail("429-retry-after", on=on, times=1000, seconds=3600)
    code, lines = publish(hub, root)
    assert code == 1
    assert ", and the server asks to wait 3,600 s)" in lines[-2]
    assert set(Counter(struck.path for struck in hub.log).values()) == {1}


def test_a_branch_that_is_made_and_never_listed_is_one_line(hub, root):
    hub.add_repo(REPO, {}, private=True)
    hub.fail("idle", on="branch", times=1000)
    code, lines = publish(hub, root)
    assert code == 1
    assert " was made and is not listed (2 times in " in lines[-2]
    assert len(hub.seen("branch")) == 2


@pytest.mark.parametrize(
    "seed", [*range(1), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))]
)
def test_seeded_runs_publish_included(tmp_path, made, seed):
    out = hub_runs.run(seed, tmp_path, *made)
    assert out.faultless(), out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 500))
def test_more_seeded_runs_publish_included(tmp_path, made, seed):
    out = hub_runs.run(seed, tmp_path, *made)
    assert out.faultless(), out
