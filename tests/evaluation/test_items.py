"""Where the raw files of an eval set are: one rule for `evaluate`, `ablate` and `decontaminate`."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.ablation.eval_items import eval_sets
from curate.cli import app
from curate.contamination.eval_sets import EvalSetLibrary
from curate.errors import ConfigError, CurateError, RawError, WorkspaceError
from curate.evaluation.items import EvalSetFolders, unique_keys
from curate.hashing import Hashes
from curate.hub import manifests
from curate.workspace import Workspace
from tests.support.paths import ROWS

NAME = "judgebench"
FILE = "data/gpt-0.jsonl"
FETCHED, OTHER = "a" * 40, "b" * 40
ROWS_OF = {"raw": 1, "fetched": 2, "by hand": 3}
"""How many rows the copies have, by which they are told apart."""


def copy(folder: Path, rows: int) -> None:
    """The first test rows of the eval set, in the layout of its repository."""
    (published,) = (path for path in (ROWS / "evalsets" / NAME).rglob("*") if path.is_file())
    lines = published.read_text().splitlines(keepends=True)
    (folder / FILE).parent.mkdir(parents=True)
    (folder / FILE).write_text("".join(lines[:rows]))


def put(home: Path, places: str, commit: str = FETCHED) -> None:
    """Copies in these places; a fetched one has the receipt that says that it is whole."""
    folders = {"raw": home / "raw", "fetched": home / "data/raw", "by hand": home / "data/raw"}
    for place in places.split(" and "):
        folder = folders[place] / NAME
        copy(folder / commit if place == "fetched" else folder, ROWS_OF[place])
    if "fetched" in places:
        data = (home / "data/raw" / NAME / commit / FILE).read_bytes()
        known = {"path": FILE, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        receipt = {
            "source": NAME, "repo": "ScalerLab/JudgeBench", "commit": commit, "revision": "main", "pinned": True,
            "license": "mit", "complete": True, "files": [known],
        }  # fmt: skip
        (home / "data/raw" / NAME / "fetched.json").write_text(json.dumps(receipt))


def pin(home: Path, commit: str) -> None:
    """A manifest of the eval set at this commit."""
    file = manifests.File(path=FILE, bytes=1, sha256="0" * 64)
    blank = manifests.read(NAME, home / "manifests")
    manifests.write(replace(blank, commit=commit, files=(file,)), home / "manifests")


def folders_of(home: Path, raw: Path | None) -> EvalSetFolders:
    return EvalSetFolders(workspace=Workspace(home / "data"), raw=raw, manifests=home / "manifests")


def evaluated(home: Path, raw: Path | None) -> int:
    """How many items `curate evaluate` reads: so many of them have no score in an empty file."""
    (home / "manifests").mkdir(exist_ok=True)
    (home / "none.jsonl").write_text("")
    places = ["--workspace", home / "data", "--manifests", home / "manifests", *(["--raw", raw] if raw else [])]
    arguments = ["evaluate", "--eval-set", NAME, "--scores", home / "none.jsonl", *places]
    error = CliRunner().invoke(app, [str(argument) for argument in arguments]).exception
    missing = re.search(r"(\d+) of \d+ scores are missing", str(error))
    if missing is None:
        assert isinstance(error, CurateError)
        raise error
    return int(missing[1]) // 2


def ablated(home: Path, raw: Path | None) -> int:
    """How many items the arms of an ablation are scored on."""
    [found] = eval_sets([NAME], folders_of(home, raw))
    return len(found.items.items)


def decontaminated(home: Path, raw: Path | None) -> int:
    """How many items a mix is decontaminated against."""
    hashes = Hashes(home)
    library = EvalSetLibrary(folders=folders_of(home, raw), hashes=hashes)
    found = library.eval_set(NAME, "$")
    found.facts(hashes)  # raises where there are no files
    return len(list(found.items()))


Read = Callable[[Path, Path | None], int]
every_reader = pytest.mark.parametrize("read", [evaluated, ablated, decontaminated])


@every_reader
@pytest.mark.parametrize(
    ("places", "with_raw", "expected"),
    [
        ("raw", True, "raw"),
        ("raw and fetched", True, "raw"),
        ("raw and by hand", True, "raw"),
        ("raw and fetched", False, "fetched"),
        ("fetched", True, "fetched"),
        ("by hand", True, "by hand"),
        ("fetched", False, "fetched"),
        ("by hand", False, "by hand"),
        ("fetched and by hand", False, "fetched"),
    ],
)
def test_which_copy_is_read(tmp_path: Path, read: Read, places: str, with_raw: bool, expected: str):
    (tmp_path / "raw").mkdir()
    put(tmp_path, places)
    assert read(tmp_path, tmp_path / "raw" if with_raw else None) == ROWS_OF[expected]


@every_reader
def test_a_fetched_copy_that_is_not_what_the_hub_has_is_refused(tmp_path: Path, read: Read):
    put(tmp_path, "fetched")
    path = tmp_path / "data/raw" / NAME / FETCHED / FILE
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"A", b"B", 1))
    found, right = (hashlib.sha256(data).hexdigest() for data in (path.read_bytes(), whole))
    with pytest.raises(RawError) as error:
        read(tmp_path, None)
    assert str(error.value) == f"{path}: sha256 {found}; expected sha256 {right}, as the Hub has it"
    assert error.value.hint == f"delete {path}, then curate fetch {NAME} gets it again"
    path.write_bytes(whole)
    assert read(tmp_path, None) == ROWS_OF["fetched"]


@every_reader
@pytest.mark.parametrize("with_raw", [True, False])
def test_a_copy_of_another_commit_than_the_pinned_one_is_refused(tmp_path: Path, read: Read, with_raw: bool):
    (tmp_path / "raw").mkdir()
    put(tmp_path, "fetched")
    pin(tmp_path, OTHER)
    with pytest.raises(WorkspaceError) as error:
        read(tmp_path, tmp_path / "raw" if with_raw else None)
    where = tmp_path / "data/raw" / NAME / "fetched.json"
    assert str(error.value) == f"{where}: $.commit: found aaaaaaaaaa; expected the pinned bbbbbbbbbb"
    assert error.value.hint == f"curate fetch {NAME}"
    pin(tmp_path, FETCHED)  # what the hint would bring
    assert read(tmp_path, None) == ROWS_OF["fetched"]


@every_reader
def test_a_folder_in_raw_needs_no_pin(tmp_path: Path, read: Read):
    put(tmp_path, "raw and fetched")
    pin(tmp_path, OTHER)
    assert read(tmp_path, tmp_path / "raw") == ROWS_OF["raw"]


@every_reader
def test_a_raw_that_is_no_directory_is_refused(tmp_path: Path, read: Read):
    put(tmp_path, "fetched")
    with pytest.raises(RawError) as error:
        read(tmp_path, tmp_path / "rwa")
    assert str(error.value) == (
        f"{tmp_path / 'rwa'}: no such directory; expected a folder for each eval set, named as the eval set"
    )


@every_reader
@pytest.mark.parametrize("with_raw", [True, False])
def test_files_that_are_nowhere(tmp_path: Path, read: Read, with_raw: bool):
    """The place where one would look first is named."""
    (tmp_path / "raw").mkdir()
    with pytest.raises(CurateError) as error:
        read(tmp_path, tmp_path / "raw" if with_raw else None)
    place = tmp_path / ("raw" if with_raw else "data/raw") / NAME
    assert str(place) in str(error.value)
    assert error.value.hint.startswith(f"curate fetch {NAME}")


def test_an_ablation_takes_all_that_were_fetched(tmp_path: Path):
    put(tmp_path, "fetched")
    assert [found.name for found in eval_sets([], folders_of(tmp_path, None))] == [NAME]
    pin(tmp_path, OTHER)
    with pytest.raises(WorkspaceError, match="expected the pinned bbbbbbbbbb"):
        eval_sets([], folders_of(tmp_path, None))


def test_an_ablation_names_an_unknown_eval_set(tmp_path: Path):
    with pytest.raises(ConfigError, match="no eval set is called 'judgbench'"):
        eval_sets(["judgbench"], folders_of(tmp_path, None))


def test_equal_names_are_numbered():
    assert unique_keys(["a", "b", "a", "a"]) == ["a", "b", "a.2", "a.3"]
