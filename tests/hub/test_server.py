"""The loopback Hub: the real client works against it, and is told no where the Hub says no."""

import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub as hf
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from huggingface_hub import errors as hf_errors
from huggingface_hub.utils import _http

from tests.support.hub import Hub
from tests.support.hub.raw import send

LARGE = bytes(range(256)) * 40  # NUL inside: the Hub keeps it in LFS
FILES = {"data/train.bin": LARGE, "notes.txt": b"hello"}
REPO = "up/data"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        hub.add_token("hf_me", "me", orgs=("team",))
        hub.add_token("hf_you", "you")
        yield hub


@pytest.fixture
def api(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[hf.HfApi]:
    """The client inside this process; the constants were read from the environment at import."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)  # not curate's session
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    hf.close_session()
    yield hf.HfApi(endpoint=hub.endpoint, token="hf_me")
    hf.close_session()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def python(hub: Hub, home: Path, code: str) -> str:
    """What a program of its own prints, with the Hub's environment."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub.env(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# the client


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own way of sending a file
def test_upload_and_read_back(hub: Hub, api: hf.HfApi, tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", {**FILES, "README.md": b"---\nlicense: mit\n---\nHello\n"})
    url = api.create_repo("me/new", repo_type="dataset")
    made = api.upload_folder(repo_id="me/new", repo_type="dataset", folder_path=folder, commit_message="all")
    assert str(url) == f"{hub.endpoint}/datasets/me/new"
    assert [(c.title, c.author) for c in hub.commits("me/new")] == [("all", "me"), ("initial commit", "me")]
    assert hub.branches("me/new") == {"main": made.oid}
    files = hub.files("me/new")
    assert {name: files[name] for name in FILES} == FILES
    assert sorted(files) == [".gitattributes", "README.md", "data/train.bin", "notes.txt"]
    assert [seen.path.rsplit("/", 1)[-1] for seen in hub.seen("put")] == [hashlib.sha256(LARGE).hexdigest()]
    assert hub.seen("put")[0].received == len(LARGE)

    local = api.snapshot_download("me/new", repo_type="dataset", revision=made.oid, cache_dir=tmp_path / "cache")
    assert {name: (Path(local) / name).read_bytes() for name in FILES} == FILES
    assert api.verify_repo_checksums("me/new", repo_type="dataset", local_dir=local).mismatches == []

    again = api.upload_folder(repo_id="me/new", repo_type="dataset", folder_path=folder)
    assert again.oid == made.oid
    assert len(hub.commits("me/new")) == 2


def test_listing_names_what_git_and_lfs_call_a_file(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo(REPO, FILES, license=None)
    note, train = api.get_paths_info(REPO, ["notes.txt", "data/train.bin", "absent"], repo_type="dataset")
    assert (note.size, note.blob_id, note.lfs) == (5, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", None)
    assert (train.lfs.size, train.lfs.sha256) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    (folder, top) = api.list_repo_tree(REPO, repo_type="dataset")
    assert (folder.path, top.path) == ("data", "notes.txt")
    info = api.dataset_info(REPO, files_metadata=True)
    assert {s.rfilename: s.blob_id for s in info.siblings} == {f.path: f.blob_id for f in (note, train)}


def test_a_long_listing_comes_in_pages(tmp_path: Path) -> None:
    names = [f"{i}.txt" for i in range(5)]
    with Hub(tmp_path, page=2) as hub:
        hub.add_repo(REPO, dict.fromkeys(names, b"x"), license=None)
        path, found = f"/api/datasets/{REPO}/tree/main?recursive=true", []
        while path:
            page = send(hub.endpoint, path)
            found.append([item["path"] for item in json.loads(page.body)])
            link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("Link", ""))
            path = link[1].removeprefix(hub.endpoint) if link else ""
    assert found == [["0.txt", "1.txt"], ["2.txt", "3.txt"], ["4.txt"]]


def test_every_revision_keeps_its_files_and_its_licence(hub: Hub, api: hf.HfApi, tmp_path: Path) -> None:
    first = hub.add_repo(REPO, FILES, license="mit")
    second = hub.commit(REPO, {"notes.txt": b"hello you", "README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    third = hub.commit(REPO, {"data/train.bin": None}, title="gone")
    assert [c.id for c in hub.commits(REPO)] == [third, second, first]
    assert [api.dataset_info(REPO, revision=r).card_data.license for r in (first, second)] == ["mit", "cc-by-4.0"]
    assert api.dataset_info(REPO).sha == third
    assert (hub.files(REPO, first)["notes.txt"], hub.files(REPO)["notes.txt"]) == (b"hello", b"hello you")
    items = api.list_repo_tree(REPO, repo_type="dataset", expand=True)
    assert {i.path: i.last_commit.oid for i in items} == {"README.md": second, "notes.txt": second}
    common = {"repo_type": "dataset", "cache_dir": tmp_path}
    with pytest.raises(hf_errors.RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "data/train.bin", **common)
    with pytest.raises(hf_errors.RevisionNotFoundError):
        api.dataset_info(REPO, revision="no-such-branch")
    with pytest.raises(hf_errors.RepositoryNotFoundError):
        api.dataset_info("up/absent")


def test_same_history_same_ids_and_a_restart_keeps_them(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        with Hub(tmp_path / name) as hub:
            ids.append((hub.add_repo(REPO, FILES), hub.commit(REPO, {"x": b"y"})))
    with Hub(tmp_path / "a") as hub:
        kept = json.loads(send(hub.endpoint, f"/api/datasets/{REPO}").body)["sha"]
    assert ids[0] == ids[1]
    assert kept == ids[0][1]


@pytest.mark.parametrize("cdn", [False, True])
def test_load_dataset(tmp_path: Path, cdn: bool) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), file)
    with Hub(tmp_path / "hub", cdn=cdn) as hub:
        hub.add_repo(REPO, {"train.parquet": file.getvalue()})
        code = f"import datasets; print(datasets.load_dataset({REPO!r})['train']['text'][:])"
        assert python(hub, tmp_path, code) == "['a', 'b']\n"
        bodies = [seen for seen in hub.seen("get", "train.parquet") if seen.status == 200]
    assert [seen.path.startswith("/_cdn/") for seen in bodies] == [cdn]
    assert [seen.sent for seen in bodies] == [file.tell()]


def test_hf_download(hub: Hub, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES)
    command = [
        Path(sys.executable).with_name("hf"),
        "download",
        REPO,
        "--repo-type",
        "dataset",
        "--local-dir",
        tmp_path / "got",
    ]
    subprocess.run(command, env=hub.env(tmp_path), check=True, capture_output=True)
    assert {name: (tmp_path / "got" / name).read_bytes() for name in FILES} == FILES


def test_branches(hub: Hub, api: hf.HfApi) -> None:
    head = hub.add_repo("me/mix", FILES)
    kind = {"repo_type": "dataset"}
    api.create_branch("me/mix", branch="upload", **kind)
    with pytest.raises(hf_errors.HfHubHTTPError, match="Reference already exists"):
        api.create_branch("me/mix", branch="upload", **kind)
    copy = hf.CommitOperationCopy("data/train.bin", "data/copy.bin")
    made = api.create_commit("me/mix", [copy], commit_message="copy", revision="upload", **kind)
    assert {b.name: b.target_commit for b in api.list_repo_refs("me/mix", **kind).branches} == {
        "main": head,
        "upload": made.oid,
    }
    assert hub.files("me/mix", "upload")["data/copy.bin"] == LARGE
    api.delete_branch("me/mix", branch="upload", **kind)
    assert hub.branches("me/mix") == {"main": head}
    with pytest.raises(hf_errors.HfHubHTTPError, match="Cannot delete the main branch"):
        api.delete_branch("me/mix", branch="main", **kind)


def test_a_card_with_an_unknown_licence_is_refused(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo("me/mix", FILES)
    card = b"---\nlicense: my own\n---\n"
    with pytest.raises(ValueError, match='"license" must be one of'):
        api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="me/mix", repo_type="dataset")
    assert len(hub.commits("me/mix")) == 1


# who may do what


def test_a_private_repo_exists_for_its_owner_only(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo("team/secret", FILES, private=True)
    assert api.dataset_info("team/secret").private is True
    for token in (False, "hf_you"):
        with pytest.raises(hf_errors.RepositoryNotFoundError) as raised:
            api.dataset_info("team/secret", token=token)
        assert raised.value.response.status_code == 404


def test_a_gated_repo_shows_its_listing_and_keeps_its_files(hub: Hub, api: hf.HfApi, tmp_path: Path) -> None:
    hub.add_repo(REPO, FILES, gated=True)
    assert api.dataset_info(REPO, token=False).gated == "auto"
    for token, status in ((False, 401), ("hf_me", 403)):
        with pytest.raises(hf_errors.GatedRepoError) as raised:
            api.hf_hub_download(REPO, "notes.txt", repo_type="dataset", token=token, cache_dir=tmp_path)
        assert raised.value.response.status_code == status
    hub.grant(REPO, "me")
    path = api.hf_hub_download(REPO, "notes.txt", repo_type="dataset", cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"hello"


def test_tokens(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo("me/mix", FILES)
    assert [api.whoami()["name"], [org["name"] for org in api.whoami()["orgs"]]] == ["me", ["team"]]
    with pytest.raises(hf_errors.HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_nobody")
    for token, status in ((False, 401), ("hf_you", 403)):
        with pytest.raises(hf_errors.HfHubHTTPError) as raised:
            api.delete_file("notes.txt", "me/mix", repo_type="dataset", token=token)
        assert raised.value.response.status_code == status
    assert hub.files("me/mix")["notes.txt"] == b"hello"


# commits that fail


def add(api: hf.HfApi, parent: str | None = None) -> str:
    operation = hf.CommitOperationAdd("new.txt", b"new")
    return api.create_commit(
        "me/mix", [operation], commit_message="mine", repo_type="dataset", parent_commit=parent
    ).oid


def test_an_old_parent_is_412(hub: Hub, api: hf.HfApi) -> None:
    first = hub.add_repo("me/mix", FILES)
    second = hub.commit("me/mix", {"notes.txt": b"changed"})
    with pytest.raises(hf_errors.HfHubHTTPError) as raised:
        add(api, parent=first)
    assert raised.value.response.status_code == 412
    assert add(api, parent=second) == hub.branches("me/mix")["main"]


def test_a_race_is_412_and_the_other_commit_is_there(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo("me/mix", FILES)
    hub.fail("race", on="commit", files={"other.txt": b"theirs"})
    with pytest.raises(hf_errors.HfHubHTTPError) as raised:
        add(api)
    assert raised.value.response.status_code == 412
    assert [c.author for c in hub.commits("me/mix")] == ["somebody-else", "me"]
    add(api)
    assert {"new.txt", "other.txt"} <= set(hub.files("me/mix"))


def test_a_lost_reply_leaves_the_commit_and_the_next_try_makes_no_second(hub: Hub, api: hf.HfApi) -> None:
    hub.add_repo("me/mix", FILES)
    hub.fail("lost", on="commit")
    with pytest.raises(httpx2.RemoteProtocolError):
        add(api)
    assert [c.title for c in hub.commits("me/mix")] == ["mine", "first files"]
    assert add(api) == hub.branches("me/mix")["main"]
    assert len(hub.commits("me/mix")) == 2


@pytest.mark.parametrize(("kind", "commits"), [("lost-504", 2), ("504", 1), ("reset", 1), ("drop", 1)])
def test_what_a_failed_commit_leaves(hub: Hub, api: hf.HfApi, kind: str, commits: int) -> None:
    hub.add_repo("me/mix", FILES)
    hub.fail(kind, on="commit")
    with pytest.raises((hf_errors.HfHubHTTPError, httpx2.TransportError)):
        add(api)
    assert len(hub.commits("me/mix")) == commits


def test_large_files_must_be_what_they_say_and_be_there_before_the_commit(hub: Hub) -> None:
    hub.add_repo("me/mix", {})
    oid, token = hashlib.sha256(LARGE).hexdigest(), {"Authorization": "Bearer hf_me"}
    batch = json.dumps({"operation": "upload", "objects": [{"oid": oid, "size": len(LARGE)}]}).encode()
    made = json.loads(
        send(hub.endpoint, "/datasets/me/mix.git/info/lfs/objects/batch", "POST", batch, **token).body
    )
    href = made["objects"][0]["actions"]["upload"]["href"].removeprefix(hub.endpoint)
    lines = [
        {"key": "header", "value": {"summary": "large"}},
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": oid, "size": len(LARGE)}},
    ]
    commit = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    statuses = [
        send(hub.endpoint, "/api/datasets/me/mix/commit/main", "POST", commit, **token).status,
        send(hub.endpoint, href, "PUT", LARGE[:-1]).status,
        send(hub.endpoint, href.split("?")[0], "PUT", LARGE).status,
        send(hub.endpoint, href, "PUT", LARGE).status,
        send(hub.endpoint, "/api/datasets/me/mix/commit/main", "POST", commit, **token).status,
    ]
    assert statuses == [400, 400, 403, 200, 200]
    again = json.loads(
        send(hub.endpoint, "/datasets/me/mix.git/info/lfs/objects/batch", "POST", batch, **token).body
    )
    assert "actions" not in again["objects"][0]
