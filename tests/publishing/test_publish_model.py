"""A model comes onto the Hub whole, in one commit, without secrets; another one replaces it."""

import json
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.hub import Hub

REPO, TOKEN = "me/judge", "hf_writer"


@pytest.fixture
def hub(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        hub.add_token(TOKEN, "me")
        yield hub


def model(root: Path, seed: int = 0, shards: int = 1) -> Path:
    """A directory as `curate export` writes it."""
    directory = root / "exported"
    (directory / "vllm_plugin").mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.safetensors"):
        old.unlink()
    for number in range(shards):
        name = f"model-{number}.safetensors" if shards > 1 else "model.safetensors"
        (directory / name).write_bytes(bytes([seed, number]) * 50_000)
    (directory / "config.json").write_text(json.dumps({"architectures": ["X"], "seed": seed}))
    (directory / "README.md").write_text("---\nlicense: mit\ntags: [reward-model]\n---\n\n# exported\n")
    (directory / "vllm_plugin" / "curate_vllm.py").write_text("MODELS = {}\n")
    (directory / ".hidden").write_text("not this")
    return directory


def publish(hub: Hub, root: Path, *args: str, code: int = 0, token: str | None = TOKEN) -> tuple[str, list[str]]:
    fast = {"CURATE_HUB_FIRST_WAIT": "0.01", "COLUMNS": "200"}
    command = Command("publish-model", *args, env=hub.env(root / "home", token, **fast), cwd=root)
    out, stderr_text = command.communicate()
    assert command.returncode == code, stderr_text
    assert TOKEN not in out + stderr_text
    assert "Traceback" not in stderr_text
    return out, stderr_text.splitlines()


def held(hub: Hub) -> dict[str, bytes]:
    return {path: data for path, data in hub.files(REPO, type="model").items() if path != ".gitattributes"}


def wanted(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and path.name != ".hidden"]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def test_a_model_is_published_once(hub, tmp_path):
    directory = model(tmp_path)
    out, lines = publish(hub, tmp_path, "exported", REPO, "--private", "--json")
    assert held(hub) == wanted(directory)
    assert hub.repo(REPO, "model").settings["private"] is True
    head, _ = hub.commits(REPO, type="model")
    assert json.loads(out) == {"repo": REPO, "commit": head.id, "fresh": True}
    assert lines[-1] == f"exported: published: {hub.endpoint}/me/judge at {head.id[:10]}"
    assert head.title == "exported, by curate 0.1.0"
    assert set(hub.branches(REPO, type="model")) == {"main"}

    _, lines = publish(hub, tmp_path, "exported", REPO, "--private")
    assert "already there, no commit made" in lines[-1]
    assert len(hub.commits(REPO, type="model")) == 2


def test_another_model_replaces_it(hub, tmp_path):
    model(tmp_path, shards=2)
    publish(hub, tmp_path, "exported", REPO)
    directory = model(tmp_path, seed=1)
    publish(hub, tmp_path, "exported", REPO)
    assert held(hub) == wanted(directory)  # without the shards of before
    assert len(hub.commits(REPO, type="model")) == 3


def test_a_commit_whose_answer_is_lost_is_not_repeated(hub, tmp_path):
    directory = model(tmp_path)
    hub.fail("lost", on="commit", times=1)
    publish(hub, tmp_path, "exported", REPO)
    assert held(hub) == wanted(directory)
    assert len(hub.commits(REPO, type="model")) == 2


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("config.json", '{"key": "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"}', "config.json, line 1: contains"),
        ("README.md", "{root}/exported/model", "README.md, line 1: contains the path of"),
    ],
)
def test_secrets_and_paths_stay_here(hub, tmp_path, name, text, found):
    directory = model(tmp_path)
    (directory / name).write_text(text.replace("{root}", str(tmp_path)))
    _, lines = publish(hub, tmp_path, "exported", REPO, code=1)
    assert any(found in line for line in lines), lines
    assert not hub.seen("create")


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("nowhere", REPO), "nowhere: no config.json"),
        (("exported", "judge"), "judge: not the name of a repository"),
        (("exported", "me/mix"), "me/mix: is a dataset; expected a model repository, or none"),
    ],
)
def test_what_cannot_be_published(hub, tmp_path, args, found):
    model(tmp_path)
    hub.add_repo("me/mix", {"a.txt": b"a"})
    _, lines = publish(hub, tmp_path, *args, code=1)
    assert any(line.startswith(f"error: {found}") for line in lines), lines


def test_visibility_and_card(hub, tmp_path):
    directory = model(tmp_path)
    publish(hub, tmp_path, "exported", REPO, "--private")
    _, lines = publish(hub, tmp_path, "exported", REPO, code=1)
    assert lines[-2:] == ["error: me/judge: the repository is private; expected as asked", "hint: add --private"]
    (directory / "README.md").unlink()
    _, lines = publish(hub, tmp_path, "exported", REPO, code=1)
    assert "no README.md" in lines[-2]
