"""curate gc: what nothing refers to is listed, and removed on demand; what is referred to stays."""

import json
import shutil
from pathlib import Path

import pytest

from curate.checksums import write_record
from tests.support.finished_work import RECIPE, fault, mix, mix_directory, pairs_directory, run
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")


def states(*arguments: str) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in json.loads(run("gc", "--json", *arguments).text)}


def files() -> set[str]:
    return {str(path) for path in Path("data").rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_finished_mix_keeps_all_that_it_was_made_from():
    before = files()
    assert set(states().values()) == {"kept", "cache"}
    run("gc", "--yes")
    assert files() == before


def test_pairs_and_images_of_no_mix_are_listed_and_removed_only_on_demand():
    web = pairs_directory("web")
    mix(RECIPE.replace("  web: {rows: 2}\n", ""))
    (alone,) = (
        path for path in Path("data/mixes/small").iterdir() if "web" not in (path / "README.md").read_text()
    )
    (other,) = (path for path in Path("data/mixes/small").iterdir() if path != alone)
    shutil.rmtree(other)
    before = files()
    found = states()
    assert found[f"pairs/web/{web.name}"] == found["images/packs, 1 unused"] == "unused"
    assert files() == before
    done = run("gc", "--yes")
    assert done.messages[-1].endswith(" removed")
    assert not web.exists()
    assert not list(Path("data/images/packs").iterdir())
    assert alone.exists()
    assert run("verify", "--raw", "raw").lines == []
    mix(RECIPE)
    assert web.exists()


def test_a_link_to_files_of_ones_own_is_kept_and_not_followed(tmp_path):
    commit = tmp_path / "mine" / ("a" * 40)
    commit.mkdir(parents=True)
    (commit / "rows.jsonl").write_text("{}\n")
    Path("data/raw").mkdir(exist_ok=True)
    Path("data/raw/mine").symlink_to(tmp_path / "mine", target_is_directory=True)
    entry = {one["name"]: one for one in json.loads(run("gc", "--json").text)}["raw/mine"]
    assert (entry["state"], entry["files"], entry["why"]) == ("kept", 0, f"a link to {tmp_path / 'mine'}")
    run("gc", "--yes")
    assert (commit / "rows.jsonl").exists()


def test_caches_go_only_when_they_are_named_and_come_again():
    before = mix_directory().joinpath("lock.json").read_bytes()
    run("gc", "--yes", "--caches")
    assert not Path("data/cache").exists()
    assert not list(Path("data/pairs").rglob("steps"))
    shutil.rmtree("data/mixes")
    mix(RECIPE)
    assert mix_directory().joinpath("lock.json").read_bytes() == before


def test_an_arm_is_kept_by_its_study_or_by_the_settings_of_a_run():
    first = mix_directory()
    for name in ("a" * 16, "b" * 16, "c" * 16):
        shutil.copytree(first, Path("data/arms/small", name))
    write_record(Path("data/runs/study/ablation.json"), {"arms": {"without-web": {"fingerprint": "a" * 16}}})
    Path("data/runs/mine").mkdir()
    Path("data/runs/mine/config.yaml").write_text(f"mix: /elsewhere/arms/small/{'b' * 16}\n")
    found = states("--yes")
    assert [found[f"arms/small/{x * 16}"] for x in "abc"] == ["kept", "kept", "unused"]
    assert [Path("data/arms/small", x * 16).exists() for x in "abc"] == [True, True, False]


def test_nothing_is_removed_while_a_lock_is_damaged():
    before = files()
    (mix_directory() / "lock.json").write_text("null")
    assert "lock.json: " in fault("gc", "--yes")
    assert files() == before


def test_what_a_killed_run_left_is_unused():
    Path("data/mixes/small/0123").mkdir()
    Path("data/mixes/small/0123/shard-00000.parquet").write_bytes(b"half")
    assert states()["mixes/small/0123"] == "unused"
