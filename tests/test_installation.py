"""What is installed is known: the lock names all of it, and hints install what they say."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from curate import installation
from curate.installation import DISTRIBUTION, install_command

ROOT = Path(__file__).parent.parent


def requirements(*arguments: str) -> list[Requirement]:
    command = [sys.executable, ROOT / ".ci/requirements.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Requirement(line) for line in done.stdout.splitlines()]


def pins() -> dict[str, list[tuple[str, int]]]:
    """The versions that the lock has of each package, each with the number of its hashes."""
    found: dict[str, list[tuple[str, int]]] = {}
    name = ""
    for block in (ROOT / "lock.txt").read_text().split("\n"):
        if block.startswith("    --hash=sha256:"):
            version, hashes = found[name][-1]
            found[name][-1] = version, hashes + 1
        elif "==" in block:
            name, _, rest = block.partition("==")
            found.setdefault(name, []).append((rest.split()[0], 0))
    return found


def test_the_lock_has_a_pin_with_hashes_within_the_bounds_of_every_requirement():
    locked = pins()
    for requirement in requirements("dev"):
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version, _ in versions), requirement
    assert all(hashes for versions in locked.values() for _, hashes in versions)


def test_the_lock_names_what_the_requirements_of_this_project_need_in_turn():
    locked, waiting, seen = pins(), requirements("dev"), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker and not requirement.marker.evaluate({"extra": ""})) or name in seen:
            continue
        seen.add(name)
        assert name in locked
        with suppress(metadata.PackageNotFoundError):  # without the trainer, torch is not there
            waiting += [Requirement(line) for line in metadata.requires(name) or ()]
    assert len(seen) > 60


def test_torch_may_be_the_build_for_the_cpu_that_the_index_does_not_have():
    cpu_build_for_python_3_11 = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
    _, _, rest = (ROOT / "lock.txt").read_text().partition("\ntorch==2.13.0 \\\n")
    assert cpu_build_for_python_3_11 in rest.split("\nt", 1)[0]


def test_the_newest_releases_have_lower_bounds_only():
    lines = {requirement.name: str(requirement.specifier) for requirement in requirements("--newest", "dev")}
    assert lines["transformers"] == ">=5.17"
    assert not [line for line in lines.values() if "<" in line]
    assert {requirement.name: str(requirement.specifier) for requirement in requirements("trainer")}[
        "transformers"
    ] == "<5.25,>=5.17"


def test_in_a_checkout_the_hint_installs_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.chdir(ROOT)
    assert install_command("trainer") == "pip install -e '.[trainer]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("ray") == f"pip install -e '{ROOT}[ray]'"
    monkeypatch.setenv("PATH", "/nowhere")  # as in a virtual environment that is not activated
    assert install_command("ray") == f"{sys.executable} -m pip install -e '{ROOT}[ray]'"


def test_the_hint_works_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    offline = ["--dry-run", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*shlex.split(install_command("trainer")), *offline], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Would install {DISTRIBUTION}-" in done.stdout


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (None, f"{DISTRIBUTION}[ray]"),
        ({"url": "file:///w/c.whl", "archive_info": {}}, f"{DISTRIBUTION}[ray] @ file:///w/c.whl"),
        (
            {"url": "https://h/c.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            f"{DISTRIBUTION}[ray] @ git+https://h/c.git@abc",
        ),
    ],
)
def test_outside_a_checkout_the_hint_installs_what_this_copy_came_from(origin, requirement, tmp_path):
    facts = tmp_path / "curate_preferences-0.1.0.dist-info"
    (tmp_path / "curate").mkdir()
    facts.mkdir()
    shutil.copy(installation.__file__, tmp_path / "curate")
    (facts / "METADATA").write_text(f"Name: {DISTRIBUTION}\nVersion: 0.1.0\n")
    if origin is not None:
        (facts / "direct_url.json").write_text(json.dumps(origin))
    code = "from curate.installation import install_command; print(install_command('ray'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PATH": "/nowhere", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == f"{sys.executable} -m pip install '{requirement}'\n"
