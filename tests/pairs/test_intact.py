"""Pairs, images and raw files that changed on disk: what is made again, and what is an error with a hint."""

import json
from pathlib import Path

import pytest

from curate.engines.local import Local
from curate.errors import RawError
from curate.hashing import Hashes
from curate.inputs import Inputs
from curate.pairs import normalize, part
from curate.rawfiles.rows import rows as read_rows
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


def job() -> tuple[normalize.Artefact, Workspace]:
    place = Workspace(Path("other").absolute())
    inputs = Inputs(workspace=place, raw=Path("raw").absolute(), manifests=Path("manifests"))
    return normalize.locate(inputs.job("votes", {}, None, "votes"), place, Hashes(place.cache)), place


def foreign(rows: list[dict]) -> list[dict]:
    """Other rows that take as many bytes."""
    return [{**row, "question": row["question"][::-1]} for row in rows]


def test_raw_files_that_are_overwritten_while_they_are_read_fail_the_run(monkeypatch):
    artefact, place = job()
    raw = Path("raw/votes/a.jsonl")

    def overwritten(*arguments):
        write_rows(raw, foreign(VOTED))  # in place, after it was hashed
        return read_rows(*arguments)

    with monkeypatch.context() as patch, pytest.raises(RawError) as caught:
        patch.setattr(part, "rows", overwritten)
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


def test_a_raw_file_that_is_only_touched_while_it_is_read_is_no_fault(monkeypatch):
    artefact, place = job()

    def touched(*arguments):
        write_rows(Path("raw/votes/a.jsonl"), VOTED)
        return read_rows(*arguments)

    monkeypatch.setattr(part, "rows", touched)
    (done,) = normalize.normalize_all([artefact], place, Local(1))
    assert done.manifest["rows"] == len(VOTED)
