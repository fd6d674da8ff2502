"""No column of a user's own file is passed over without a word."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.engines.local import Local
from curate.errors import ConfigError, GuardError
from curate.hashing import Hashes
from curate.pairs.column_account import account, not_used
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.sources.base import Draft, Source, reply, user
from curate.workspace import Workspace
from tests.support.own_source import source

ROWS = [
    {"id": 1, "prompt": "Sky?", "chosen": "Blue", "rejected": "Red", "input": "", "lang": "en"},
    {"id": 2, "prompt": "Sea?", "chosen": "Salty", "rejected": "Sweet", "input": "By taste.", "lang": "en"},
]


def made(tmp_path: Path, text: str) -> Artefact:
    job = Job(name="mine", source=source(tmp_path, text), raw=tmp_path / "raw")
    workspace = Workspace(tmp_path / "work")
    (artefact,) = normalize_all([locate(job, workspace, Hashes(tmp_path))], workspace, Local())
    return artefact


def write(tmp_path: Path, name: str) -> str:
    path = tmp_path / "raw" / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif name.endswith(".csv"):
        lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text(json.dumps(ROWS) if name.endswith(".json") else "\n".join(map(json.dumps, ROWS)) + "\n")
    return f"adapter: preference\nfiles: ['{name}']"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_a_filled_column_that_matters_is_an_error_whose_hint_works(tmp_path, name):
    text = write(tmp_path, name)
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, text)
    assert str(caught.value) == (
        f"{tmp_path}/mine.yaml: $.columns: nothing reads the column 'input' (filled in 1 of the first 2 rows); "
        "expected every column that may hold media, scores, tool calls or part of a prompt mapped or ignored"
    )
    assert caught.value.hint == "map it under columns, or leave it out of the pairs with ignore: [input]"
    artefact = made(tmp_path, f"{text}\nignore: [input]")
    columns = {"used": ["chosen", "prompt", "rejected"], "ignored": ["input"], "not_used": ["id", "lang"]}
    assert artefact.manifest["columns"] == columns
    assert artefact.manifest["pairs"] == 2
    assert not_used(columns["not_used"]) == "columns not used: id, lang"
    with pytest.raises(ConfigError, match="nothing reads the column 'input'; expected"):
        made(tmp_path, text)  # the pairs are there, but the manifest ignores the column no more


def test_ignoring_a_column_does_not_make_other_pairs(tmp_path):
    text = write(tmp_path, "a.jsonl")
    one, other = (source(tmp_path, f"{text}\n{more}") for more in ("", "ignore: [input]"))
    assert one.version == other.version


def test_an_empty_column_that_matters_is_no_error(tmp_path):
    (tmp_path / "raw").mkdir()
    rows = [{**row, "input": empty} for row, empty in zip(ROWS, ("", None), strict=True)]
    (tmp_path / "raw/a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    artefact = made(tmp_path, "adapter: preference")
    assert artefact.manifest["columns"]["not_used"] == ["id", "input", "lang"]


def test_a_source_that_does_not_say_what_it_reads_uses_all():
    receipts = [{"columns": ["a"]}, {"columns": ["b", "a"]}]
    bundled = Source(
        repo="x/y", to_pairs=lambda _: iter([Draft(prompt=user("q"), chosen=reply("a"), rejected=reply("b"))])
    )
    assert account(bundled, receipts) == {"used": ["a", "b"], "ignored": [], "not_used": []}


def test_the_guard_gives_the_first_detail_of_the_commonest_reason(tmp_path):
    (tmp_path / "raw").mkdir()
    row = {"prompt": "<image>?", "chosen": "a", "rejected": "b", "images": "pics/a.png"}
    (tmp_path / "raw/a.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(GuardError) as caught:
        made(tmp_path, "adapter: preference")
    assert caught.value.found == (
        "1 of 1 rows (100.0%) gave no pair, most of them: image_missing (1), e.g. pics/a.png: the source declares "
        "no media, which are the archives and directories to look in"
    )
