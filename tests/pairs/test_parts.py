"""Which slices share a part, and that sharing changes no pair."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.checksums import record, write_record
from curate.engines.local import Local
from curate.hashing import Hashes
from curate.pairs import normalize
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.workspace import Workspace
from tests.support.own_source import source


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(100):
        row = {"prompt": f"Question {number}?", "chosen": "good", "rejected": "bad"}
        broken = "{}\n" if number % 10 == 0 else ""
        (folder / f"f{number:03}.jsonl").write_text(json.dumps(row) + "\n" + broken)
    (folder / "f050.jsonl").write_text(json.dumps({**row, "extra": "x" * 3000}) + "\n")
    return folder


def made(raw: Path, root: Path) -> Artefact:
    job = Job(name="mine", source=source(raw.parent, "adapter: preference"), raw=raw, max_skip=1.0)
    workspace = Workspace(root)
    (artefact,) = normalize_all([locate(job, workspace, Hashes(root))], workspace, Local())
    return artefact


def table(artefact: Artefact, kind: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(artefact.directory.glob(f"{kind}-*.parquet"))])


def test_small_files_share_a_part_and_give_the_same_pairs(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(normalize, "SMALL_BYTES", 2500)
    shared = made(raw, tmp_path / "shared")
    monkeypatch.setattr(normalize, "MANY", 100)
    single = made(raw, tmp_path / "single")
    names = [part["slice"] for part in shared.manifest["parts"]]
    assert (names[0], len(names), len(single.manifest["parts"])) == ("f000.jsonl and 38 more", 5, 100)
    assert "f050.jsonl" in names
    for kind in ("part", "skips"):
        assert table(shared, kind) == table(single, kind)
    for fact in ("rows", "pairs", "skipped", "columns"):
        assert shared.manifest[fact] == single.manifest[fact]
    assert shared.directory.name == single.directory.name


def test_a_part_of_another_sharing_is_made_again(raw, tmp_path):
    first = made(raw, tmp_path / "work")
    (first.directory / "manifest.json").unlink()
    receipt = record(first.directory / "part-00000.json")
    write_record(first.directory / "part-00000.json", {**receipt, "slice": "f000.jsonl", "pairs": 1})
    assert made(raw, tmp_path / "work").manifest == first.manifest
