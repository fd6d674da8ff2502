"""Names and texts that are not Unicode cost no more than their row, wherever they are written down."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from curate.engines.local import Local
from curate.hashing import Hashes
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.workspace import Workspace
from tests.support.own_source import source

GOOD = {"prompt": "Sky?", "chosen": "Blue", "rejected": "Red"}


def made(tmp_path: Path, *rows: bytes) -> Artefact:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(b"\n".join(rows) + b"\n")
    job = Job(name="mine", source=source(tmp_path, "adapter: preference"), raw=tmp_path / "raw", max_skip=1.0)
    workspace = Workspace(tmp_path / "work")
    (artefact,) = normalize_all([locate(job, workspace, Hashes(tmp_path))], workspace, Local())
    return artefact


def test_a_column_with_half_a_character_in_its_name_is_listed_with_it_escaped(tmp_path):
    rows = [json.dumps({**GOOD, "\ud83d": 1}).encode(), json.dumps({**GOOD, "caf": 1}).encode()]
    done = made(tmp_path, rows[0], rows[1].replace(b"caf", b"caf\xe9"))
    assert done.columns == {
        "used": ["chosen", "prompt", "rejected"],
        "ignored": [],
        "not_used": ["\\ud83d", "caf\\udce9"],
    }
    assert done.manifest["pairs"] == 2


def test_half_a_character_in_the_detail_of_a_skip_is_escaped(tmp_path):
    done = made(tmp_path, json.dumps({**GOOD, "chosen": "a\udcff.png"}).encode(), json.dumps(GOOD).encode())
    (skip,) = pq.read_table(done.directory / "skips-00000.parquet").to_pylist()
    assert skip == {"row": "a.jsonl:1", "reason": "reply_is_a_path", "detail": "a\\udcff.png"}
    assert done.manifest["parts"][0]["details"] == {"reply_is_a_path": "a\\udcff.png"}


def test_half_a_character_in_a_group_costs_its_row(tmp_path):
    done = made(tmp_path, json.dumps({**GOOD, "group": "a\udcff"}).encode(), json.dumps(GOOD).encode())
    assert (done.manifest["skipped"], done.manifest["pairs"]) == ({"not_unicode": 1}, 1)
