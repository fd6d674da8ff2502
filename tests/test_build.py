"""The whole way, as a user goes it: raw files and a recipe in, shards and a lock out."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.checksums import hash_file
from tests.support import finished_work

COLOURS = ["red", "green", "blue", "black", "white", "orange"]

ALPHA = """
adapter: preference
files: ["*.jsonl"]
columns: {prompt: question, chosen: good, rejected: bad, images: pictures}
media: [pictures]
license: mit
"""
BETA = """
adapter: preference
files: ["*.jsonl.gz"]
columns: {margin: gap}
"""
RECIPE = """
name: two
about: Two sources of the user's own, one with images
sources:
  alpha: {rows: 60}
  beta: {rows: 90}
holdout: {rows_per_source: 5}
steps: [identical, empty_reply, exact_duplicates]
shards: {max_mb: 0.004, media: embed}
"""


def write_raw(raw: Path, *, names: str = "abc") -> None:
    """Two sources: alpha in three files with pictures, beta in two gzip files; every 20th row is a duplicate."""
    import gzip

    pictures = raw / "alpha" / "pictures"
    pictures.mkdir(parents=True)
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (8 + i, 8), colour).save(pictures / f"{colour}.png")
    numbers = [i - 1 if i % 20 == 19 else i for i in range(120)]
    rows = [
        {"question": f"Which colour is number {i}?", "good": f"It is {COLOURS[i % 6]}.", "bad": "Hard to say.",
         "pictures": [f"{COLOURS[i % 6]}.png"]}
        for i in numbers
    ]  # fmt: skip
    for i, name in enumerate(names):
        lines = [json.dumps(row) + "\n" for row in rows[i::3]]
        (raw / "alpha" / f"{name}.jsonl").write_text("".join(lines))
    (raw / "beta").mkdir()
    for i in range(2):
        lines = [
            {"prompt": f"What is {n} + {n}?", "chosen": f"{n + n}", "rejected": f"{n + n + n % 7}", "gap": n % 5}
            for n in range(i, 200, 2)
        ]
        with gzip.open(raw / "beta" / f"{i}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def planted(project: Path) -> Path:
    write_raw(project / "raw")
    (project / "manifests").mkdir()
    (project / "manifests" / "alpha.yaml").write_text(ALPHA)
    (project / "manifests" / "beta.yaml").write_text(BETA)
    (project / "two.yaml").write_text(RECIPE)
    return project


@pytest.fixture
def project(tmp_path):
    """A directory with raw files, manifests and a recipe."""
    return planted(tmp_path)


def command(*more: str, recipe: str = "two.yaml", workspace: str = "data", raw: str = "raw") -> list[str]:
    workers = [] if "--workers" in more else ["--workers", "1"]  # a pool costs seconds to start
    return [
        sys.executable, "-m", "curate", "mix", recipe, "--raw", raw, "--workspace", workspace, *workers, *more,
    ]  # fmt: skip


def run(project: Path, *more: str, check: bool = True, env: dict[str, str] | None = None, **where: str) -> Any:
    done = subprocess.run(
        command(*more, **where), cwd=project, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


def lock(project: Path, *more: str, recipe: str = "two.yaml", workspace: str = "data", raw: str = "raw") -> Any:
    """The lock of a build in this process: a new one takes a second to start."""
    places = {"workspace": str(project / workspace), "raw": str(project / raw)}
    with contextlib.chdir(project):
        return json.loads(finished_work.run(*command("--json", *more, recipe=recipe, **places)[3:]).text)


def hashes(lock: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file["name"], file["xxh3"]) for file in lock["files"]]


def ids(lock: dict[str, Any], project: Path, source: str | None = None) -> list[str]:
    """The pair ids of the shards in order, of one source if named."""
    rows = [
        row
        for file in lock["files"]
        if file["name"].startswith("shard-")
        for row in pq.read_table(
            project / lock["directory"] / file["name"], columns=["pair_id", "source"]
        ).to_pylist()
    ]
    return [row["pair_id"] for row in rows if source in (None, row["source"])]


def test_every_row_is_accounted_for(project):
    built = lock(project)
    alpha, beta = built["funnel"]["alpha"], built["funnel"]["beta"]
    assert (alpha["rows"], alpha["pairs"]) == (120, 120)
    assert alpha["dropped"] == {"exact_duplicates/duplicate_pair": 6}
    assert beta["dropped"] == {"ties/tie": 40, "identical/identical": 23}
    for account in (alpha, beta):
        assert account["rows"] == account["gave"] + sum(account["skipped"].values())
        assert account["pairs"] == account["kept"] + sum(account["dropped"].values())
        assert account["kept"] == account["selected"] + account["held_out"] + account["unused"]
    assert (alpha["mixed"], beta["mixed"], built["rows"]) == (60, 90, 150)
    assert (alpha["held_out"], beta["held_out"]) == (5, 5)
    assert len(ids(built, project)) == 150


def test_one_or_two_workers_give_the_same_bytes(project):
    assert hashes(lock(project, "--workers", "1")) == hashes(lock(project, "--workers", "2", workspace="other"))


def test_renamed_and_reordered_files_give_the_same_bytes(project):
    write_raw(project / "renamed", names="zcb")
    (project / "renamed" / "beta" / "0.jsonl.gz").rename(project / "renamed" / "beta" / "9.jsonl.gz")
    first, second = lock(project), lock(project, raw="renamed", workspace="other")
    assert hashes(first) == hashes(second)
    assert first["fingerprint"] != second["fingerprint"]  # the inputs have other names


MOMENTS = ["pairs/alpha/*/part-*.json", "pairs/beta/*/manifest.json", "mixes/two/*/shard-*.parquet"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of the mix when nothing goes wrong."""
    project = planted(tmp_path_factory.mktemp("whole"))
    return hashes(lock(project))


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_kill_9_the_same_command_gives_the_same_bytes(project, whole, moment):
    with subprocess.Popen(
        command("--workers", "2"), cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 600
        while not list((project / "data").glob(moment)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert not list((project / "data").glob("mixes/two/*/lock.json")) or process.returncode == 0
    again = json.loads(run(project, "--json", "--workers", "2", "--wait").stdout)
    assert hashes(again) == whole
    assert not list((project / "data").rglob("*.tmp")), "a killed run's rubbish is swept away"


def test_the_second_run_has_nothing_to_do(project):
    first = lock(project)
    stamp = (project / first["directory"] / "lock.json").stat().st_mtime_ns
    second = lock(project)
    assert (first["fresh"], second["fresh"]) == (True, False)
    assert (project / first["directory"] / "lock.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_mix_that_lost_a_shard_or_a_part_of_one_is_built_again(project, harm):
    first = lock(project)
    shard = project / first["directory"] / "shard-00000.parquet"
    harm(shard)
    done = run(project, "--json")
    assert f"{shard.relative_to(project)} is missing or differs from its lock: building again" in done.stderr
    assert hashes(json.loads(done.stdout)) == hashes(first)
    assert hash_file(shard) == dict(hashes(first))["shard-00000.parquet"]


def with_recipe(project: Path, name: str, text: str) -> str:
    (project / name).write_text(text)
    return name


def test_removing_a_source_leaves_the_order_of_the_others(project):
    both = lock(project)
    alone = lock(project, recipe=with_recipe(project, "one.yaml", RECIPE.replace("  alpha: {rows: 60}\n", "")))
    assert ids(alone, project) == ids(both, project, "beta")


def test_a_larger_quota_contains_the_smaller(project):
    small = lock(project)
    large = lock(project, recipe=with_recipe(project, "large.yaml", RECIPE.replace("rows: 60", "rows: 80")))
    kept = set(ids(small, project))
    assert len(kept) == 150
    assert [pair for pair in ids(large, project) if pair in kept] == ids(small, project)


@settings(max_examples=8)
@given(alpha=st.integers(1, 100), beta=st.integers(1, 100), seed=st.integers(0, 5))
def test_laws_hold_for_any_quotas(tmp_path_factory, alpha, beta, seed):
    project = tmp_path_factory.getbasetemp() / "laws"
    if not project.exists():
        planted(project)
    text = RECIPE.replace("rows: 60", f"rows: {alpha}").replace("rows: 90", f"rows: {beta}") + f"seed: {seed}\n"
    built = lock(project, recipe=with_recipe(project, "laws.yaml", text))
    assert len(ids(built, project, "alpha")) == alpha
    assert len(ids(built, project, "beta")) == beta


def test_shards_open_in_datasets_with_decoded_images(project):
    import datasets

    built = lock(project)
    files = [
        str(project / built["directory"] / f["name"]) for f in built["files"] if f["name"].startswith("shard-")
    ]
    assert len(files) > 1
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(project / "hf"))
    assert len(loaded) == 150
    row = next(row for row in loaded if row["source"] == "alpha")
    assert row["images"][0].size == (8 + COLOURS.index(row["chosen"][0]["content"][0]["text"][6:-1]), 8)
    assert [block["type"] for block in row["prompt"][0]["content"]] == ["image", "text"]


def test_trl_takes_a_row(project):
    built = lock(project)
    files = [
        str(project / built["directory"] / f["name"]) for f in built["files"] if f["name"].startswith("shard-")
    ]
    check = (
        "import sys, datasets, trl.data_utils as d\n"
        "rows = datasets.load_dataset('parquet', data_files=sys.argv[2:], split='train', cache_dir=sys.argv[1])\n"
        "for row in rows:\n"
        "    assert d.is_conversational(row)\n"
        "    d.prepare_multimodal_messages(row['prompt'], images=row['images'])\n"
        "print(len(rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", check, str(project / "hf"), *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "150"


def error_of(done: Any) -> str:
    """What a failed command said, without progress lines."""
    lines = done.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error:"))
    return "\n".join(lines[start:])


def test_a_renamed_column_stops_the_run_with_the_column_named(project):
    path = project / "raw" / "alpha" / "a.jsonl"
    path.write_text(path.read_text().replace('"good"', '"better"'))
    done = run(project, check=False)
    assert done.returncode == 1
    assert error_of(done) == (
        "error: alpha: 40 of 120 rows (33.3%) gave no pair, most of them: missing column 'good', the rows have "
        "bad, better, pictures, question; expected at most max_skip 5.0%\n"
        "hint: look at the rows with: curate show --workspace data alpha --skipped; if they may go, raise "
        "max_skip for alpha"
    )
    assert not list(project.glob("data/pairs/alpha/*/manifest.json"))


def test_an_unknown_key_in_a_recipe(project):
    done = run(
        project, recipe=with_recipe(project, "bad.yaml", RECIPE.replace("holdout", "holdouts")), check=False
    )
    assert done.returncode == 1
    assert error_of(done) == "error: bad.yaml: $.holdouts: unknown key\nhint: did you mean holdout?"
    assert not (project / "data" / "pairs").exists()


def test_quotas_that_cannot_be_met_name_the_source(project):
    done = run(
        project, recipe=with_recipe(project, "bad.yaml", RECIPE.replace("rows: 60", "rows: 600")), check=False
    )
    assert done.returncode == 1
    assert "alpha: 600 rows wanted of a pool of" in error_of(done)
    assert not list(project.glob("data/mixes/*/*/lock.json"))


def test_missing_raw_files(project):
    shutil.rmtree(project / "raw" / "beta")
    done = run(project, check=False)
    assert (done.returncode, error_of(done).splitlines()[0]) == (
        1, "error: raw/beta: no such directory; expected the raw files of beta",
    )  # fmt: skip


def test_truncated_gzip(project):
    path = project / "raw" / "beta" / "0.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-30])
    done = run(project, check=False)
    assert (done.returncode, error_of(done).splitlines()[0]) == (
        1, "error: 0.jsonl.gz: truncated: the compressed stream ends too early",
    )  # fmt: skip
    assert not list(project.glob("data/pairs/beta/*/manifest.json"))


SMALL_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sys.argv = sys.argv[1:]
from curate.cli import main
main()
"""


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(project, whole):
    """No file may grow past 2,000 bytes: writing fails as on a full disk."""
    arguments = command()
    done = subprocess.run(
        [sys.executable, "-c", SMALL_FILES, *arguments[2:]],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no space left to write" in error_of(done)
    assert "it continues" in error_of(done)
    assert len(error_of(done).splitlines()) == 2
    assert not list(project.glob("data/pairs/*/*/manifest.json"))
    assert hashes(lock(project)) == whole


def test_no_permission_is_one_line(project):
    if os.geteuid() == 0:
        workspace = "/sys/curate"  # where not even root may write
    else:
        (project / "locked").mkdir(mode=0o555)
        workspace = "locked/data"
    done = run(project, workspace=workspace, check=False)
    assert done.returncode == 1
    assert "no permission" in error_of(done)
    assert "another --workspace" in error_of(done)


def test_debug_shows_the_traceback(project):
    done = run(project, recipe="nope.yaml", check=False, env={"CURATE_DEBUG": "1"})
    assert "Traceback" in done.stderr
    assert "Traceback" not in run(project, recipe="nope.yaml", check=False).stderr


def test_usage_errors_leave_with_2(project):
    assert run(project, "--no-such-option", check=False).returncode == 2


def test_ctrl_c_says_that_work_is_kept(project):
    with subprocess.Popen(
        command("--workers", "2"), cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not list((project / "data").glob("pairs/alpha/*")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, stderr_text = process.communicate()
    assert process.returncode == 130, stderr_text
    assert stderr_text.splitlines()[-1] == "stopped; what is finished is kept, the same command continues"
    assert hashes(lock(project, "--wait"))


def test_a_changed_recipe_says_why_all_its_shards_are_written(project):
    assert "all are written" not in run(project).stderr
    (project / "two.yaml").write_text(RECIPE.replace("exact_duplicates]", "exact_duplicates, prompt_echo]"))
    stderr_text = run(project).stderr
    assert "so one pair more than in an earlier mix moves all later cuts" in " ".join(stderr_text.split())
