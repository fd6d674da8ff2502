"""A mix comes onto the Hub whole and once, whatever the network does, and nothing goes there that should not."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.build import build
from curate.cards import figures, mix_card
from curate.cards.recipe_text import recipe_text
from curate.checksums import write_record
from curate.engines.local import Local
from curate.errors import WorkspaceError
from curate.inputs import Inputs
from curate.inspect.artefacts import Mix
from curate.publishing import bundle
from curate.publishing.bundle import Item
from curate.publishing.uploads import portions
from curate.recipe import load
from curate.workspace import Workspace
from tests.support.command import Command
from tests.support.hub import Hub, Plan
from tests.support.hub_commands import without_seconds
from tests.support.samples import SAMPLES, Silent

REPO, TOKEN = "me/mix", "hf_writer"
RECIPE = (SAMPLES.parent / "recipes/quickstart.yaml").read_text()
ULTRA = "  ultra_hard: {source: ultrafeedback, all: true, options: {pairing: ultra_hard}}\n"
CHANGED = RECIPE.replace("rows: 30", "rows: 10").replace(ULTRA, "").replace("max_mb: 0.1", "max_mb: 0.2")


@pytest.fixture(scope="module")
def mixes(tmp_path_factory):
    """The quickstart mix, and the one of a changed recipe with fewer shards: their locks; `make` makes more."""
    root = tmp_path_factory.mktemp("mixes")

    def make(recipe: str) -> dict:
        (root / "recipe.yaml").write_text(recipe)
        inputs = Inputs(workspace=Workspace(root / "data"), raw=SAMPLES)
        with Local(1) as engine:
            return build(load(root / "recipe.yaml"), inputs, engine, Silent()).lock

    return SimpleNamespace(directory=root / "data/mixes", make=make, first=make(RECIPE), second=make(CHANGED))


@pytest.fixture
def root(mixes, tmp_path):
    shutil.copytree(mixes.directory, tmp_path / "data/mixes")
    return tmp_path


@pytest.fixture
def hub(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        hub.add_token(TOKEN, "me")
        yield hub


def folder(root: Path, lock: dict) -> Path:
    return root / "data/mixes/quickstart" / lock["fingerprint"]


def title(lock: dict) -> str:
    return f"quickstart@{lock['fingerprint'][:8]}"


def files(root: Path, lock: dict) -> dict[str, bytes]:
    """What a repository must hold of a mix: all but the sheet for its maker, of which its lock says nothing."""
    there = folder(root, lock)
    found = {p.relative_to(there).as_posix(): p.read_bytes() for p in there.rglob("*") if p.is_file()}
    del found["review.parquet"], found["lock.json.xxh3"]
    facts = json.loads(found["lock.json"])
    del facts["review"]
    found["lock.json"] = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    return {**found, "recipe.yaml": recipe_text(lock["recipe"]).encode()}


def held(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    return {path: data for path, data in hub.files(REPO, revision).items() if path != ".gitattributes"}


def start(hub: Hub, root: Path, *args: str, token: str | None = TOKEN, **env: str) -> Command:
    fast = {"CURATE_HUB_FIRST_WAIT": "0.01", "COLUMNS": "200", **env}
    return Command("publish", *args, env=hub.env(root / "home", token, **fast), cwd=root)


def publish(
    hub: Hub, root: Path, lock: dict, *args: str, code: int = 0, repo: str = REPO, **more
) -> SimpleNamespace:
    """`curate publish` in a process of its own, with --private unless --public is given."""
    arguments = [arg for arg in args if arg != "--public"] + ([] if "--public" in args else ["--private"])
    process = start(hub, root, title(lock), repo, *arguments, **more)
    out, stderr_text = process.communicate()
    assert process.returncode == code, stderr_text
    assert TOKEN not in out + stderr_text
    assert not [line for line in stderr_text.splitlines() if "Traceback" in line or "Warning" in line], stderr_text
    return SimpleNamespace(out=out, lines=stderr_text.splitlines())


def error(done: SimpleNamespace) -> list[str]:
    """The error and the hint that a command ended with."""
    first = next(i for i, line in enumerate(done.lines) if line.startswith("error:"))
    return done.lines[first:]


def is_published_once(hub: Hub, root: Path, lock: dict, commits: int = 2) -> None:
    assert held(hub) == files(root, lock)
    assert len(hub.commits(REPO)) == commits, "the first commit of the repository, and one of ours"
    assert set(hub.branches(REPO)) == {"main"}


# the way there


def test_a_mix_is_published_whole_and_once(hub, root, mixes):
    lock = mixes.first
    done = publish(hub, root, lock)
    is_published_once(hub, root, lock)
    head, first = hub.commits(REPO)
    name = title(lock)
    assert (head.title, first.title) == (f"{name}: {lock['rows']} pairs, by curate 0.1.0", "initial commit")
    assert done.lines[-2] == f"{name}: published: {hub.endpoint}/datasets/me/mix at {head.id[:10]}"
    assert done.lines[-1] == "open:  load_dataset('me/mix')"
    assert hub.repo(REPO).settings["private"] is True
    assert len(hub.seen("put")) == len(lock["files"]) + len(lock["decisions"]), "nothing is sent twice"

    notes = root / "data/publish/me/mix"
    text = (notes / f"{lock['fingerprint']}.json").read_text()
    assert {name: json.loads(text)[name] for name in ("repo", "revision", "promoted")} == {
        "repo": REPO, "revision": "main", "promoted": head.id,
    }  # fmt: skip
    assert not [secret for secret in (TOKEN, str(root)) if secret in text]
    assert sorted(path.name for path in notes.iterdir()) == [".lock", f"{lock['fingerprint']}.json"]

    for again in ("with its receipt", "without"):
        hub.requests.clear()
        done = publish(hub, root, lock, "--json")
        assert json.loads(done.out) == {"repo": REPO, "revision": "main", "commit": head.id, "fresh": False}
        assert done.lines[-2].startswith(f"{name}: already there, no commit made: "), again
        assert {seen.endpoint for seen in hub.requests} <= {"whoami", "info", "refs", "tree"}
        assert hub.commits(REPO)[0].id == head.id
        shutil.rmtree(notes)


LOAD = """
import datasets, hashlib, json, sys
found = datasets.load_dataset(sys.argv[1], **json.loads(sys.argv[2]))
for split, rows in found.items():
    for row in rows:
        images = [[*i.size, hashlib.sha256(i.convert("RGB").tobytes()).hexdigest()] for i in row["images"]]
        print(json.dumps([split, row["pair_id"], row["repeat"], images]))
"""


def rows_of(hub: Hub, root: Path, name: str, **more) -> list:
    """What `load_dataset` gives, in a process of its own: split, pair id, repeat and decoded images per row."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, name, json.dumps(more)],
        env=hub.env(root / "home", TOKEN), cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_load_dataset_gives_the_pairs_and_images_of_the_shards(hub, root, mixes):
    import pyarrow.parquet as pq

    publish(hub, root, mixes.first)
    found = rows_of(hub, root, REPO)
    there = folder(root, mixes.first)
    shards = {split: sorted(str(path) for path in there.glob(f"{name}-*.parquet"))
              for split, name in (("train", "shard"), ("holdout", "holdout"))}  # fmt: skip
    expected = [[split, *row.values()] for split, paths in shards.items() for path in paths
                for row in pq.read_table(path, columns=["pair_id", "repeat"]).to_pylist()]  # fmt: skip
    assert [row[:3] for row in found] == expected
    assert len(found) == mixes.first["rows"] + mixes.first["held_out"]
    assert found == rows_of(hub, root, "parquet", data_files=shards)
    assert sum(bool(row[3]) for row in found) > 100


def test_a_changed_recipe_replaces_its_files_and_no_others(hub, root, mixes):
    publish(hub, root, mixes.first)
    hub.commit(REPO, {"notes.md": b"mine", "decisions/notes.txt": b"mine too", "plots/own.svg": b"<svg/>"})
    removed = sorted(set(files(root, mixes.first)) - set(files(root, mixes.second)))
    assert [name for name in removed if name.startswith("shard")], "the changed mix has fewer shards"
    assert "decisions/ultra_hard.parquet" in removed
    before = hub.branches(REPO)
    done = publish(hub, root, mixes.second, "--dry-run", "--json")
    assert (json.loads(done.out)["delete"], json.loads(done.out)["fresh"]) == (removed, True)
    assert hub.branches(REPO) == before

    publish(hub, root, mixes.second)
    strange = {"notes.md": b"mine", "decisions/notes.txt": b"mine too", "plots/own.svg": b"<svg/>"}
    assert held(hub) == {**files(root, mixes.second), **strange}
    assert len(hub.commits(REPO)) == 4
    assert len(rows_of(hub, root, REPO)) == mixes.second["rows"] + mixes.second["held_out"]


def test_another_branch_is_made_and_main_left_alone(hub, root, mixes):
    done = publish(hub, root, mixes.first, "--revision", "v2")
    assert (held(hub, "v2"), held(hub)) == (files(root, mixes.first), {})
    assert set(hub.branches(REPO)) == {"main", "v2"}
    assert done.lines[-1] == "open:  load_dataset('me/mix', revision='v2')"
    publish(hub, root, mixes.first)
    assert held(hub) == files(root, mixes.first)


# what goes wrong on the way


def test_a_race_is_run_again_on_the_new_head(hub, root, mixes):
    for number in range(2):
        hub.fail("race", on="commit", path="*/commit/main", files={f"other-{number}.txt": b"theirs"})
    publish(hub, root, mixes.first)
    assert held(hub) == {**files(root, mixes.first), "other-0.txt": b"theirs", "other-1.txt": b"theirs"}
    assert [commit.title for commit in hub.commits(REPO)[1:]] == ["another hand", "another hand", "initial commit"]


def test_a_race_lost_to_the_same_files_makes_no_commit(hub, root, mixes):
    hub.fail("race", on="commit", path="*/commit/main", files=files(root, mixes.first))
    publish(hub, root, mixes.first)
    assert held(hub) == files(root, mixes.first)
    assert [commit.title for commit in hub.commits(REPO)] == ["another hand", "initial commit"]


def test_another_mix_that_lands_between_look_and_commit_is_replaced_whole(hub, root, mixes):
    hub.fail("stall", on="preupload", path="*/preupload/main", seconds=600)
    process = start(hub, root, title(mixes.second), REPO, "--private")
    hub.wait(lambda: hub.log, process)
    hub.commit(REPO, files(root, mixes.first))  # it has more shards
    hub.end_stalls()
    stderr_text = process.communicate()[1]
    assert process.returncode == 0, stderr_text
    is_published_once(hub, root, mixes.second, commits=3)


def test_what_was_done_without_an_answer_is_found_and_not_repeated(hub, root, mixes):
    hub.fail("lost", on="create")
    hub.fail("lost", on="branch", times=2)
    hub.fail("lost", on="commit", path="*/commit/curate-*")
    hub.fail("lost-504", on="commit", path="*/commit/main")
    hub.fail("lost", on="put")
    hub.fail("lost-504", on="verify")
    publish(hub, root, mixes.first)
    is_published_once(hub, root, mixes.first)
    assert len(hub.log) == 7
    assert len(hub.seen("commit", f"/curate-{mixes.first['fingerprint']}")) == 1
    assert len(hub.seen("commit", "/main")) == 1


def test_every_passing_fault_passes(hub, root, mixes):
    for endpoint in ("whoami", "info", "refs", "tree", "create", "branch", "commit", "yaml"):
        for kind in ("500", "502", "503", "429", "drop"):
            hub.fail(kind, on=endpoint)
    for kind, endpoint in (("500", "preupload"), ("503", "batch"), ("reset", "put"), ("429", "verify")):
        hub.fail(kind, on=endpoint)  # few: here the client itself waits whole seconds
    hub.fail("429-retry-after", on="commit", path="*/main", seconds=1)
    hub.fail("429-ratelimit", on="refs", seconds=1)
    publish(hub, root, mixes.first, CURATE_HUB_ATTEMPTS="12")
    is_published_once(hub, root, mixes.first)
    assert len(hub.log) == 46


def test_attempts_end_with_one_line_and_main_as_it_was(hub, root, mixes):
    hub.fail("503", on="commit", path="*/main", times=3)
    done = publish(hub, root, mixes.first, code=1, CURATE_HUB_ATTEMPTS="3")
    assert [without_seconds(line) for line in error(done)] == [
        "error: me/mix: the Hub answers 503 (3 times in N s); expected an answer",
        "hint: run the same command again later: it continues from what is there",
    ]
    assert held(hub) == {}
    hub.requests.clear()
    publish(hub, root, mixes.first)
    is_published_once(hub, root, mixes.first)
    assert hub.seen("put") == [], "all was there already"


def test_a_file_that_reads_back_wrong_is_not_promoted(hub, root, mixes):
    """Somebody changes a file on the branch between our commit and our look."""
    other = {"shard-00000.parquet": b"PAR1 but not ours"}
    hub.fail("stall", on="commit", path="*/commit/curate-*", seconds=600)
    process = start(hub, root, title(mixes.first), REPO, "--private")
    ours = files(root, mixes.first)
    hub.wait(lambda: staged(hub, mixes.first) == ours, process)
    hub.commit(REPO, other, branch=f"curate-{mixes.first['fingerprint']}")
    hub.end_stalls()
    stderr_text = process.communicate()[1]
    assert process.returncode == 1
    assert (
        f"error: me/mix@curate-{mixes.first['fingerprint']}: shard-00000.parquet did not read back" in stderr_text
    )
    assert held(hub) == {}
    publish(hub, root, mixes.first)
    is_published_once(hub, root, mixes.first)


def staged(hub: Hub, lock: dict) -> dict[str, bytes]:
    try:
        return held(hub, f"curate-{lock['fingerprint']}")
    except Exception:  # noqa: BLE001 - the repository, or the branch, is not there yet
        return {}


@pytest.mark.parametrize(
    ("endpoint", "path", "skip"),
    [("put", "*", 3), ("commit", "*/commit/curate-*", 0), ("commit", "*/commit/main", 0), ("branch", "*", 1)],
    ids=["while sending", "staged", "promoted", "branch deleted"],
)
def test_a_killed_publish_goes_on(hub, root, mixes, endpoint, path, skip):
    """The request is done and its answer does not come: there the process is killed."""
    hub.fail("stall", on=endpoint, path=path, skip=skip, seconds=600)
    process = start(hub, root, title(mixes.first), REPO, "--private")
    hub.wait(lambda: any(seen.fault and seen.done for seen in hub.requests), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    publish(hub, root, mixes.first)
    is_published_once(hub, root, mixes.first)
    assert sent_again(hub, root, mixes.first) == {}, "no file is sent again that was there"
    assert json.loads(next((root / "data/publish/me/mix").glob("*.json")).read_text())["promoted"]


def sent_again(hub: Hub, root: Path, lock: dict) -> dict[str, int]:
    """Hash -> how often bytes came to the Hub, where that is more often than files of the mix have them."""
    stored = Counter(seen.path.rsplit("/", 1)[1] for seen in hub.seen("put") if seen.status == 200)
    there = Counter(hashlib.sha256(data).hexdigest() for data in files(root, lock).values())
    return dict(stored - there)


def test_many_files_go_in_a_few_commits_and_a_failed_run_keeps_those(hub, root, mixes):
    lock = mixes.make(RECIPE.replace("max_mb: 0.1", "max_mb: 0.003"))
    shutil.copytree(mixes.directory, root / "data/mixes", dirs_exist_ok=True)
    assert 100 < len(files(root, lock)) < 300
    parts = -(-len(files(root, lock)) // 100)
    hub.fail("503", on="commit", path="*/commit/curate-*", skip=1, times=2)
    publish(hub, root, lock, code=1, CURATE_HUB_ATTEMPTS="2")
    assert len(staged(hub, lock)) == 100
    notes = root / f"data/publish/me/mix/{lock['fingerprint']}.json"
    assert len(json.loads(notes.read_text())["commits"]) == 1
    done = publish(hub, root, lock)
    is_published_once(hub, root, lock)
    commits = [seen for seen in hub.seen("commit", f"/curate-{lock['fingerprint']}") if seen.status == 200]
    assert len(commits) == len(json.loads(notes.read_text())["commits"]) == parts
    assert sent_again(hub, root, lock) == {}
    assert f"me/mix: part 2 of {parts} on branch curate-{lock['fingerprint']}" in done.lines


def test_ctrl_c_says_that_the_same_command_goes_on(hub, root, mixes):
    hub.fail("stall", on="put", skip=3, seconds=600)
    process = start(hub, root, title(mixes.first), REPO, "--private")
    hub.wait(lambda: hub.log, process)
    process.send_signal(signal.SIGINT)
    hub.end_stalls()
    stderr_text = process.communicate()[1]
    assert process.returncode == 130, stderr_text
    assert stderr_text.splitlines()[-1] == "stopped; what is finished is kept, the same command continues"
    publish(hub, root, mixes.first)
    is_published_once(hub, root, mixes.first)


# what must not go out


def test_licences_must_be_known_to_allow_a_public_mix(hub, root, mixes):
    done = publish(hub, root, mixes.first, "--public", code=1)
    assert error(done) == [
        f"error: {title(mixes.first)}: sharing a changed copy is not known to be allowed by "
        "mm_rlhf (unknown), vlfeedback (unknown); expected a mix that may be shared in public",
        "hint: leave them out with `licenses: {exclude: [unknown]}` in the recipe, add --private, or, if you have "
        "the rights, add --i-have-the-rights",
    ]
    assert hub.requests == []
    done = publish(hub, root, mixes.first, "--public", "--i-have-the-rights")
    assert done.lines[0].endswith("is not known to be allowed by mm_rlhf (unknown), vlfeedback (unknown)")
    assert hub.repo(REPO).settings["private"] is False
    is_published_once(hub, root, mixes.first)


def edit(root: Path, lock: dict, change) -> None:
    """Change the lock of a mix, and leave the card to be made from it."""
    there = folder(root, lock)
    lock = json.loads((there / "lock.json").read_text())
    change(lock)
    write_record(there / "lock.json", lock)
    for path in (there / "README.md", there / "croissant.json", *there.glob("plots/*")):
        path.unlink()


def test_a_licence_that_forbids_changed_copies_forbids_private_ones_too(hub, root, mixes):
    def forbid(lock):
        next(x for x in lock["licenses"]["table"] if x["label"] == "povid")["license"] = "CC-BY-ND-4.0"

    edit(root, mixes.first, forbid)
    done = publish(hub, root, mixes.first, code=1)
    assert error(done) == [
        f"error: {title(mixes.first)}: sharing a changed copy is forbidden by povid "
        "(cc-by-nd-4.0); expected a mix that may be shared privately",
        "hint: leave them out with `licenses: {exclude: [cc-by-nd-4.0]}` in the recipe, or, if you have the "
        "rights, add --i-have-the-rights",
    ]
    assert hub.requests == []
    done = publish(hub, root, mixes.first, "--i-have-the-rights", "--dry-run")
    assert done.lines[-1] == "licences: you say that you have the rights"


def test_a_lock_without_licences_is_too_old(hub, root, mixes):
    edit(root, mixes.first, lambda lock: lock.pop("licenses"))
    assert error(publish(hub, root, mixes.first, "--i-have-the-rights", code=1)) == [
        f"error: {folder(root, mixes.first).relative_to(root)}: its lock has no licences; expected a table of "
        "licences",
        "hint: delete its directory and build it again with curate mix",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("key {token}!", "the token in use"),
        ("key hf_AbCdEfGhIjKlMnOpQrStUv", "what looks like a Hub token"),
        ("key AKIAIOSFODNN7EXAMPLE", "what looks like an AWS key"),
        ("from {root}/data", "the path of this workspace"),
        ("from {root}/home/tokenizer.json", "the path of your home directory"),
        ("from {root}/raw", "the path of this directory"),
    ],
)
def test_no_secret_and_no_local_path_is_sent(hub, root, mixes, text, what):
    edit(root, mixes.first, lambda lock: lock["recipe"].update(about=text.format(root=root, token=TOKEN)))
    done = publish(hub, root, mixes.first, code=1)
    assert error(done) == [
        f"error: README.md, line {line_of_about(mixes.first)}: contains {what}; expected no secret and no path "
        "of one machine",
        "hint: take it out of the recipe or manifest that it comes from, and build the mix again",
    ]
    assert not [seen for seen in hub.requests if seen.method not in ("GET", "HEAD")]


def line_of_about(lock: dict) -> int:
    lines = mix_card.card(lock).splitlines()
    return lines.index(lock["recipe"]["about"]) + 1


def test_paths_of_other_machines_and_longer_names_are_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.chdir(tmp_path)
    for text in ("/home/anna/x", "see https://x.org/home/ann", "/home/bob", "hf_hub_download", "a/b/home/ann.txt"):
        bundle.scan({"a.md": text}, None, tmp_path / "data")


def test_a_damaged_mix_is_not_sent(hub, root, mixes):
    there = folder(root, mixes.first)
    data = bytearray((there / "shard-00001.parquet").read_bytes())
    data[100] ^= 1
    (there / "shard-00001.parquet").write_bytes(data)
    (there / "decisions/povid.parquet").unlink()
    found = error(publish(hub, root, mixes.first, code=1))
    recorded = mixes.first["files"][1]["xxh3"]
    assert found[0].startswith(f"error: {there.relative_to(root)}: shard-00001.parquet has xxh3 ")
    assert found[0].endswith(
        f", not {recorded}; decisions/povid.parquet is missing; expected the files of its lock"
    )
    assert found[1] == (
        f"hint: curate verify {title(mixes.first)} names each; delete the directory and run "
        "curate mix to build it again"
    )
    assert not [seen for seen in hub.requests if seen.method not in ("GET", "HEAD")]


def test_an_edited_card_is_not_sent(hub, root, mixes):
    path = folder(root, mixes.first) / "README.md"
    pairs = f"{mixes.first['rows']} preference pairs"
    path.write_text(path.read_text().replace(pairs, "2,800 preference pairs"))
    assert error(publish(hub, root, mixes.first, code=1)) == [
        f"error: {path.relative_to(root)}: not what the lock gives; expected the card of this mix",
        "hint: delete it: the card is made from the lock again",
    ]
    path.unlink()
    publish(hub, root, mixes.first)
    assert held(hub)["README.md"] == hub.files(REPO)["README.md"]
    assert pairs.encode() in held(hub)["README.md"]


# who may, and where


def snapshot(root: Path) -> dict[str, int]:
    places = [root / "data", root / "hub"]
    return {str(path): path.stat().st_mtime_ns for place in places for path in place.rglob("*")}


def test_a_dry_run_needs_no_token_and_writes_nothing(hub, root, mixes):
    before = snapshot(root)
    done = publish(hub, root, mixes.first, "--dry-run", token=None)
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["would", "be", "sent", "to", "me/mix@main"]
    sizes = {path: f"{len(data):,}" for path, data in files(root, mixes.first).items()}
    assert dict(line for line in lines[2:-1]) == sizes
    assert lines[-1] == ["all", f"{sum(len(data) for data in files(root, mixes.first).values()):,}"]
    assert done.lines[-1].startswith("licences: sharing a changed copy is not known to be allowed by mm_rlhf")
    assert {seen.method for seen in hub.requests} == {"GET"}
    publish(hub, root, mixes.first, "--dry-run", "--public", token=None, code=1)
    hub.stop()
    done = publish(hub, root, mixes.first, "--dry-run", token=None)
    assert any(
        line.startswith("the present contents of the repository are unknown: me/mix: no connection")
        for line in done.lines
    )
    assert len(done.out.splitlines()) == len(lines)
    assert snapshot(root) == before


def test_missing_rights_are_errors_with_a_hint(hub, root, mixes):
    hub.add_token("hf_reader", "me", write=False)
    hub.add_repo("me/taken", {}, type="model")
    login = "hint: make one with write access, then run `hf auth login` or set HF_TOKEN"
    again = "hint: run `hf auth login`, or set HF_TOKEN"
    cases = [
        (REPO, None, "me/mix: no token; expected a token that may write to it", login),
        (REPO, "hf_reader", "me/mix: your token may only read; expected a token that may write to it", login),
        (REPO, "hf_nobody", "me/mix: the Hub does not know your token", again),
        ("you/mix", TOKEN, "you/mix: your token may not write to it",
         "hint: use a token that may: run `hf auth login`, or set HF_TOKEN"),
        ("me/taken", TOKEN, "me/taken: is a model; expected a dataset repository, or none",
         "hint: choose another name for the mix"),
        ("mix", TOKEN, "mix: not the name of a repository; expected owner/name", None),
    ]  # fmt: skip
    for repo, token, message, hint in cases:
        found = error(publish(hub, root, mixes.first, code=1, repo=repo, token=token))
        assert found == [f"error: {message}", *([hint] if hint else [])]
    assert not [seen for seen in hub.requests if seen.endpoint in ("put", "commit")]


def test_no_network_is_one_line(hub, root, mixes):
    hub.stop()
    found = error(publish(hub, root, mixes.first, code=1))
    assert len(found) == 2
    assert found[0].startswith("error: me/mix: no connection to 127.0.0.1")
    assert " times in " not in found[0], "given up after CONNECT_SECONDS, not after all the attempts"
    found = error(publish(hub, root, mixes.first, code=1, HF_HUB_OFFLINE="1"))
    assert found[0] == "error: me/mix: HF_HUB_OFFLINE is set; expected a network"


def test_a_repository_is_as_visible_as_requested(hub, root, mixes):
    hub.add_repo(REPO, {"notes.md": b"mine"})
    assert error(publish(hub, root, mixes.first, code=1)) == [
        "error: me/mix: the repository is public; expected a private one",
        f"hint: leave --private out, or change it at {hub.endpoint}/datasets/me/mix/settings",
    ]
    assert len(hub.commits(REPO)) == 1


def test_stray_shards_would_be_read_with_the_mix(hub, root, mixes):
    hub.add_repo(REPO, {"shard-99999.parquet": b"PAR1", "lock.json": b'{"lockfileVersion": 3}'}, private=True)
    assert error(publish(hub, root, mixes.first, code=1)) == [
        "error: me/mix: has shard-99999.parquet, which no lock there lists and load_dataset would read with the "
        "mix; expected shards of a mix only",
        f"hint: delete it at {hub.endpoint}/datasets/me/mix, or choose another repository or --revision",
    ]
    assert len(hub.commits(REPO)) == 1


# the parts


SIZES = st.lists(st.integers(0, 30), max_size=40)


def item(number: int, size: int) -> Item:
    return Item(path=str(number), size=size, sha256="", git_oid=None, content=b"")


@given(SIZES, st.integers(1, 40), st.integers(1, 7))
def test_portions_keep_the_order_and_the_bounds_and_are_few(sizes, most, files):
    items = [item(number, size) for number, size in enumerate(sizes)]
    parts = portions(items, most, files)
    assert [one for part in parts for one in part] == items
    for part in parts:
        assert len(part) == 1 or (len(part) <= files and sum(one.size for one in part) <= most)
    for left, right in pairwise(parts):
        assert len(left) == files or sum(one.size for one in left) + right[0].size > most


def test_files_are_hashed_once_and_again_when_they_change(root, mixes):
    mix = Mix(directory=folder(root, mixes.first), lock=mixes.first)
    found = bundle.items(mix, {}, (), lambda _: None)
    known = [bundle.Hashed(**entry) for entry in bundle.hashed(mix, found)]
    path = mix.directory / "shard-00000.parquet"
    stat, data = path.stat(), path.read_bytes()
    assert found[0].sha256 == hashlib.sha256(data).hexdigest()
    assert found[-1].sha256 == hashlib.sha256((mix.directory / found[-1].path).read_bytes()).hexdigest()
    path.write_bytes(b"x" + data[1:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert bundle.items(mix, {}, known, lambda _: None) == found, "it looks the same, so it is not read"
    with pytest.raises(WorkspaceError, match=r"shard-00000\.parquet has xxh3"):
        bundle.items(mix, {}, (), lambda _: None)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(WorkspaceError, match=r"shard-00000\.parquet has xxh3"):
        bundle.items(mix, {}, known, lambda _: None)


def test_decisions_that_quote_items_of_eval_sets_stay_where_they_are(root, mixes):
    for dropped, flagged in ((0, 3), (2, 0)):
        found = {"rm_bench": {"dropped": 0, "flagged": 1}, "judgebench": {"dropped": dropped, "flagged": flagged}}
        mix = Mix(directory=folder(root, mixes.first), lock={**mixes.first, "decontamination": found})
        warnings: list[str] = []
        sent = [item.path for item in bundle.items(mix, {}, (), warnings.append)]
        assert any(path.startswith("decisions/") for path in sent) == (dropped == 0)
        assert ("decisions are not published: they quote pairs that contain items of eval sets" in warnings) == (
            dropped > 0
        )
        lock = bundle.shared(mix.lock)
        assert sent == [entry["name"] for entry in (*lock["files"], *lock["decisions"])]
        assert "review" not in lock


def test_only_the_lock_of_a_mix_can_have_files_deleted(mixes):
    lock = mixes.first
    assert {file["name"] for file in (*lock["files"], *lock["decisions"])} < bundle.listed(lock)
    assert {f"plots/{name}.svg" for name in figures.plot(lock)} <= bundle.listed(lock)
    hostile = {**lock, "files": [{"name": "README.md"}, {"name": "../x"}, {"name": "data.parquet"}, "x"]}
    assert not bundle.listed(hostile) & {"README.md", "../x", "data.parquet"}
    assert bundle.listed({"lockfileVersion": 3, "files": [{"name": "shard-0.parquet"}]}) == set()
    assert bundle.listed(None) == set()


# anything at all


def draw(seed: int, *words: object) -> int:
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:8], "big")


OWN = {"notes.md": b"mine"}


def seeded(tmp_path: Path, root: Path, mixes: SimpleNamespace, seed: int) -> None:
    """Faults drawn from the seed; half of the seeds replace another mix, half kill the first run somewhere."""
    lock, replaced = mixes.first, seed % 4 < 2
    plan = Plan(seed=seed, rate=0.15, most=1, seconds=0.1)
    with Hub(tmp_path / "hub", faults=plan, page=7, cdn=seed % 3 == 0) as hub:
        hub.add_token(TOKEN, "me")
        if replaced:
            hub.add_repo(REPO, {**files(root, mixes.second), **OWN}, private=True)
        if seed % 2:
            limit = 1 + draw(seed, "kill") % 70
            process = start(hub, root, title(lock), REPO, "--private", CURATE_HUB_ATTEMPTS="15")
            while process.poll() is None and len(hub.requests) < limit:
                time.sleep(0.001)
            process.kill()
            process.communicate()
        for _ in range(2):
            published_in_the_end(hub, root, lock)
            assert held(hub) == {**files(root, lock), **(OWN if replaced else {})}
            assert set(hub.branches(REPO)) == {"main"}
            titles = [commit.title for commit in hub.commits(REPO) if commit.title != "another hand"]
            assert len(titles) == 2, "the first commit of the repository, and one of ours"
            assert titles[0].startswith(title(lock))


def published_in_the_end(hub: Hub, root: Path, lock: dict) -> None:
    """A file that the Hub lists and does not have ends a run with one line; the same command goes on."""
    process = start(hub, root, title(lock), REPO, "--private", CURATE_HUB_ATTEMPTS="15")
    _, stderr_text = process.communicate()
    if process.returncode == 1 and "error: me/mix/lock.json: no such file at" in stderr_text:
        publish(hub, root, lock)
    else:
        assert process.returncode == 0, stderr_text


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 4))]
)  # each kind once: another mix there or not, killed or not
def test_random_faults_change_nothing(tmp_path, root, mixes, seed):
    seeded(tmp_path, root, mixes, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 210))
def test_more_random_faults_change_nothing(tmp_path, root, mixes, seed):
    seeded(tmp_path, root, mixes, seed)
