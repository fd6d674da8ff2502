"""Answers that are not the Hub's: each is one line, no file is wrong, and no other host ever sees the token."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.errors import HubError
from curate.hub import client, session
from curate.hub.preview import preview
from curate.hub.retry import RetryPolicy
from tests.support.hub import ENDPOINTS, HOSTILE, Hub, OtherHost
from tests.support.hub_commands import curate

REPO, FILE, TOKEN = "nvidia/HelpSteer3", "preference/train.jsonl.gz", "hf_reader"
DATA = hashlib.shake_256(b"rows").digest(40_000)
HARMLESS = {("info", "digits"), ("info", "negative"), ("info", "gated-word")}
"""These change nothing that curate reads, or are understood."""

CASES = [(on, kind) for on in ("info", "tree", "get") for kind in ENDPOINTS[on] if kind in HOSTILE]


@pytest.fixture
def other_host() -> Iterator[OtherHost]:
    with OtherHost() as other_host:
        yield other_host


@pytest.fixture
def hub(tmp_path: Path, other_host: OtherHost) -> Iterator[Hub]:
    with Hub(tmp_path / "hub", away=other_host.endpoint) as hub:
        hub.add_token(TOKEN, "nvidia")
        hub.add_repo(REPO, {FILE: DATA, "b.txt": b"b"}, private=True)
        yield hub


def run(hub: Hub, root: Path, *command: str, **env: str) -> list[str]:
    """What the command says on stderr; it ends with one line of an error and one of a hint, if it fails."""
    done = curate(hub, root, *command, **{"HF_TOKEN": TOKEN, "CURATE_HUB_ATTEMPTS": "2", **env})
    lines = done.stderr.splitlines()
    assert TOKEN not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert [line.split()[0] for line in lines[-2:]] == ["error:", "hint:"], done.stderr
        assert sum(line.startswith("error:") for line in lines) == 1
        return lines[-2:]
    return []


@pytest.mark.parametrize(("on", "kind"), CASES)
def test_a_hostile_answer_is_one_line_and_the_next_run_is_right(hub, other_host, tmp_path, on, kind):
    if on == "get":
        assert run(hub, tmp_path, "pin", "helpsteer3") == []
    hub.fail(kind, on=on, times=50)
    command = "fetch" if on == "get" else "pin"
    assert bool(run(hub, tmp_path, command, "helpsteer3")) == ((on, kind) not in HARMLESS)
    assert other_host.saw(TOKEN) == []
    assert len(hub.log) <= 2, "asked no more often than CURATE_HUB_ATTEMPTS says"
    hub.heal()
    for command in ("pin", "fetch"):
        assert run(hub, tmp_path, command, "helpsteer3") == []
    (found,) = (tmp_path / "data/raw/helpsteer3").rglob("train.jsonl.gz")
    assert found.read_bytes() == DATA


def test_the_next_page_is_on_the_same_host_or_an_error(hub, other_host, tmp_path):
    hub.fail("link-away", on="tree")
    error, hint = run(hub, tmp_path, "pin", "helpsteer3")
    place = other_host.endpoint.removeprefix("http://")
    assert error == (
        f"error: 127.0.0.1: the answer leads to another host, {place}; expected an address on its own host"
    )
    assert hint == "hint: check HF_ENDPOINT and the proxy: a login page may have answered"
    assert other_host.seen == []


def test_a_page_that_names_itself_is_an_error(hub, tmp_path):
    hub.fail("link-self", on="tree", times=50)
    error, _ = run(hub, tmp_path, "pin", "helpsteer3")
    assert error.endswith(": a page of the listing names itself as the next one; expected a listing that ends")
    assert len(hub.seen("tree")) == 1


def test_the_token_stays_where_a_file_is_redirected_to_another_host(hub, other_host, tmp_path):
    assert run(hub, tmp_path, "pin", "helpsteer3") == []
    hub.fail("away", on="get")
    assert run(hub, tmp_path, "fetch", "helpsteer3") == []
    (found,) = (tmp_path / "data/raw/helpsteer3").rglob("train.jsonl.gz")
    assert found.read_bytes() == DATA
    assert len(other_host.seen) == 1
    assert b"authorization" not in other_host.seen[0].lower()
    assert other_host.saw(TOKEN) == []


@pytest.fixture
def here(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The Hub as this very process sees it, whose settings were read at import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def test_a_listing_that_never_ends_is_cut(here, monkeypatch):
    here.set_pages(1)
    monkeypatch.setattr(client, "PAGES", 2)
    with pytest.raises(HubError, match=r"a page of the listing is number 3; expected a listing that ends"):
        client.resolve(REPO, "main", RetryPolicy())


@pytest.mark.usefixtures("here")
def test_an_answer_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(session, "LONGEST_ANSWER", 100)
    with pytest.raises(
        HubError, match=r"^127\.0\.0\.1: the answer has more than 100 bytes; expected an answer of the"
    ):
        client.resolve(REPO, "main", RetryPolicy())


def test_an_answer_that_trickles_ends_with_our_seconds(hub, tmp_path):
    hub.fail("trickle", on="tree", times=50, seconds=4)
    error, _ = run(hub, tmp_path, "pin", "helpsteer3", CURATE_HUB_SECONDS="0.5")
    assert " the answer of 127.0.0.1 took more than 0.5 s (once in " in error


def test_a_card_that_names_files_elsewhere_is_not_previewed(here, other_host):
    card = f"---\nconfigs:\n- config_name: a\n  data_files: [{other_host.endpoint}/x.csv]\n---\n"
    here.commit(REPO, {"README.md": card.encode()})
    with pytest.raises(HubError, match="its card names a file elsewhere: http://127"):
        preview(REPO, RetryPolicy())
    assert other_host.seen == []


def test_a_page_of_a_mirror_that_names_the_hub_itself_is_the_mirrors(hub, tmp_path):
    """Mirrors pass on the Hub's own addresses."""
    hub.set_pages(1, link="https://huggingface.co")
    assert run(hub, tmp_path, "pin", "helpsteer3") == []
    assert len(hub.seen("tree")) == 4  # three files and a folder, one a page


def test_an_unknown_word_for_gated_means_gated(hub, tmp_path):
    hub.fail("gated-word", on="info")
    assert run(hub, tmp_path, "pin", "helpsteer3") == []
    assert "\ngated: true\n" in (tmp_path / "manifests/helpsteer3.yaml").read_text()


def test_names_as_long_as_a_disk_allows_are_fetched_and_longer_ones_refused(hub, tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/own.yaml").write_text(
        "adapter: preference\nrepo: up/long\nfiles: ['*.jsonl']\ncolumns: {prompt: p, chosen: c, rejected: r}\n"
    )
    long = "n" * 249 + ".jsonl"
    hub.add_repo("up/long", {long: b'{"p": "a"}\n'})
    assert run(hub, tmp_path, "pin", "own") == []
    assert run(hub, tmp_path, "fetch", "own") == []
    (found,) = (tmp_path / "data/raw/own").glob("*/*.jsonl")
    assert (found.name, found.read_bytes()) == (long, b'{"p": "a"}\n')
    hub.commit("up/long", {f"n{long}": b"{}\n"})
    error, _ = run(hub, tmp_path, "pin", "own")
    assert error.endswith(" has 256 bytes, and a disk holds 255")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"HF_ENDPOINT": ""}, "HF_ENDPOINT: found ''"),
        ({"HF_ENDPOINT": "http://a b"}, "HF_ENDPOINT: found 'http://a b'"),
        ({"HF_ENDPOINT": "http://a\nb"}, "HF_ENDPOINT: found 'http://a\\nb'"),
        ({"HF_ENDPOINT": "http://[::1"}, "HF_ENDPOINT: found 'http://[::1'"),
        ({"HF_ENDPOINT": "http://h:port"}, "HF_ENDPOINT: found 'http://h:port'"),
        ({"HF_ENDPOINT": "http://h\u00f6st"}, "HF_ENDPOINT: found 'http://h\u00f6st'"),
        ({"HF_ENDPOINT": "ftp://me:secret@h"}, "HF_ENDPOINT: found an address with a password"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, "HF_HUB_DOWNLOAD_TIMEOUT: found 'soon'; expected whole seconds"),
        ({"HF_HUB_ETAG_TIMEOUT": "\u0663"}, "HF_HUB_ETAG_TIMEOUT: found '\u0663'; expected whole seconds above 0"),
        ({"HF_TOKEN": "hf a"}, "the token: has a space or a character that no token has"),
        ({"HF_TOKEN": "hf_\u00e9"}, "the token: has a space or a character that no token has"),
        ({"HF_TOKEN": "hf_\x1b[0m"}, "the token: has a space or a character that no token has"),
        ({"HTTP_PROXY": "nonsense://h", "NO_PROXY": ""}, "the network settings: not valid (ValueError)"),
    ],
)
def test_odd_settings_are_one_line(hub, tmp_path, settings, error):
    found, hint = run(hub, tmp_path, "pin", "helpsteer3", **settings)
    assert found.startswith(f"error: {error}"), found
    assert len(hint) > 10
    assert hub.requests == []


@pytest.mark.parametrize("words", [("fetch", "helpsteer3"), ("init", REPO, "--yes"), ("pin", "--check")])
def test_an_odd_endpoint_is_one_line_in_every_command(hub, tmp_path, words):
    error, _ = run(hub, tmp_path, *words, HF_ENDPOINT="http://[::1")
    assert error == "error: HF_ENDPOINT: found 'http://[::1'; expected an address such as https://huggingface.co"


def test_an_empty_token_is_none(hub, tmp_path):
    error, _ = run(hub, tmp_path, "pin", "helpsteer3", HF_TOKEN=" \n")
    assert error == f"error: {REPO}: does not exist, or is private and you have no token"
