"""Pairs, images and raw files that changed on disk: what is made again, and what is an error with a hint."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from curate.checksums import write_record
from curate.engines.local import Local
from curate.errors import RawError
from curate.hashing import LONG_LISTING, Hashes
from curate.inputs import Inputs
from curate.pairs import normalize, part
from curate.rawfiles.rows import row_pieces
from curate.workspace import Workspace
from tests.support.finished_work import RECIPE, VOTED, fault, mix, mix_directory, pairs_directory, run, write_rows
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")


def flip(path: Path, share: float = 0.5) -> bytes:
    """Turn one bit; what the file was."""
    before = path.read_bytes()
    at = int(share * (len(before) - 1))
    path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
    return before


def built() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in mix_directory().rglob("*") if path.is_file()}


def without_mixes() -> None:
    """Nothing is up to date any more."""
    (mix_directory() / "lock.json").unlink()


@pytest.mark.parametrize("name", ["part-00000.parquet", "skips-00000.parquet", "part-00000.json", "manifest.json"])
def test_a_flipped_bit_in_pairs_changes_no_mix(name):
    before, path = built(), pairs_directory("votes") / name
    whole = flip(path)
    without_mixes()
    mix(RECIPE)
    assert (built(), path.read_bytes()) == (before, whole)


def test_a_damaged_part_is_an_error_where_it_cannot_be_made_again_and_its_hint_mends_it():
    part_file = pairs_directory("votes") / "part-00000.parquet"
    whole = flip(part_file)
    line, hint = fault("doctor", "votes", "--workers", "1").split("\n")
    assert line.startswith(f"{part_file}: part-00000.parquet differs from its record")
    assert hint.startswith("curate normalize votes")
    run("normalize", "votes", "--raw", "raw", "--workers", "1")
    assert part_file.read_bytes() == whole


@pytest.mark.parametrize("suffix", ["pack", "parquet"])
def test_the_hint_of_a_damaged_pack_mends_it(suffix):
    before = built()
    (index,) = Path("data/images/packs").absolute().glob("*.parquet")
    flip(index.with_suffix(f".{suffix}"))
    without_mixes()
    recipe = Path("recipe.yaml").absolute()
    command = ("mix", str(recipe), "--workers", "1", "--raw", str(Path("raw").absolute()))
    line, hint = fault(*command, "--workspace", str(Path("data").absolute())).split("\n")
    assert "damaged" in line
    assert hint.startswith(f"delete {index}, then curate mix of the recipe")
    index.unlink()
    mix(RECIPE)
    assert built() == before
    assert run("verify", "--raw", "raw").lines == []


def test_a_mix_that_is_up_to_date_brings_back_the_images_of_a_deleted_pack():
    (index,) = Path("data/images/packs").glob("*.parquet")
    whole = index.read_bytes()
    index.unlink()
    mix(RECIPE)
    assert index.read_bytes() == whole


def job(name: str = "votes") -> tuple[normalize.Artefact, Workspace]:
    place = Workspace(Path("other").absolute())
    inputs = Inputs(workspace=place, raw=Path("raw").absolute(), manifests=Path("manifests"))
    return normalize.locate(inputs.job(name, {}, None, name), place, Hashes(place.cache)), place


def foreign(rows: list[dict]) -> list[dict]:
    """Other rows that take as many bytes."""
    return [{**row, "question": row["question"][::-1]} for row in rows]


def test_raw_files_that_are_overwritten_while_they_are_read_fail_the_run(monkeypatch):
    artefact, place = job()
    raw = Path("raw/votes/a.jsonl")

    def overwritten(*arguments):
        write_rows(raw, foreign(VOTED))  # in place, after it was hashed
        return row_pieces(*arguments)

    with monkeypatch.context() as patch, pytest.raises(RawError) as caught:
        patch.setattr(part, "row_pieces", overwritten)
        normalize.normalize_all([artefact], place, Local(1))
    assert str(caught.value) == (
        f"{raw.absolute()}: it changed while it was read; expected a file that stays as it is"
    )
    assert not list(place.root.glob("pairs/*/*/*.json"))
    write_rows(raw, VOTED)
    again, _ = job()
    (done,) = normalize.normalize_all([again], place, Local(1))
    ours = json.loads((pairs_directory("votes") / "manifest.json").read_text())
    assert [one["xxh3"] for one in done.manifest["parts"]] == [one["xxh3"] for one in ours["parts"]]


def test_an_image_that_is_overwritten_in_a_long_folder_fails_the_run(monkeypatch):
    pictures = Path("raw/web/pictures")
    for number in range(LONG_LISTING):
        shutil.copy(pictures / "red.png", pictures / f"{number}.png")
    artefact, place = job("web")

    def overwritten(*arguments):
        flip(pictures / "red.png")  # as many bytes as before
        return row_pieces(*arguments)

    monkeypatch.setattr(part, "row_pieces", overwritten)
    with pytest.raises(RawError) as caught:
        normalize.normalize_all([artefact], place, Local(1))
    assert str(caught.value).startswith(f"{pictures.absolute()}: it changed while it was read")
    assert not list(place.root.glob("pairs/*/*/*.json"))


def fetched(commit: str) -> Path:
    """The votes as `curate fetch` leaves them in the workspace `other`."""
    raw = Path("other/raw/votes").absolute()
    shutil.copytree("raw/votes", raw / commit)
    data = (raw / commit / "a.jsonl").read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    file = {"path": "a.jsonl", "bytes": len(data), "git_oid": blob}
    facts = {"source": "votes", "repo": "people/votes", "commit": commit, "revision": "main", "pinned": False,
             "license": "mit", "complete": True, "files": [file]}  # fmt: skip
    write_record(raw / "fetched.json", facts)
    return raw / commit / "a.jsonl"


def test_a_fetched_file_that_is_not_what_the_hub_has_makes_no_pairs():
    path = fetched("c" * 40)
    right = json.loads(Path("other/raw/votes/fetched.json").read_text())["files"][0]["git_oid"]
    whole = flip(path)
    wrong = hashlib.sha1(b"blob %d\0" % len(whole) + path.read_bytes()).hexdigest()
    command = ("normalize", "votes", "--workspace", str(Path("other").absolute()), "--workers", "1")
    for _ in range(2):  # it is not remembered either
        assert fault(*command) == (
            f"{path}: git {wrong}; expected git {right}, as the Hub has it\n"
            f"delete {path}, then curate fetch votes gets it again"
        )
    assert not Path("other/pairs").exists()
    path.write_bytes(whole)
    run(*command)
    flip(path)
    assert fault(*command).startswith(f"{path}: git {wrong}; ")


def test_a_raw_file_that_is_only_touched_while_it_is_read_is_no_fault(monkeypatch):
    artefact, place = job()

    def touched(*arguments):
        write_rows(Path("raw/votes/a.jsonl"), VOTED)
        return row_pieces(*arguments)

    monkeypatch.setattr(part, "row_pieces", touched)
    (done,) = normalize.normalize_all([artefact], place, Local(1))
    assert done.manifest["rows"] == len(VOTED)
