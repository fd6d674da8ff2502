"""The Tab key offers the names that a command takes."""

import pytest
from typer.testing import CliRunner

from curate.cli import app
from tests.support import planted


@pytest.fixture
def project(tmp_path):
    planted.write(tmp_path, good=4, noise=4, eval_items=1)
    for name in ("planted/0123456789abcdef", "planted/fedcba9876543210", "unfinished/00"):
        (tmp_path / "work/mixes" / name).mkdir(parents=True)
    for path in (tmp_path / "work/mixes/planted").iterdir():
        (path / "lock.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ablat", ["ablate"]),
        ("plan quick", ["quickstart"]),
        ("normalize go", ["good"]),
        ("normalize mm_r", ["mm_rlhf"]),
        ("evaluate --scores x -e rm_", ["rm_bench"]),
        ("ablate paradi", ["paradigms"]),
        ("fetch rm_b", ["rm_bench"]),
        ("verify --workspace work p", ["planted"]),
        ("show --workspace work planted@f", ["planted@fedcba98"]),
        ("export --workspace work pla", ["planted"]),
        ("verify --workspace work unf", []),
    ],
)
def test_names_are_offered(project, monkeypatch, line, offered):
    monkeypatch.chdir(project)
    words = f"curate {line}"
    typed = {"_CURATE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = CliRunner().invoke(app, [], prog_name="curate", env=typed)
    assert done.stdout.split() == offered, done.output
