"""From the Hub to the Hub: pin, fetch, mix, publish, load_dataset give the pairs that the raw files hold."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate import sources
from curate.build import build
from curate.engines.local import Local
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace
from tests.support.command import Command
from tests.support.hub import Hub, Plan
from tests.support.samples import SAMPLES, Silent

REPO, TOKEN = "me/mix", "hf_writer"
NAMES = ("mm_rlhf", "rlaif_v", "mmpr", "hh_rlhf")
RECIPE = """
name: blend
seed: 3
sources: {mm_rlhf: all, rlaif_v: all, mmpr: {rows: 30}, hh_rlhf: {rows: 25}}
holdout: {rows_per_source: 2}
steps: [identical, exact_duplicates]
shards: {max_mb: 0.1, media: embed}
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Pair ids by split, of the same recipe on the raw files themselves."""
    root = tmp_path_factory.mktemp("direct")
    (root / "blend.yaml").write_text(RECIPE)
    with Local(1) as engine:
        made = build(
            load(root / "blend.yaml"), Inputs(workspace=Workspace(root / "data"), raw=SAMPLES), engine, Silent()
        )
    return {split: [row for path in sorted(made.directory.glob(f"{name}-*.parquet"))
                    for row in pq.read_table(path, columns=["pair_id"])["pair_id"].to_pylist()]
            for split, name in (("train", "shard"), ("holdout", "holdout"))}  # fmt: skip


def plant(hub: Hub) -> None:
    """The publishers' repositories with the samples as their files, and a user who may publish."""
    hub.add_token(TOKEN, "me")
    for name in NAMES:
        files = {path.relative_to(SAMPLES / name).as_posix(): path.read_bytes()
                 for path in sorted((SAMPLES / name).rglob("*")) if path.is_file()}  # fmt: skip
        hub.add_repo(sources.get(name).repo, files, license="cc-by-4.0")


def environment(hub: Hub, root: Path) -> dict[str, str]:
    often = {"CURATE_HUB_FIRST_WAIT": "0.01", "CURATE_HUB_ATTEMPTS": "15", "HF_HUB_DOWNLOAD_TIMEOUT": "3"}
    return hub.env(root / "home", TOKEN, **often)


def start(hub: Hub, root: Path, *args: str) -> Command:
    return Command(*args, env=environment(hub, root), cwd=root)


def curate(hub: Hub, root: Path, *args: str, runs: int = 1) -> None:
    """A command that succeeds within so many runs; one that fails says so in one line with a hint."""
    for run in range(1, runs + 1):
        process = start(hub, root, *args)
        _, stderr_text = process.communicate()
        if process.returncode == 0:
            return
        assert process.returncode == 1, stderr_text
        assert "Traceback" not in stderr_text
        assert [line.split()[0] for line in stderr_text.splitlines()[-2:]] == ["error:", "hint:"], stderr_text
        assert run < runs, stderr_text


STEPS = (("pin", *NAMES), ("fetch", "blend.yaml"), ("mix", "blend.yaml", "--workers", "1"),
         ("publish", "blend", REPO))  # fmt: skip

LOAD = """
import datasets, json, sys
for split, rows in datasets.load_dataset(sys.argv[1]).items():
    for row in rows:
        frames = sum(len(one["keys"]) for one in row["media"])
        print(json.dumps([split, row["pair_id"], len(row["images"]), frames, [i.size[0] for i in row["images"]]]))
"""


def check(hub: Hub, root: Path, expected: dict[str, list[str]]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, REPO],
        env=hub.env(root / "home"), cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {split: [row[1] for row in rows if row[0] == split] for split in ("train", "holdout")} == expected
    assert all(images == frames for _, _, images, frames, _ in rows)
    assert sum(bool(widths) and min(widths) > 0 for *_, widths in rows) > 50, "images decode"
    assert list((root / "data").rglob("*.part")) == []
    assert set(hub.branches(REPO)) == {"main"}
    ours = [commit for commit in hub.commits(REPO) if commit.title.startswith("blend@")]
    assert len(ours) == 1


def test_from_the_hub_to_the_hub(tmp_path, expected):
    (tmp_path / "blend.yaml").write_text(RECIPE)
    with Hub(tmp_path / "hub") as hub:
        plant(hub)
        for step in STEPS:
            words = [sys.executable, "-m", "curate", *step]
            done = subprocess.run(
                words, env=environment(hub, tmp_path), cwd=tmp_path, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr
        check(hub, tmp_path, expected)
        lock = json.loads(hub.files(REPO)["lock.json"])
        assert {label: facts["revision"] for label, facts in lock["origins"].items()} == {
            name: hub.commits(sources.get(name).repo)[0].id for name in NAMES
        }
        assert all(facts["pinned"] for facts in lock["sources"].values())
        hub.requests.clear()
        for step in STEPS[1:]:
            curate(hub, tmp_path, *step)
        assert [seen for seen in hub.requests if seen.endpoint in ("get", "put", "commit")] == []


def test_a_published_mix_is_made_again_from_its_card_after_upstream_has_moved_on(tmp_path):
    maker, reader = tmp_path / "maker", tmp_path / "reader"
    maker.mkdir()
    reader.mkdir()
    (maker / "blend.yaml").write_text(RECIPE)
    with Hub(tmp_path / "hub") as hub:
        plant(hub)
        for step in STEPS:
            curate(hub, maker, *step)
        files = hub.files(REPO)
        card = files["README.md"].decode()
        for name in NAMES:
            removed = dict.fromkeys(hub.files(sources.get(name).repo))
            hub.commit(sources.get(name).repo, {**removed, "moved.txt": b"rows are elsewhere now"})
        (reader / "blend.yaml").write_text(re.findall(r"```yaml\n(.*?)```", card, re.DOTALL)[0])
        commands = re.search(r"## Reproduce.*?```sh\n(.*?)```", card, re.DOTALL)
        for line in commands[1].splitlines():
            program, *words = shlex.split(line)
            assert program == "curate"
            curate(hub, reader, *words)
        [made] = (reader / "data/mixes/blend").iterdir()
        assert made.name == json.loads(files["lock.json"])["fingerprint"][:16]
        shards = [*made.glob("shard-*.parquet"), *made.glob("holdout-*.parquet")]
        assert len(shards) > 2
        published = {Path(path).name: data for path, data in files.items()}
        assert all(path.read_bytes() == published[path.name] for path in shards)


def draw(seed: int, *words: object) -> int:
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:8], "big")


def seeded(root: Path, expected: dict[str, list[str]], seed: int) -> None:
    """Faults drawn from the seed in every step; fetch and publish are killed once, somewhere."""
    (root / "blend.yaml").write_text(RECIPE)
    plan = Plan(seed=seed, rate=0.12, most=1, seconds=0.1)
    with Hub(root / "hub", faults=plan, page=5, cdn=seed % 2 == 0) as hub:
        plant(hub)
        for step in STEPS:
            if step[0] in ("fetch", "publish"):
                hub.requests.clear()
                limit = 1 + draw(seed, step[0]) % (12 if step[0] == "fetch" else 60)
                process = start(hub, root, *step)
                while process.poll() is None and len(hub.requests) < limit:
                    time.sleep(0.001)
                process.kill()
                process.communicate()
            curate(hub, root, *step, runs=4)
        assert hub.log
    with Hub(root / "hub") as hub:
        check(hub, root, expected)


@pytest.mark.parametrize(
    "seed", [*range(1), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 2))]
)
def test_random_faults_on_the_whole_way(tmp_path, expected, seed):
    seeded(tmp_path, expected, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 32))
def test_more_random_faults_on_the_whole_way(tmp_path, expected, seed):
    seeded(tmp_path, expected, seed)
