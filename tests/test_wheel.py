"""The wheel is whole: every file of the product is in it, and it works where there is no checkout."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.paths import ROOT

pytest.importorskip("setuptools", minversion="77", reason="the build backend is not installed")
FOLDERS = ("data_cards", "manifests", "recipes", "samples")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def tracked() -> list[str]:
    """The files of this checkout that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def built(kind: str, source: Path, out: Path) -> Path:
    """What the build backend makes of a source tree, without a network."""
    out.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD, kind, out], cwd=source, env=clean({}), capture_output=True, check=True
    )
    [made] = out.iterdir()
    return made


def clean(more: Mapping[str, str]) -> dict[str, str]:
    """The environment, less what would let a checkout or a workspace in."""
    removed = ("PYTHONPATH", "CURATE_HOME", "COLUMNS")
    return {**{name: value for name, value in os.environ.items() if name not in removed}, **more}


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout: a build leaves files of its own beside the sources."""
    root = tmp_path_factory.mktemp("source")
    for name in tracked():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    return root


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return built("build_wheel", source, source.with_name("wheel"))


def test_every_file_is_in_the_wheel_and_nothing_else(wheel: Path):
    code = [name for name in tracked() if name.startswith(("curate/", "trainer/"))]
    beside = [
        f"curate/bundled_files/{name}" for name in tracked() if name.startswith(tuple(f"{x}/" for x in FOLDERS))
    ]
    assert len(beside) > 100
    assert names(wheel) == sorted([*code, *beside])


def test_a_wheel_made_from_the_source_archive_is_the_same(source: Path, wheel: Path, tmp_path: Path):
    archive = built("build_sdist", source, tmp_path / "sdist")
    subprocess.run(["tar", "xf", archive, "--strip-components=1"], cwd=tmp_path, check=True)
    assert names(built("build_wheel", tmp_path, tmp_path / "out")) == names(wheel)


def test_the_quickstart_works_where_only_the_wheel_is(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "curate", "mix", "quickstart", "--workers", "1", "--json"],
        cwd=tmp_path / "empty", env=clean({"PYTHONPATH": str(tmp_path / "site")}), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 279


# --- an empty environment in an empty directory


MINE = 'adapter: preference\nfiles: ["*.jsonl"]\ncolumns: {prompt: question, chosen: good, rejected: bad}\n'
RECIPE = (
    "name: mine\nabout: My own votes\nraw: votes\nsources: {mine: all}\nsteps: [identical, exact_duplicates]\n"
)
ROW = {"question": "What is 2 + 2?", "good": "It is 4.", "bad": "It is 5."}


class Installed:
    """A virtual environment that has the wheel, and an empty directory where its commands run.

    The libraries that it needs are those of this environment, by a .pth file: nothing is downloaded.
    """

    def __init__(self, root: Path, wheel: Path) -> None:
        self.home, self._bin = root / "home", root / "venv" / "bin"
        self.home.mkdir()
        venv.create(root / "venv", with_pip=True)
        self._check("pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
        [site] = (root / "venv").glob("lib/python*/site-packages")
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.site = site

    def _check(self, *command: str) -> None:
        subprocess.run([self._bin / command[0], *command[1:]], env=clean({}), capture_output=True, check=True)

    def run(self, *arguments: str, code: int = 0) -> SimpleNamespace:
        """A command: its stdout, and its lines on stderr."""
        environment = clean({"NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"})
        done = subprocess.run(
            [self._bin / "curate", *arguments],
            cwd=self.home, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return SimpleNamespace(out=done.stdout, messages=done.stderr.splitlines())

    def hint(self, *arguments: str) -> str:
        """The hint of a command that fails."""
        error, hint = self.run(*arguments, code=1).messages
        assert error.startswith("error: ")
        return hint.removeprefix("hint: ")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.mark.slow
def test_the_quickstart_by_name(installed: Installed):
    assert installed.hint("mix", "quickstrat") == "did you mean quickstart?"
    assert installed.hint("train", "quickstart", "--preset", "tiny_cpu") == "curate mix quickstart makes one"
    made = installed.run("mix", "quickstart", "--workers", "1")
    [directory] = re.findall(r"^built: (data/mixes/quickstart/\w{16})$", made.messages[-2])
    assert installed.run("mix", "quickstart").messages[-2] == f"up to date: {directory}"
    assert installed.run("card", "quickstart").out == (installed.home / directory / "README.md").read_text()
    [report] = installed.run("report", "quickstart", "--quick").out.split()
    assert "<style>" in (installed.home / report).read_text()
    command = installed.run("train", "quickstart", "--preset", "tiny_cpu", "--prepare").out
    assert re.fullmatch(r"\S+/python\S* -m trainer\.train \S+/runs/quickstart-tiny_cpu/config\.yaml\n", command)


@pytest.mark.slow
def test_bundled_recipes_manifests_and_cards(installed: Installed):
    assert installed.hint("plan", "recipes/basereward.yaml") == "did you mean basereward?"
    assert "2,814,545" in installed.run("plan", "basereward").out
    listed = json.loads(installed.run("recipes", "--json").out)
    assert {Path(fact["file"]).parent for fact in listed} == {installed.site / "curate/bundled_files/recipes"}
    assert "9 arms, 3 seeds, 27 runs" in installed.run("ablate", "heads", "--plan").out
    assert installed.run("card", "hh_rlhf").out == (ROOT / "data_cards/hh_rlhf.md").read_text()


@pytest.mark.slow
def test_own_data_by_a_manifest(installed: Installed):
    for name, text in (
        ("manifests/mine.yaml", MINE),
        ("recipes/mine.yaml", RECIPE),
        ("votes/mine/a.jsonl", json.dumps(ROW) + "\n" + json.dumps({**ROW, "question": "And 2 + 3?"}) + "\n"),
    ):
        (installed.home / name).parent.mkdir(parents=True, exist_ok=True)
        (installed.home / name).write_text(text)
    assert installed.hint("doctor", "mine", "--workspace", "other") == "curate mix recipes/mine.yaml makes them"
    made = json.loads(installed.run("mix", "mine", "--json").out)
    assert (made["rows"], made["funnel"]["mine"]["kept"]) == (2, 2)
    assert "And 2 + 3?" in installed.run("show", "mine").out
    installed.run("verify", "mine", "--raw", "votes")
