"""A small finished workspace that a person can read: raw files, pairs and one mix; and how tests ask about it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import CurateError

VOTES = """
adapter: preference
files: ["*.jsonl"]
columns: {prompt: question, chosen: good, rejected: bad, margin: gap}
optional: [margin]
license: mit
annotator: human
repo: people/votes
max_skip: 0.2
"""
WEB = """
adapter: preference
files: ["*.jsonl"]
columns: {images: pictures}
optional: [images]
media: [pictures]
repo: crawl/web
"""
RECIPE = """
name: small
sources:
  votes: all
  web: {rows: 2}
holdout: {rows_per_source: 1}
steps:
  - length: {min_reply: 2, max_prompt: 100}
  - exact_duplicates
"""
VOTED = [
    {"question": "What is 2 + 2?", "good": "It is 4.", "bad": "It is 5.", "gap": 2},
    {"question": "Name a colour.", "good": "Red is one.", "bad": "Seven is one."},
    {"question": "Name a colour.", "good": "Red is one.", "bad": "Seven is one."},
    {"question": "Who?", "good": "Me."},
    {"question": "Capital of France?", "good": "Paris.", "bad": "X"},
    {"question": "Is water wet?", "good": "Yes, it is.", "bad": "No."},
]
CRAWLED = [
    {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5."},
    {"prompt": "What is this?", "chosen": "A red square.", "rejected": "A blue square.", "pictures": ["red.png"]},
    {"prompt": "Spell cat.", "chosen": "It is c-a-t.", "rejected": "It is k-a-t."},
    {"prompt": "Spell dog.", "chosen": "It is d-o-g.", "rejected": "It is d-a-g."},
    {"prompt": "Spell cow.", "chosen": "It is c-o-w.", "rejected": "It is k-o-w."},
]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(*arguments: str, code: int = 0) -> SimpleNamespace:
    """A command in this process: its lines on stdout and stderr."""
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, CurateError):
        raise done.exception
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return SimpleNamespace(text=done.stdout, lines=lines, messages=done.stderr.splitlines())


def mix(recipe: str) -> None:
    Path("recipe.yaml").write_text(recipe)
    # absolute: open stores and archives are kept per path in a process, and each test has a directory of its own
    places = ("--raw", Path("raw").absolute(), "--workspace", Path("data").absolute())
    run("mix", "recipe.yaml", "--workers", "1", *map(str, places))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("inspect")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("CURATE_HOME", raising=False)
        write_rows(root / "raw/votes/a.jsonl", VOTED)
        write_rows(root / "raw/web/b.jsonl", CRAWLED)
        (root / "raw/web/pictures").mkdir()
        Image.new("RGB", (16, 12), "red").save(root / "raw/web/pictures/red.png")
        (root / "manifests").mkdir()
        (root / "manifests/votes.yaml").write_text(VOTES)
        (root / "manifests/web.yaml").write_text(WEB)
        mix(RECIPE)
    return root


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of the finished workspace, with its raw files; the current directory."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CURATE_HOME", raising=False)
    return tmp_path / "project"


def pairs(source: str) -> list[dict]:
    """The pairs of a source in file order."""
    [path] = Path(f"data/pairs/{source}").glob("*/part-00000.parquet")
    return pq.read_table(path).to_pylist()


def ids(source: str) -> dict[str, str]:
    """The pair ids of a source by upstream row."""
    return {pair["row"]: pair["pair_id"] for pair in pairs(source)}


def pairs_directory(source: str) -> Path:
    [path] = Path(f"data/pairs/{source}").iterdir()
    return path


def mix_directory(name: str = "small") -> Path:
    [path] = Path(f"data/mixes/{name}").iterdir()
    return path


def flip(path: Path, at: int = -20) -> None:
    """Change one byte, not the size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def fault(*arguments: str) -> str:
    with pytest.raises(CurateError) as caught:
        run(*arguments)
    return f"{caught.value}\n{caught.value.hint}"
